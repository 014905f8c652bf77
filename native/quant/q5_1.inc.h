// Q5_1: 32 weights in 24 bytes. A half scale `d`, a half minimum `m`, then fifth bits and low four bits as in
// Q5_0. weight = d * code + m.
#ifndef INGOT_QUANT_Q5_1
#define INGOT_QUANT_Q5_1

#include "quant/q5_0.inc.h"

typedef struct block_q5_1 {
    uint8_t d[2];
    uint8_t m[2];
    uint8_t high[4];
    uint8_t low[16];
} block_q5_1;

static inline void q5_1_decode(const block_q5_1 *restrict b, float *restrict y) {
    float d = half_load(b->d), m = half_load(b->m);
    uint8_t codes[32];
    q5_0_codes(b->high, b->low, codes);
    for (int j = 0; j < 32; j++)
        y[j] = d * (float)codes[j] + m;
}

#endif
