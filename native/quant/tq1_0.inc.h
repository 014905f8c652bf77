// TQ1_0: 256 ternary weights in 54 bytes. A byte holds five base-3 digits (four in the last four bytes) as a
// fraction of 256: multiplying by 3 carries the first digit out on top, the next one after it, and so on.
// Bytes 0 to 31 hold weights j, j + 32, ... j + 128; bytes 32 to 47 weights 160 + j, j + 16, ... j + 64; the
// last four weights 240 + j, j + 4, j + 8, j + 12. Then a half scale `d`. weight = d * (digit - 1).
#ifndef INGOT_QUANT_TQ1_0
#define INGOT_QUANT_TQ1_0

#include "quant/scalar.h"

typedef struct block_tq1_0 {
    uint8_t q[48];
    uint8_t rest[4];
    uint8_t d[2];
} block_tq1_0;

// Digit i of `n` bytes: y[j] of byte j.
static inline void tq1_0_digits(const uint8_t *restrict q, int n, int i, float d, float *restrict y) {
    static const uint8_t power[5] = {1, 3, 9, 27, 81};
    for (int j = 0; j < n; j++) {
        uint8_t fraction = (uint8_t)(q[j] * power[i]);
        y[j] = d * (float)((fraction * 3 >> 8) - 1);
    }
}

static inline void tq1_0_decode(const block_tq1_0 *restrict b, float *restrict y) {
    float d = half_load(b->d);
    for (int i = 0; i < 5; i++)
        tq1_0_digits(b->q, 32, i, d, y + 32 * i);
    for (int i = 0; i < 5; i++)
        tq1_0_digits(b->q + 32, 16, i, d, y + 160 + 16 * i);
    for (int i = 0; i < 4; i++)
        tq1_0_digits(b->rest, 4, i, d, y + 240 + 4 * i);
}

#endif
