// One step of RNNprop for many tensors, each with buffers of its own, of several number formats.
//
// What is large enough of a tensor whose state is float32 is computed where it lies. The rest, small tensors and the ends
// of others, is gathered side by side into scratch memory in float32, computed there, and scattered back. So tensors need
// no common buffer, and small ones share a register.

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
    Numbers param, m, v, h, c, grad;  // [n], but h and c [L H, n]
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
        float* step = reinterpret_cast<float*>(word(1));
        tensors[j] = TensorStep{word(0), step, array(0), array(1), array(2), array(3), array(4), array(5),
                                numbers[j], numbers[count + j], numbers[2 * count + j]};
    }
    return tensors;
}

// How the averages become inputs (see RelativeStep).
struct Averages {
    double beta1, beta2, eps;
};

class TensorSteps {
   public:
    static constexpr int64_t PIECE = StepWorker::COORDINATES;  // of a task
    static constexpr int64_t SMALLEST_IN_PLACE = PIECE / 2;    // smaller ones cost more than to gather them, and share a task

    TensorSteps(std::vector<TensorStep> tensors, const Averages& averages)
        : tensors_(std::move(tensors)), averages_(averages) {
        for (const TensorStep& tensor : tensors_) {
            const bool wide = tensor.h.format == Format::float32 && tensor.c.format == Format::float32;
            const int64_t in_place = wide ? tensor.n / SMALLEST_IN_PLACE * SMALLEST_IN_PLACE : 0;
            first_piece_.push_back(pieces_in_place_);
            first_rest_.push_back(rest_);
            in_place_.push_back(in_place);
            pieces_in_place_ += (in_place + PIECE - 1) / PIECE;
            rest_ += tensor.n - in_place;
            const double t = double(*tensor.step) + 1;
            correct1_.push_back(float(1 / (1 - std::pow(averages.beta1, t))));
            correct2_.push_back(float(1 / (1 - std::pow(averages.beta2, t))));
        }
    }

    int64_t pieces_in_place() const { return pieces_in_place_; }
    int64_t pieces() const { return pieces_in_place_ + (rest_ + PIECE - 1) / PIECE; }
    const Averages& averages() const { return averages_; }
    const TensorStep& tensor(int64_t j) const { return tensors_[j]; }
    float correct1(int64_t tensor) const { return correct1_[tensor]; }
    float correct2(int64_t tensor) const { return correct2_[tensor]; }

    void count_step() const {
        for (const TensorStep& tensor : tensors_) *tensor.step += 1.0f;
    }

    // A stretch of coordinates of a tensor, and where it stands in its piece.
    struct Segment {
        int64_t tensor, from, to, n;
    };

    Segment piece_in_place(int64_t piece) const {
        const int64_t j = holder(first_piece_, piece), from = (piece - first_piece_[j]) * PIECE;
        return {j, from, 0, std::min(PIECE, in_place_[j] - from)};
    }

    // The segments of a gathered piece, the first of which is 0; and how many coordinates they are.
    int64_t gathered_piece(int64_t piece, std::vector<Segment>& segments) const {
        const int64_t start = piece * PIECE, end = std::min(start + PIECE, rest_);
        segments.clear();
        int64_t j = holder(first_rest_, start);
        for (int64_t at = start; at < end; ++j) {
            const int64_t next = j + 1 < int64_t(tensors_.size()) ? first_rest_[j + 1] : rest_;
            const int64_t n = std::min(next, end) - at;
            if (n > 0) segments.push_back({j, tensors_[j].n - (next - at), at - start, n});
            at += n;
        }
        return end - start;
    }

   private:
    // The last tensor whose first piece or coordinate is not behind this one.
    static int64_t holder(const std::vector<int64_t>& firsts, int64_t at) {
        return std::upper_bound(firsts.begin(), firsts.end(), at) - firsts.begin() - 1;
    }

    const std::vector<TensorStep> tensors_;
    const Averages averages_;
    int64_t pieces_in_place_ = 0, rest_ = 0;  // pieces, and coordinates of no such piece
    std::vector<int64_t> first_piece_, first_rest_, in_place_;  // of each tensor; coordinates of its pieces
    std::vector<float> correct1_, correct2_;
};

class TensorWorker {
   public:
    static constexpr int64_t PIECE = TensorSteps::PIECE;
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
    }

    void operator()(int64_t task) {
        if (task >= steps_.pieces_in_place()) return gathered(task - steps_.pieces_in_place());
        const Segment piece = steps_.piece_in_place(task);
        if (piece.from + PIECE >= steps_.tensor(piece.tensor).n && task + 1 < steps_.pieces_in_place())
            prefetch_state(steps_.piece_in_place(task + 1));
        in_place(piece);
    }

   private:
    using Segment = TensorSteps::Segment;

    float* take(int64_t rows) { return reinterpret_cast<float*>(scratch_.take(rows * (PIECE / LANES))); }

    // Where a tensor ends, for the network itself looks ahead within one.
    void prefetch_state(const Segment& next) const {
        const TensorStep& tensor = steps_.tensor(next.tensor);
        for (int64_t row = 0; row < rows_; ++row) {
            prefetch(tensor.h, row * tensor.n + next.from, next.n);
            prefetch(tensor.c, row * tensor.n + next.from, next.n);
        }
    }

    void in_place(const Segment& piece) {
        const TensorStep& tensor = steps_.tensor(piece.tensor);
        float* h = static_cast<float*>(tensor.h.data) + piece.from;
        float* c = static_cast<float*>(tensor.c.data) + piece.from;
        at_ = StepBuffers{features_, h, c, h, c, output_, piece.n, tensor.n};
        gather(piece);
        compute();
        scatter(piece);
    }

    void gathered(int64_t piece) {
        const int64_t n = steps_.gathered_piece(piece, segments_);
        const int64_t width = (n + LANES - 1) / LANES * LANES;
        if (width != n) scratch_.zero();  // lanes beyond the last coordinate rest
        at_ = StepBuffers{features_, h_, c_, h_, c_, output_, width, width};
        for (const Segment& segment : segments_) {
            gather(segment);
            gather_state(segment);
        }
        compute();
        for (const Segment& segment : segments_) {
            scatter(segment);
            scatter_state(segment);
        }
    }

    void compute() {
        for (int64_t n = 0; n < at_.N; n += LANES) inputs(n);
        network_(0);
        for (int64_t n = 0; n < at_.N; n += LANES) move(n);
    }

    void gather(const Segment& s) {
        const TensorStep& tensor = steps_.tensor(s.tensor);
        widen(tensor.grad, s.from, grad_ + s.to, s.n);
        widen(tensor.param, s.from, param_ + s.to, s.n);
        widen(tensor.m, s.from, m_ + s.to, s.n);
        widen(tensor.v, s.from, v_ + s.to, s.n);
        if (tensor.sign != 1) scale(grad_ + s.to, float(tensor.sign), s.n);
        if (tensor.decay != 1) scale(param_ + s.to, float(tensor.decay), s.n);
        std::fill_n(rate_ + s.to, s.n, float(tensor.rate));
        std::fill_n(correct1_ + s.to, s.n, steps_.correct1(s.tensor));
        std::fill_n(correct2_ + s.to, s.n, steps_.correct2(s.tensor));
    }

    void gather_state(const Segment& s) {
        const TensorStep& tensor = steps_.tensor(s.tensor);
        const int64_t ahead = std::min(s.n, tensor.n - s.from - s.n);  // the next piece, wanted when this one is done
        for (int64_t row = 0; row < rows_; ++row) {
            widen(tensor.h, row * tensor.n + s.from, h_ + row * at_.stride + s.to, s.n);
            widen(tensor.c, row * tensor.n + s.from, c_ + row * at_.stride + s.to, s.n);
            prefetch(tensor.h, row * tensor.n + s.from + s.n, ahead);
            prefetch(tensor.c, row * tensor.n + s.from + s.n, ahead);
        }
    }

    void scatter(const Segment& s) const {
        const TensorStep& tensor = steps_.tensor(s.tensor);
        narrow(param_ + s.to, tensor.param, s.from, s.n);
        narrow(m_ + s.to, tensor.m, s.from, s.n);
        narrow(v_ + s.to, tensor.v, s.from, s.n);
    }

    void scatter_state(const Segment& s) const {
        const TensorStep& tensor = steps_.tensor(s.tensor);
        for (int64_t row = 0; row < rows_; ++row) {
            narrow(h_ + row * at_.stride + s.to, tensor.h, row * tensor.n + s.from, s.n);
            narrow(c_ + row * at_.stride + s.to, tensor.c, row * tensor.n + s.from, s.n);
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
        store(features_ + at_.N + n, m * factor * load(correct1_ + n));
    }

    // Lanes whose gradient is zero and always was: all of their state is still zero.
    IntVec asleep(int64_t n, Vec g, Vec m, Vec v) const {
        const IntVec resting = (g == 0.0f) & (m == 0.0f) & (v == 0.0f);
        if (!any(resting)) return resting;
        IntVec moved = {};
        for (int64_t row = 0; row < rows_; ++row)
            moved |= (IntVec)load(at_.h + row * at_.stride + n) | (IntVec)load(at_.c + row * at_.stride + n);
        return resting & ((moved & 0x7fffffff) == 0);
    }

    // The params go on, but those that sleep, whose state stays zero.
    void move(int64_t n) {
        Vec output = load(output_ + n);
        const IntVec resting = asleep_[n / LANES];
        if (any(resting)) {
            const IntVec keep = ~resting;
            output = (Vec)((IntVec)output & keep);
            for (float* state : {at_.h_new, at_.c_new})
                for (int64_t row = 0; row < rows_; ++row) {
                    float* at = state + row * at_.stride + n;
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
    StepBuffers at_;  // the piece at hand
    StepWorker network_;
    float *grad_, *param_, *m_, *v_, *rate_, *correct1_, *correct2_, *output_, *features_, *h_, *c_;
    std::vector<Segment> segments_;
    IntVec asleep_[PIECE / LANES];
};

}  // namespace rnnprop
