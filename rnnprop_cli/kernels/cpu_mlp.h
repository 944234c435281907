// Loss and gradient of a multilayer perceptron with cross-entropy, for many cells (see optimizees/mlp.py).
//
// Letters: S seeds, C cells (seed by seed, K = C / S each), M examples, D pixels, A pixels that are not blank in the
// whole minibatch, I inputs and O outputs of a layer. Blank pixels are left out: they add exactly nothing.
// Values of a layer lie [width][M], examples being the lanes; `padded` is a size rounded up to whole registers.

#pragma once

#include "cpu_layers.h"
#include "cpu_names.h"
#include "cpu_threads.h"

namespace rnnprop {

enum class Activation : int { sigmoid, relu, elu, tanh };

constexpr Name<Activation> ACTIVATIONS[] = {
    {"sigmoid", Activation::sigmoid},
    {"relu", Activation::relu},
    {"elu", Activation::elu},
    {"tanh", Activation::tanh},
};

inline int64_t padded(int64_t size) { return (size + LANES - 1) / LANES * LANES; }

// sums[j][r] += weights[row][first + j] * values[row], for a tile of W outputs and R registers of lanes.
template <int W, int R>
RNNPROP_INLINE void dense_tile(const float* weights, int64_t weight_stride, const int32_t* rows, const float* values,
                               int64_t value_stride, int64_t count, const float* bias, float* out) {
    Vec sums[W][R];
#pragma GCC unroll 24
    for (int j = 0; j < W; ++j)
#pragma GCC unroll 2
        for (int r = 0; r < R; ++r) sums[j][r] = broadcast(bias ? bias[j] : 0.0f);
    for (int64_t i = 0; i < count; ++i, values += value_stride) {
        const float* weight = weights + (rows ? rows[i] : i) * weight_stride;
        Vec value[R];
#pragma GCC unroll 2
        for (int r = 0; r < R; ++r) value[r] = load(values + r * LANES);
#pragma GCC unroll 24
        for (int j = 0; j < W; ++j)
#pragma GCC unroll 2
            for (int r = 0; r < R; ++r) sums[j][r] += weight[j] * value[r];
    }
#pragma GCC unroll 24
    for (int j = 0; j < W; ++j)
#pragma GCC unroll 2
        for (int r = 0; r < R; ++r) store(out + j * value_stride + r * LANES, sums[j][r]);
}

constexpr int WIDE_TILE = ACCUMULATORS / 2;  // outputs at a time, with two registers of lanes each

template <int R>
inline void dense_lanes(const float* weights, int64_t stride, const int32_t* rows, const float* values, int64_t lanes,
                        int64_t count, const float* bias, int64_t width, float* out) {
    int64_t j = 0;
    auto tile = [&](auto size) {
        constexpr int W = decltype(size)::value;
        for (; j + W <= width; j += W)
            dense_tile<W, R>(weights + j, stride, rows, values, lanes, count, bias ? bias + j : nullptr, out + j * lanes);
    };
    tile(std::integral_constant<int, WIDE_TILE>{});
    tile(std::integral_constant<int, 4>{});
    tile(std::integral_constant<int, 1>{});
}

// out[width][lanes] = bias + weights^T values: weights [rows][stride], values [count][lanes]; `rows` picks the rows.
inline void dense(const float* weights, int64_t stride, const int32_t* rows, const float* values, int64_t lanes,
                  int64_t count, const float* bias, int64_t width, float* out) {
    int64_t lane = 0;
    for (; lane + 2 * LANES <= lanes; lane += 2 * LANES)
        dense_lanes<2>(weights, stride, rows, values + lane, lanes, count, bias, width, out + lane);
    for (; lane < lanes; lane += LANES)
        dense_lanes<1>(weights, stride, rows, values + lane, lanes, count, bias, width, out + lane);
}

RNNPROP_INLINE Vec activate(Activation kind, Vec z) {
    switch (kind) {
        case Activation::sigmoid: return reciprocal(1.0f + exp2_clamped(-LOG2_E * z));
        case Activation::tanh: return tanh(z);
        case Activation::relu: return z < 0.0f ? Vec{} : z;  // in this order NaN stays NaN
        case Activation::elu: return elu(z);
    }
    __builtin_unreachable();
}

RNNPROP_INLINE Vec slope(Activation kind, Vec a) {
    switch (kind) {
        case Activation::sigmoid: return a * (1.0f - a);
        case Activation::tanh: return 1.0f - a * a;
        case Activation::relu: return a > 0.0f ? broadcast(1.0f) : Vec{};
        case Activation::elu: return a > 0.0f ? broadcast(1.0f) : a + 1.0f;
    }
    __builtin_unreachable();
}

struct MLPInputs {
    int64_t cells, seeds, M, D;
    std::vector<int64_t> widths;  // D, hidden ..., classes
    Activation activation;
    const uint8_t* pixels;                // [images, D]
    const int64_t *index, *labels;        // [S, M] of the minibatch, [images]
    float scale, shift;                   // a pixel x stands for x * scale + shift
    const float* params;                  // [C, P]
    float *losses, *grads;                // [C], [C, P] or null where only the losses are wanted
    int64_t P;
};

// The minibatch of one seed, for all of its cells.
struct MLPMinibatch {
    std::vector<int32_t> columns;  // [A]
    std::unique_ptr<Scratch> memory;
    float *by_example, *by_pixel;  // [M][padded A], [A][padded M]
    std::vector<int32_t> targets;  // [M]

    MLPMinibatch(const MLPInputs& in, int64_t seed) {
        const int64_t* index = in.index + seed * in.M;
        std::vector<uint8_t> seen(in.D, in.shift != 0.0f);
        uint8_t* __restrict any = seen.data();
        for (int64_t m = 0; m < in.M; ++m) {
            const uint8_t* __restrict row = in.pixels + index[m] * in.D;
            for (int64_t d = 0; d < in.D; ++d) any[d] |= row[d];
            targets.push_back(int32_t(in.labels[index[m]]));
        }
        for (int64_t d = 0; d < in.D; ++d)
            if (any[d]) columns.push_back(int32_t(d));
        const int64_t A = columns.size(), lanes_a = padded(A), lanes_m = padded(in.M);
        memory = std::make_unique<Scratch>((in.M * lanes_a + A * lanes_m) / LANES);
        by_example = reinterpret_cast<float*>(memory->take(in.M * lanes_a / LANES));
        by_pixel = reinterpret_cast<float*>(memory->take(A * lanes_m / LANES));
        float values[256];
        for (int value = 0; value < 256; ++value) values[value] = float(value) * in.scale + in.shift;
        for (int64_t m = 0; m < in.M; ++m) {
            const uint8_t* row = in.pixels + index[m] * in.D;
            float* to = by_example + m * lanes_a;
            for (int64_t a = 0; a < A; ++a) to[a] = values[row[columns[a]]];
            std::fill(to + A, to + lanes_a, 0.0f);
        }
        for (int64_t a = 0; a < A && in.M < lanes_m; ++a)
            std::fill(by_pixel + a * lanes_m + in.M, by_pixel + (a + 1) * lanes_m, 0.0f);
        transpose(by_example, lanes_a, in.M, A, by_pixel, lanes_m);
    }

    // to[column][row] = from[row][column], in squares that fit the first-level cache.
    static void transpose(const float* from, int64_t from_stride, int64_t rows, int64_t columns, float* to,
                          int64_t to_stride) {
        constexpr int64_t SIDE = 16;
        for (int64_t r0 = 0; r0 < rows; r0 += SIDE)
            for (int64_t c0 = 0; c0 < columns; c0 += SIDE)
                if (r0 + SIDE <= rows && c0 + SIDE <= columns) {
                    float square[SIDE][SIDE];  // of known size, so that the compiler unrolls it
                    for (int r = 0; r < SIDE; ++r)
                        for (int c = 0; c < SIDE; ++c) square[c][r] = from[(r0 + r) * from_stride + c0 + c];
                    for (int c = 0; c < SIDE; ++c)
                        std::memcpy(to + (c0 + c) * to_stride + r0, square[c], sizeof square[c]);
                } else {
                    for (int64_t c = c0; c < std::min(c0 + SIDE, columns); ++c)
                        for (int64_t r = r0; r < std::min(r0 + SIDE, rows); ++r)
                            to[c * to_stride + r] = from[r * from_stride + c];
                }
    }
};

class MLPWorker {
   public:
    MLPWorker(const MLPInputs& in, const std::vector<std::unique_ptr<MLPMinibatch>>& minibatches)
        : in_(in), minibatches_(minibatches), lanes_(padded(in.M)), scratch_(size(in)) {
        const int64_t registers = lanes_ / LANES;
        for (size_t l = 1; l < in.widths.size(); ++l) values_.push_back(take(in.widths[l] * registers));
        for (int which = 0; which < 2; ++which) deltas_[which] = take(widest(in) * registers);
        transposed_ = take(widest(in) * registers);
        wide_ = take(in.widths[1] * padded(in.D) / LANES);
    }

    void operator()(int64_t cell) {
        const MLPMinibatch& batch = *minibatches_[cell * in_.seeds / in_.cells];
        const float* params = in_.params + cell * in_.P;
        const int64_t layers = in_.widths.size() - 1;
        std::vector<int64_t> starts{0};
        for (int64_t l = 0; l < layers; ++l) starts.push_back(starts[l] + (in_.widths[l] + 1) * in_.widths[l + 1]);

        const float* below = batch.by_pixel;
        for (int64_t l = 0; l < layers; ++l) {
            const int64_t I = in_.widths[l], O = in_.widths[l + 1];
            const float* weight = params + starts[l];
            dense(weight, O, l ? nullptr : batch.columns.data(), below, lanes_, l ? I : int64_t(batch.columns.size()),
                  weight + I * O, O, values_[l]);
            if (l + 1 < layers)
                for (int64_t j = 0; j < O * lanes_; j += LANES)
                    store(values_[l] + j, activate(in_.activation, load(values_[l] + j)));
            below = values_[l];
        }
        float *delta = deltas_[0], *next = deltas_[1];
        in_.losses[cell] = cross_entropy(batch, values_[layers - 1], delta);
        if (!in_.grads) return;
        float* grads = in_.grads + cell * in_.P;
        for (int64_t l = layers - 1; l > 0; --l) {
            const int64_t I = in_.widths[l], O = in_.widths[l + 1];
            hidden_gradient(values_[l - 1], I, delta, O, grads + starts[l]);
            bias_gradient(delta, O, grads + starts[l] + I * O);
            // weight^T lies [O][I] for the product below
            MLPMinibatch::transpose(params + starts[l], O, I, O, transposed_weight(I * O), I);
            dense(transposed_weight(I * O), I, nullptr, delta, lanes_, O, nullptr, I, next);
            for (int64_t j = 0; j < I * lanes_; j += LANES)
                store(next + j, load(next + j) * slope(in_.activation, load(values_[l - 1] + j)));
            std::swap(delta, next);
        }
        first_gradient(batch, delta, grads);
        bias_gradient(delta, in_.widths[1], grads + in_.D * in_.widths[1]);
    }

   private:
    static int64_t widest(const MLPInputs& in) {
        return *std::max_element(in.widths.begin() + 1, in.widths.end());
    }

    static int64_t size(const MLPInputs& in) {
        int64_t registers = 3 * widest(in);
        for (size_t l = 1; l < in.widths.size(); ++l) registers += in.widths[l];
        return registers * padded(in.M) / LANES + in.widths[1] * padded(in.D) / LANES;
    }

    float* take(int64_t registers) { return reinterpret_cast<float*>(scratch_.take(registers)); }

    float* transposed_weight(int64_t count) {
        if (int64_t(weight_.size()) < count) weight_.resize(count);
        return weight_.data();
    }

    // Mean loss; delta [O][lanes] = (softmax - onehot) / M, zero in lanes without an example.
    float cross_entropy(const MLPMinibatch& batch, const float* logits, float* delta) const {
        const int64_t O = in_.widths.back();
        float total = 0.0f;
        for (int64_t m = 0; m < lanes_; m += LANES) {
            Vec largest = load(logits + m), sum = {};
            for (int64_t o = 1; o < O; ++o) {
                const Vec z = load(logits + o * lanes_ + m);
                largest = z > largest ? z : largest;
            }
            for (int64_t o = 0; o < O; ++o) {
                const Vec e = exp2_clamped(LOG2_E * (load(logits + o * lanes_ + m) - largest));
                sum += e;
                store(delta + o * lanes_ + m, e);
            }
            const Vec factor = 1.0f / (float(in_.M) * sum);
            for (int64_t o = 0; o < O; ++o) store(delta + o * lanes_ + m, load(delta + o * lanes_ + m) * factor);
            for (int lane = 0; lane < LANES; ++lane) {
                if (m + lane < in_.M) {
                    const int64_t target = batch.targets[m + lane] * lanes_ + m + lane;
                    total += largest[lane] - logits[target] + std::log(sum[lane]);
                    delta[target] -= 1.0f / float(in_.M);
                } else {
                    for (int64_t o = 0; o < O; ++o) delta[o * lanes_ + m + lane] = 0.0f;
                }
            }
        }
        return total / float(in_.M);
    }

    void bias_gradient(const float* delta, int64_t O, float* grad) const {
        for (int64_t o = 0; o < O; ++o) {
            Vec sum = {};
            for (int64_t m = 0; m < lanes_; m += LANES) sum += load(delta + o * lanes_ + m);
            grad[o] = sum_lanes(sum);
        }
    }

    // grad[i][o] = sum over the examples of values[i] delta[o].
    void hidden_gradient(const float* values, int64_t I, const float* delta, int64_t O, float* grad) const {
        for (int64_t i = 0; i < I; ++i) {
            int64_t o = 0;
            for (; o + 4 <= O; o += 4) {
                Vec sums[4] = {};
                for (int64_t m = 0; m < lanes_; m += LANES) {
                    const Vec value = load(values + i * lanes_ + m);
                    for (int j = 0; j < 4; ++j) sums[j] += value * load(delta + (o + j) * lanes_ + m);
                }
                finish_sums(partial_sums(sums[0], sums[1], sums[2], sums[3]), grad + i * O + o);
            }
            for (; o < O; ++o) {
                Vec sum = {};
                for (int64_t m = 0; m < lanes_; m += LANES)
                    sum += load(values + i * lanes_ + m) * load(delta + o * lanes_ + m);
                grad[i * O + o] = sum_lanes(sum);
            }
        }
    }

    // The same for the first layer, with pixels as the lanes: they are many, and shared by the cells of a seed.
    void first_gradient(const MLPMinibatch& batch, const float* delta, float* grad) {
        const int64_t O = in_.widths[1], A = batch.columns.size();
        if (A < in_.D) std::fill(grad, grad + in_.D * O, 0.0f);
        MLPMinibatch::transpose(delta, lanes_, O, in_.M, transposed_, O);
        dense(transposed_, O, nullptr, batch.by_example, padded(A), in_.M, nullptr, O, wide_);
        for (int64_t a0 = 0; a0 < A; a0 += LANES)
            for (int64_t a = a0; a < std::min(a0 + LANES, A); ++a) {
                float* to = grad + batch.columns[a] * O;
                for (int64_t o = 0; o < O; ++o) to[o] = wide_[o * padded(A) + a];
            }
    }

    const MLPInputs& in_;
    const std::vector<std::unique_ptr<MLPMinibatch>>& minibatches_;
    const int64_t lanes_;
    Scratch scratch_;
    std::vector<float> weight_;
    std::vector<float*> values_;  // [layers][width][lanes]: behind the activation, the last being the logits
    float *deltas_[2], *transposed_, *wide_;
};

}  // namespace rnnprop
