// One inner step of a learned optimizer for all coordinates: its inputs, the network, and the change of the params.

#pragma once

#include "cpu_layers.h"
#include "cpu_threads.h"

namespace rnnprop {

struct StepBuffers {
    const float *features, *h, *c;   // [F, N], [L, H, N], [L, H, N]
    float *h_new, *c_new, *output;  // [L, H, N], [L, H, N], [N]; h_new and c_new may be h and c
    int64_t N;
};

// RNNprop's inputs from the gradient, and its step, in the same pass (see optimizers/rnnprop.py for the equations).
struct RelativeStep {
    const float* grads;            // [C, P]; null: the features are given
    float *m, *v;                  // [C, P] moments, updated
    float *features, *params;      // [F, N] kept for the backward pass, or null; [C, P] updated
    const float* rate;             // [C] factor of the output, with its sign
    int64_t P;                     // coordinates of a cell
    float rest1, beta2, rest2;     // 1 - beta1, beta2, 1 - beta2
    float correct1, correct2, eps; // 1 / (1 - beta1^t), 1 / (1 - beta2^t)
};

class StepWorker {
   public:
    StepWorker(const Packed& packed, const StepBuffers& at, const RelativeStep& relative)
        : packed_(packed), s_(packed.shape), at_(at), relative_(relative), scratch_(size(packed.shape)) {
        features_ = scratch_.take_rows(s_.F);
        c_ = scratch_.take_rows(s_.H);
        for (int l = 0; l < s_.L; ++l) xh_.push_back(scratch_.take_rows(s_.rows(l)));
        h_ = scratch_.take_rows(s_.H);
        gates_ = scratch_.take_rows(GATES * s_.H);
        tanh_c_ = scratch_.take_rows(s_.H);
        same_.features = scratch_.take_rows(s_.F);
        for (Row** rows : {&same_.h, &same_.c, &same_.h_new, &same_.c_new}) *rows = scratch_.take_rows(s_.L * s_.H);
    }

    static constexpr int64_t COORDINATES = 8 * BLOCK;  // of a task: enough to hide the cost of taking one

    void operator()(int64_t task) {
        const int64_t end = std::min(at_.N, (task + 1) * COORDINATES);
        for (int64_t start = task * COORDINATES; start < end; start += BLOCK)
            if (start + BLOCK <= at_.N)
                block<true>(start, BLOCK);
            else
                block<false>(start, int(at_.N - start));
    }

   private:
    // What a block gave whose lanes were all alike. Coordinates that have never seen a gradient (pixels that were
    // blank so far) are all alike: they are computed once a call, and the others are copies, bit for bit.
    struct Same {
        bool known = false;
        Row *features, *h, *c, *h_new, *c_new, output;
    };

    static int64_t size(const Shape& s) {
        int64_t rows = 2 * s.F + (3 + GATES) * s.H + 4 * int64_t(s.L) * s.H;
        for (int l = 0; l < s.L; ++l) rows += s.rows(l);
        return rows * PARTS;
    }

    template <bool FULL>
    static RNNPROP_INLINE Row load_lanes(const float* source, int lanes) {
        if (FULL) return load_row(source);
        float values[BLOCK] = {};
        std::copy(source, source + lanes, values);
        return load_row(values);
    }

    template <bool FULL>
    static RNNPROP_INLINE void store_lanes(float* target, const Row& row, int lanes) {
        if (FULL) return store_row(target, row);
        float values[BLOCK];
        store_row(values, row);
        std::copy(values, values + lanes, target);
    }

    template <bool FULL>
    void relative_features(int64_t start, int lanes) {
        const RelativeStep& r = relative_;
        const Row g = load_lanes<FULL>(r.grads + start, lanes);
        Row m = load_lanes<FULL>(r.m + start, lanes), v = load_lanes<FULL>(r.v + start, lanes);
        for (int p = 0; p < PARTS; ++p) {
            m[p] += r.rest1 * (g[p] - m[p]);
            v[p] = r.beta2 * v[p] + r.rest2 * (g[p] * g[p]);
            const Vec scale = 1.0f / (square_root(r.correct2 * v[p]) + r.eps);
            features_[0][p] = g[p] * scale;
            features_[1][p] = m[p] * scale * r.correct1;
        }
        store_lanes<FULL>(r.m + start, m, lanes);
        store_lanes<FULL>(r.v + start, v, lanes);
        if (!r.features) return;
        for (int f = 0; f < 2; ++f) store_lanes<FULL>(r.features + f * at_.N + start, features_[f], lanes);
    }

    template <bool FULL>
    void move_params(int64_t start, int lanes, const Row& output) {
        const RelativeStep& r = relative_;
        float rates[BLOCK] = {};
        for (int lane = 0; lane < lanes; ++lane) rates[lane] = r.rate[(start + lane) / r.P];
        Row params = load_lanes<FULL>(r.params + start, lanes);
        for (int p = 0; p < PARTS; ++p)
            params[p] += output[p] * (r.P == at_.N ? broadcast(r.rate[0]) : load(rates + p * LANES));
        store_lanes<FULL>(r.params + start, params, lanes);
    }

    // Whether all lanes of the block's inputs are those of `same_`.
    bool repeated(int64_t start) const {
        if (!same_.known) return false;
        for (int f = 0; f < s_.F; ++f)
            if (!same_bits(features_[f], same_.features[f])) return false;
        for (int64_t row = 0; row < int64_t(s_.L) * s_.H; ++row)
            if (!same_bits(load_row(at_.h + row * at_.N + start), same_.h[row]) ||
                !same_bits(load_row(at_.c + row * at_.N + start), same_.c[row]))
                return false;
        return true;
    }

    template <bool FULL>
    void block(int64_t start, int lanes) {
        if (relative_.grads)
            relative_features<FULL>(start, lanes);
        else
            for (int f = 0; f < s_.F; ++f) features_[f] = load_lanes<FULL>(at_.features + f * at_.N + start, lanes);
        Row output;
        if (FULL && repeated(start)) {
            for (int64_t row = 0; row < int64_t(s_.L) * s_.H; ++row) {
                store_row(at_.h_new + row * at_.N + start, same_.h_new[row]);
                store_row(at_.c_new + row * at_.N + start, same_.c_new[row]);
            }
            output = same_.output;
        } else {
            output = compute<FULL>(start, lanes);
        }
        if (relative_.grads)
            move_params<FULL>(start, lanes, output);
        else
            store_lanes<FULL>(at_.output + start, output, lanes);
    }

    template <bool FULL>
    Row compute(int64_t start, int lanes) {
        const int H = s_.H;
        const int64_t N = at_.N;
        bool alike = FULL && !same_.known;
        for (int f = 0; alike && f < s_.F; ++f) {
            alike = all_alike(features_[f]);
            same_.features[f] = features_[f];
        }
        embed(packed_, features_, xh_[0]);
        for (int l = 0; l < s_.L; ++l) {
            const int D = s_.inputs(l);
            const int64_t row = int64_t(l) * H * N + start;
            for (int u = 0; u < H; ++u) {
                xh_[l][D + u] = load_lanes<FULL>(at_.h + row + u * N, lanes);
                c_[u] = load_lanes<FULL>(at_.c + row + u * N, lanes);
                // The next block's rows: one cache line from each of many streams, more than hardware follows.
                __builtin_prefetch(at_.h + row + u * N + 2 * BLOCK - 1);
                __builtin_prefetch(at_.c + row + u * N + 2 * BLOCK - 1);
            }
            for (int u = 0; alike && u < H; ++u) {
                same_.h[l * H + u] = xh_[l][D + u];
                same_.c[l * H + u] = c_[u];
                alike = all_alike(xh_[l][D + u]) && all_alike(c_[u]);
            }
            Row* h = l + 1 < s_.L ? xh_[l + 1] : h_;
            forward_layer(packed_.layers[l].forward.data(), xh_[l], D + H, H, c_, c_, h, gates_, tanh_c_);
            for (int u = 0; u < H; ++u) {
                store_lanes<FULL>(at_.h_new + row + u * N, h[u], lanes);
                store_lanes<FULL>(at_.c_new + row + u * N, c_[u], lanes);
                if (alike) same_.h_new[l * H + u] = h[u], same_.c_new[l * H + u] = c_[u];
            }
        }
        const Row output = network_output(packed_, h_);
        if (alike) {
            same_.output = output;
            same_.known = true;
        }
        return output;
    }

    const Packed& packed_;
    const Shape s_;
    const StepBuffers& at_;
    const RelativeStep& relative_;
    Scratch scratch_;
    Row *features_, *c_, *h_, *gates_, *tanh_c_;
    std::vector<Row*> xh_;
    Same same_;
};

}  // namespace rnnprop
