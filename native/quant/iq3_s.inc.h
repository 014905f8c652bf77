// IQ3_S: 256 weights in 110 bytes. A half scale `d`, 64 bytes with the low 8 bits of grid indices (one for
// each 4 weights), 8 bytes with their ninth bits, 32 bytes of signs (bit j of byte i belongs to weight 8 i +
// j), then 4-bit scales, each for 32 weights; the first in the lowest bits. weight = d * (2 * scale + 1) *
// sign * grid value.
#ifndef INGOT_QUANT_IQ3_S
#define INGOT_QUANT_IQ3_S

#include "quant/codebook.h"
#include "quant/scalar.h"

typedef struct block_iq3_s {
    uint8_t d[2];
    uint8_t low[64];
    uint8_t high[8];
    uint8_t signs[32];
    uint8_t scales[4];
} block_iq3_s;

static inline void iq3_s_decode(const block_iq3_s *restrict b, float *restrict y) {
    float d = half_load(b->d);
    int8_t values[256];
    for (int i = 0; i < 32; i++) {
        uint32_t high = (uint32_t)b->high[i / 4] >> 2 * (i % 4);
        uint64_t first = codebook_iq3_s[b->low[2 * i] | (high & 1) << 8];
        uint64_t second = codebook_iq3_s[b->low[2 * i + 1] | (high & 2) << 7];
        codebook_sign8(first | second << 32, b->signs[i], values + 8 * i);
    }
    for (int i = 0; i < 8; i++) {
        float scale = d * (float)(2 * (b->scales[i / 2] >> 4 * (i % 2) & 15) + 1);
        for (int j = 32 * i; j < 32 * i + 32; j++)
            y[j] = scale * (float)values[j];
    }
}

#endif
