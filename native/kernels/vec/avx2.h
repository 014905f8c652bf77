// Vector primitives for AVX2 with FMA and F16C: eight lanes. avxvnni.h takes all but the dot products.
#ifndef INGOT_KERNELS_VEC_H
#define INGOT_KERNELS_VEC_H

#include <immintrin.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "kernels/vec/inline.h"
#include "kernels/vec/x86.h"
#include "quant/quant.h"

#ifndef VEC_NAME
#define VEC_NAME avx2
#endif
#define VEC_LANES   8
#define VEC_COLUMNS 4

typedef __m256 vec;

INLINE vec vec_load(const float *p) {
    return _mm256_loadu_ps(p);
}

INLINE void vec_store(float *p, vec a) {
    _mm256_storeu_ps(p, a);
}

INLINE vec vec_set1(float x) {
    return _mm256_set1_ps(x);
}

INLINE vec vec_mul(vec a, vec b) {
    return _mm256_mul_ps(a, b);
}

INLINE vec vec_add(vec a, vec b) {
    return _mm256_add_ps(a, b);
}

INLINE vec vec_fma(vec a, vec b, vec c) {
    return _mm256_fmadd_ps(a, b, c);
}

INLINE float scalar_fma(float a, float b, float c) {
    return fmaf(a, b, c);
}

#define VEC_DOUBLES 4
typedef __m256d vec_double;

INLINE vec_double vec_double_load(const double *p) {
    return _mm256_loadu_pd(p);
}

INLINE void vec_double_store(double *p, vec_double a) {
    _mm256_storeu_pd(p, a);
}

// No rounding but that of the sums: the square of a float is a double.
INLINE vec_double vec_double_add_square(vec_double sum, const float *p) {
    const __m256d x = _mm256_cvtps_pd(_mm_loadu_ps(p));
    return _mm256_fmadd_pd(x, x, sum);
}

INLINE vec vec_load_f16(const uint16_t *p) {
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)p));
}

INLINE vec vec_load_bf16(const uint16_t *p) {
    return _mm256_castsi256_ps(
        _mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)(const void *)p)), 16));
}

// A half in all lanes.
INLINE vec vec_set1_f16(uint16_t half) {
    return _mm256_cvtph_ps(_mm_set1_epi16((int16_t)half));
}

INLINE void vec_store_f16(uint16_t *p, vec a) {
    _mm_storeu_si128((__m128i *)(void *)p, _mm256_cvtps_ph(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}

INLINE vec vec_sub(vec a, vec b) {
    return _mm256_sub_ps(a, b);
}

INLINE vec vec_div(vec a, vec b) {
    return _mm256_div_ps(a, b);
}

INLINE vec vec_sqrt(vec a) {
    return _mm256_sqrt_ps(a);
}

INLINE vec vec_max(vec a, vec b) {
    return _mm256_max_ps(a, b);
}

INLINE vec vec_min(vec a, vec b) {
    return _mm256_min_ps(a, b);
}

INLINE vec vec_abs(vec a) {
    return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a);
}

// x where a < b, else y.
INLINE vec vec_where_less(vec a, vec b, vec x, vec y) {
    return _mm256_blendv_ps(y, x, _mm256_cmp_ps(a, b, _CMP_LT_OQ));
}

// The first `n` lanes of `a`, the others of `b`.
INLINE vec vec_first(int64_t n, vec a, vec b) {
    __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    __m256i mask = _mm256_cmpgt_epi32(_mm256_set1_epi32((int32_t)n), lane);
    return _mm256_blendv_ps(b, a, _mm256_castsi256_ps(mask));
}

// ------------------------------------------------------------------------- integers: a lane is a row of
// weights

typedef __m256i ivec;

INLINE ivec veci_load(const void *p) {
    return _mm256_loadu_si256((const __m256i *)p);
}

INLINE void veci_store(void *p, ivec a) {
    _mm256_storeu_si256((__m256i *)p, a);
}

INLINE ivec veci_zero(void) {
    return _mm256_setzero_si256();
}

INLINE ivec veci_set1(int32_t x) {
    return _mm256_set1_epi32(x);
}

INLINE ivec veci_add(ivec a, ivec b) {
    return _mm256_add_epi32(a, b);
}

INLINE ivec veci_sub(ivec a, ivec b) {
    return _mm256_sub_epi32(a, b);
}

INLINE ivec veci_mul(ivec a, ivec b) {
    return _mm256_mullo_epi32(a, b);
}

INLINE ivec veci_max(ivec a, ivec b) {
    return _mm256_max_epi32(a, b);
}

INLINE ivec veci_and(ivec a, ivec b) {
    return _mm256_and_si256(a, b);
}

INLINE ivec veci_or(ivec a, ivec b) {
    return _mm256_or_si256(a, b);
}

INLINE ivec veci_xor(ivec a, ivec b) {
    return _mm256_xor_si256(a, b);
}

INLINE ivec veci_shl(ivec a, int n) {
    return _mm256_slli_epi32(a, n);
}

INLINE ivec veci_shr(ivec a, int n) {
    return _mm256_srli_epi32(a, n);
}

INLINE ivec veci_sar(ivec a, int n) {
    return _mm256_srai_epi32(a, n);
}

INLINE vec veci_to_float(ivec a) {
    return _mm256_cvtepi32_ps(a);
}

INLINE vec veci_as_float(ivec a) {
    return _mm256_castsi256_ps(a);
}

INLINE ivec vec_round(vec a) {
    return _mm256_cvtps_epi32(a);
}

// The low 16 bits of each lane as a half.
INLINE vec veci_half(ivec a) {
    __m256i words = _mm256_and_si256(a, _mm256_set1_epi32(0xffff));
    words = _mm256_permute4x64_epi64(_mm256_packus_epi32(words, words), 0x08);
    return _mm256_cvtph_ps(_mm256_castsi256_si128(words));
}

// VEC_LANES signed bytes, one for each lane.
INLINE ivec veci_load_bytes(const void *p) {
    return _mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)p));
}

// The lowest byte of each lane, VEC_LANES bytes in all.
INLINE void veci_store_bytes(void *p, ivec a) {
    const __m256i low = _mm256_setr_epi8(0, 4, 8, 12, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, 0, 4, 8,
                                         12, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1);
    __m256i bytes = _mm256_shuffle_epi8(a, low);
    __m128i both = _mm_unpacklo_epi32(_mm256_castsi256_si128(bytes), _mm256_extracti128_si256(bytes, 1));
    _mm_storel_epi64((__m128i *)p, both);
}

// Every byte of `codes` (0 to 15) replaced by that of the table, which is the same sixteen bytes in every
// lane of four.
INLINE ivec veci_table(const int8_t table[16]) {
    return _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)table));
}

INLINE ivec veci_lookup(ivec table, ivec codes) {
    return _mm256_shuffle_epi8(table, codes);
}

// Bytes of every lane of four, chosen by their numbers within it.
INLINE ivec veci_bytes(ivec a, int b0, int b1, int b2, int b3) {
    const int32_t order = b0 | b1 << 8 | b2 << 16 | b3 << 24;
    return _mm256_shuffle_epi8(a, _mm256_broadcastsi128_si256(_mm_setr_epi32(
                                      order, order + 0x04040404, order + 0x08080808, order + 0x0c0c0c0c)));
}

// A set of bytes.
typedef __m256i bytemask;

// Where bits 4 i to 4 i + 3 of each lane are set: a bit for each of its bytes, the first in the lowest.
INLINE bytemask veci_bits(ivec a, int i) {
    const __m256i bits = _mm256_set1_epi32((int32_t)(i % 2 ? 0x80402010 : 0x08040201));
    return _mm256_cmpeq_epi8(_mm256_and_si256(veci_bytes(a, i / 2, i / 2, i / 2, i / 2), bits), bits);
}

// a | b in those bytes, a in the others.
INLINE ivec veci_or_where(bytemask where, ivec a, ivec b) {
    return _mm256_or_si256(a, _mm256_and_si256(where, b));
}

// 128 - a in those bytes, a (1 to 127) in the others.
INLINE ivec veci_mirror_where(bytemask where, ivec a) {
    return _mm256_blendv_epi8(a, _mm256_sub_epi8(_mm256_set1_epi8(-128), a), where);
}

// A set of lanes.
typedef ivec lanemask;

// Where bit `bit` is set.
INLINE lanemask veci_bit(ivec a, int bit) {
    return veci_sar(veci_shl(a, 31 - bit), 31);
}

// a - b in those lanes, a in the others.
INLINE ivec veci_sub_where(lanemask where, ivec a, ivec b) {
    return veci_sub(a, veci_and(where, b));
}

// Bytes are fractions of 256: takes the next digit of base three of each of them out.
INLINE ivec veci_next_digit(ivec *bytes) {
    // Three quarters of the byte, about: from 86 on at least 64, from 171 on at least 128.
    const __m256i q = *bytes, less = _mm256_subs_epu8(q, _mm256_set1_epi8(1));
    const __m256i more = _mm256_avg_epu8(less, _mm256_avg_epu8(less, _mm256_setzero_si256()));
    *bytes = _mm256_add_epi8(q, _mm256_add_epi8(q, q));
    return _mm256_and_si256(_mm256_srli_epi32(more, 6), _mm256_set1_epi8(3));
}

// Entries of a table of 2^bits 16-bit numbers (bits: 8 or 9): those that the 2 * VEC_LANES numbers at `at`
// name.
INLINE ivec veci_entries(const uint16_t *table, int bits, const uint16_t *at) {
    (void)bits;
    __asm__("" : "+r"(at)); // the stored numbers are read, not taken out of registers
    return _mm256_inserti128_si256(_mm256_castsi128_si256(eight_entries(table, at)),
                                   eight_entries(table, at + 8), 1);
}

#ifdef VEC_DPBUSD

// Signed bytes are the unsigned side of a product with 128 added.
#define VEC_SIGNED_BIAS_BITS 7

// Signed bytes as veci_dot_signed takes them.
INLINE ivec veci_signed(ivec a) {
    return _mm256_xor_si256(a, _mm256_set1_epi32((int32_t)0x80808080));
}

// acc + the sums of four products of bytes: unsigned codes below 128 with signed activations.
INLINE ivec veci_dot_unsigned(ivec acc, ivec codes, ivec x) {
    return VEC_DPBUSD(acc, codes, x);
}

INLINE ivec veci_dot_signed(ivec acc, ivec codes, ivec x) {
    return VEC_DPBUSD(acc, codes, x);
}

// acc + the sums of two products of signed 16-bit numbers.
INLINE ivec veci_dot16(ivec acc, ivec a, ivec b) {
    return VEC_DPWSSD(acc, a, b);
}

#else

// Products are first summed in 16 bits, and by themselves as long as they fit.
#define VEC_DOT_PAIRS

// Sums of two products of bytes: unsigned codes below 128 with signed activations can't saturate.
INLINE ivec veci_pairs(ivec codes, ivec x) {
    return _mm256_maddubs_epi16(codes, x);
}

INLINE ivec veci_pairs_signed(ivec codes, ivec x) {
    return _mm256_maddubs_epi16(_mm256_abs_epi8(codes), _mm256_sign_epi8(x, codes));
}

INLINE ivec veci_add16(ivec a, ivec b) {
    return _mm256_add_epi16(a, b);
}

INLINE ivec veci_add_pairs(ivec acc, ivec pairs) {
    return _mm256_add_epi32(acc, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}

// Signed bytes stay as they are: the product takes their sign to the other side.
#define VEC_SIGNED_BIAS_BITS 0

// Signed bytes as veci_dot_signed takes them.
INLINE ivec veci_signed(ivec a) {
    return a;
}

// acc + the sums of two products of signed 16-bit numbers.
INLINE ivec veci_dot16(ivec acc, ivec a, ivec b) {
    return _mm256_add_epi32(acc, _mm256_madd_epi16(a, b));
}

#endif

INLINE __m256i rows_half(const uint8_t *p, int64_t stride) {
    __m128i low = _mm_loadu_si128((const __m128i *)(const void *)p);
    __m128i high = _mm_loadu_si128((const __m128i *)(const void *)(p + 4 * stride));
    return _mm256_inserti128_si256(_mm256_castsi128_si256(low), high, 1);
}

// Turns words i of rows a to d, in either lane of four, into out[i].
INLINE void turn4(__m256i a, __m256i b, __m256i c, __m256i d, ivec out[4]) {
    __m256i ab_low = _mm256_unpacklo_epi32(a, b), ab_high = _mm256_unpackhi_epi32(a, b);
    __m256i cd_low = _mm256_unpacklo_epi32(c, d), cd_high = _mm256_unpackhi_epi32(c, d);
    out[0] = _mm256_unpacklo_epi64(ab_low, cd_low);
    out[1] = _mm256_unpackhi_epi64(ab_low, cd_low);
    out[2] = _mm256_unpacklo_epi64(ab_high, cd_high);
    out[3] = _mm256_unpackhi_epi64(ab_high, cd_high);
}

// Four words of each row: lane r of out[i] is the i-th at p + r * stride.
INLINE void veci_load4(const uint8_t *p, int64_t stride, ivec out[4]) {
    turn4(rows_half(p, stride), rows_half(p + stride, stride), rows_half(p + 2 * stride, stride),
          rows_half(p + 3 * stride, stride), out);
}

// Eight words of each row, as veci_load4 has four.
INLINE void veci_load8(const uint8_t *p, int64_t stride, ivec out[8]) {
    veci_load4(p, stride, out);
    veci_load4(p + 16, stride, out + 4);
}

// Entries of eight bytes, two of each row: lane r of out[0] and out[1] has the words of that which first[2 r]
// names, of out[2] and out[3] that of second[2 r].
INLINE void veci_entries8(const uint64_t *table, const uint16_t *first, const uint16_t *second, ivec out[4]) {
    __m256i quads[4];
    __asm__("" : "+r"(first), "+r"(second)); // the stored numbers are read, not taken out of registers
    for (int i = 0; i < 4; i++) {
        quads[i] = _mm256_castsi128_si256(two_entries(table, first[2 * i], second[2 * i]));
        quads[i] =
            _mm256_inserti128_si256(quads[i], two_entries(table, first[2 * i + 8], second[2 * i + 8]), 1);
    }
    turn4(quads[0], quads[1], quads[2], quads[3], out);
}

// One word of each row.
INLINE ivec veci_load1(const uint8_t *p, int64_t stride) {
    int32_t words[VEC_LANES];
    for (int r = 0; r < VEC_LANES; r++)
        memcpy(&words[r], p + r * stride, 4);
    return veci_load(words);
}

// Two words of each row.
INLINE void veci_load2(const uint8_t *p, int64_t stride, ivec out[2]) {
    out[0] = veci_load1(p, stride);
    out[1] = veci_load1(p + 4, stride);
}

#endif
