// Numbers in memory as float32, bfloat16 or float16, read as and rounded from float32.

#pragma once

#include <cstdint>
#include <cstring>

#include "cpu_names.h"

namespace rnnprop {

enum class Format : int64_t { float32, bfloat16, float16 };

constexpr Name<Format> FORMATS[] = {
    {"float32", Format::float32},
    {"bfloat16", Format::bfloat16},
    {"float16", Format::float16},
};

struct Numbers {
    void* data;
    Format format;
};

template <class To, class From>
inline To bits_of(From value) {
    static_assert(sizeof(To) == sizeof(From), "a cast of bits");
    To result;
    std::memcpy(&result, &value, sizeof(To));
    return result;
}

inline float from_bfloat16(uint16_t bits) { return bits_of<float>(uint32_t(bits) << 16); }

// To the nearest, ties to even; NaN stays NaN.
inline uint16_t to_bfloat16(float value) {
    const uint32_t bits = bits_of<uint32_t>(value);
    const uint32_t rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
    return uint16_t(value != value ? 0x7fc0 : rounded);
}

// A half is a float with another bias of its exponent: a product with 2^112 moves it, for subnormal numbers too.
inline float from_float16(uint16_t half) {
    const uint32_t magnitude = half & 0x7fff;
    const float scaled = bits_of<float>(magnitude << 13) * 0x1p112f;
    const uint32_t special = 0x7f800000 | (magnitude << 13);
    const uint32_t bits = magnitude >= 0x7c00 ? special : bits_of<uint32_t>(scaled);
    return bits_of<float>(bits | uint32_t(half & 0x8000) << 16);
}

inline uint16_t to_float16(float value) {
    const uint32_t bits = bits_of<uint32_t>(value), sign = (bits >> 16) & 0x8000, magnitude = bits & 0x7fffffff;
    constexpr uint32_t OVERFLOW_FROM = 0x477ff000;      // 65520, which rounds to infinity
    constexpr uint32_t SMALLEST_NORMAL = 0x38800000;    // 2^-14
    // Below it the last digit of a half is 2^-24: adding 1/2 leaves just these digits in a float.
    const uint32_t subnormal = bits_of<uint32_t>(bits_of<float>(magnitude) + 0.5f) - 0x3f000000;
    const uint32_t normal = (magnitude + 0xfff + ((magnitude >> 13) & 1) - 0x38000000) >> 13;
    const uint32_t finite = magnitude < SMALLEST_NORMAL ? subnormal : normal;
    const uint32_t special = magnitude > 0x7f800000 ? 0x7e00 : 0x7c00;
    return uint16_t(sign | (magnitude >= OVERFLOW_FROM ? special : finite));
}

// out[j] = numbers[from + j] for n of them.
inline void widen(const Numbers& numbers, int64_t from, float* out, int64_t n) {
    const uint16_t* halves = static_cast<const uint16_t*>(numbers.data) + from;
    switch (numbers.format) {
        case Format::float32:
            std::memcpy(out, static_cast<const float*>(numbers.data) + from, sizeof(float) * n);
            break;
        case Format::bfloat16:
            for (int64_t j = 0; j < n; ++j) out[j] = from_bfloat16(halves[j]);
            break;
        case Format::float16:
            for (int64_t j = 0; j < n; ++j) out[j] = from_float16(halves[j]);
    }
}

inline void prefetch(const Numbers& numbers, int64_t from, int64_t n) {
    constexpr int64_t LINE = 64;
    const int64_t size = numbers.format == Format::float32 ? 4 : 2;
    const char* start = static_cast<const char*>(numbers.data) + from * size;
    for (int64_t at = 0; at < n * size; at += LINE) __builtin_prefetch(start + at, 0, 2);
}

// numbers[from + j] = in[j] for n of them.
inline void narrow(const float* in, const Numbers& numbers, int64_t from, int64_t n) {
    uint16_t* halves = static_cast<uint16_t*>(numbers.data) + from;
    switch (numbers.format) {
        case Format::float32:
            std::memcpy(static_cast<float*>(numbers.data) + from, in, sizeof(float) * n);
            break;
        case Format::bfloat16:
            for (int64_t j = 0; j < n; ++j) halves[j] = to_bfloat16(in[j]);
            break;
        case Format::float16:
            for (int64_t j = 0; j < n; ++j) halves[j] = to_float16(in[j]);
    }
}

}  // namespace rnnprop
