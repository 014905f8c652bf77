// Q1_0: 128 weights in 18 bytes. A half scale `d`, then a bit per weight, the first in the lowest bit.
// weight = bit ? d : -d.
#ifndef INGOT_QUANT_Q1_0
#define INGOT_QUANT_Q1_0

#include "quant/scalar.h"

typedef struct block_q1_0 {
    uint8_t d[2];
    uint8_t q[16];
} block_q1_0;

static inline void q1_0_decode(const block_q1_0 *restrict b, float *restrict y) {
    float d = half_load(b->d);
    uint8_t bits[128];
    for (int i = 0; i < 16; i++) {
        uint64_t word = bits_spread(b->q[i]);
        memcpy(bits + 8 * i, &word, 8);
    }
    for (int j = 0; j < 128; j++)
        y[j] = d * (float)(2 * bits[j] - 1);
}

#endif
