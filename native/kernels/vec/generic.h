// Vector primitives in plain C: eight lanes, which compilers turn into whatever the baseline has.
#ifndef INGOT_KERNELS_VEC_H
#define INGOT_KERNELS_VEC_H

#include <math.h>
#include <stdint.h>

#include "quant/quant.h"

#define VEC_NAME  generic
#define VEC_LANES 8

typedef struct vec {
    float lane[VEC_LANES];
} vec;

static inline vec vec_load(const float *p) {
    vec r;
    for (int i = 0; i < VEC_LANES; i++)
        r.lane[i] = p[i];
    return r;
}

static inline void vec_store(float *p, vec a) {
    for (int i = 0; i < VEC_LANES; i++)
        p[i] = a.lane[i];
}

static inline vec vec_set1(float x) {
    vec r;
    for (int i = 0; i < VEC_LANES; i++)
        r.lane[i] = x;
    return r;
}

static inline vec vec_mul(vec a, vec b) {
    for (int i = 0; i < VEC_LANES; i++)
        a.lane[i] *= b.lane[i];
    return a;
}

static inline vec vec_add(vec a, vec b) {
    for (int i = 0; i < VEC_LANES; i++)
        a.lane[i] += b.lane[i];
    return a;
}

// a * b + c; here, and only here, rounded twice.
static inline vec vec_fma(vec a, vec b, vec c) {
    return vec_add(vec_mul(a, b), c);
}

static inline float scalar_fma(float a, float b, float c) {
    return a * b + c;
}

static inline vec vec_load_f16(const uint16_t *p) {
    vec r;
    for (int i = 0; i < VEC_LANES; i++)
        r.lane[i] = quant_f16_decode(p[i]);
    return r;
}

static inline void vec_store_f16(uint16_t *p, vec a) {
    for (int i = 0; i < VEC_LANES; i++)
        p[i] = quant_f16_encode(a.lane[i]);
}

#endif
