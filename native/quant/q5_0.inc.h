// Q5_0: 32 weights in 22 bytes. A half scale `d`, 32 fifth bits (bit j belongs to weight j), then the low
// four bits ordered as in Q4_0. weight = d * (code - 16).
#ifndef INGOT_QUANT_Q5_0
#define INGOT_QUANT_Q5_0

#include "quant/scalar.h"

typedef struct block_q5_0 {
    uint8_t d[2];
    uint8_t high[4];
    uint8_t low[16];
} block_q5_0;

// The codes, 0 to 31, of the 32 weights of Q5_0 and Q5_1, eight at a time.
static inline void q5_0_codes(const uint8_t *restrict high, const uint8_t *restrict low,
                              uint8_t *restrict codes) {
    for (int i = 0; i < 4; i++) {
        uint64_t word = load_u64(low + 8 * (i % 2)) >> 4 * (i / 2) & UINT64_C(0x0f0f0f0f0f0f0f0f);
        word |= bits_spread(high[i]) << 4;
        memcpy(codes + 8 * i, &word, 8);
    }
}

static inline void q5_0_decode(const block_q5_0 *restrict b, float *restrict y) {
    float d = half_load(b->d);
    uint8_t codes[32];
    q5_0_codes(b->high, b->low, codes);
    for (int j = 0; j < 32; j++)
        y[j] = d * (float)(codes[j] - 16);
}

#endif
