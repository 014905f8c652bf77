// IQ1_M: 256 weights in 56 bytes. 32 bytes with the low 8 bits of grid indices, one for each 8 weights; 16
// bytes with a half byte for each index: its high 3 bits and the sign of a shift of 1/8; then four 16-bit
// words: each has four 3-bit scales, each for 16 weights, and on top a quarter of the half scale `d`, the
// lowest first. weight = d * (2 * scale + 1) * (grid value +- 1/8).
#ifndef INGOT_QUANT_IQ1_M
#define INGOT_QUANT_IQ1_M

#include "quant/codebook.h"
#include "quant/scalar.h"

typedef struct block_iq1_m {
    uint8_t low[32];
    uint8_t high[16];
    uint8_t scales[4][2];
} block_iq1_m;

static inline void iq1_m_decode(const block_iq1_m *restrict b, float *restrict y) {
    uint32_t words[4], half = 0;
    for (int i = 0; i < 4; i++) {
        words[i] = load_u16(b->scales[i]);
        half |= words[i] >> 12 << 4 * i;
    }
    float d = half_decode((uint16_t)half);
    uint8_t codes[256];
    for (int i = 0; i < 32; i++) {
        uint32_t index = b->low[i] | ((uint32_t)b->high[i / 2] >> 4 * (i % 2) & 7) << 8;
        memcpy(codes + 8 * i, &codebook_iq1[index], 8);
    }
    for (int i = 0; i < 32; i++) {
        float scale = d * (float)(2 * (words[i / 8] >> 3 * (i / 2 % 4) & 7) + 1);
        int offset = b->high[i / 2] >> 4 * (i % 2) & 8 ? 18 : 16;
        for (int j = 8 * i; j < 8 * i + 8; j++)
            y[j] = scale * 0.125f * (float)(codes[j] - offset);
    }
}

#endif
