// The CPU body of the kernel interface (see base.py), behind a plain C interface.
//
// Coordinates are independent, so they are the lanes of SIMD registers and the tasks of threads. Results do not
// depend on the number of threads: work is cut into the same pieces for any, and sums are taken in one order.

#include <functional>

#include "cpu_conv.h"
#include "cpu_lstm.h"
#include "cpu_mixture.h"
#include "cpu_mlp.h"
#include "cpu_rules.h"
#include "cpu_step.h"
#include "cpu_tensors.h"
#include "cpu_window.h"

namespace rnnprop {

// Pieces of a window's gradient that are summed on their own, whatever the number of threads: few enough that
// their partial gradients are small, many enough to keep threads busy to the end.
constexpr int64_t MAX_PIECES = 128;

class WindowWorker {
   public:
    WindowWorker(const Packed& packed, const WindowInputs& in, const std::vector<int64_t>& active, int64_t pieces,
                 float* partial)
        : block_(packed, in), active_(active), pieces_(pieces), partial_(partial), total_(packed.offsets.total) {}

    void operator()(int64_t piece) {
        const int64_t count = active_.size(), blocks = (count + BLOCK - 1) / BLOCK;
        const int64_t last = (piece + 1) * blocks / pieces_;
        block_.clear_sums();
        for (int64_t b = piece * blocks / pieces_; b < last; ++b)
            block_.add(active_.data() + b * BLOCK, int(std::min<int64_t>(BLOCK, count - b * BLOCK)));
        block_.finish(partial_ + piece * total_);
    }

   private:
    WindowBlock block_;
    const std::vector<int64_t>& active_;
    const int64_t pieces_;
    float* partial_;
    const int64_t total_;
};

// Coordinates with an output gradient at any step (NaN counts). The others add exactly nothing.
std::vector<int64_t> active_coordinates(const WindowInputs& in) {
    std::vector<uint8_t> any(in.N, 0);
    for (int t = 0; t < in.T; ++t) {
        const float* grad = in.output_grad + t * in.N;
        for (int64_t n = 0; n < in.N; ++n) any[n] |= grad[n] != 0.0f;
    }
    std::vector<int64_t> active;
    active.reserve(in.N);
    for (int64_t n = 0; n < in.N; ++n)
        if (any[n]) active.push_back(n);
    return active;
}

// The first piece is copied: 0 + x would turn -0 into 0.
void add_piece(const float* piece, int64_t count, bool add, float* sum) {
    for (int64_t p = 0; p < count; ++p) sum[p] = add ? sum[p] + piece[p] : piece[p];
}

}  // namespace rnnprop

using namespace rnnprop;

extern "C" {

// Codes are those that `rnnprop_code` gives. sizes: F, E, H, L, bounded.
// All functions but that one return 0, 1 when memory ran out, 2 for a code that there is not.

int32_t rnnprop_code(const char* table, const char* name) {
    if (std::strcmp(table, "rule") == 0) return code_of(RULES, name);
    if (std::strcmp(table, "activation") == 0) return code_of(ACTIVATIONS, name);
    if (std::strcmp(table, "layer") == 0) return code_of(CONV_KINDS, name);
    if (std::strcmp(table, "format") == 0) return code_of(FORMATS, name);
    return UNKNOWN;
}

int rnnprop_step(const int32_t* sizes, int64_t n, int32_t threads, const float* q, const float* features,
                 const float* h, const float* c, float* h_new, float* c_new, float* output,
                 const RelativeStep* relative) try {
    const Packed packed({sizes[0], sizes[1], sizes[2], sizes[3], sizes[4] != 0}, q, false);
    const StepBuffers at{features, h, c, h_new, c_new, output, n, n};
    const RelativeStep none{};
    const int64_t tasks = (n + StepWorker::COORDINATES - 1) / StepWorker::COORDINATES;
    return !parallel_for(tasks, threads,
                         [&] { return std::make_unique<StepWorker>(packed, at, relative ? *relative : none); });
} catch (const std::bad_alloc&) {
    return 1;
}

// One step of RNNprop for `count` tensors (see `unpacked`).
int rnnprop_step_tensors(const int32_t* sizes, int64_t count, int32_t threads, const float* q,
                         const int64_t* words, const double* numbers, double beta1, double beta2, double eps) try {
    for (int64_t j = 8 * count; j < 14 * count; ++j)
        if (!is_code(FORMATS, words[j])) return 2;
    const Packed packed({sizes[0], sizes[1], sizes[2], sizes[3], sizes[4] != 0}, q, false);
    const TensorSteps steps(unpacked(count, words, numbers), Averages{beta1, beta2, eps});
    const bool done =
        parallel_for(steps.pieces(), threads, [&] { return std::make_unique<TensorWorker>(packed, steps); });
    if (!done) return 1;
    steps.count_step();
    return 0;
} catch (const std::bad_alloc&) {
    return 1;
}

// widths: D, hidden ..., classes (layers + 1 of them).
int rnnprop_mlp_gradient(int64_t cells, int64_t seeds, int64_t examples, int32_t layers, const int64_t* widths,
                         int32_t activation, int32_t threads, const uint8_t* pixels, const int64_t* index,
                         const int64_t* labels, float scale, float shift, const float* params, float* losses,
                         float* grads) try {
    if (!is_code(ACTIVATIONS, activation)) return 2;
    MLPInputs in{cells,  seeds, examples, widths[0], {widths, widths + layers + 1}, Activation(activation), pixels, index,
                 labels, scale, shift,    params,    losses, grads, 0};
    for (int l = 0; l < layers; ++l) in.P += (widths[l] + 1) * widths[l + 1];
    std::vector<std::unique_ptr<MLPMinibatch>> minibatches(seeds);
    using Task = std::function<void(int64_t)>;
    bool done = parallel_for(seeds, threads, [&] {
        return std::make_unique<Task>([&](int64_t seed) { minibatches[seed] = std::make_unique<MLPMinibatch>(in, seed); });
    });
    done = done && parallel_for(cells, threads, [&] { return std::make_unique<MLPWorker>(in, minibatches); });
    return !done;
} catch (const std::bad_alloc&) {
    return 1;
}

// kinds, widths: of every layer (see ConvPlan). Either losses and grads, or logits.
int rnnprop_conv(int64_t cells, int64_t seeds, int64_t examples, int32_t layers, const int32_t* kinds,
                 const int64_t* widths, const int64_t* picture, int32_t threads, const float* images,
                 const int64_t* targets, const float* params, float* losses, float* grads, float* logits) try {
    for (int32_t l = 0; l < layers; ++l)
        if (!is_code(CONV_KINDS, kinds[l])) return 2;
    const ConvPlan plan(layers, kinds, widths, picture);
    ConvInputs in{cells, seeds, examples, images, targets, params, losses, grads, logits, 1};
    if (cells < CELLS_PER_THREAD * threads) in.splits = in.pieces();
    const int64_t tasks = cells * in.splits;
    std::vector<double> partial_losses(tasks);
    std::vector<float> partial_grads(grads && in.splits > 1 ? tasks * plan.P : 0);
    float* task_grads = in.splits > 1 ? partial_grads.data() : grads;
    if (!parallel_for(tasks, threads,
                      [&] { return std::make_unique<ConvWorker>(plan, in, partial_losses.data(), task_grads); }))
        return 1;
    for (int64_t cell = 0; grads && cell < cells; ++cell) {
        double loss = 0.0;
        for (int64_t task = cell * in.splits; task < (cell + 1) * in.splits; ++task) {
            loss += partial_losses[task];
            if (in.splits > 1) add_piece(task_grads + task * plan.P, plan.P, task % in.splits, grads + cell * plan.P);
        }
        losses[cell] = float(loss);
    }
    return 0;
} catch (const std::bad_alloc&) {
    return 1;
}

int rnnprop_lstm(int64_t cells, int64_t seeds, int64_t examples, int32_t length, int32_t layers, int32_t hidden,
                 int32_t threads, const float* sequences, const float* targets, const float* params, float* losses,
                 float* grads) try {
    const LSTMInputs in{cells, seeds, examples, length, layers, hidden, sequences, targets, params, losses, grads};
    return !parallel_for(cells, threads, [&] { return std::make_unique<LSTMWorker>(in); });
} catch (const std::bad_alloc&) {
    return 1;
}

int rnnprop_rule_step(int32_t rule, int64_t cells, int64_t coordinates, int32_t threads, const float* coefficients,
                      const float* rates, const float* grads, float* first, float* second, float* params) {
    if (!is_code(RULES, rule)) return 2;
    const RuleStep at{Rule(rule), coefficients, grads, rates, first, second, params, coordinates};
    const int64_t n = cells * coordinates;
    using Task = std::function<void(int64_t)>;
    return !parallel_for((n + RULE_PIECE - 1) / RULE_PIECE, threads, [&] {
        return std::make_unique<Task>([&](int64_t task) {
            rule_piece(at, task * RULE_PIECE, std::min(n, (task + 1) * RULE_PIECE));
        });
    });
}

// words: for each tensor n, cell, addresses of param, grad, the moments, v and the direction, formats of the first two.
int rnnprop_mixture_step(int64_t cells, int64_t count, int32_t hidden, int32_t threads, const int64_t* words,
                         const float* shares, const float* numbers) try {
    std::vector<MixtureTensor> tensors(count);
    for (int64_t j = 0; j < count; ++j, words += MIXTURE_WORDS) {
        const auto floats = [&](int64_t which) { return reinterpret_cast<float*>(words[which]); };
        tensors[j] = {words[0],
                      words[1],
                      {reinterpret_cast<void*>(words[2]), Format(words[9])},
                      {reinterpret_cast<void*>(words[3]), Format(words[10])},
                      {floats(4), floats(5), floats(6)},
                      floats(7),
                      floats(8),
                      shares[j]};
    }
    return !MixtureStep(std::move(tensors), numbers, cells, hidden).run(threads);
} catch (const std::bad_alloc&) {
    return 1;
}

int rnnprop_window_gradient(const int32_t* sizes, int32_t steps, int64_t n, int32_t threads, const float* q,
                            const float* features, const float* h, const float* c, const float* output_grad,
                            float* grad) try {
    const Packed packed({sizes[0], sizes[1], sizes[2], sizes[3], sizes[4] != 0}, q, true);
    const WindowInputs in{steps, n, features, h, c, output_grad};
    const std::vector<int64_t> active = active_coordinates(in);
    const int64_t blocks = (int64_t(active.size()) + BLOCK - 1) / BLOCK;
    const int64_t pieces = std::min(blocks, MAX_PIECES), total = packed.offsets.total;
    std::vector<float> partial(pieces * total);
    const bool done = parallel_for(pieces, threads, [&] {
        return std::make_unique<WindowWorker>(packed, in, active, pieces, partial.data());
    });
    if (!done) return 1;
    std::vector<double> sums(total, 0.0);
    for (int64_t piece = 0; piece < pieces; ++piece)
        for (int64_t j = 0; j < total; ++j) sums[j] += partial[piece * total + j];
    for (int64_t j = 0; j < total; ++j) grad[j] = float(sums[j]);
    return 0;
} catch (const std::bad_alloc&) {
    return 1;
}
}
