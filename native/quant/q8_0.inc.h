// Q8_0: 32 weights in 34 bytes. A half scale `d`, then 32 signed codes. weight = d * code.
#ifndef INGOT_QUANT_Q8_0
#define INGOT_QUANT_Q8_0

#include "quant/scalar.h"

typedef struct block_q8_0 {
    uint8_t d[2];
    int8_t q[32];
} block_q8_0;

static inline void q8_0_decode(const block_q8_0 *restrict b, float *restrict y) {
    float d = half_load(b->d);
    for (int j = 0; j < 32; j++)
        y[j] = d * (float)b->q[j];
}

// To the nearest integer, halves away from zero; magnitudes are clamped to 127 and a NaN gives 0.
static inline int8_t q8_0_round(float v) {
    uint32_t bits = bits_of_float(v), magnitude = bits & 0x7fffffff;
    bits = bits_select(magnitude > 0x42fe0000, (bits & 0x80000000) | 0x42fe0000, bits);
    v = float_of_bits(bits_select(magnitude > 0x7f800000, 0, bits));
    int whole = (int)v;
    return (int8_t)(whole + (int)(2.0f * (v - (float)whole)));
}

// The largest magnitude becomes 127. A block that holds a NaN or an infinity gets such a scale and decodes to
// NaNs: it doesn't turn into numbers that look right.
static inline void q8_0_encode(const float *restrict x, block_q8_0 *restrict b) {
    int32_t largest = 0; // as bits: magnitudes order like integers, infinity and NaNs last
    for (int j = 0; j < 32; j++) {
        int32_t magnitude = (int32_t)(bits_of_float(x[j]) & 0x7fffffff);
        largest = magnitude > largest ? magnitude : largest;
    }
    float d = float_of_bits((uint32_t)largest) / 127.0f;
    float inverse = d != 0.0f ? 1.0f / d : 0.0f;
    for (int j = 0; j < 32; j++)
        b->q[j] = q8_0_round(x[j] * inverse);
    half_store(b->d, d);
}

#endif
