// Q3_K: 256 weights in 110 bytes. 32 bytes of third bits, 64 bytes with the low two bits, 12 bytes with
// sixteen 6-bit scales, each for 16 weights, then a half scale `d` of the scales. The low bits are ordered as
// in Q2_K; bit i of byte j of the third bits belongs to weight 32 i + j. Scale i has its low four bits in
// byte i % 8 (low half for i < 8) and its high two in byte 8 + i % 4, at bit 2 (i / 4). weight = d * (scale -
// 32) * (code - 4), the third bit being worth 4.
#ifndef INGOT_QUANT_Q3_K
#define INGOT_QUANT_Q3_K

#include "quant/scalar.h"

typedef struct block_q3_k {
    uint8_t high[32];
    uint8_t low[64];
    uint8_t scales[12];
    uint8_t d[2];
} block_q3_k;

static inline int q3_k_scale(const uint8_t *scales, int i) {
    int low = scales[i % 8] >> (i < 8 ? 0 : 4) & 15;
    int high = scales[8 + i % 4] >> 2 * (i / 4) & 3;
    return (low | high << 4) - 32;
}

static inline void q3_k_decode(const block_q3_k *restrict b, float *restrict y) {
    float d = half_load(b->d);
    for (int i = 0; i < 16; i++) {
        float scale = d * (float)q3_k_scale(b->scales, i);
        const uint8_t *low = b->low + 32 * (i / 8) + 16 * (i % 2);
        const uint8_t *high = b->high + 16 * (i % 2);
        int shift = 2 * (i / 2 % 4), bit = i / 2;
        for (int j = 0; j < 16; j++)
            y[16 * i + j] = scale * (float)((low[j] >> shift & 3) + 4 * (high[j] >> bit & 1) - 4);
    }
}

#endif
