// Q6_K: 256 weights in 210 bytes. 128 bytes with the low four bits, 64 bytes with the high two, 16 signed
// scales, each for 16 weights, then a half scale `d` of the scales. Both parts come in two runs of 128
// weights: low byte j (0 to 63) of a run holds weight j in its low and weight j + 64 in its high half; high
// byte j (0 to 31) holds weights j, j + 32, j + 64 and j + 96, the first in the lowest bits. weight = d *
// scale * (code - 32).
#ifndef INGOT_QUANT_Q6_K
#define INGOT_QUANT_Q6_K

#include "quant/scalar.h"

typedef struct block_q6_k {
    uint8_t low[128];
    uint8_t high[64];
    int8_t scales[16];
    uint8_t d[2];
} block_q6_k;

static inline void q6_k_decode(const block_q6_k *restrict b, float *restrict y) {
    float d = half_load(b->d);
    for (int i = 0; i < 16; i++) {
        float scale = d * (float)b->scales[i];
        const uint8_t *low = b->low + 64 * (i / 8) + 16 * (i % 4);
        const uint8_t *high = b->high + 32 * (i / 8) + 16 * (i % 2);
        int low_shift = 4 * (i / 4 % 2), high_shift = 2 * (i / 2 % 4);
        for (int j = 0; j < 16; j++)
            y[16 * i + j] =
                scale * (float)((low[j] >> low_shift & 15) + 16 * (high[j] >> high_shift & 3) - 32);
    }
}

#endif
