// Q5_K: 256 weights in 176 bytes. As Q4_K, with 32 bytes of fifth bits before the low four bits: bit i of
// byte j belongs to weight 32 i + j.
#ifndef INGOT_QUANT_Q5_K
#define INGOT_QUANT_Q5_K

#include "quant/q4_k.inc.h"

typedef struct block_q5_k {
    uint8_t d[2];
    uint8_t dmin[2];
    uint8_t scales[12];
    uint8_t high[32];
    uint8_t low[128];
} block_q5_k;

static inline void q5_k_decode(const block_q5_k *restrict b, float *restrict y) {
    float d = half_load(b->d), dmin = half_load(b->dmin);
    uint8_t scales[8], minimums[8];
    q4_k_scales(b->scales, scales, minimums);
    for (int i = 0; i < 8; i++) {
        float scale = d * (float)scales[i], minimum = dmin * (float)minimums[i];
        const uint8_t *low = b->low + 32 * (i / 2);
        int shift = 4 * (i % 2);
        for (int j = 0; j < 32; j++)
            y[32 * i + j] = scale * (float)((low[j] >> shift & 15) + 16 * (b->high[j] >> i & 1)) - minimum;
    }
}

#endif
