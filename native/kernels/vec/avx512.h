// Vector primitives for AVX-512 with VNNI: sixteen lanes.
#ifndef INGOT_KERNELS_VEC_H
#define INGOT_KERNELS_VEC_H

#include <immintrin.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "kernels/vec/inline.h"
#include "kernels/vec/x86.h"
#include "quant/quant.h"

#define VEC_NAME    avx512
#define VEC_LANES   16
#define VEC_COLUMNS 4

typedef __m512 vec;

INLINE vec vec_load(const float *p) {
    return _mm512_loadu_ps(p);
}

INLINE void vec_store(float *p, vec a) {
    _mm512_storeu_ps(p, a);
}

INLINE vec vec_set1(float x) {
    return _mm512_set1_ps(x);
}

INLINE vec vec_mul(vec a, vec b) {
    return _mm512_mul_ps(a, b);
}

INLINE vec vec_add(vec a, vec b) {
    return _mm512_add_ps(a, b);
}

INLINE vec vec_fma(vec a, vec b, vec c) {
    return _mm512_fmadd_ps(a, b, c);
}

INLINE float scalar_fma(float a, float b, float c) {
    return fmaf(a, b, c);
}

#define VEC_DOUBLES 8
typedef __m512d vec_double;

INLINE vec_double vec_double_load(const double *p) {
    return _mm512_loadu_pd(p);
}

INLINE void vec_double_store(double *p, vec_double a) {
    _mm512_storeu_pd(p, a);
}

// No rounding but that of the sums: the square of a float is a double.
INLINE vec_double vec_double_add_square(vec_double sum, const float *p) {
    const __m512d x = _mm512_cvtps_pd(_mm256_loadu_ps(p));
    return _mm512_fmadd_pd(x, x, sum);
}

INLINE vec vec_load_f16(const uint16_t *p) {
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)p));
}

INLINE vec vec_load_bf16(const uint16_t *p) {
    return _mm512_castsi512_ps(
        _mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)(const void *)p)), 16));
}

// A half in all lanes.
INLINE vec vec_set1_f16(uint16_t half) {
    return _mm512_cvtph_ps(_mm256_set1_epi16((int16_t)half));
}

INLINE void vec_store_f16(uint16_t *p, vec a) {
    _mm256_storeu_si256((__m256i *)(void *)p,
                        _mm512_cvtps_ph(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}

INLINE vec vec_sub(vec a, vec b) {
    return _mm512_sub_ps(a, b);
}

INLINE vec vec_div(vec a, vec b) {
    return _mm512_div_ps(a, b);
}

INLINE vec vec_sqrt(vec a) {
    return _mm512_sqrt_ps(a);
}

INLINE vec vec_max(vec a, vec b) {
    return _mm512_max_ps(a, b);
}

INLINE vec vec_min(vec a, vec b) {
    return _mm512_min_ps(a, b);
}

INLINE vec vec_abs(vec a) {
    return _mm512_abs_ps(a);
}

// x where a < b, else y.
INLINE vec vec_where_less(vec a, vec b, vec x, vec y) {
    return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, b, _CMP_LT_OQ), y, x);
}

// The first `n` lanes of `a`, the others of `b`.
INLINE vec vec_first(int64_t n, vec a, vec b) {
    return _mm512_mask_blend_ps((__mmask16)((1u << n) - 1), b, a);
}

// ------------------------------------------------------------------------- integers: a lane is a row of
// weights

typedef __m512i ivec;

// Signed bytes are the unsigned side of a product with 128 added.
#define VEC_SIGNED_BIAS_BITS 7

INLINE ivec veci_load(const void *p) {
    return _mm512_loadu_si512(p);
}

INLINE void veci_store(void *p, ivec a) {
    _mm512_storeu_si512(p, a);
}

INLINE ivec veci_zero(void) {
    return _mm512_setzero_si512();
}

INLINE ivec veci_set1(int32_t x) {
    return _mm512_set1_epi32(x);
}

INLINE ivec veci_add(ivec a, ivec b) {
    return _mm512_add_epi32(a, b);
}

INLINE ivec veci_sub(ivec a, ivec b) {
    return _mm512_sub_epi32(a, b);
}

INLINE ivec veci_mul(ivec a, ivec b) {
    return _mm512_mullo_epi32(a, b);
}

INLINE ivec veci_max(ivec a, ivec b) {
    return _mm512_max_epi32(a, b);
}

INLINE ivec veci_and(ivec a, ivec b) {
    return _mm512_and_si512(a, b);
}

INLINE ivec veci_or(ivec a, ivec b) {
    return _mm512_or_si512(a, b);
}

INLINE ivec veci_xor(ivec a, ivec b) {
    return _mm512_xor_si512(a, b);
}

INLINE ivec veci_shl(ivec a, int n) {
    return _mm512_slli_epi32(a, (unsigned)n);
}

INLINE ivec veci_shr(ivec a, int n) {
    return _mm512_srli_epi32(a, (unsigned)n);
}

INLINE ivec veci_sar(ivec a, int n) {
    return _mm512_srai_epi32(a, (unsigned)n);
}

INLINE vec veci_to_float(ivec a) {
    return _mm512_cvtepi32_ps(a);
}

INLINE vec veci_as_float(ivec a) {
    return _mm512_castsi512_ps(a);
}

INLINE ivec vec_round(vec a) {
    return _mm512_cvtps_epi32(a);
}

// The low 16 bits of each lane as a half.
INLINE vec veci_half(ivec a) {
    return _mm512_cvtph_ps(_mm512_cvtepi32_epi16(a));
}

// VEC_LANES signed bytes, one for each lane.
INLINE ivec veci_load_bytes(const void *p) {
    return _mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)p));
}

// The lowest byte of each lane, VEC_LANES bytes in all.
INLINE void veci_store_bytes(void *p, ivec a) {
    _mm_storeu_si128((__m128i *)p, _mm512_cvtepi32_epi8(a));
}

// Every byte of `codes` (0 to 15) replaced by that of the table, which is the same sixteen bytes in every
// lane of four.
INLINE ivec veci_table(const int8_t table[16]) {
    return _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)(const void *)table));
}

INLINE ivec veci_lookup(ivec table, ivec codes) {
    return _mm512_shuffle_epi8(table, codes);
}

// Bytes of every lane of four, chosen by their numbers within it.
INLINE ivec veci_bytes(ivec a, int b0, int b1, int b2, int b3) {
    const int32_t order = b0 | b1 << 8 | b2 << 16 | b3 << 24;
    return _mm512_shuffle_epi8(
        a, _mm512_set4_epi32(order + 0x0c0c0c0c, order + 0x08080808, order + 0x04040404, order));
}

// The name of a table with it.
#define VEC_BF16 avx512_bf16

// sum + the sums of two products of BF16, rounded after each: AVX-512 BF16. The compiler isn't told of it,
// since all else is for CPUs that lack it too.
INLINE vec vec_dot_bf16(vec sum, vec a, vec b) {
    __asm__("vdpbf16ps %2, %1, %0" : "+v"(sum) : "v"(a), "vm"(b));
    return sum;
}

// A set of bytes.
typedef __mmask64 bytemask;

// Where bits 4 i to 4 i + 3 of each lane are set: a bit for each of its bytes, the first in the lowest.
INLINE bytemask veci_bits(ivec a, int i) {
    const uint32_t bits = i % 2 ? 0x80402010 : 0x08040201;
    return _mm512_test_epi8_mask(veci_bytes(a, i / 2, i / 2, i / 2, i / 2), _mm512_set1_epi32((int32_t)bits));
}

// a | b in those bytes, a in the others.
INLINE ivec veci_or_where(bytemask where, ivec a, ivec b) {
    return _mm512_or_si512(a, _mm512_maskz_mov_epi8(where, b));
}

// 128 - a in those bytes, a (1 to 127) in the others.
INLINE ivec veci_mirror_where(bytemask where, ivec a) {
    return _mm512_mask_sub_epi8(a, where, _mm512_set1_epi8(-128), a);
}

// A set of lanes.
typedef __mmask16 lanemask;

// Where bit `bit` is set.
INLINE lanemask veci_bit(ivec a, int bit) {
    return _mm512_test_epi32_mask(a, _mm512_set1_epi32((int32_t)(1u << bit)));
}

// a - b in those lanes, a in the others.
INLINE ivec veci_sub_where(lanemask where, ivec a, ivec b) {
    return _mm512_mask_sub_epi32(a, where, a, b);
}

// Bytes are fractions of 256: takes the next digit of base three of each of them out.
INLINE ivec veci_next_digit(ivec *bytes) {
    const __m512i q = *bytes, one = _mm512_set1_epi8(1);
    const __m512i some = _mm512_maskz_mov_epi8(_mm512_cmpge_epu8_mask(q, _mm512_set1_epi8(86)), one);
    *bytes = _mm512_add_epi8(q, _mm512_add_epi8(q, q));
    return _mm512_mask_add_epi8(some, _mm512_cmpge_epu8_mask(q, _mm512_set1_epi8((char)171)), some, one);
}

// Entries of a table of 2^bits 16-bit numbers (bits: 8 or 9): those that the 2 * VEC_LANES numbers at `at`
// name. All are looked up in sixty-four entries at a time, and the right ones kept.
INLINE ivec veci_entries(const uint16_t *table, int bits, const uint16_t *at) {
    // The table is to be read where it is used: compilers would keep it in registers, and nothing else.
    __asm__ volatile("" : "+r"(table));
    const __m512i each = veci_load(at);
    __m512i part[8];
    int n = 1 << (bits - 6);
    for (int i = 0; i < n; i++)
        part[i] = _mm512_permutex2var_epi16(veci_load(table + 64 * i), each, veci_load(table + 64 * i + 32));
    for (int bit = 6; n > 1; bit++, n /= 2) {
        const __mmask32 upper = _mm512_test_epi16_mask(each, _mm512_set1_epi16((int16_t)(1 << bit)));
        for (int i = 0; i < n / 2; i++)
            part[i] = _mm512_mask_blend_epi16(upper, part[2 * i], part[2 * i + 1]);
    }
    return part[0];
}

// Signed bytes as veci_dot_signed takes them.
INLINE ivec veci_signed(ivec a) {
    return _mm512_xor_si512(a, _mm512_set1_epi32((int32_t)0x80808080));
}

// acc + the sums of four products of bytes: unsigned codes below 128 with signed activations.
INLINE ivec veci_dot_unsigned(ivec acc, ivec codes, ivec x) {
    return _mm512_dpbusd_epi32(acc, codes, x);
}

INLINE ivec veci_dot_signed(ivec acc, ivec codes, ivec x) {
    return _mm512_dpbusd_epi32(acc, codes, x);
}

// acc + the sums of two products of signed 16-bit numbers.
INLINE ivec veci_dot16(ivec acc, ivec a, ivec b) {
    return _mm512_dpwssd_epi32(acc, a, b);
}

// Every fourth row from p on: pointers that the compiler shall hold in registers, and not take apart. Else it
// keeps an address for each row, most of them on the stack.
typedef struct row_quarters {
    const uint8_t *p[4];
} row_quarters;

INLINE row_quarters quarters(const uint8_t *p, int64_t stride) {
    row_quarters q = {{p, p + 4 * stride, p + 8 * stride, p + 12 * stride}};
    __asm__("" : "+r"(q.p[1]), "+r"(q.p[2]), "+r"(q.p[3]));
    return q;
}

INLINE __m512i rows_quarter(row_quarters q, int64_t offset) {
    __m512i r = _mm512_castsi128_si512(_mm_loadu_si128((const __m128i *)(const void *)(q.p[0] + offset)));
    r = _mm512_inserti32x4(r, _mm_loadu_si128((const __m128i *)(const void *)(q.p[1] + offset)), 1);
    r = _mm512_inserti32x4(r, _mm_loadu_si128((const __m128i *)(const void *)(q.p[2] + offset)), 2);
    return _mm512_inserti32x4(r, _mm_loadu_si128((const __m128i *)(const void *)(q.p[3] + offset)), 3);
}

// Turns words i of rows a to d, in every lane of four, into out[i].
INLINE void turn4(__m512i a, __m512i b, __m512i c, __m512i d, ivec out[4]) {
    __m512i ab_low = _mm512_unpacklo_epi32(a, b), ab_high = _mm512_unpackhi_epi32(a, b);
    __m512i cd_low = _mm512_unpacklo_epi32(c, d), cd_high = _mm512_unpackhi_epi32(c, d);
    out[0] = _mm512_unpacklo_epi64(ab_low, cd_low);
    out[1] = _mm512_unpackhi_epi64(ab_low, cd_low);
    out[2] = _mm512_unpacklo_epi64(ab_high, cd_high);
    out[3] = _mm512_unpackhi_epi64(ab_high, cd_high);
}

// Four words of each row: lane r of out[i] is the i-th at p + r * stride.
INLINE void veci_load4(const uint8_t *p, int64_t stride, ivec out[4]) {
    const row_quarters q = quarters(p, stride);
    turn4(rows_quarter(q, 0), rows_quarter(q, stride), rows_quarter(q, 2 * stride),
          rows_quarter(q, 3 * stride), out);
}

INLINE __m512i rows_half(const uint8_t *p, const uint8_t *q, int64_t offset) {
    __m256i low = _mm256_loadu_si256((const __m256i *)(const void *)(p + offset));
    __m256i high = _mm256_loadu_si256((const __m256i *)(const void *)(q + offset));
    return _mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1);
}

// Eight words of each row, as veci_load4 has four.
INLINE void veci_load8(const uint8_t *p, int64_t stride, ivec out[8]) {
    ivec half[2][4]; // of rows: words i and i + 4 of four rows, then of four more
    for (int i = 0; i < 2; i++) {
        const uint8_t *q = p + 8 * i * stride, *r = q + 4 * stride;
        turn4(rows_half(q, r, 0), rows_half(q, r, stride), rows_half(q, r, 2 * stride),
              rows_half(q, r, 3 * stride), half[i]);
    }
    for (int i = 0; i < 4; i++) {
        out[i] = _mm512_shuffle_i32x4(half[0][i], half[1][i], 0x88);
        out[4 + i] = _mm512_shuffle_i32x4(half[0][i], half[1][i], 0xdd);
    }
}

// Entries of eight bytes, two of each row: lane r of out[0] and out[1] has the words of that which first[2 r]
// names, of out[2] and out[3] that of second[2 r].
INLINE void veci_entries8(const uint64_t *table, const uint16_t *first, const uint16_t *second, ivec out[4]) {
    __m512i quads[4];
    __asm__("" : "+r"(first), "+r"(second)); // the stored numbers are read, not taken out of registers
    for (int i = 0; i < 4; i++) {
        quads[i] = _mm512_castsi128_si512(two_entries(table, first[2 * i], second[2 * i]));
        quads[i] = _mm512_inserti32x4(quads[i], two_entries(table, first[2 * i + 8], second[2 * i + 8]), 1);
        quads[i] = _mm512_inserti32x4(quads[i], two_entries(table, first[2 * i + 16], second[2 * i + 16]), 2);
        quads[i] = _mm512_inserti32x4(quads[i], two_entries(table, first[2 * i + 24], second[2 * i + 24]), 3);
    }
    turn4(quads[0], quads[1], quads[2], quads[3], out);
}

// One word of each row.
INLINE ivec veci_load1(const uint8_t *p, int64_t stride) {
    const row_quarters q = quarters(p, stride);
    int32_t words[VEC_LANES];
    for (int r = 0; r < VEC_LANES; r++)
        memcpy(&words[r], q.p[r / 4] + r % 4 * stride, 4);
    return veci_load(words);
}

INLINE __m512i rows_pair(row_quarters q, int64_t offset, int64_t stride) {
    __m128i pair[4];
    for (int i = 0; i < 4; i++) {
        __m128 low = _mm_castsi128_ps(_mm_loadl_epi64((const __m128i *)(const void *)(q.p[i] + offset)));
        pair[i] =
            _mm_castps_si128(_mm_loadh_pi(low, (const __m64 *)(const void *)(q.p[i] + offset + stride)));
    }
    __m512i r = _mm512_inserti32x4(_mm512_castsi128_si512(pair[0]), pair[1], 1);
    return _mm512_inserti32x4(_mm512_inserti32x4(r, pair[2], 2), pair[3], 3);
}

// Two words of each row.
INLINE void veci_load2(const uint8_t *p, int64_t stride, ivec out[2]) {
    const row_quarters q = quarters(p, stride);
    __m512 a = _mm512_castsi512_ps(rows_pair(q, 0, stride));
    __m512 b = _mm512_castsi512_ps(rows_pair(q, 2 * stride, stride));
    out[0] = _mm512_castps_si512(_mm512_shuffle_ps(a, b, 0x88));
    out[1] = _mm512_castps_si512(_mm512_shuffle_ps(a, b, 0xdd));
}

#endif
