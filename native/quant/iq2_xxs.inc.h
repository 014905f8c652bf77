// IQ2_XXS: 256 weights in 66 bytes. A half scale `d`, then for each 32 weights four 8-bit grid indices (one
// for each 8 weights) and a 32-bit word: four times seven signs, and a 4-bit scale on top. The eighth sign
// makes the number of negative ones even. weight = d * (scale + 1/2) / 4 * sign * grid value.
#ifndef INGOT_QUANT_IQ2_XXS
#define INGOT_QUANT_IQ2_XXS

#include "quant/codebook.h"
#include "quant/scalar.h"

typedef struct block_iq2_xxs {
    uint8_t d[2];
    struct {
        uint8_t index[4];
        uint8_t signs[4];
    } group[8];
} block_iq2_xxs;

static inline void iq2_xxs_decode(const block_iq2_xxs *restrict b, float *restrict y) {
    float d = half_load(b->d);
    int8_t values[256];
    for (int i = 0; i < 32; i++) {
        uint32_t seven = load_u32(b->group[i / 4].signs) >> 7 * (i % 4) & 127;
        codebook_sign8(codebook_iq2_xxs[b->group[i / 4].index[i % 4]], codebook_signs(seven), values + 8 * i);
    }
    for (int i = 0; i < 8; i++) {
        float scale = d * (0.5f + (float)(b->group[i].signs[3] >> 4)) * 0.25f;
        for (int j = 32 * i; j < 32 * i + 32; j++)
            y[j] = scale * (float)values[j];
    }
}

#endif
