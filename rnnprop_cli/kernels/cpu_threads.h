// Threads that share pieces of work, and memory of their own to work in.

#pragma once

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <memory>
#include <new>
#include <thread>
#include <vector>

#include "cpu_simd.h"

namespace rnnprop {

// GOMP_parallel of the OpenMP runtime that PyTorch itself uses, handed over by the caller: a second runtime's
// threads would spin against PyTorch's. Null where there is none; then threads are started for each call.
using OpenMPParallel = void (*)(void (*body)(void*), void* data, unsigned threads, unsigned flags);
inline OpenMPParallel openmp_parallel = nullptr;

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

// Registers from one aligned allocation; `take` hands out so many, or the registers of so many rows.
class Scratch {
   public:
    explicit Scratch(int64_t count) : count_(count) {
        base_ = static_cast<Vec*>(std::aligned_alloc(64, (count * sizeof(Vec) + 63) / 64 * 64));
        if (!base_) throw std::bad_alloc();
    }
    ~Scratch() { std::free(base_); }
    Scratch(const Scratch&) = delete;
    Scratch& operator=(const Scratch&) = delete;

    Vec* take(int64_t count) {
        Vec* result = base_ + used_;
        used_ += count;
        return result;
    }
    Row* take_rows(int64_t count) { return reinterpret_cast<Row*>(take(count * PARTS)); }
    void zero() {
        for (int64_t j = 0; j < count_; ++j) base_[j] = Vec{};
    }

   private:
    Vec* base_;
    int64_t count_, used_ = 0;
};

}  // namespace rnnprop
