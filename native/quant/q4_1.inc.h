// Q4_1: 32 weights in 20 bytes. A half scale `d`, a half minimum `m`, then 4-bit codes ordered as in Q4_0.
// weight = d * code + m.
#ifndef INGOT_QUANT_Q4_1
#define INGOT_QUANT_Q4_1

#include "quant/scalar.h"

typedef struct block_q4_1 {
    uint8_t d[2];
    uint8_t m[2];
    uint8_t q[16];
} block_q4_1;

static inline void q4_1_decode(const block_q4_1 *restrict b, float *restrict y) {
    float d = half_load(b->d), m = half_load(b->m);
    for (int i = 0; i < 2; i++)
        for (int j = 0; j < 16; j++)
            y[16 * i + j] = d * (float)(b->q[j] >> 4 * i & 15) + m;
}

#endif
