// What AVX2 and AVX-512 have in common.
#ifndef INGOT_KERNELS_VEC_X86_H
#define INGOT_KERNELS_VEC_X86_H

#include <immintrin.h>
#include <stdint.h>

#include "kernels/vec/inline.h"

INLINE void vec_prefetch(const void *p) {
    _mm_prefetch((const char *)p, _MM_HINT_T1);
}

// Two entries of a table.
INLINE __m128i two_entries(const uint64_t *table, unsigned first, unsigned second) {
    __m128i low = _mm_loadl_epi64((const __m128i *)(const void *)(table + first));
    return _mm_castps_si128(
        _mm_loadh_pi(_mm_castsi128_ps(low), (const __m64 *)(const void *)(table + second)));
}

// Those of a table that the eight numbers at `at` name.
INLINE __m128i eight_entries(const uint16_t *table, const uint16_t *at) {
    __m128i r = _mm_cvtsi32_si128(table[at[0]]);
    r = _mm_insert_epi16(r, table[at[1]], 1);
    r = _mm_insert_epi16(r, table[at[2]], 2);
    r = _mm_insert_epi16(r, table[at[3]], 3);
    r = _mm_insert_epi16(r, table[at[4]], 4);
    r = _mm_insert_epi16(r, table[at[5]], 5);
    r = _mm_insert_epi16(r, table[at[6]], 6);
    return _mm_insert_epi16(r, table[at[7]], 7);
}

#endif
