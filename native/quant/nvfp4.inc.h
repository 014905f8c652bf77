// NVFP4: 64 weights in 36 bytes. Four scales, each for 16 weights, then 8 bytes of 4-bit floats for each of
// them: byte j holds weight j in its low and weight j + 8 in its high half. A scale is an unsigned float of 4
// exponent bits (bias 7) and 3 mantissa bits; 127 (a NaN elsewhere) counts as 0, the top bit is ignored
// otherwise. The table holds the floats doubled, so the scale is taken halved.
#ifndef INGOT_QUANT_NVFP4
#define INGOT_QUANT_NVFP4

#include "quant/codebook.h"
#include "quant/scalar.h"

typedef struct block_nvfp4 {
    uint8_t scales[4];
    uint8_t q[32];
} block_nvfp4;

// Half the value of an unsigned E4M3 float.
static inline float ue4m3_half(uint8_t bits) {
    uint32_t exponent = bits >> 3 & 15, mantissa = bits & 7;
    float normal = float_of_bits((exponent + 119) << 23 | mantissa << 20);
    float subnormal = (float)mantissa * 0x1p-10f;
    return bits == 127 ? 0.0f : exponent != 0 ? normal : subnormal;
}

static inline void nvfp4_decode(const block_nvfp4 *restrict b, float *restrict y) {
    for (int i = 0; i < 4; i++) {
        float d = ue4m3_half(b->scales[i]);
        for (int j = 0; j < 8; j++) {
            y[16 * i + j] = d * (float)codebook_e2m1[b->q[8 * i + j] & 15];
            y[16 * i + j + 8] = d * (float)codebook_e2m1[b->q[8 * i + j] >> 4];
        }
    }
}

#endif
