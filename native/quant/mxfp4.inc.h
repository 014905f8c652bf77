// MXFP4: 32 weights in 17 bytes. A scale that is a power of two (E8M0: 2^(e - 127)), then 4-bit floats
// ordered as in Q4_0. The table holds the floats doubled, so the scale is taken halved. Source: OCP
// Microscaling Formats 1.0 and the GGUF type; e = 255 (a NaN there) counts as 2^128 here.
#ifndef INGOT_QUANT_MXFP4
#define INGOT_QUANT_MXFP4

#include "quant/codebook.h"
#include "quant/scalar.h"

typedef struct block_mxfp4 {
    uint8_t e;
    uint8_t q[16];
} block_mxfp4;

// 2^(e - 128); the two smallest are subnormal.
static inline float e8m0_half(uint8_t e) {
    return float_of_bits(e < 2 ? 0x00200000u << e : (uint32_t)(e - 1) << 23);
}

static inline void mxfp4_decode(const block_mxfp4 *restrict b, float *restrict y) {
    float d = e8m0_half(b->e);
    for (int j = 0; j < 16; j++) {
        y[j] = d * (float)codebook_e2m1[b->q[j] & 15];
        y[j + 16] = d * (float)codebook_e2m1[b->q[j] >> 4];
    }
}

#endif
