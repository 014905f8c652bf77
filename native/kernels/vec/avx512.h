// Vector primitives for AVX-512: sixteen lanes.
#ifndef INGOT_KERNELS_VEC_H
#define INGOT_KERNELS_VEC_H

#include <immintrin.h>
#include <math.h>
#include <stdint.h>

#include "quant/quant.h"

#define VEC_NAME  avx512
#define VEC_LANES 16

typedef __m512 vec;

static inline vec vec_load(const float *p) {
    return _mm512_loadu_ps(p);
}

static inline void vec_store(float *p, vec a) {
    _mm512_storeu_ps(p, a);
}

static inline vec vec_set1(float x) {
    return _mm512_set1_ps(x);
}

static inline vec vec_mul(vec a, vec b) {
    return _mm512_mul_ps(a, b);
}

static inline vec vec_add(vec a, vec b) {
    return _mm512_add_ps(a, b);
}

static inline vec vec_fma(vec a, vec b, vec c) {
    return _mm512_fmadd_ps(a, b, c);
}

static inline float scalar_fma(float a, float b, float c) {
    return fmaf(a, b, c);
}

static inline vec vec_load_f16(const uint16_t *p) {
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)p));
}

static inline void vec_store_f16(uint16_t *p, vec a) {
    _mm256_storeu_si256((__m256i *)(void *)p,
                        _mm512_cvtps_ph(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}

#endif
