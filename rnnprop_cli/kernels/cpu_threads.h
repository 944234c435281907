// Threads that share pieces of work, and memory of their own to work in.

#pragma once

#include <pthread.h>
#include <signal.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <new>
#include <system_error>
#include <thread>
#include <vector>

#include "cpu_simd.h"

namespace rnnprop {

// Helpers of the thread that calls, kept from call to call. The caller begins at once and never waits for a helper that
// has not come: beside other load, where a core may be taken for milliseconds, it does the work itself. Helpers look for
// more work for a moment, giving way to whoever wants the core, and then sleep: between calls nothing spins.
class Team {
   public:
    using Body = void (*)(void* data);

    // Of this process: after a fork the child makes its own, for threads do not come along.
    static Team& here() {
        static const int forgotten = pthread_atfork(nullptr, nullptr, [] { current().store(nullptr); });
        (void)forgotten;
        if (Team* team = current().load()) return *team;
        Team *none = nullptr, *fresh = new Team;
        if (current().compare_exchange_strong(none, fresh)) return *fresh;
        delete fresh;
        return *none;
    }

    // Runs body(data) here and, where they come in time, in up to `helpers` more threads. Of two calls at a time the
    // second works alone.
    void run(int helpers, Body body, void* data) {
        std::unique_lock<std::mutex> only(calls_, std::try_to_lock);
        if (!only) return body(data);
        hire(helpers);
        {
            std::lock_guard<std::mutex> lock(mutex_);
            body_ = body, data_ = data, places_ = helpers;
            ++call_;
        }
        wake_.notify_all();
        body(data);
        std::unique_lock<std::mutex> lock(mutex_);
        places_ = 0;
        lock.unlock();
        be_patient([&] { return working_ == 0; });
        lock.lock();
        done_.wait(lock, [&] { return working_ == 0; });
    }

   private:
    static std::atomic<Team*>& current() {
        static std::atomic<Team*> team{nullptr};  // never deleted: helpers sleep on it until the process ends
        return team;
    }

    void hire(int helpers) {
        if (hired_ >= helpers) return;
        sigset_t all, before;  // signals are for the program's own threads
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before);
        try {
            for (; hired_ < helpers; ++hired_) std::thread([this] { help(); }).detach();
        } catch (const std::system_error&) {  // no more threads: those that are there do the work
        }
        pthread_sigmask(SIG_SETMASK, &before, nullptr);
    }

    template <class Ready>
    static void be_patient(Ready ready) {
        const auto until = std::chrono::steady_clock::now() + PATIENCE;
        while (!ready() && std::chrono::steady_clock::now() < until) std::this_thread::yield();
    }

    void help() {
        for (uint64_t seen = 0;;) {
            be_patient([&] { return call_ != seen; });
            std::unique_lock<std::mutex> lock(mutex_);
            wake_.wait(lock, [&] { return call_ != seen; });
            seen = call_;
            if (places_ == 0) continue;
            --places_, ++working_;
            const Body body = body_;
            void* const data = data_;
            lock.unlock();
            body(data);
            lock.lock();
            if (--working_ == 0) done_.notify_one();
        }
    }

    static constexpr std::chrono::microseconds PATIENCE{200};  // about the part of an inner step that one thread does

    std::mutex calls_, mutex_;  // held for a whole call; guards what follows
    std::condition_variable wake_, done_;
    std::atomic<uint64_t> call_{0};
    Body body_ = nullptr;
    void* data_ = nullptr;
    int hired_ = 0, places_ = 0;
    std::atomic<int> working_{0};
};

// Runs body(task) for every task in [0, tasks); worker() is called once a thread and returns the body.
template <class Worker>
bool parallel_for(int64_t tasks, int threads, Worker worker) {
    threads = int(std::min<int64_t>(threads, tasks));
    const int64_t chunk = std::max<int64_t>(1, tasks / (8 * std::max(threads, 1)));
    std::atomic<int64_t> next{0};
    std::atomic<bool> out_of_memory{false};
    auto run = [&] {
        try {
            auto body = worker();
            for (int64_t first; (first = next.fetch_add(chunk)) < tasks;)
                for (int64_t task = first; task < std::min(first + chunk, tasks); ++task) (*body)(task);
        } catch (const std::bad_alloc&) {
            out_of_memory = true;
        }
    };
    if (threads <= 1)
        run();
    else
        Team::here().run(threads - 1, [](void* data) { (*static_cast<decltype(run)*>(data))(); }, &run);
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
