// Q4_0: 32 weights in 18 bytes. A half scale `d`, then 16 bytes of 4-bit codes: byte j holds weight j in its
// low and weight j + 16 in its high half. weight = d * (code - 8).
#ifndef INGOT_QUANT_Q4_0
#define INGOT_QUANT_Q4_0

#include "quant/scalar.h"

typedef struct block_q4_0 {
    uint8_t d[2];
    uint8_t q[16];
} block_q4_0;

static inline void q4_0_decode(const block_q4_0 *restrict b, float *restrict y) {
    float d = half_load(b->d);
    for (int i = 0; i < 2; i++)
        for (int j = 0; j < 16; j++)
            y[16 * i + j] = d * (float)((b->q[j] >> 4 * i & 15) - 8);
}

// The code of a weight divided by the scale: to the nearest integer, halves up, and at most 15. What isn't
// finite gives 8, which is zero.
static inline uint8_t q4_0_round(float v) {
    uint32_t bits = bits_of_float(v + 8.5f);
    bits = bits_select(bits > 0x7f800000, 0, bits); // negative
    bits = bits_select(bits > 0x41700000, 0x41700000, bits);
    bool finite = (bits_of_float(v) & 0x7fffffff) < 0x7f800000;
    return (uint8_t)(int)float_of_bits(bits_select(finite, bits, 0x41000000));
}

// How pages of the KV cache are written, quickly and with the same bytes as elsewhere; weights are encoded by
// kernels/encode_plain.inc.h. The first weight of the largest magnitude becomes code 0, which is -8: that
// side reaches one step further. A block that holds a NaN or an infinity gets such a scale and decodes to
// NaNs.
static inline void q4_0_encode(const float *restrict x, block_q4_0 *restrict b) {
    int32_t largest = 0; // as bits: magnitudes order like integers, infinity and NaNs last
    for (int j = 0; j < 32; j++) {
        int32_t magnitude = (int32_t)(bits_of_float(x[j]) & 0x7fffffff);
        largest = magnitude > largest ? magnitude : largest;
    }
    int first = 0;
    while ((int32_t)(bits_of_float(x[first]) & 0x7fffffff) != largest)
        first++;
    float d = x[first] / -8.0f;
    float inverse = d != 0.0f ? 1.0f / d : 0.0f;
    for (int j = 0; j < 16; j++)
        b->q[j] = (uint8_t)(q4_0_round(x[j] * inverse) | q4_0_round(x[j + 16] * inverse) << 4);
    half_store(b->d, d);
}

#endif
