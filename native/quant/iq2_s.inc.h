// IQ2_S: 256 weights in 82 bytes. A half scale `d`, 32 bytes with the low 8 bits of grid indices (one for
// each 8 weights), 32 bytes of signs (bit j of byte i belongs to weight 8 i + j), 8 bytes with the high 2
// bits of the indices, then 4-bit scales, each for 16 weights; the first in the lowest bits. weight = d *
// (scale + 1/2) / 4 * sign * grid value.
#ifndef INGOT_QUANT_IQ2_S
#define INGOT_QUANT_IQ2_S

#include "quant/codebook.h"
#include "quant/scalar.h"

typedef struct block_iq2_s {
    uint8_t d[2];
    uint8_t low[32];
    uint8_t signs[32];
    uint8_t high[8];
    uint8_t scales[8];
} block_iq2_s;

static inline void iq2_s_decode(const block_iq2_s *restrict b, float *restrict y) {
    float d = half_load(b->d);
    int8_t values[256];
    for (int i = 0; i < 32; i++) {
        uint32_t index = b->low[i] | ((uint32_t)b->high[i / 4] >> 2 * (i % 4) & 3) << 8;
        codebook_sign8(codebook_iq2_s[index], b->signs[i], values + 8 * i);
    }
    for (int i = 0; i < 16; i++) {
        float scale = d * (0.5f + (float)(b->scales[i / 2] >> 4 * (i % 2) & 15)) * 0.25f;
        for (int j = 16 * i; j < 16 * i + 16; j++)
            y[j] = scale * (float)values[j];
    }
}

#endif
