// Loss and gradient of an LSTM that predicts the next value of a sequence, for many cells (see optimizees/lstm.py).
//
// The optimizee is a network like a learned optimizer's: one feature, no embedding, read linearly. Sequences take the
// place of coordinates, points in time that of inner steps, and only the last one has an output gradient. So its
// forward pass is `StepWorker`, its backward pass `WindowBlock`.

#pragma once

#include "cpu_step.h"
#include "cpu_window.h"

namespace rnnprop {

struct LSTMInputs {
    int64_t cells, seeds, M;
    int32_t T, layers, hidden;
    const float *sequences, *targets;  // [S, M, T], [S, M]
    const float* params;               // [C, P]
    float *losses, *grads;             // [C], [C, P] or null where only the losses are wanted

    Shape shape() const { return {1, 0, hidden, layers, false}; }
};

class LSTMWorker {
   public:
    explicit LSTMWorker(const LSTMInputs& in)
        : in_(in),
          offsets_(in.shape()),
          q_(offsets_.total),
          grad_(offsets_.total),
          features_(in.T * in.M),
          output_grad_(in.T * in.M),
          zero_(in.layers * in.hidden * in.M),
          h_(zero_.size()),
          c_(zero_.size()),
          index_(in.M),
          packed_(in.shape(), q_.data(), true),
          window_{in.T, in.M, features_.data(), zero_.data(), zero_.data(), output_grad_.data()},
          block_(packed_, window_) {
        for (int64_t m = 0; m < in.M; ++m) index_[m] = m;
    }

    void operator()(int64_t cell) {
        const int64_t seed = cell * in_.seeds / in_.cells, M = in_.M;
        const float* sequences = in_.sequences + seed * M * in_.T;
        for (int64_t m = 0; m < M; ++m)
            for (int t = 0; t < in_.T; ++t) features_[t * M + m] = sequences[m * in_.T + t];
        each_weight([&](int64_t flat, int64_t own) { q_[own] = in_.params[cell * offsets_.total + flat]; });
        packed_ = Packed(in_.shape(), q_.data(), true);
        float* output = output_grad_.data() + (in_.T - 1) * M;
        predict(output);
        double loss = 0.0;
        for (int64_t m = 0; m < M; ++m) {
            const float error = output[m] - in_.targets[seed * M + m];
            loss += double(error) * error;
            output[m] = 2.0f * error / float(M);
        }
        in_.losses[cell] = float(loss / double(M));
        if (!in_.grads) return;
        block_.clear_sums();
        for (int64_t m = 0; m < M; m += BLOCK) block_.add(index_.data() + m, int(std::min<int64_t>(BLOCK, M - m)));
        block_.finish(grad_.data());
        each_weight([&](int64_t flat, int64_t own) { in_.grads[cell * offsets_.total + flat] = grad_[own]; });
    }

   private:
    // The network's output at the last point in time.
    void predict(float* output) {
        std::fill(h_.begin(), h_.end(), 0.0f);
        std::fill(c_.begin(), c_.end(), 0.0f);
        StepBuffers at{nullptr, h_.data(), c_.data(), h_.data(), c_.data(), output, in_.M, in_.M};
        const RelativeStep none{};
        StepWorker step(packed_, at, none);
        for (int t = 0; t < in_.T; ++t) {
            at.features = features_.data() + t * in_.M;
            for (int64_t task = 0; task * StepWorker::COORDINATES < in_.M; ++task) step(task);
        }
    }

    // visit(place in the optimizee's flat vector, place in the network's) for every weight. The optimizee keeps
    // [x, h] → gates as one matrix [D + H, 4H], the network its transpose in two parts.
    template <class Visit>
    void each_weight(Visit visit) const {
        const int64_t H = in_.hidden, gates = GATES * H;
        int64_t flat = 0;
        for (int l = 0; l < in_.layers; ++l) {
            const int64_t D = in_.shape().inputs(l);
            const LayerOffsets& at = offsets_.layers[l];
            for (int64_t k = 0; k < D + H; ++k)
                for (int64_t gate = 0; gate < gates; ++gate)
                    visit(flat++, k < D ? at.w_input + gate * D + k : at.w_hidden + gate * H + k - D);
            for (int64_t gate = 0; gate < gates; ++gate) visit(flat++, at.bias + gate);
        }
        for (int64_t u = 0; u < H; ++u) visit(flat++, offsets_.w_out + u);
        visit(flat, offsets_.b_out);
    }

    const LSTMInputs& in_;
    const Offsets offsets_;
    std::vector<float> q_, grad_, features_, output_grad_, zero_, h_, c_;
    std::vector<int64_t> index_;
    Packed packed_;
    const WindowInputs window_;
    WindowBlock block_;
};

}  // namespace rnnprop
