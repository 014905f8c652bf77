// Q2_0: 64 weights in 18 bytes. A half scale `d`, then 2-bit codes, four neighbours in a byte, the first in
// the lowest bits. weight = d * (code - 1).
#ifndef INGOT_QUANT_Q2_0
#define INGOT_QUANT_Q2_0

#include "quant/scalar.h"

typedef struct block_q2_0 {
    uint8_t d[2];
    uint8_t q[16];
} block_q2_0;

static inline void q2_0_decode(const block_q2_0 *restrict b, float *restrict y) {
    float d = half_load(b->d);
    for (int i = 0; i < 16; i++)
        for (int j = 0; j < 4; j++)
            y[4 * i + j] = d * (float)((b->q[i] >> 2 * j & 3) - 1);
}

#endif
