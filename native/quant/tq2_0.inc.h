// TQ2_0: 256 ternary weights in 66 bytes. 64 bytes of 2-bit codes ordered as in Q2_K, then a half scale `d`.
// weight = d * (code - 1).
#ifndef INGOT_QUANT_TQ2_0
#define INGOT_QUANT_TQ2_0

#include "quant/scalar.h"

typedef struct block_tq2_0 {
    uint8_t q[64];
    uint8_t d[2];
} block_tq2_0;

static inline void tq2_0_decode(const block_tq2_0 *restrict b, float *restrict y) {
    float d = half_load(b->d);
    for (int i = 0; i < 8; i++)
        for (int j = 0; j < 32; j++)
            y[32 * i + j] = d * (float)((b->q[32 * (i / 4) + j] >> 2 * (i % 4) & 3) - 1);
}

#endif
