// Vector primitives for Advanced SIMD of 64-bit ARM with dot products: four lanes. neon_i8mm.h
// takes all of it.
#ifndef INGOT_KERNELS_VEC_H
#define INGOT_KERNELS_VEC_H

#include <arm_neon.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "kernels/vec/inline.h"
#include "quant/quant.h"

#ifndef VEC_NAME
#define VEC_NAME neon_dotprod
#endif
#define VEC_LANES 4

typedef float32x4_t vec;

INLINE vec vec_load(const float *p) {
    return vld1q_f32(p);
}

INLINE void vec_store(float *p, vec a) {
    vst1q_f32(p, a);
}

INLINE vec vec_set1(float x) {
    return vdupq_n_f32(x);
}

INLINE vec vec_mul(vec a, vec b) {
    return vmulq_f32(a, b);
}

INLINE vec vec_add(vec a, vec b) {
    return vaddq_f32(a, b);
}

INLINE vec vec_fma(vec a, vec b, vec c) {
    return vfmaq_f32(c, a, b);
}

INLINE float scalar_fma(float a, float b, float c) {
    return fmaf(a, b, c);
}

#define VEC_DOUBLES 2
typedef float64x2_t vec_double;

INLINE vec_double vec_double_load(const double *p) {
    return vld1q_f64(p);
}

INLINE void vec_double_store(double *p, vec_double a) {
    vst1q_f64(p, a);
}

// No rounding but that of the sums: the square of a float is a double.
INLINE vec_double vec_double_add_square(vec_double sum, const float *p) {
    const float64x2_t x = vcvt_f64_f32(vld1_f32(p));
    return vfmaq_f64(sum, x, x);
}

INLINE vec vec_load_f16(const uint16_t *p) {
    return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p)));
}

INLINE vec vec_load_bf16(const uint16_t *p) {
    return vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(p), 16));
}

// A half in all lanes.
INLINE vec vec_set1_f16(uint16_t half) {
    return vcvt_f32_f16(vreinterpret_f16_u16(vdup_n_u16(half)));
}

INLINE void vec_store_f16(uint16_t *p, vec a) {
    vst1_u16(p, vreinterpret_u16_f16(vcvt_f16_f32(a)));
}

INLINE vec vec_sub(vec a, vec b) {
    return vsubq_f32(a, b);
}

INLINE vec vec_div(vec a, vec b) {
    return vdivq_f32(a, b);
}

INLINE vec vec_sqrt(vec a) {
    return vsqrtq_f32(a);
}

// As other instruction sets have them: `b` if either is no number, where vmaxq and vminq say so.
INLINE vec vec_max(vec a, vec b) {
    return vbslq_f32(vcgtq_f32(a, b), a, b);
}

INLINE vec vec_min(vec a, vec b) {
    return vbslq_f32(vcltq_f32(a, b), a, b);
}

INLINE vec vec_abs(vec a) {
    return vabsq_f32(a);
}

// x where a < b, else y.
INLINE vec vec_where_less(vec a, vec b, vec x, vec y) {
    return vbslq_f32(vcltq_f32(a, b), x, y);
}

// The first `n` lanes of `a`, the others of `b`.
INLINE vec vec_first(int64_t n, vec a, vec b) {
    const int32_t lanes[VEC_LANES] = {0, 1, 2, 3};
    return vbslq_f32(vcltq_s32(vld1q_s32(lanes), vdupq_n_s32((int32_t)n)), a, b);
}

// ------------------------------------------------------------------------- integers: a lane is a row of
// weights

typedef int32x4_t ivec;

// Both sides of a product are signed.
#define VEC_SIGNED_BIAS_BITS 0

INLINE ivec veci_load(const void *p) {
    return vld1q_s32(p);
}

INLINE void veci_store(void *p, ivec a) {
    vst1q_s32(p, a);
}

INLINE ivec veci_zero(void) {
    return vdupq_n_s32(0);
}

INLINE ivec veci_set1(int32_t x) {
    return vdupq_n_s32(x);
}

INLINE ivec veci_add(ivec a, ivec b) {
    return vaddq_s32(a, b);
}

INLINE ivec veci_sub(ivec a, ivec b) {
    return vsubq_s32(a, b);
}

INLINE ivec veci_mul(ivec a, ivec b) {
    return vmulq_s32(a, b);
}

INLINE ivec veci_max(ivec a, ivec b) {
    return vmaxq_s32(a, b);
}

INLINE ivec veci_and(ivec a, ivec b) {
    return vandq_s32(a, b);
}

INLINE ivec veci_or(ivec a, ivec b) {
    return vorrq_s32(a, b);
}

// Shifts by an immediate number want it as a constant in the source, which `n` is only once it is inlined: so
// these are the compiler's own operators.
INLINE ivec veci_shl(ivec a, int n) {
    return vreinterpretq_s32_u32(vreinterpretq_u32_s32(a) << (uint32_t)n);
}

INLINE ivec veci_shr(ivec a, int n) {
    return vreinterpretq_s32_u32(vreinterpretq_u32_s32(a) >> (uint32_t)n);
}

INLINE ivec veci_sar(ivec a, int n) {
    return a >> n;
}

INLINE vec veci_to_float(ivec a) {
    return vcvtq_f32_s32(a);
}

INLINE vec veci_as_float(ivec a) {
    return vreinterpretq_f32_s32(a);
}

INLINE ivec vec_round(vec a) {
    return vcvtnq_s32_f32(a);
}

// The low 16 bits of each lane as a half.
INLINE vec veci_half(ivec a) {
    return vcvt_f32_f16(vreinterpret_f16_s16(vmovn_s32(a)));
}

// The lowest byte of each lane, VEC_LANES bytes in all.
INLINE void veci_store_bytes(void *p, ivec a) {
    int16x4_t words = vmovn_s32(a);
    uint32_t bytes = vget_lane_u32(vreinterpret_u32_s8(vmovn_s16(vcombine_s16(words, words))), 0);
    memcpy(p, &bytes, sizeof bytes);
}

// Every byte of `codes` (0 to 15) replaced by that of the table, which is the same sixteen bytes in every
// lane of four.
INLINE ivec veci_table(const int8_t table[16]) {
    return vreinterpretq_s32_s8(vld1q_s8(table));
}

INLINE ivec veci_lookup(ivec table, ivec codes) {
    return vreinterpretq_s32_s8(vqtbl1q_s8(vreinterpretq_s8_s32(table), vreinterpretq_u8_s32(codes)));
}

// Signed bytes as veci_dot_signed takes them.
INLINE ivec veci_signed(ivec a) {
    return a;
}

// acc + the sums of four products of bytes: unsigned codes below 128 with signed activations.
INLINE ivec veci_dot_unsigned(ivec acc, ivec codes, ivec x) {
    return vdotq_s32(acc, vreinterpretq_s8_s32(codes), vreinterpretq_s8_s32(x));
}

INLINE ivec veci_dot_signed(ivec acc, ivec codes, ivec x) {
    return veci_dot_unsigned(acc, codes, x);
}

// acc + the sums of two products of signed 16-bit numbers.
INLINE ivec veci_dot16(ivec acc, ivec a, ivec b) {
    int16x8_t x = vreinterpretq_s16_s32(a), y = vreinterpretq_s16_s32(b);
    int32x4_t low = vmull_s16(vget_low_s16(x), vget_low_s16(y)), high = vmull_high_s16(x, y);
    return vaddq_s32(acc, vpaddq_s32(low, high));
}

INLINE ivec veci_xor(ivec a, ivec b) {
    return veorq_s32(a, b);
}

// VEC_LANES signed bytes, one for each lane.
INLINE ivec veci_load_bytes(const void *p) {
    int32_t four;
    memcpy(&four, p, sizeof four);
    int8x8_t bytes = vreinterpret_s8_s32(vdup_n_s32(four));
    return vmovl_s16(vget_low_s16(vmovl_s8(bytes)));
}

// Bytes of every lane of four, chosen by their numbers within it.
INLINE ivec veci_bytes(ivec a, int b0, int b1, int b2, int b3) {
    uint32_t order = (uint32_t)b0 | (uint32_t)b1 << 8 | (uint32_t)b2 << 16 | (uint32_t)b3 << 24;
    const uint32_t lanes[4] = {order, order + 0x04040404, order + 0x08080808, order + 0x0c0c0c0c};
    uint8x16_t index = vreinterpretq_u8_u32(vld1q_u32(lanes));
    return vreinterpretq_s32_u8(vqtbl1q_u8(vreinterpretq_u8_s32(a), index));
}

// A set of bytes.
typedef ivec bytemask;

// Where bits 4 i to 4 i + 3 of each lane are set: a bit for each of its bytes, the first in the lowest.
INLINE bytemask veci_bits(ivec a, int n) {
    ivec four = vandq_s32(veci_shr(a, 4 * n), vdupq_n_s32(15));
    ivec bits = vandq_s32(vmulq_s32(four, vdupq_n_s32(0x00204081)), vdupq_n_s32(0x01010101));
    return vmulq_s32(bits, vdupq_n_s32(255));
}

// a | b in those bytes, a in the others.
INLINE ivec veci_or_where(bytemask where, ivec a, ivec b) {
    return vorrq_s32(a, vandq_s32(where, b));
}

// 128 - a in those bytes, a (1 to 127) in the others.
INLINE ivec veci_mirror_where(bytemask where, ivec a) {
    const uint8x16_t codes = vreinterpretq_u8_s32(a);
    return vreinterpretq_s32_u8(
        vbslq_u8(vreinterpretq_u8_s32(where), vsubq_u8(vdupq_n_u8(128), codes), codes));
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
    const uint8x16_t q = vreinterpretq_u8_s32(*bytes);
    const uint8x16_t minus = vaddq_u8(vcgeq_u8(q, vdupq_n_u8(86)), vcgeq_u8(q, vdupq_n_u8(171)));
    *bytes = vreinterpretq_s32_u8(vaddq_u8(q, vaddq_u8(q, q)));
    return vreinterpretq_s32_u8(vsubq_u8(vdupq_n_u8(0), minus));
}

// Entries of a table of 2^bits 16-bit numbers (bits: 8 or 9): those that the 2 * VEC_LANES numbers at `at`
// name.
INLINE ivec veci_entries(const uint16_t *table, int bits, const uint16_t *at) {
    (void)bits;
    uint16x8_t r = vld1q_dup_u16(table + at[0]);
    r = vld1q_lane_u16(table + at[1], r, 1);
    r = vld1q_lane_u16(table + at[2], r, 2);
    r = vld1q_lane_u16(table + at[3], r, 3);
    r = vld1q_lane_u16(table + at[4], r, 4);
    r = vld1q_lane_u16(table + at[5], r, 5);
    r = vld1q_lane_u16(table + at[6], r, 6);
    r = vld1q_lane_u16(table + at[7], r, 7);
    return vreinterpretq_s32_u16(r);
}

// Turns words i of a to d into out[i].
INLINE void turn4(ivec a, ivec b, ivec c, ivec d, ivec out[4]) {
    int64x2_t ab_low = vreinterpretq_s64_s32(vzip1q_s32(a, b));
    int64x2_t ab_high = vreinterpretq_s64_s32(vzip2q_s32(a, b));
    int64x2_t cd_low = vreinterpretq_s64_s32(vzip1q_s32(c, d));
    int64x2_t cd_high = vreinterpretq_s64_s32(vzip2q_s32(c, d));
    out[0] = vreinterpretq_s32_s64(vzip1q_s64(ab_low, cd_low));
    out[1] = vreinterpretq_s32_s64(vzip2q_s64(ab_low, cd_low));
    out[2] = vreinterpretq_s32_s64(vzip1q_s64(ab_high, cd_high));
    out[3] = vreinterpretq_s32_s64(vzip2q_s64(ab_high, cd_high));
}

// Four words of each row: lane r of out[i] is the i-th at p + r * stride.
INLINE void veci_load4(const uint8_t *p, int64_t stride, ivec out[4]) {
    turn4(vreinterpretq_s32_u8(vld1q_u8(p)), vreinterpretq_s32_u8(vld1q_u8(p + stride)),
          vreinterpretq_s32_u8(vld1q_u8(p + 2 * stride)), vreinterpretq_s32_u8(vld1q_u8(p + 3 * stride)),
          out);
}

// Eight words of each row, as veci_load4 has four.
INLINE void veci_load8(const uint8_t *p, int64_t stride, ivec out[8]) {
    veci_load4(p, stride, out);
    veci_load4(p + 16, stride, out + 4);
}

// Entries of eight bytes, two of each row: lane r of out[0] and out[1] has the words of that which first[2 r]
// names, of out[2] and out[3] that of second[2 r].
INLINE void veci_entries8(const uint64_t *table, const uint16_t *first, const uint16_t *second, ivec out[4]) {
    ivec pair[4];
    for (int i = 0; i < 4; i++)
        pair[i] = vreinterpretq_s32_u64(
            vld1q_lane_u64(table + second[2 * i], vld1q_dup_u64(table + first[2 * i]), 1));
    turn4(pair[0], pair[1], pair[2], pair[3], out);
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

INLINE void vec_prefetch(const void *p) {
    __builtin_prefetch(p, 0, 2);
}

#endif
