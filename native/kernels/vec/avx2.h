// Vector primitives for AVX2 with FMA and F16C: eight lanes.
#ifndef INGOT_KERNELS_VEC_H
#define INGOT_KERNELS_VEC_H

#include <immintrin.h>
#include <math.h>
#include <stdint.h>

#include "quant/quant.h"

#define VEC_NAME  avx2
#define VEC_LANES 8

typedef __m256 vec;

static inline vec vec_load(const float *p) {
    return _mm256_loadu_ps(p);
}

static inline void vec_store(float *p, vec a) {
    _mm256_storeu_ps(p, a);
}

static inline vec vec_set1(float x) {
    return _mm256_set1_ps(x);
}

static inline vec vec_mul(vec a, vec b) {
    return _mm256_mul_ps(a, b);
}

static inline vec vec_add(vec a, vec b) {
    return _mm256_add_ps(a, b);
}

static inline vec vec_fma(vec a, vec b, vec c) {
    return _mm256_fmadd_ps(a, b, c);
}

static inline float scalar_fma(float a, float b, float c) {
    return fmaf(a, b, c);
}

static inline vec vec_load_f16(const uint16_t *p) {
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)p));
}

static inline void vec_store_f16(uint16_t *p, vec a) {
    _mm_storeu_si128((__m128i *)(void *)p, _mm256_cvtps_ph(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}

#endif
