// SIMD registers and blocks of coordinates: their types, and the functions of the network on them.
//
// Everything that depends on the instruction set is in this file. The width is chosen by the compiler's flags
// (AVX-512: 16 lanes, AVX2: 8, anything else that GCC's vector extensions can express: 4).

#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#if defined(__AVX512F__) || defined(__AVX2__)
#include <immintrin.h>
#endif

// How many sums a product can keep in registers beside its operands: there are 32 of them, or 16.
#if defined(__AVX512F__)
#define RNNPROP_LANES 16
#define RNNPROP_ACCUMULATORS 20
#elif defined(__AVX2__)
#define RNNPROP_LANES 8
#define RNNPROP_ACCUMULATORS 12
#elif defined(__aarch64__)
#define RNNPROP_LANES 4
#define RNNPROP_ACCUMULATORS 20
#else
#define RNNPROP_LANES 4
#define RNNPROP_ACCUMULATORS 12
#endif

#define RNNPROP_INLINE inline __attribute__((always_inline))

namespace rnnprop {

constexpr int LANES = RNNPROP_LANES;
constexpr int ACCUMULATORS = RNNPROP_ACCUMULATORS;

typedef float Vec __attribute__((vector_size(4 * LANES)));
typedef int32_t IntVec __attribute__((vector_size(4 * LANES)));

RNNPROP_INLINE Vec broadcast(float value) { return Vec{} + value; }

RNNPROP_INLINE Vec load(const float* source) {
    Vec value;
    std::memcpy(&value, source, sizeof(Vec));
    return value;
}

RNNPROP_INLINE void store(float* target, Vec value) { std::memcpy(target, &value, sizeof(Vec)); }

// Coordinates are taken in blocks of one cache line: one register of AVX-512, two of AVX2, four of others. So a
// weight that was loaded serves as many products as there are registers.
constexpr int BLOCK = 16;
constexpr int PARTS = BLOCK / LANES;

// One value (a feature, a unit's state, a gate ...) of all coordinates of a block.
struct Row {
    Vec part[PARTS];

    RNNPROP_INLINE Vec& operator[](int p) { return part[p]; }
    RNNPROP_INLINE const Vec& operator[](int p) const { return part[p]; }
};

RNNPROP_INLINE Row load_row(const float* source) {
    Row row;
    for (int p = 0; p < PARTS; ++p) row[p] = load(source + p * LANES);
    return row;
}

RNNPROP_INLINE void store_row(float* target, const Row& row) {
    for (int p = 0; p < PARTS; ++p) store(target + p * LANES, row[p]);
}

// The limits are the first operands because x86 returns the second one where either is NaN: NaN goes through.
RNNPROP_INLINE Vec clamp(Vec x, float low, float high) {
#if defined(__AVX512F__)
    return (Vec)_mm512_min_ps(_mm512_set1_ps(high), _mm512_max_ps(_mm512_set1_ps(low), (__m512)x));
#elif defined(__AVX2__)
    return (Vec)_mm256_min_ps(_mm256_set1_ps(high), _mm256_max_ps(_mm256_set1_ps(low), (__m256)x));
#else
    x = x < low ? broadcast(low) : x;
    return x > high ? broadcast(high) : x;
#endif
}

// 1 / x for 1 <= x <= 2^50: an estimate of 12 to 14 bits and one Newton step, to about 1 ulp.
RNNPROP_INLINE Vec reciprocal(Vec x) {
#if defined(__AVX512F__)
    const Vec estimate = (Vec)_mm512_rcp14_ps((__m512)x);
    return estimate * (2.0f - x * estimate);
#elif defined(__AVX2__)
    const Vec estimate = (Vec)_mm256_rcp_ps((__m256)x);
    return estimate * (2.0f - x * estimate);
#else
    return 1.0f / x;
#endif
}

RNNPROP_INLINE Vec square_root(Vec x) {
#if defined(__AVX512F__)
    return (Vec)_mm512_sqrt_ps((__m512)x);
#elif defined(__AVX2__)
    return (Vec)_mm256_sqrt_ps((__m256)x);
#else
    for (int lane = 0; lane < LANES; ++lane) x[lane] = std::sqrt(x[lane]);
    return x;
#endif
}

RNNPROP_INLINE bool same_bits(Vec a, Vec b) {
#if defined(__AVX512F__)
    return _mm512_cmpneq_epi32_mask((__m512i)a, (__m512i)b) == 0;
#elif defined(__AVX2__)
    return _mm256_movemask_epi8(_mm256_cmpeq_epi32((__m256i)a, (__m256i)b)) == -1;
#else
    return std::memcmp(&a, &b, sizeof(Vec)) == 0;
#endif
}

RNNPROP_INLINE bool same_bits(const Row& a, const Row& b) {
    bool same = true;
    for (int p = 0; p < PARTS; ++p) same = same && same_bits(a[p], b[p]);
    return same;
}

RNNPROP_INLINE bool all_alike(const Row& row) {
    bool same = true;
    for (int p = 0; p < PARTS; ++p) same = same && same_bits(row[p], broadcast(row[0][0]));
    return same;
}

constexpr float LOG2_E = 1.44269504088896341f;
// Beyond it a sigmoid differs from 0 or 1 by less than 1e-12.
constexpr float EXP2_LIMIT = 40.0f;

// 2^t for |t| <= EXP2_LIMIT (clamped), relative error 1.0e-7. The polynomial is the minimax one of degree 6 on
// [-1/2, 1/2] with p(0) = 1, so that tanh(0) = 0 exactly.
RNNPROP_INLINE Vec exp2_clamped(Vec t) {
    t = clamp(t, -EXP2_LIMIT, EXP2_LIMIT);
    constexpr float TO_INTEGER = 12582912.0f;  // 1.5 * 2^23: adding it rounds to the nearest integer
    const Vec shifted = t + TO_INTEGER;
    const Vec integer = shifted - TO_INTEGER;
    const Vec f = t - integer;
    Vec p = 0.00015272304881364107f * f + 0.0013410479295998812f;
    p = p * f + 0.009618774987757206f;
    p = p * f + 0.055502936244010925f;
    p = p * f + 0.24022644758224487f;
    p = p * f + 0.6931472420692444f;
    p = p * f + 1.0f;
#if defined(__AVX512F__)
    return (Vec)_mm512_scalef_ps((__m512)p, (__m512)integer);
#else
    const IntVec exponent = ((IntVec)shifted << 23) + 0x3f800000;
    return p * (Vec)exponent;  // a product and not a sum of bits: NaN in p stays NaN
#endif
}

RNNPROP_INLINE Vec tanh(Vec x) {
    const Vec e = exp2_clamped((-2.0f * LOG2_E) * x);
    return (1.0f - e) * reciprocal(1.0f + e);
}

RNNPROP_INLINE Vec elu(Vec x) { return x > 0.0f ? x : exp2_clamped(LOG2_E * x) - 1.0f; }

// The sums over the lanes of four registers, side by side but not finished: the result holds LANES / 4 groups of
// four partial sums [a, b, c, d]. Sums of many of these are finished by `finish_sums`.
RNNPROP_INLINE Vec partial_sums(Vec a, Vec b, Vec c, Vec d) {
#if defined(__AVX512F__)
    const __m512 ab = _mm512_add_ps(_mm512_unpacklo_ps((__m512)a, (__m512)b), _mm512_unpackhi_ps((__m512)a, (__m512)b));
    const __m512 cd = _mm512_add_ps(_mm512_unpacklo_ps((__m512)c, (__m512)d), _mm512_unpackhi_ps((__m512)c, (__m512)d));
    const __m512d x = _mm512_castps_pd(ab), y = _mm512_castps_pd(cd);
    return (Vec)_mm512_add_ps(_mm512_castpd_ps(_mm512_unpacklo_pd(x, y)), _mm512_castpd_ps(_mm512_unpackhi_pd(x, y)));
#elif defined(__AVX2__)
    const __m256 ab = _mm256_add_ps(_mm256_unpacklo_ps((__m256)a, (__m256)b), _mm256_unpackhi_ps((__m256)a, (__m256)b));
    const __m256 cd = _mm256_add_ps(_mm256_unpacklo_ps((__m256)c, (__m256)d), _mm256_unpackhi_ps((__m256)c, (__m256)d));
    const __m256d x = _mm256_castps_pd(ab), y = _mm256_castps_pd(cd);
    return (Vec)_mm256_add_ps(_mm256_castpd_ps(_mm256_unpacklo_pd(x, y)), _mm256_castpd_ps(_mm256_unpackhi_pd(x, y)));
#else
    return Vec{a[0] + a[1] + a[2] + a[3], b[0] + b[1] + b[2] + b[3], c[0] + c[1] + c[2] + c[3],
               d[0] + d[1] + d[2] + d[3]};
#endif
}

RNNPROP_INLINE void finish_sums(Vec partial, float* sums4) {
    for (int which = 0; which < 4; ++which) {
        sums4[which] = 0.0f;
        for (int lane = which; lane < LANES; lane += 4) sums4[which] += partial[lane];
    }
}

RNNPROP_INLINE float sum_lanes(Vec value) {
    float sum = 0.0f;
    for (int lane = 0; lane < LANES; ++lane) sum += value[lane];
    return sum;
}

RNNPROP_INLINE float sum_lanes(const Row& row) {
    Vec sum = row[0];
    for (int p = 1; p < PARTS; ++p) sum += row[p];
    return sum_lanes(sum);
}

}  // namespace rnnprop
