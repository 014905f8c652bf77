// The value tables that block formats index into. codebook.c is written by make_codebook.py.
#ifndef INGOT_QUANT_CODEBOOK_H
#define INGOT_QUANT_CODEBOOK_H

#include "quant/scalar.h"

// Grids: an entry holds the values of neighbouring weights, one per byte, the first weight in the lowest.
extern const uint64_t codebook_iq1[2048];    // 8 weights, signed: -1, 0, 1 (IQ1_S and IQ1_M)
extern const uint64_t codebook_iq2_xxs[256]; // 8 magnitudes: 8, 25, 43
extern const uint64_t codebook_iq2_xs[512];
extern const uint64_t codebook_iq2_s[1024];
extern const uint32_t codebook_iq3_xxs[256]; // 4 magnitudes: 4, 12, ... 52, 62
extern const uint32_t codebook_iq3_s[512];   // 4 magnitudes: 1, 3, ... 15

// The same with the weights' codes in 16 bits, the first weight in the lowest: eight codes of two bits, n of
// the n-th value above, or four of four bits.
extern const uint16_t codebook_iq1_packed[2048];
extern const uint16_t codebook_iq2_xxs_packed[256];
extern const uint16_t codebook_iq2_xs_packed[512];
extern const uint16_t codebook_iq2_s_packed[1024];
extern const uint16_t codebook_iq3_xxs_packed[256];
extern const uint16_t codebook_iq3_s_packed[512];

// The sixteen values of a 4-bit code.
extern const int8_t codebook_iq4[16];  // non-uniform (IQ4_NL and IQ4_XS)
extern const int8_t codebook_e2m1[16]; // twice the value of a 4-bit float: sign, 2 exponent, 1 mantissa bits

// Signs of 8 weights from the 7 that are stored: the number of negative ones is even.
static inline uint8_t codebook_signs(uint32_t seven) {
    return (uint8_t)(seven | (0x6996u >> ((seven ^ seven >> 4) & 15) & 1) << 7);
}

// Gives 8 magnitudes (1 to 127) their signs: those with a bit in `signs` are negated within their bytes; no
// carry leaves a byte since none is 0.
static inline void codebook_sign8(uint64_t magnitudes, uint8_t signs, int8_t *restrict values) {
    uint64_t negative = bits_spread(signs);
    uint64_t word = (magnitudes ^ negative * 255) + negative;
    memcpy(values, &word, 8);
}

#endif
