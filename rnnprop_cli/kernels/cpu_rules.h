// The classical update rules in one pass over the coordinates (optimizers/baselines.py defines them).

#pragma once

#include <cmath>
#include <cstdint>

#include "cpu_names.h"

namespace rnnprop {

enum class Rule : int { sgd, momentum, nesterov, adagrad, adadelta, rmsprop_inside, rmsprop_outside, adam, nadam };

constexpr Name<Rule> RULES[] = {
    {"sgd", Rule::sgd},
    {"momentum", Rule::momentum},
    {"nesterov", Rule::nesterov},
    {"adagrad", Rule::adagrad},
    {"adadelta", Rule::adadelta},
    {"rmsprop inside", Rule::rmsprop_inside},
    {"rmsprop outside", Rule::rmsprop_outside},
    {"adam", Rule::adam},
    {"nadam", Rule::nadam},
};

struct RuleStep {
    Rule rule;
    const float* k;                    // the rule's coefficients, in the order in which `direction` reads them
    const float *grads, *rates;        // [C, P], [C] learning rates of this step, schedule included
    float *first, *second, *params;    // [C, P] slots (null where the rule has none) and params, updated
    int64_t P;
};

// One coordinate: the direction, and the new slots a and b. Plain arithmetic that the compiler turns into SIMD.
template <Rule RULE>
inline float direction(const float* k, float g, float& a, float& b, float param) {
    switch (RULE) {
        case Rule::sgd: return g;
        case Rule::momentum: a = k[0] * a + k[1] * g; return a;  // momentum, 1 - dampening
        case Rule::nesterov: a = k[0] * a + k[1] * g; return g + k[0] * a;
        case Rule::adagrad: {  // eps, 1 where a coordinate at rest needs protection from 0 / 0
            a += g * g;
            const float d = g / (std::sqrt(a) + k[0]);
            return k[1] != 0.0f && a == 0.0f ? 0.0f : d;
        }
        case Rule::adadelta: {  // rho, 1 - rho, eps
            a = k[0] * a + k[1] * (g * g);
            const float d = std::sqrt(b + k[2]) / std::sqrt(a + k[2]) * g;
            b = k[0] * b + k[1] * (d * d);
            return d;
        }
        case Rule::rmsprop_inside: a = k[0] * a + k[1] * (g * g); return g / std::sqrt(a + k[2]);
        case Rule::rmsprop_outside: a = k[0] * a + k[1] * (g * g); return g / (std::sqrt(a) + k[2]);
        // 1 - beta1, beta2, 1 - beta2, 1 / sqrt(1 - beta2^t), eps, 1 / (1 - beta1^t), weight decay
        case Rule::adam:
            a += k[0] * (g - a);
            b = k[1] * b + k[2] * (g * g);
            return a / (std::sqrt(b) * k[3] + k[4]) * k[5] + k[6] * param;
        // as Adam's first five, then the factors of g and of m, weight decay
        case Rule::nadam:
            a += k[0] * (g - a);
            b = k[1] * b + k[2] * (g * g);
            return (k[5] * g + k[6] * a) / (std::sqrt(b) * k[3] + k[4]) + k[7] * param;
    }
    __builtin_unreachable();
}

constexpr int64_t RULE_PIECE = 4096;  // coordinates of a task

template <Rule RULE>
void rule_piece(const RuleStep& at, int64_t start, int64_t end) {
    constexpr bool HAS_FIRST = RULE != Rule::sgd;
    constexpr bool HAS_SECOND = RULE == Rule::adadelta || RULE == Rule::adam || RULE == Rule::nadam;
    float k[8];
    for (int j = 0; j < 8; ++j) k[j] = at.k[j];
    while (start < end) {
        const int64_t cell = start / at.P, stop = end < (cell + 1) * at.P ? end : (cell + 1) * at.P;
        const float rate = at.rates[cell];
        const float* __restrict grads = at.grads;
        float *__restrict params = at.params, *__restrict first = at.first, *__restrict second = at.second;
#pragma GCC ivdep
        for (int64_t n = start; n < stop; ++n) {
            float a = HAS_FIRST ? first[n] : 0.0f, b = HAS_SECOND ? second[n] : 0.0f;
            params[n] -= rate * direction<RULE>(k, grads[n], a, b, params[n]);
            if (HAS_FIRST) first[n] = a;
            if (HAS_SECOND) second[n] = b;
        }
        start = stop;
    }
}

inline void rule_piece(const RuleStep& at, int64_t start, int64_t end) {
    switch (at.rule) {
        case Rule::sgd: return rule_piece<Rule::sgd>(at, start, end);
        case Rule::momentum: return rule_piece<Rule::momentum>(at, start, end);
        case Rule::nesterov: return rule_piece<Rule::nesterov>(at, start, end);
        case Rule::adagrad: return rule_piece<Rule::adagrad>(at, start, end);
        case Rule::adadelta: return rule_piece<Rule::adadelta>(at, start, end);
        case Rule::rmsprop_inside: return rule_piece<Rule::rmsprop_inside>(at, start, end);
        case Rule::rmsprop_outside: return rule_piece<Rule::rmsprop_outside>(at, start, end);
        case Rule::adam: return rule_piece<Rule::adam>(at, start, end);
        case Rule::nadam: return rule_piece<Rule::nadam>(at, start, end);
    }
}

}  // namespace rnnprop
