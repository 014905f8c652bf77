// IQ4_XS: 256 weights in 136 bytes. A half scale `d`, eight 6-bit scales, each for 32 weights (2 bytes with
// their high two bits, 4 bytes with their low four bits), then eight runs of 16 bytes of indices as in
// IQ4_NL. weight = d * (scale - 32) * value.
#ifndef INGOT_QUANT_IQ4_XS
#define INGOT_QUANT_IQ4_XS

#include "quant/codebook.h"
#include "quant/scalar.h"

typedef struct block_iq4_xs {
    uint8_t d[2];
    uint8_t scales_high[2];
    uint8_t scales_low[4];
    uint8_t q[128];
} block_iq4_xs;

static inline void iq4_xs_decode(const block_iq4_xs *restrict b, float *restrict y) {
    float d = half_load(b->d);
    uint32_t high = load_u16(b->scales_high), low = load_u32(b->scales_low);
    for (int i = 0; i < 8; i++) {
        int scale = (int)((low >> 4 * i & 15) | (high >> 2 * i & 3) << 4) - 32;
        float dl = d * (float)scale;
        for (int j = 0; j < 16; j++) {
            y[32 * i + j] = dl * (float)codebook_iq4[b->q[16 * i + j] & 15];
            y[32 * i + j + 16] = dl * (float)codebook_iq4[b->q[16 * i + j] >> 4];
        }
    }
}

#endif
