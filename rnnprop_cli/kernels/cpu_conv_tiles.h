// Register tiles of 3x3 convolutions with SAME padding and of fully connected layers, forward and backward.
//
// Channels lie in blocks of 16 side by side, one or more registers of lanes; a picture is [blocks][height][width][16]
// (planes [height][width] for the image itself), with a border of zeros where a convolution reads it.
//
// Behind a max-pool at most one gradient in four is not zero, behind a ReLU about one in two: the gradient of a
// convolution's weights takes lists of those that are not, channel by channel, and so does what flows on below
// where there is a pool. Leaving zeros out is exact as long as weights are finite.

#pragma once

#include "cpu_threads.h"

namespace rnnprop {

constexpr int CHANNELS = 16;  // of a block
constexpr int REGISTERS = CHANNELS / LANES;
constexpr int SIDE = 3, TAPS = SIDE * SIDE;  // of a filter
// Pixels at a time: their sums fit the registers beside an operand.
constexpr int PIXEL_TILE = LANES == 16 ? 16 : LANES == 8 ? 6 : 3;
constexpr int IMAGE_TILE = 4;  // images at a time in a fully connected layer, whose weights are more than a cache holds

// A picture of some layer, or its gradient.
struct Grid {
    int64_t blocks, height, width, border, step;  // step: numbers from a pixel to the next, 16 or 1

    int64_t row() const { return (width + 2 * border) * step; }
    int64_t block() const { return (height + 2 * border) * row(); }
    int64_t size() const { return blocks * block(); }
    int64_t origin() const { return border * (row() + step); }
};

struct Relu {
    RNNPROP_INLINE Vec operator()(Vec z, const float*) const { return z < 0.0f ? Vec{} : z; }  // NaN stays NaN
};
struct WherePositive {
    RNNPROP_INLINE Vec operator()(Vec z, const float* value) const { return load(value) > 0.0f ? z : Vec{}; }
};

// P pixels side by side of one block of output channels; weights [blocks][3][3][STEP][16].
template <int P, int STEP, class Finish>
inline void convolve_tile(const float* weights, const float* bias, const float* in, const Grid& from, const float* mask,
                          float* out) {
    Vec sums[P][REGISTERS];
#pragma GCC unroll 16
    for (int p = 0; p < P; ++p)
#pragma GCC unroll 4
        for (int r = 0; r < REGISTERS; ++r) sums[p][r] = bias ? load(bias + r * LANES) : Vec{};
    const int64_t stride = from.row(), next = from.block();
    for (int64_t b = 0; b < from.blocks; ++b, in += next)
        for (int dy = 0; dy < SIDE; ++dy) {
            const float* row = in + dy * stride;
            for (int j = 0; j < SIDE * STEP; ++j, ++row, weights += CHANNELS) {
                Vec weight[REGISTERS];
#pragma GCC unroll 4
                for (int r = 0; r < REGISTERS; ++r) weight[r] = load(weights + r * LANES);
#pragma GCC unroll 16
                for (int p = 0; p < P; ++p)
#pragma GCC unroll 4
                    for (int r = 0; r < REGISTERS; ++r) sums[p][r] += row[p * STEP] * weight[r];
            }
        }
    const Finish finish{};
#pragma GCC unroll 16
    for (int p = 0; p < P; ++p)
#pragma GCC unroll 4
        for (int r = 0; r < REGISTERS; ++r) {
            const int64_t at = p * CHANNELS + r * LANES;
            store(out + at, finish(sums[p][r], mask + at));
        }
}

template <int P, int STEP, class Finish>
void convolve_pixels(int64_t pixels, const float* weights, const float* bias, const float* in, const Grid& from,
                     const float* mask, float* out) {
    if constexpr (P > 0) {
        if (pixels == P)
            convolve_tile<P, STEP, Finish>(weights, bias, in, from, mask, out);
        else
            convolve_pixels<P - 1, STEP, Finish>(pixels, weights, bias, in, from, mask, out);
    }
}

// One block of output channels of a convolution. `from` has a border; `mask` is laid out as `mask_grid`.
template <int STEP, class Finish>
void convolve(const float* weights, const float* bias, const float* in, const Grid& from, const float* mask,
              const Grid& mask_grid, float* out, const Grid& to) {
    const int64_t tiles = (to.width + PIXEL_TILE - 1) / PIXEL_TILE;
    for (int64_t y = 0; y < to.height; ++y)
        for (int64_t tile = 0; tile < tiles; ++tile) {  // of equal widths, give or take one
            const int64_t x = tile * to.width / tiles, pixels = (tile + 1) * to.width / tiles - x;
            convolve_pixels<PIXEL_TILE, STEP, Finish>(
                pixels, weights, bias, in + y * from.row() + x * STEP, from,
                mask + mask_grid.origin() + y * mask_grid.row() + x * CHANNELS,
                out + to.origin() + y * to.row() + x * CHANNELS);
        }
}

// Adds to sums [3][3][16] what one plane of the image gives for one block of output channels.
inline void plane_gradient(const float* delta, const Grid& grid, const float* plane, const Grid& image, float* sums) {
    constexpr int ROWS = REGISTERS == 1 ? SIDE : 1;  // as many sums as registers hold
    for (int dy = 0; dy < SIDE; dy += ROWS) {
        Vec sum[ROWS * SIDE][REGISTERS];
        float* target = sums + dy * SIDE * CHANNELS;
        for (int k = 0; k < ROWS * SIDE; ++k)
            for (int r = 0; r < REGISTERS; ++r) sum[k][r] = load(target + k * CHANNELS + r * LANES);
        for (int64_t y = 0; y < grid.height; ++y) {
            const float* d = delta + grid.origin() + y * grid.row();
            const float* in = plane + (y + dy) * image.row();
            for (int64_t x = 0; x < grid.width; ++x, d += CHANNELS, ++in) {
                Vec value[REGISTERS];
#pragma GCC unroll 4
                for (int r = 0; r < REGISTERS; ++r) value[r] = load(d + r * LANES);
#pragma GCC unroll 9
                for (int k = 0; k < ROWS * SIDE; ++k)
#pragma GCC unroll 4
                    for (int r = 0; r < REGISTERS; ++r)
                        sum[k][r] += in[k / SIDE * image.row() + k % SIDE] * value[r];
            }
        }
        for (int k = 0; k < ROWS * SIDE; ++k)
            for (int r = 0; r < REGISTERS; ++r) store(target + k * CHANNELS + r * LANES, sum[k][r]);
    }
}

// The gradients of one block of channels that are not zero, channel by channel.
struct Sparse {
    struct Entry {
        int32_t offset;  // of the filter's first tap in a block of the convolution's input
        float value;
    };
    std::vector<Entry> entries;  // [16][capacity]
    int64_t capacity = 0, count[CHANNELS] = {};

    void clear() { std::fill(count, count + CHANNELS, 0); }
    const Entry* of(int channel) const { return entries.data() + channel * capacity; }

    RNNPROP_INLINE void add(const float (&values)[CHANNELS], const int32_t (&offsets)[CHANNELS]) {
#pragma GCC unroll 16
        for (int c = 0; c < CHANNELS; ++c) {
            entries[c * capacity + count[c]] = {offsets[c], values[c]};
            count[c] += values[c] != 0.0f;
        }
    }
};

// Adds to sums [9][16] the gradient of the filter from one block of input channels, and to `bias` the values' sum.
inline void filter_gradient(const Sparse::Entry* entries, int64_t count, const float* in, int64_t row, float* sums,
                            float* bias) {
    for (int r = 0; r < CHANNELS; r += LANES) {
        Vec sum[TAPS];
#pragma GCC unroll 9
        for (int k = 0; k < TAPS; ++k) sum[k] = load(sums + k * CHANNELS + r);
        for (int64_t e = 0; e < count; ++e) {
            const float* at = in + entries[e].offset + r;
            const Vec value = broadcast(entries[e].value);
#pragma GCC unroll 9
            for (int k = 0; k < TAPS; ++k) sum[k] += value * load(at + k / SIDE * row + k % SIDE * CHANNELS);
        }
#pragma GCC unroll 9
        for (int k = 0; k < TAPS; ++k) store(sums + k * CHANNELS + r, sum[k]);
    }
    if (!bias) return;
    float total = 0.0f;
    for (int64_t e = 0; e < count; ++e) total += entries[e].value;
    *bias += total;
}

// Adds to one block of input channels what flows back through the filter [9][16].
inline void scatter(const Sparse::Entry* entries, int64_t count, const float* filter, int64_t row, float* out) {
    for (int r = 0; r < CHANNELS; r += LANES) {
        Vec weight[TAPS];
#pragma GCC unroll 9
        for (int k = 0; k < TAPS; ++k) weight[k] = load(filter + k * CHANNELS + r);
        for (int64_t e = 0; e < count; ++e) {
            float* at = out + entries[e].offset + r;
            const Vec value = broadcast(entries[e].value);
#pragma GCC unroll 9
            for (int k = 0; k < TAPS; ++k) {
                float* to = at + k / SIDE * row + k % SIDE * CHANNELS;
                store(to, load(to) + value * weight[k]);
            }
        }
    }
}

// The largest of four pixels and which of them it was: the first one, as in PyTorch; NaN counts as the largest.
RNNPROP_INLINE Vec winner(const float* in, int64_t row, IntVec& which) {
    Vec best = load(in);
    which = IntVec{};
#pragma GCC unroll 4
    for (int k = 1; k < 4; ++k) {
        const Vec value = load(in + k / 2 * row + k % 2 * CHANNELS);
        const IntVec better = (value > best) | (value != value);
        best = better ? value : best;
        which = better ? IntVec{} + k : which;
    }
    return best;
}

// out[n][16] = bias + sum over f of in[n][f] weights[f][16], for N images.
template <int N>
inline void dense_forward(const float* weights, const float* bias, const float* in, int64_t in_stride, int64_t count,
                          float* out, int64_t out_stride) {
    Vec sums[N][REGISTERS];
    for (int n = 0; n < N; ++n)
        for (int r = 0; r < REGISTERS; ++r) sums[n][r] = load(bias + r * LANES);
    for (int64_t f = 0; f < count; ++f, weights += CHANNELS)
#pragma GCC unroll 4
        for (int r = 0; r < REGISTERS; ++r) {
            const Vec weight = load(weights + r * LANES);
#pragma GCC unroll 4
            for (int n = 0; n < N; ++n) sums[n][r] += in[n * in_stride + f] * weight;
        }
    for (int n = 0; n < N; ++n)
        for (int r = 0; r < REGISTERS; ++r) store(out + n * out_stride + r * LANES, sums[n][r]);
}

// out[n][f] = sum over o of delta[n][o] weights[o][f] where in[n][f] > 0, else 0.
template <int N>
inline void dense_backward(const float* weights, const float* delta, int64_t delta_stride, int64_t outputs,
                           const float* in, int64_t in_stride, int64_t count, float* out, int64_t out_stride) {
    for (int64_t f = 0; f < count; f += LANES) {
        Vec sums[N] = {};
        for (int64_t o = 0; o < outputs; ++o) {
            const Vec weight = load(weights + o * count + f);
#pragma GCC unroll 4
            for (int n = 0; n < N; ++n) sums[n] += delta[n * delta_stride + o] * weight;
        }
        for (int n = 0; n < N; ++n)
            store(out + n * out_stride + f, load(in + n * in_stride + f) > 0.0f ? sums[n] : Vec{});
    }
}

// sums[f][16] += in[n][f] delta[n][16], image by image.
template <int N>
inline void dense_gradient(const float* in, int64_t in_stride, int64_t count, const float* delta, int64_t delta_stride,
                           float* sums) {
    Vec value[N][REGISTERS];
    for (int n = 0; n < N; ++n)
        for (int r = 0; r < REGISTERS; ++r) value[n][r] = load(delta + n * delta_stride + r * LANES);
    for (int64_t f = 0; f < count; ++f, sums += CHANNELS)
#pragma GCC unroll 4
        for (int r = 0; r < REGISTERS; ++r) {
            Vec sum = load(sums + r * LANES);
#pragma GCC unroll 4
            for (int n = 0; n < N; ++n) sum += in[n * in_stride + f] * value[n][r];
            store(sums + r * LANES, sum);
        }
}

}  // namespace rnnprop
