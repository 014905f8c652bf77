// Q8_1: 32 weights in 36 bytes. A half scale `d`, a half `s` = d * (sum of the codes), which serves dot
// products and not decoding, then 32 signed codes. weight = d * code.
#ifndef INGOT_QUANT_Q8_1
#define INGOT_QUANT_Q8_1

#include "quant/scalar.h"

typedef struct block_q8_1 {
    uint8_t d[2];
    uint8_t s[2];
    int8_t q[32];
} block_q8_1;

static inline void q8_1_decode(const block_q8_1 *restrict b, float *restrict y) {
    float d = half_load(b->d);
    for (int j = 0; j < 32; j++)
        y[j] = d * (float)b->q[j];
}

#endif
