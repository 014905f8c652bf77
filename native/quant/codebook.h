// The value tables that block formats index into. codebook.c is written by make_codebook.py.
#ifndef INGOT_QUANT_CODEBOOK_H
#define INGOT_QUANT_CODEBOOK_H

#include "quant/scalar.h"

// Grids: an entry holds what neighbouring weights are, one per byte, the first weight in the lowest.
// Magnitudes have 64 added, so that with their signs they still are bytes below 128.
extern const uint64_t codebook_iq1[2048]; // 8 weights of -1, 0, 1: 9, 17, 25, which is 16 + 8 (weight + 1/8)
extern const uint64_t codebook_iq2_xxs[256]; // 8 magnitudes of 8, 25, 43
extern const uint64_t codebook_iq2_xs[512];
extern const uint64_t codebook_iq2_s[1024];
extern const uint32_t codebook_iq3_xxs[256]; // 4 magnitudes of 4, 12, ... 52, 62
extern const uint32_t codebook_iq3_s[512];   // 4 magnitudes of 1, 3, ... 15

// Those of four weights as codes of four bits, the first weight's lowest: n for the n-th magnitude above.
extern const uint16_t codebook_iq3_xxs_codes[256];
extern const uint16_t codebook_iq3_s_codes[512];

// The sixteen values of a 4-bit code.
extern const int8_t codebook_iq4[16];  // non-uniform (IQ4_NL and IQ4_XS)
extern const int8_t codebook_e2m1[16]; // twice the value of a 4-bit float: sign, 2 exponent, 1 mantissa bits

// Signs of 8 weights from the 7 that are stored: the number of negative ones is even.
static inline uint8_t codebook_signs(uint32_t seven) {
    return (uint8_t)(seven | (0x6996u >> ((seven ^ seven >> 4) & 15) & 1) << 7);
}

// The 8 weights of a grid's magnitudes: negative are those with a bit in `signs`.
static inline void codebook_sign8(uint64_t magnitudes, uint8_t signs, int8_t *restrict values) {
    // A negative one is its complement and 1; no carry leaves a byte since none is 0.
    uint64_t negative = bits_spread(signs);
    uint64_t word = (magnitudes - UINT64_C(0x4040404040404040)) ^ negative * 255;
    word += negative;
    memcpy(values, &word, 8);
}

#endif
