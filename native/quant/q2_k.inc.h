// Q2_K: 256 weights in 84 bytes. 16 bytes with a 4-bit scale (low) and a 4-bit minimum (high) for each 16
// weights, 64 bytes of 2-bit codes, then half scales `d` of the scales and `dmin` of the minimums. Codes come
// in two runs of 128 weights of 32 bytes each: byte j holds weights j, j + 32, j + 64 and j + 96, the first
// in the lowest bits. weight = d * scale * code - dmin * minimum.
#ifndef INGOT_QUANT_Q2_K
#define INGOT_QUANT_Q2_K

#include "quant/scalar.h"

typedef struct block_q2_k {
    uint8_t scales[16];
    uint8_t q[64];
    uint8_t d[2];
    uint8_t dmin[2];
} block_q2_k;

static inline void q2_k_decode(const block_q2_k *restrict b, float *restrict y) {
    float d = half_load(b->d), dmin = half_load(b->dmin);
    for (int i = 0; i < 16; i++) {
        float scale = d * (float)(b->scales[i] & 15), minimum = dmin * (float)(b->scales[i] >> 4);
        const uint8_t *q = b->q + 32 * (i / 8) + 16 * (i % 2);
        int shift = 2 * (i / 2 % 4);
        for (int j = 0; j < 16; j++)
            y[16 * i + j] = scale * (float)(q[j] >> shift & 3) - minimum;
    }
}

#endif
