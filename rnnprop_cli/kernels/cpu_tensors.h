// One step of RNNprop for many tensors, each with buffers of its own, of several number formats.
//
// A piece of coordinates, from one tensor or from several small ones, is gathered side by side into scratch memory in
// float32, computed there, and scattered back. So tensors need no common buffer, and small ones share a register.

#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "cpu_numbers.h"
#include "cpu_step.h"
#include "cpu_threads.h"

namespace rnnprop {

struct TensorStep {
    int64_t n;                        // coordinates
    float* step;                      // [] steps taken, one more afterwards
    Numbers param, grad, m, v, h, c;  // [n], but h and c [L H, n]
    double rate, decay, sign;         // factors of the output, of the param before, and of the gradient
};

// The tensors from their columns, as cpu_tensors.py packs them.
inline std::vector<TensorStep> unpacked(int64_t count, const int64_t* words, const double* numbers) {
    std::vector<TensorStep> tensors(count);
    for (int64_t j = 0; j < count; ++j) {
        const auto word = [&](int64_t column) { return words[column * count + j]; };
        const auto array = [&](int64_t which) {
            return Numbers{reinterpret_cast<void*>(word(2 + which)), Format(word(8 + which))};
        };
        tensors[j] = TensorStep{word(0),  reinterpret_cast<float*>(word(1)), array(0), array(1), array(2), array(3),
                                array(4), array(5), numbers[j], numbers[count + j], numbers[2 * count + j]};
    }
    return tensors;
}

// How the averages become inputs (see RelativeStep).
struct Averages {
    double beta1, beta2, eps;
};

class TensorSteps {
   public:
    TensorSteps(std::vector<TensorStep> tensors, const Averages& averages)
        : tensors_(std::move(tensors)), averages_(averages) {
        for (const TensorStep& tensor : tensors_) {
            starts_.push_back(total_);
            total_ += tensor.n;
            const double t = double(*tensor.step) + 1;
            correct1_.push_back(float(1 / (1 - std::pow(averages.beta1, t))));
            correct2_.push_back(float(1 / (1 - std::pow(averages.beta2, t))));
        }
    }

    int64_t total() const { return total_; }
    const Averages& averages() const { return averages_; }
    float correct1(int64_t tensor) const { return correct1_[tensor]; }
    float correct2(int64_t tensor) const { return correct2_[tensor]; }

    void count_step() const {
        for (const TensorStep& tensor : tensors_) *tensor.step += 1.0f;
    }

    // visit(tensor, its index, first coordinate in it, first in the piece, count) for what lies within [start, end).
    template <class Visit>
    void segments(int64_t start, int64_t end, Visit visit) const {
        int64_t j = std::upper_bound(starts_.begin(), starts_.end(), start) - starts_.begin() - 1;
        for (int64_t at = start; at < end; ++j) {
            const int64_t from = at - starts_[j], count = std::min(tensors_[j].n - from, end - at);
            if (count > 0) visit(tensors_[j], j, from, at - start, count);
            at += count;
        }
    }

   private:
    const std::vector<TensorStep> tensors_;
    const Averages averages_;
    int64_t total_ = 0;
    std::vector<int64_t> starts_;
    std::vector<float> correct1_, correct2_;
};

class TensorWorker {
   public:
    static constexpr int64_t PIECE = 128;  // coordinates of a task: some lines of each row, all rows in the cache
    static constexpr int FEATURES = 2;

    TensorWorker(const Packed& packed, const TensorSteps& steps)
        : rows_(int64_t(packed.shape.L) * packed.shape.H),
          steps_(steps),
          scratch_(PIECE / LANES * (8 + FEATURES + 2 * rows_)),
          at_(),
          network_(packed, at_, none_) {
        for (float** row : {&grad_, &param_, &m_, &v_, &rate_, &correct1_, &correct2_, &output_}) *row = take(1);
        features_ = take(FEATURES);
        h_ = take(rows_);
        c_ = take(rows_);
        at_ = StepBuffers{features_, h_, c_, h_, c_, output_, PIECE};
    }

    void operator()(int64_t task) {
        const int64_t start = task * PIECE, end = std::min(start + PIECE, steps_.total());
        width_ = (end - start + LANES - 1) / LANES * LANES;
        if (width_ != end - start) scratch_.zero();  // lanes beyond the last coordinate rest
        at_.N = width_;
        steps_.segments(start, end, [&](const TensorStep& tensor, int64_t j, int64_t from, int64_t to, int64_t n) {
            gather(tensor, j, from, to, n);
        });
        for (int64_t n = 0; n < width_; n += LANES) inputs(n);
        for (int64_t n = 0; n < width_; n += StepWorker::COORDINATES) network_(n / StepWorker::COORDINATES);
        for (int64_t n = 0; n < width_; n += LANES) move(n);
        steps_.segments(start, end, [&](const TensorStep& tensor, int64_t, int64_t from, int64_t to, int64_t n) {
            scatter(tensor, from, to, n);
        });
    }

   private:
    float* take(int64_t rows) { return reinterpret_cast<float*>(scratch_.take(rows * (PIECE / LANES))); }

    void gather(const TensorStep& tensor, int64_t j, int64_t from, int64_t to, int64_t n) {
        widen(tensor.grad, from, grad_ + to, n);
        widen(tensor.param, from, param_ + to, n);
        widen(tensor.m, from, m_ + to, n);
        widen(tensor.v, from, v_ + to, n);
        const int64_t ahead = std::min(n, tensor.n - from - n);  // the next piece, wanted when this one is done
        for (int64_t row = 0; row < rows_; ++row) {
            widen(tensor.h, row * tensor.n + from, h_ + row * width_ + to, n);
            widen(tensor.c, row * tensor.n + from, c_ + row * width_ + to, n);
            prefetch(tensor.h, row * tensor.n + from + n, ahead);
            prefetch(tensor.c, row * tensor.n + from + n, ahead);
        }
        if (tensor.sign != 1) scale(grad_ + to, float(tensor.sign), n);
        if (tensor.decay != 1) scale(param_ + to, float(tensor.decay), n);
        std::fill_n(rate_ + to, n, float(tensor.rate));
        std::fill_n(correct1_ + to, n, steps_.correct1(j));
        std::fill_n(correct2_ + to, n, steps_.correct2(j));
    }

    void scatter(const TensorStep& tensor, int64_t from, int64_t to, int64_t n) const {
        narrow(param_ + to, tensor.param, from, n);
        narrow(m_ + to, tensor.m, from, n);
        narrow(v_ + to, tensor.v, from, n);
        for (int64_t row = 0; row < rows_; ++row) {
            narrow(h_ + row * width_ + to, tensor.h, row * tensor.n + from, n);
            narrow(c_ + row * width_ + to, tensor.c, row * tensor.n + from, n);
        }
    }

    static void scale(float* values, float factor, int64_t n) {
        for (int64_t j = 0; j < n; ++j) values[j] *= factor;
    }

    // The averages and the network's inputs, by the arithmetic of StepWorker::relative_features.
    void inputs(int64_t n) {
        const float rest1 = float(1 - steps_.averages().beta1), beta2 = float(steps_.averages().beta2);
        const float rest2 = float(1 - steps_.averages().beta2), eps = float(steps_.averages().eps);
        const Vec g = load(grad_ + n);
        Vec m = load(m_ + n), v = load(v_ + n);
        asleep_[n / LANES] = asleep(n, g, m, v);
        m += rest1 * (g - m);
        v = beta2 * v + rest2 * (g * g);
        store(m_ + n, m);
        store(v_ + n, v);
        const Vec factor = 1.0f / (square_root(load(correct2_ + n) * v) + eps);
        store(features_ + n, g * factor);
        store(features_ + width_ + n, m * factor * load(correct1_ + n));
    }

    // Lanes whose gradient is zero and always was: all of their state is still zero.
    IntVec asleep(int64_t n, Vec g, Vec m, Vec v) const {
        const IntVec resting = (g == 0.0f) & (m == 0.0f) & (v == 0.0f);
        if (!any(resting)) return resting;
        IntVec moved = {};
        for (int64_t row = 0; row < rows_; ++row)
            moved |= (IntVec)load(h_ + row * width_ + n) | (IntVec)load(c_ + row * width_ + n);
        return resting & ((moved & 0x7fffffff) == 0);
    }

    // The params go on, but those that sleep, whose state stays zero.
    void move(int64_t n) {
        Vec output = load(output_ + n);
        const IntVec resting = asleep_[n / LANES];
        if (any(resting)) {
            const IntVec keep = ~resting;
            output = (Vec)((IntVec)output & keep);
            for (float* state : {h_, c_})
                for (int64_t row = 0; row < rows_; ++row) {
                    float* at = state + row * width_ + n;
                    store(at, (Vec)((IntVec)load(at) & keep));
                }
        }
        store(param_ + n, load(param_ + n) + output * load(rate_ + n));
    }

    static bool any(IntVec mask) { return !same_bits((Vec)mask, Vec{}); }

    const int64_t rows_;
    const TensorSteps& steps_;
    Scratch scratch_;
    const RelativeStep none_{};
    StepBuffers at_;
    StepWorker network_;
    int64_t width_ = PIECE;  // of the piece at hand, and so of every row of scratch
    float *grad_, *param_, *m_, *v_, *rate_, *correct1_, *correct2_, *output_, *features_, *h_, *c_;
    IntVec asleep_[PIECE / LANES];
};

}  // namespace rnnprop
