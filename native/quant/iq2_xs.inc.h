// IQ2_XS: 256 weights in 74 bytes. A half scale `d`, a 16-bit word for each 8 weights (9-bit grid index,
// seven signs above it; the eighth makes the number of negative ones even), then 4-bit scales, each for 16
// weights, the first in the low half. weight = d * (scale + 1/2) / 4 * sign * grid value.
#ifndef INGOT_QUANT_IQ2_XS
#define INGOT_QUANT_IQ2_XS

#include "quant/codebook.h"
#include "quant/scalar.h"

typedef struct block_iq2_xs {
    uint8_t d[2];
    uint8_t q[32][2];
    uint8_t scales[8];
} block_iq2_xs;

static inline void iq2_xs_decode(const block_iq2_xs *restrict b, float *restrict y) {
    float d = half_load(b->d);
    int8_t values[256];
    for (int i = 0; i < 32; i++) {
        uint32_t word = load_u16(b->q[i]);
        codebook_sign8(codebook_iq2_xs[word & 511], codebook_signs(word >> 9), values + 8 * i);
    }
    for (int i = 0; i < 16; i++) {
        float scale = d * (0.5f + (float)(b->scales[i / 2] >> 4 * (i % 2) & 15)) * 0.25f;
        for (int j = 16 * i; j < 16 * i + 16; j++)
            y[j] = scale * (float)values[j];
    }
}

#endif
