// IQ3_XXS: 256 weights in 98 bytes. A half scale `d`, 64 8-bit grid indices (one for each 4 weights), then a
// 32-bit word for each 32 weights: four times seven signs, and a 4-bit scale on top. The eighth sign makes
// the number of negative ones even. weight = d * (scale + 1/2) / 2 * sign * grid value.
#ifndef INGOT_QUANT_IQ3_XXS
#define INGOT_QUANT_IQ3_XXS

#include "quant/codebook.h"
#include "quant/scalar.h"

typedef struct block_iq3_xxs {
    uint8_t d[2];
    uint8_t index[64];
    uint8_t signs[8][4];
} block_iq3_xxs;

static inline void iq3_xxs_decode(const block_iq3_xxs *restrict b, float *restrict y) {
    float d = half_load(b->d);
    int8_t values[256];
    for (int i = 0; i < 32; i++) {
        uint32_t seven = load_u32(b->signs[i / 4]) >> 7 * (i % 4) & 127;
        uint64_t first = codebook_iq3_xxs[b->index[2 * i]], second = codebook_iq3_xxs[b->index[2 * i + 1]];
        codebook_sign8(first | second << 32, codebook_signs(seven), values + 8 * i);
    }
    for (int i = 0; i < 8; i++) {
        float scale = d * (0.5f + (float)(b->signs[i][3] >> 4)) * 0.5f;
        for (int j = 32 * i; j < 32 * i + 32; j++)
            y[j] = scale * (float)values[j];
    }
}

#endif
