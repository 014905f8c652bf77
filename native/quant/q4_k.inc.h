// Q4_K: 256 weights in 144 bytes. Half scales `d` of the scales and `dmin` of the minimums, 12 bytes with
// eight 6-bit scales and eight 6-bit minimums, each for 32 weights, then 4-bit codes in four runs of 64
// weights: byte j of a run holds weight j in its low and weight j + 32 in its high half. weight = d * scale *
// code - dmin * minimum.
//
// Of the 12 bytes, bytes 0 to 3 hold scales 0 to 3 and bytes 4 to 7 minimums 0 to 3 in their low six bits;
// byte 8 + i holds the low four bits of scale 4 + i (low half) and of minimum 4 + i (high half), whose high
// two bits are the two left over in bytes i and 4 + i.
#ifndef INGOT_QUANT_Q4_K
#define INGOT_QUANT_Q4_K

#include "quant/scalar.h"

typedef struct block_q4_k {
    uint8_t d[2];
    uint8_t dmin[2];
    uint8_t scales[12];
    uint8_t q[128];
} block_q4_k;

// Unpacks the 12 bytes of Q4_K and Q5_K.
static inline void q4_k_scales(const uint8_t *packed, uint8_t *scales, uint8_t *minimums) {
    for (int i = 0; i < 4; i++) {
        scales[i] = packed[i] & 63;
        minimums[i] = packed[4 + i] & 63;
        scales[4 + i] = (uint8_t)((packed[8 + i] & 15) | packed[i] >> 6 << 4);
        minimums[4 + i] = (uint8_t)(packed[8 + i] >> 4 | packed[4 + i] >> 6 << 4);
    }
}

static inline void q4_k_decode(const block_q4_k *restrict b, float *restrict y) {
    float d = half_load(b->d), dmin = half_load(b->dmin);
    uint8_t scales[8], minimums[8];
    q4_k_scales(b->scales, scales, minimums);
    for (int i = 0; i < 8; i++) {
        float scale = d * (float)scales[i], minimum = dmin * (float)minimums[i];
        const uint8_t *q = b->q + 32 * (i / 2);
        int shift = 4 * (i % 2);
        for (int j = 0; j < 32; j++)
            y[32 * i + j] = scale * (float)(q[j] >> shift & 15) - minimum;
    }
}

#endif
