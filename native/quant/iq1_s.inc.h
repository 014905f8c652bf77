// IQ1_S: 256 weights in 50 bytes. A half scale `d`, 32 bytes with the low 8 bits of grid indices, one for
// each 8 weights, then eight 16-bit words, one for each 32 weights: four times the high 3 bits of an index, a
// 3-bit scale, and on top the sign of a shift of 1/8. weight = d * (2 * scale + 1) * (grid value +- 1/8).
#ifndef INGOT_QUANT_IQ1_S
#define INGOT_QUANT_IQ1_S

#include "quant/codebook.h"
#include "quant/scalar.h"

typedef struct block_iq1_s {
    uint8_t d[2];
    uint8_t low[32];
    uint8_t high[8][2];
} block_iq1_s;

static inline void iq1_s_decode(const block_iq1_s *restrict b, float *restrict y) {
    float d = half_load(b->d);
    uint8_t codes[256];
    for (int i = 0; i < 32; i++) {
        uint32_t index = b->low[i] | ((uint32_t)load_u16(b->high[i / 4]) >> 3 * (i % 4) & 7) << 8;
        memcpy(codes + 8 * i, &codebook_iq1[index], 8);
    }
    for (int i = 0; i < 8; i++) {
        uint32_t high = load_u16(b->high[i]);
        float scale = d * (float)(2 * (high >> 12 & 7) + 1);
        int offset = high & 0x8000 ? 18 : 16;
        for (int j = 32 * i; j < 32 * i + 32; j++)
            y[j] = scale * 0.125f * (float)(codes[j] - offset);
    }
}

#endif
