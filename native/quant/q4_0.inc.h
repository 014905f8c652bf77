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

#endif
