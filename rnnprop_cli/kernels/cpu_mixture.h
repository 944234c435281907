// One step of a mixture of directions (components/learned/mixture.py defines it), tensor by tensor.
//
// The direction of a tensor has a size of one, so every coordinate waits for sums over all: averages and sums, then
// directions and their sums, then the params. Sums are taken piece by piece and then in the order of the pieces, so
// that results do not depend on the number of threads.

#pragma once

#include <algorithm>
#include <cmath>
#include <functional>
#include <memory>
#include <vector>

#include "cpu_numbers.h"
#include "cpu_simd.h"
#include "cpu_threads.h"

namespace rnnprop {

constexpr int MOMENTS = 3;
constexpr int DIRECTIONS = MOMENTS + 2;
constexpr int MIXTURE_INPUTS = MOMENTS + 4;
constexpr int64_t MIXTURE_WORDS = 11;  // that say where a tensor lies
constexpr float MIXTURE_TINY = 1e-30f;
constexpr float MIXTURE_RELATIVE = 1e-8f;

// What a cell steps by, as cpu_mixture.py packs it.
struct MixtureNumbers {
    float decay[MOMENTS + 1], correct[MOMENTS + 1];  // of the averages, and 1 / (1 - decay^t)
    float mixture[DIRECTIONS];
    float rate, kept;  // of the direction; what is left of the params
    const float *weight, *bias, *out;  // [H, MIXTURE_INPUTS], [H], [H]

    MixtureNumbers(const float* at, int hidden) {
        std::copy_n(at, MOMENTS + 1, decay);
        std::copy_n(at += MOMENTS + 1, MOMENTS + 1, correct);
        std::copy_n(at += MOMENTS + 1, DIRECTIONS, mixture);
        at += DIRECTIONS;
        rate = at[0], kept = at[1];
        weight = at + 2, bias = weight + hidden * MIXTURE_INPUTS, out = bias + hidden;
    }

    static int64_t count(int hidden) { return 2 * (MOMENTS + 1) + DIRECTIONS + 2 + hidden * (MIXTURE_INPUTS + 2); }
};

struct MixtureTensor {
    int64_t n, cell;
    Numbers param, grad;
    float *m[MOMENTS], *v, *direction;
    float share;  // of the rate
};

class MixtureStep {
   public:
    static constexpr int64_t PIECE = 4096;  // coordinates of a task

    MixtureStep(std::vector<MixtureTensor> tensors, const float* numbers, int64_t cells, int hidden)
        : tensors_(std::move(tensors)), hidden_(hidden) {
        for (int64_t cell = 0; cell < cells; ++cell)
            numbers_.emplace_back(numbers + cell * MixtureNumbers::count(hidden), hidden);
        for (int64_t j = 0; j < int64_t(tensors_.size()); ++j) {
            first_.push_back(int64_t(pieces_.size()));
            for (int64_t from = 0; from < tensors_[j].n; from += PIECE) pieces_.push_back({j, from});
        }
        first_.push_back(int64_t(pieces_.size()));
        sums_.resize(pieces_.size());
        sizes_.resize(tensors_.size());
    }

    bool run(int threads) {
        bool done = each(threads, &MixtureStep::average);
        for (int64_t j = 0; done && j < int64_t(tensors_.size()); ++j) {
            const Sums sum = total(j);
            sizes_[j].root = rms(sum.root, j), sizes_[j].m = rms(sum.m, j), sizes_[j].param = rms(sum.param, j);
        }
        done = done && each(threads, &MixtureStep::directions);
        for (int64_t j = 0; done && j < int64_t(tensors_.size()); ++j) sizes_[j].direction = rms(total(j).direction, j);
        return done && each(threads, &MixtureStep::move);
    }

   private:
    struct Piece {
        int64_t tensor, from;
    };
    struct Sums {
        double root = 0, m = 0, param = 0, direction = 0;
    };
    struct Sizes {
        float root, m, param, direction;
    };
    struct Room {  // a piece of params and gradients in float32
        alignas(64) float param[PIECE], grad[PIECE];
    };

    bool each(int threads, void (MixtureStep::*what)(int64_t, Room&)) {
        return parallel_for(int64_t(pieces_.size()), threads, [&] {
            auto room = std::make_shared<Room>();
            return std::make_unique<std::function<void(int64_t)>>(
                [this, what, room](int64_t piece) { (this->*what)(piece, *room); });
        });
    }

    Sums total(int64_t tensor) const {
        Sums sum;
        for (int64_t piece = first_[tensor]; piece < first_[tensor + 1]; ++piece) {
            sum.root += sums_[piece].root, sum.m += sums_[piece].m;
            sum.param += sums_[piece].param, sum.direction += sums_[piece].direction;
        }
        return sum;
    }

    float rms(double sum, int64_t tensor) const {
        const float mean = float(sum / double(std::max<int64_t>(1, tensors_[tensor].n)));
        return std::sqrt(mean < MIXTURE_TINY ? MIXTURE_TINY : mean);  // NaN stays
    }

    int64_t length(int64_t piece) const {
        return std::min(PIECE, tensors_[pieces_[piece].tensor].n - pieces_[piece].from);
    }

    // Params and gradients of a piece as float32, where they lie if they are.
    static const float* read(const Numbers& numbers, int64_t from, int64_t n, float* room) {
        if (numbers.format == Format::float32) return static_cast<const float*>(numbers.data) + from;
        widen(numbers, from, room, n);
        return room;
    }

    void average(int64_t piece, Room& room) {
        const int64_t from = pieces_[piece].from, n = length(piece);
        const MixtureTensor& at = tensors_[pieces_[piece].tensor];
        const MixtureNumbers& k = numbers_[at.cell];
        const float *param = read(at.param, from, n, room.param), *grad = read(at.grad, from, n, room.grad);
        Vec root = {}, first = {}, own = {};
        Sums rest;
        int64_t j = 0;
        for (; j + LANES <= n; j += LANES) {
            const Vec g = load(grad + j), theta = load(param + j);
            for (int i = 0; i < MOMENTS; ++i) {
                const Vec m = k.decay[i] * load(at.m[i] + from + j) + (1.0f - k.decay[i]) * g;
                store(at.m[i] + from + j, m);
                if (i == 0) first += (m * k.correct[0]) * (m * k.correct[0]);
            }
            const Vec v = k.decay[MOMENTS] * load(at.v + from + j) + (1.0f - k.decay[MOMENTS]) * (g * g);
            store(at.v + from + j, v);
            root += v * k.correct[MOMENTS];
            own += theta * theta;
        }
        for (; j < n; ++j) {
            for (int i = 0; i < MOMENTS; ++i) {
                float& m = at.m[i][from + j];
                m = k.decay[i] * m + (1.0f - k.decay[i]) * grad[j];
            }
            float& v = at.v[from + j];
            v = k.decay[MOMENTS] * v + (1.0f - k.decay[MOMENTS]) * (grad[j] * grad[j]);
            const float m = at.m[0][from + j] * k.correct[0];
            rest.root += v * k.correct[MOMENTS], rest.m += m * m, rest.param += param[j] * param[j];
        }
        Sums& sums = sums_[piece];
        sums.root = rest.root + sum_lanes(root), sums.m = rest.m + sum_lanes(first);
        sums.param = rest.param + sum_lanes(own);
    }

    void directions(int64_t piece, Room& room) {
        const int64_t from = pieces_[piece].from, n = length(piece);
        const MixtureTensor& at = tensors_[pieces_[piece].tensor];
        const MixtureNumbers& k = numbers_[at.cell];
        const Sizes& size = sizes_[pieces_[piece].tensor];
        const float *param = read(at.param, from, n, room.param), *grad = read(at.grad, from, n, room.grad);
        Vec square = {};
        double rest = 0;
        int64_t j = 0;
        for (; j + LANES <= n; j += LANES) {
            Vec m[MOMENTS];
            for (int i = 0; i < MOMENTS; ++i) m[i] = load(at.m[i] + from + j);
            const Vec d = direction(k, size, load(grad + j), load(param + j), m, load(at.v + from + j));
            store(at.direction + from + j, d);
            square += d * d;
        }
        if (j < n) {  // the last register is filled up by zeros
            float tail[MOMENTS + 3][LANES] = {};
            for (int64_t lane = 0; lane < n - j; ++lane) {
                for (int i = 0; i < MOMENTS; ++i) tail[i][lane] = at.m[i][from + j + lane];
                tail[MOMENTS][lane] = grad[j + lane], tail[MOMENTS + 1][lane] = param[j + lane];
                tail[MOMENTS + 2][lane] = at.v[from + j + lane];
            }
            Vec m[MOMENTS];
            for (int i = 0; i < MOMENTS; ++i) m[i] = load(tail[i]);
            const Vec d = direction(k, size, load(tail[MOMENTS]), load(tail[MOMENTS + 1]), m, load(tail[MOMENTS + 2]));
            for (int64_t lane = 0; lane < n - j; ++lane) {
                at.direction[from + j + lane] = d[lane];
                rest += double(d[lane]) * d[lane];
            }
        }
        sums_[piece].direction = rest + sum_lanes(square);
    }

    Vec direction(const MixtureNumbers& k, const Sizes& size, Vec g, Vec theta, const Vec* m, Vec v) const {
        const Vec root = square_root(v * k.correct[MOMENTS]) + (MIXTURE_RELATIVE * size.root + MIXTURE_TINY);
        const Vec over = 1.0f / root;
        const Vec plain = m[0] * (k.correct[0] / size.m);
        Vec x[MIXTURE_INPUTS];
        for (int i = 0; i < MOMENTS; ++i) x[i] = m[i] * k.correct[i] * over;
        const Vec sign = m[0] > 0.0f ? broadcast(1.0f) : (m[0] < 0.0f ? broadcast(-1.0f) : m[0]);
        Vec d = k.mixture[MOMENTS] * sign + k.mixture[MOMENTS + 1] * plain;
        for (int i = 0; i < MOMENTS; ++i) d += k.mixture[i] * x[i];
        if (!hidden_) return d;
        x[MOMENTS] = g * over, x[MOMENTS + 1] = plain, x[MOMENTS + 2] = theta * (1.0f / size.param);
        x[MOMENTS + 3] = root / (root + (size.root + MIXTURE_TINY));
        for (int h = 0; h < hidden_; ++h) {
            Vec sum = broadcast(k.bias[h]);
            for (int i = 0; i < MIXTURE_INPUTS; ++i) sum += k.weight[h * MIXTURE_INPUTS + i] * x[i];
            d += k.out[h] * tanh(sum);
        }
        return d;
    }

    void move(int64_t piece, Room& room) {
        const int64_t from = pieces_[piece].from, n = length(piece);
        const MixtureTensor& at = tensors_[pieces_[piece].tensor];
        const MixtureNumbers& k = numbers_[at.cell];
        const float factor = k.rate * at.share / sizes_[pieces_[piece].tensor].direction, kept = k.kept;
        const float *param = read(at.param, from, n, room.param), *d = at.direction + from;
        float* moved = room.param;
        for (int64_t j = 0; j < n; ++j) moved[j] = kept * param[j] - factor * d[j];
        narrow(moved, at.param, from, n);
    }

    const std::vector<MixtureTensor> tensors_;
    const int hidden_;
    std::vector<MixtureNumbers> numbers_;
    std::vector<Piece> pieces_;
    std::vector<int64_t> first_;  // piece of each tensor
    std::vector<Sums> sums_;      // of each piece
    std::vector<Sizes> sizes_;    // of each tensor
};

}  // namespace rnnprop
