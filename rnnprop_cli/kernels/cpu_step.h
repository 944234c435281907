// One inner step of a learned optimizer for all coordinates: its inputs, the network, and the change of the params.

#pragma once

#include "cpu_layers.h"
#include "cpu_threads.h"

namespace rnnprop {

struct StepBuffers {
    const float *features, *h, *c;   // [F, N], [L, H, N], [L, H, N]
    float *h_new, *c_new, *output;  // [L, H, N], [L, H, N], [N]; h_new and c_new may be h and c
    int64_t N;
    int64_t stride;  // from a row of h, c, h_new or c_new to the next, N or more
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

// What was computed from the first rows whose lanes are all alike. Coordinates that have never seen a gradient (pixels that
// were blank so far) are all alike: they are computed once a call, and the others are copies, bit for bit.
struct Known {
    Row *inputs, *outputs;
    bool known = false;

    bool covers(const Row* rows, int count) const {
        for (int k = 0; known && k < count; ++k)
            if (!same_bits(rows[k], inputs[k])) return false;
        return known;
    }

    // Whether these are the first such rows. They are kept; the caller computes and keeps the outputs.
    bool begins_with(const Row* rows, int count) {
        if (known) return false;
        for (int k = 0; k < count; ++k)
            if (!all_alike(rows[k])) return false;
        std::copy(rows, rows + count, inputs);
        return known = true;
    }
};

// Takes some blocks at a time through the network, layer by layer: a layer's weights then stay in the first-level cache,
// and several cache lines at a time are read of each row of the state, which all lie on pages of their own.
class StepWorker {
   public:
    static constexpr int64_t BLOCKS = 8, COORDINATES = BLOCKS * BLOCK;  // of a task

    StepWorker(const Packed& packed, const StepBuffers& at, const RelativeStep& relative)
        : packed_(packed),
          s_(packed.shape),
          at_(at),
          relative_(relative),
          stride_(std::max(s_.rows(0), s_.rows(s_.L - 1)) + s_.H),
          scratch_(size()) {
        features_ = scratch_.take_rows(BLOCKS * s_.F);
        for (Row*& rows : rows_) rows = scratch_.take_rows(BLOCKS * stride_);
        gates_ = scratch_.take_rows(GATES * s_.H);
        tanh_c_ = scratch_.take_rows(s_.H);
        embedded_ = {scratch_.take_rows(s_.F), scratch_.take_rows(s_.inputs(0))};
        for (int l = 0; l < s_.L; ++l) known_.push_back({scratch_.take_rows(stride_), scratch_.take_rows(2 * s_.H)});
    }

    void operator()(int64_t task) {
        start_ = task * COORDINATES;
        count_ = std::min(at_.N - start_, COORDINATES);
        blocks_ = (count_ + BLOCK - 1) / BLOCK;
        if (count_ <= 0) return;
        if (relative_.grads)
            relative_features();
        else
            for (int f = 0; f < s_.F; ++f) load_line(at_.features + f * at_.N, features_ + f, s_.F);
        for (int64_t b = 0; b < blocks_; ++b) embed_block(features_ + b * s_.F, rows_[0] + b * stride_);
        for (int l = 0; l < s_.L; ++l) layer(l, rows_[l % 2], rows_[(l + 1) % 2]);
        Row outputs[BLOCKS];
        for (int64_t b = 0; b < blocks_; ++b) outputs[b] = network_output(packed_, rows_[s_.L % 2] + b * stride_);
        if (relative_.grads)
            move_params(outputs);
        else
            store_line(at_.output, outputs, 1);
    }

   private:
    int64_t size() const {
        return PARTS * (BLOCKS * (s_.F + 2 * stride_) + (GATES + 1) * s_.H + s_.F + s_.inputs(0) +
                        s_.L * (stride_ + 2 * s_.H));
    }

    // The task's part of a row [N], block b to target[b * stride]. Lanes beyond the last coordinate are zero.
    void load_line(const float* row, Row* target, int64_t stride) const {
        const float* source = row + start_;
        const int64_t full = count_ / BLOCK;
        for (int64_t b = 0; b < full; ++b) target[b * stride] = load_row(source + b * BLOCK);
        if (full == blocks_) return;
        float values[BLOCK] = {};
        std::copy(source + full * BLOCK, source + count_, values);
        target[full * stride] = load_row(values);
    }

    void store_line(float* row, const Row* source, int64_t stride) const {
        float* target = row + start_;
        const int64_t full = count_ / BLOCK;
        for (int64_t b = 0; b < full; ++b) store_row(target + b * BLOCK, source[b * stride]);
        if (full == blocks_) return;
        float values[BLOCK];
        store_row(values, source[full * stride]);
        std::copy(values, values + count_ % BLOCK, target + full * BLOCK);
    }

    void relative_features() {
        const RelativeStep& r = relative_;
        Row grads[BLOCKS], m[BLOCKS], v[BLOCKS];
        load_line(r.grads, grads, 1);
        load_line(r.m, m, 1);
        load_line(r.v, v, 1);
        for (int64_t b = 0; b < blocks_; ++b)
            for (int p = 0; p < PARTS; ++p) {
                const Vec g = grads[b][p];
                m[b][p] += r.rest1 * (g - m[b][p]);
                v[b][p] = r.beta2 * v[b][p] + r.rest2 * (g * g);
                const Vec scale = 1.0f / (square_root(r.correct2 * v[b][p]) + r.eps);
                features_[2 * b][p] = g * scale;
                features_[2 * b + 1][p] = m[b][p] * scale * r.correct1;
            }
        store_line(r.m, m, 1);
        store_line(r.v, v, 1);
        for (int f = 0; f < 2 && r.features; ++f) store_line(r.features + f * at_.N, features_ + f, 2);
    }

    void move_params(const Row* outputs) const {
        const RelativeStep& r = relative_;
        float rates[COORDINATES] = {};
        for (int64_t n = 0; n < count_; ++n) rates[n] = r.P == at_.N ? r.rate[0] : r.rate[(start_ + n) / r.P];
        Row params[BLOCKS];
        load_line(r.params, params, 1);
        for (int64_t b = 0; b < blocks_; ++b) {
            const Row rate = load_row(rates + b * BLOCK);
            for (int p = 0; p < PARTS; ++p) params[b][p] += outputs[b][p] * rate[p];
        }
        store_line(r.params, params, 1);
    }

    void embed_block(const Row* features, Row* x) {
        const int D = s_.inputs(0);
        if (embedded_.covers(features, s_.F)) {
            std::copy(embedded_.outputs, embedded_.outputs + D, x);
            return;
        }
        embed(packed_, features, x);
        if (embedded_.begins_with(features, s_.F)) std::copy(x, x + D, embedded_.outputs);
    }

    // One layer for all blocks: of each, rows [x, h, c] become [x of the next layer] in `next`, and the new state.
    void layer(int l, Row* rows, Row* next) {
        const int H = s_.H, D = s_.inputs(l);
        const int64_t first = int64_t(l) * H * at_.stride;
        for (int u = 0; u < H; ++u) {
            load_line(at_.h + first + u * at_.stride, rows + D + u, stride_);
            load_line(at_.c + first + u * at_.stride, rows + D + H + u, stride_);
        }
        for (int64_t b = 0; b < blocks_; ++b) {
            prefetch(l + 1, b);
            layer_block(l, rows + b * stride_, next + b * stride_);
        }
        for (int u = 0; u < H; ++u) {
            store_line(at_.h_new + first + u * at_.stride, next + u, stride_);
            store_line(at_.c_new + first + u * at_.stride, rows + D + H + u, stride_);
        }
    }

    // State that is loaded next: from many places at a time, which hardware does not foresee.
    void prefetch(int l, int64_t b) const {
        const int64_t start = start_ + b * BLOCK + (l == s_.L ? COORDINATES : 0);
        const int64_t first = int64_t(l % s_.L) * s_.H * at_.stride + start;
        for (int u = 0; u < s_.H; ++u) {
            __builtin_prefetch(at_.h + first + u * at_.stride);
            __builtin_prefetch(at_.c + first + u * at_.stride);
        }
    }

    void layer_block(int l, Row* rows, Row* h_new) {
        const int H = s_.H, K = s_.rows(l);
        Row* c = rows + K;
        Known& known = known_[l];
        if (known.covers(rows, K + H)) {
            std::copy(known.outputs, known.outputs + H, h_new);
            std::copy(known.outputs + H, known.outputs + 2 * H, c);
            return;
        }
        const bool keep = known.begins_with(rows, K + H);
        forward_layer(packed_.layers[l].forward.data(), rows, K, H, c, c, h_new, gates_, tanh_c_);
        if (!keep) return;
        std::copy(h_new, h_new + H, known.outputs);
        std::copy(c, c + H, known.outputs + H);
    }

    const Packed& packed_;
    const Shape s_;
    const StepBuffers& at_;
    const RelativeStep& relative_;
    const int64_t stride_;  // rows of a block
    Scratch scratch_;
    Row *features_, *rows_[2], *gates_, *tanh_c_;  // [BLOCKS][F]; of this layer and the next [BLOCKS][stride]; scratch
    Known embedded_;
    std::vector<Known> known_;  // of each layer
    int64_t start_ = 0, count_ = 0, blocks_ = 0;  // coordinates of the task
};

}  // namespace rnnprop
