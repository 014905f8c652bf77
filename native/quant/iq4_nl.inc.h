// IQ4_NL: 32 weights in 18 bytes. A half scale `d`, then 4-bit indices into sixteen non-uniform values,
// ordered as in Q4_0. weight = d * value.
#ifndef INGOT_QUANT_IQ4_NL
#define INGOT_QUANT_IQ4_NL

#include "quant/codebook.h"
#include "quant/scalar.h"

typedef struct block_iq4_nl {
    uint8_t d[2];
    uint8_t q[16];
} block_iq4_nl;

static inline void iq4_nl_decode(const block_iq4_nl *restrict b, float *restrict y) {
    float d = half_load(b->d);
    for (int j = 0; j < 16; j++) {
        y[j] = d * (float)codebook_iq4[b->q[j] & 15];
        y[j + 16] = d * (float)codebook_iq4[b->q[j] >> 4];
    }
}

#endif
