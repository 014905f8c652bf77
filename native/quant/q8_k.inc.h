// Q8_K: 256 weights in 292 bytes. A binary32 scale `d`, 256 signed codes, then the sums of each 16 codes as
// 16-bit integers, which serve dot products and not decoding. weight = d * code.
#ifndef INGOT_QUANT_Q8_K
#define INGOT_QUANT_Q8_K

#include "quant/scalar.h"

typedef struct block_q8_k {
    uint8_t d[4];
    int8_t q[256];
    uint8_t sums[16][2];
} block_q8_k;

static inline void q8_k_decode(const block_q8_k *restrict b, float *restrict y) {
    float d = float_of_bits(load_u32(b->d));
    for (int j = 0; j < 256; j++)
        y[j] = d * (float)b->q[j];
}

#endif
