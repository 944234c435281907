// The CPU body of the kernel interface (see base.py), behind a plain C interface.
//
// Coordinates are independent, so they are the lanes of SIMD registers and the tasks of threads. Results do not
// depend on the number of threads: work is cut into the same pieces for any, and sums are taken in one order.

#include <algorithm>
#include <atomic>
#include <memory>
#include <thread>

#include "cpu_window.h"

namespace rnnprop {

// GOMP_parallel of the OpenMP runtime that PyTorch itself uses, handed over by the caller: a second runtime's
// threads would spin against PyTorch's. Null where there is none; then threads are started for each call.
using OpenMPParallel = void (*)(void (*body)(void*), void* data, unsigned threads, unsigned flags);
OpenMPParallel openmp_parallel = nullptr;

// Runs body(task) for every task in [0, tasks); worker() is called once a thread and returns the body.
template <class Worker>
bool parallel_for(int64_t tasks, int threads, Worker worker) {
    std::atomic<int64_t> next{0};
    std::atomic<bool> out_of_memory{false};
    auto run = [&] {
        try {
            auto body = worker();
            for (int64_t task; (task = next.fetch_add(1)) < tasks;) (*body)(task);
        } catch (const std::bad_alloc&) {
            out_of_memory = true;
        }
    };
    threads = int(std::min<int64_t>(threads, tasks));
    if (threads <= 1) {
        run();
        return !out_of_memory;
    }
    if (openmp_parallel) {
        openmp_parallel([](void* data) { (*static_cast<decltype(run)*>(data))(); }, &run, unsigned(threads), 0);
    } else {
        std::vector<std::thread> others;
        for (int j = 1; j < threads; ++j) others.emplace_back(run);
        run();
        for (auto& other : others) other.join();
    }
    return !out_of_memory;
}

struct StepBuffers {
    const float *features, *h, *c;   // [F, N], [L, H, N], [L, H, N]
    float *h_new, *c_new, *output;  // [L, H, N], [L, H, N], [N]; h_new and c_new may be h and c
    int64_t N;
};

class StepWorker {
   public:
    StepWorker(const Packed& packed, const StepBuffers& at)
        : packed_(packed), s_(packed.shape), at_(at), scratch_(size(packed.shape)) {
        features_ = scratch_.take(s_.F);
        c_ = scratch_.take(s_.H);
        for (int l = 0; l < s_.L; ++l) xh_.push_back(scratch_.take(s_.rows(l)));
        h_ = scratch_.take(s_.H);
    }

    static constexpr int64_t BLOCKS = 8;  // blocks a task: enough to hide the cost of taking one

    void operator()(int64_t task) {
        const int64_t end = std::min(at_.N, (task + 1) * BLOCKS * LANES);
        for (int64_t start = task * BLOCKS * LANES; start < end; start += LANES)
            if (start + LANES <= at_.N)
                block<true>(start, LANES);
            else
                block<false>(start, int(at_.N - start));
    }

   private:
    static int64_t size(const Shape& s) {
        int64_t size = s.F + 2 * s.H;
        for (int l = 0; l < s.L; ++l) size += s.rows(l);
        return size;
    }

    template <bool FULL>
    static RNNPROP_INLINE Vec load_lanes(const float* source, int lanes) {
        if (FULL) return load(source);
        Vec value = {};
        std::memcpy(&value, source, sizeof(float) * lanes);
        return value;
    }

    template <bool FULL>
    static RNNPROP_INLINE void store_lanes(float* target, Vec value, int lanes) {
        if (FULL)
            store(target, value);
        else
            std::memcpy(target, &value, sizeof(float) * lanes);
    }

    template <bool FULL>
    void block(int64_t start, int lanes) {
        const int H = s_.H;
        const int64_t N = at_.N;
        for (int f = 0; f < s_.F; ++f) features_[f] = load_lanes<FULL>(at_.features + f * N + start, lanes);
        embed(packed_, features_, xh_[0]);
        for (int l = 0; l < s_.L; ++l) {
            const int D = s_.inputs(l);
            const int64_t row = int64_t(l) * H * N + start;
            for (int u = 0; u < H; ++u) {
                xh_[l][D + u] = load_lanes<FULL>(at_.h + row + u * N, lanes);
                c_[u] = load_lanes<FULL>(at_.c + row + u * N, lanes);
                // The next block's rows: one cache line from each of many streams, more than hardware follows.
                __builtin_prefetch(at_.h + row + u * N + LANES);
                __builtin_prefetch(at_.c + row + u * N + LANES);
            }
            Vec* h = l + 1 < s_.L ? xh_[l + 1] : h_;
            forward_layer<false>(packed_.layers[l].forward.data(), xh_[l], D + H, H, c_, c_, h, Kept{nullptr, nullptr});
            for (int u = 0; u < H; ++u) {
                store_lanes<FULL>(at_.h_new + row + u * N, h[u], lanes);
                store_lanes<FULL>(at_.c_new + row + u * N, c_[u], lanes);
            }
        }
        store_lanes<FULL>(at_.output + start, network_output(packed_, h_), lanes);
    }

    const Packed& packed_;
    const Shape s_;
    const StepBuffers& at_;
    Scratch scratch_;
    Vec *features_, *c_, *h_;
    std::vector<Vec*> xh_;
};

// Pieces of a window's gradient that are summed on their own, whatever the number of threads: few enough that
// their partial gradients are small, many enough to keep threads busy to the end.
constexpr int64_t MAX_PIECES = 128;

class WindowWorker {
   public:
    WindowWorker(const Packed& packed, const WindowInputs& in, const std::vector<int64_t>& active, int64_t pieces,
                 float* partial)
        : block_(packed, in), active_(active), pieces_(pieces), partial_(partial), total_(packed.offsets.total) {}

    void operator()(int64_t piece) {
        const int64_t count = active_.size(), blocks = (count + LANES - 1) / LANES;
        const int64_t last = (piece + 1) * blocks / pieces_;
        block_.clear_sums();
        for (int64_t b = piece * blocks / pieces_; b < last; ++b)
            block_.add(active_.data() + b * LANES, int(std::min<int64_t>(LANES, count - b * LANES)));
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

}  // namespace rnnprop

using namespace rnnprop;

extern "C" {

void rnnprop_use_openmp(void* parallel) { openmp_parallel = reinterpret_cast<OpenMPParallel>(parallel); }

// sizes: F, E, H, L, bounded. Both functions return 0, or 1 when memory ran out.

int rnnprop_step(const int32_t* sizes, int64_t n, int32_t threads, const float* q, const float* features,
                 const float* h, const float* c, float* h_new, float* c_new, float* output) try {
    const Packed packed({sizes[0], sizes[1], sizes[2], sizes[3], sizes[4] != 0}, q, false);
    const StepBuffers at{features, h, c, h_new, c_new, output, n};
    const int64_t tasks = (n + StepWorker::BLOCKS * LANES - 1) / (StepWorker::BLOCKS * LANES);
    return !parallel_for(tasks, threads, [&] { return std::make_unique<StepWorker>(packed, at); });
} catch (const std::bad_alloc&) {
    return 1;
}

int rnnprop_window_gradient(const int32_t* sizes, int32_t steps, int64_t n, int32_t threads, const float* q,
                            const float* features, const float* h, const float* c, const float* output_grad,
                            float* grad) try {
    const Packed packed({sizes[0], sizes[1], sizes[2], sizes[3], sizes[4] != 0}, q, true);
    const WindowInputs in{steps, n, features, h, c, output_grad};
    const std::vector<int64_t> active = active_coordinates(in);
    const int64_t blocks = (int64_t(active.size()) + LANES - 1) / LANES;
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
