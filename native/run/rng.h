// A counter-based generator: a number is a function of its seed and its place, so a sequence's randomness
// depends on nothing else. Philox4x32-10: Salmon et al. 2011, "Parallel Random Numbers: As Easy as 1, 2, 3".
#ifndef INGOT_RUN_RNG_H
#define INGOT_RUN_RNG_H

#include <stdint.h>

// What a number is for.
enum { RNG_DRAW = 0, RNG_XTC = 1 };

// The number for the token at `index` of sample `sample`, uniform in [0, 1) with 53 bits.
static inline double rng_uniform(uint64_t seed, uint64_t index, uint32_t sample, uint32_t use) {
    uint32_t c[4] = {(uint32_t)index, (uint32_t)(index >> 32), sample, use};
    uint32_t k[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
    for (int round = 0; round < 10; round++) {
        uint64_t a = (uint64_t)c[0] * 0xd2511f53u, b = (uint64_t)c[2] * 0xcd9e8d57u;
        uint32_t next[4] = {(uint32_t)(b >> 32) ^ c[1] ^ k[0], (uint32_t)b, (uint32_t)(a >> 32) ^ c[3] ^ k[1],
                            (uint32_t)a};
        for (int i = 0; i < 4; i++)
            c[i] = next[i];
        k[0] += 0x9e3779b9u;
        k[1] += 0xbb67ae85u;
    }
    return (double)(((uint64_t)c[0] << 32 | c[1]) >> 11) * 0x1p-53;
}

#endif
