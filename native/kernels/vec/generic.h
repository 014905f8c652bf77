// Vector primitives in plain C: eight lanes, which compilers turn into whatever the baseline has.
#ifndef INGOT_KERNELS_VEC_H
#define INGOT_KERNELS_VEC_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "kernels/vec/inline.h"
#include "quant/quant.h"
#include "quant/scalar.h"

#define VEC_NAME  generic
#define VEC_LANES 8
#ifndef VEC_ANY_WIDTH
#define VEC_ANY_WIDTH
#endif

typedef struct vec {
    float lane[VEC_LANES];
} vec;

INLINE vec vec_load(const float *p) {
    vec r;
    memcpy(&r, p, sizeof r);
    return r;
}

INLINE void vec_store(float *p, vec a) {
    for (int i = 0; i < VEC_LANES; i++)
        p[i] = a.lane[i];
}

INLINE vec vec_set1(float x) {
    vec r;
    for (int i = 0; i < VEC_LANES; i++)
        r.lane[i] = x;
    return r;
}

INLINE vec vec_mul(vec a, vec b) {
    for (int i = 0; i < VEC_LANES; i++)
        a.lane[i] *= b.lane[i];
    return a;
}

INLINE vec vec_add(vec a, vec b) {
    for (int i = 0; i < VEC_LANES; i++)
        a.lane[i] += b.lane[i];
    return a;
}

// a * b + c; here, and only here, rounded twice.
INLINE vec vec_fma(vec a, vec b, vec c) {
    return vec_add(vec_mul(a, b), c);
}

INLINE float scalar_fma(float a, float b, float c) {
    return a * b + c;
}

#define VEC_DOUBLES 1
typedef double vec_double;

INLINE vec_double vec_double_load(const double *p) {
    return *p;
}

INLINE void vec_double_store(double *p, vec_double a) {
    *p = a;
}

// No rounding but that of the sums: the square of a float is a double.
INLINE vec_double vec_double_add_square(vec_double sum, const float *p) {
    return sum + (double)*p * (double)*p;
}

INLINE vec vec_load_f16(const uint16_t *p) {
    vec r;
    for (int i = 0; i < VEC_LANES; i++)
        r.lane[i] = half_decode(load_u16((const uint8_t *)(p + i)));
    return r;
}

INLINE vec vec_load_bf16(const uint16_t *p) {
    vec r;
    for (int i = 0; i < VEC_LANES; i++)
        r.lane[i] = bfloat_decode(load_u16((const uint8_t *)(p + i)));
    return r;
}

// A half in all lanes.
INLINE vec vec_set1_f16(uint16_t half) {
    return vec_set1(half_decode(half));
}

INLINE void vec_store_f16(uint16_t *p, vec a) {
    for (int i = 0; i < VEC_LANES; i++)
        p[i] = half_encode(a.lane[i]);
}

INLINE vec vec_sub(vec a, vec b) {
    for (int i = 0; i < VEC_LANES; i++)
        a.lane[i] = a.lane[i] - b.lane[i];
    return a;
}

INLINE vec vec_div(vec a, vec b) {
    for (int i = 0; i < VEC_LANES; i++)
        a.lane[i] = a.lane[i] / b.lane[i];
    return a;
}

INLINE vec vec_sqrt(vec a) {
    for (int i = 0; i < VEC_LANES; i++)
        a.lane[i] = sqrtf(a.lane[i]);
    return a;
}

INLINE vec vec_max(vec a, vec b) {
    for (int i = 0; i < VEC_LANES; i++)
        a.lane[i] = a.lane[i] > b.lane[i] ? a.lane[i] : b.lane[i];
    return a;
}

INLINE vec vec_min(vec a, vec b) {
    for (int i = 0; i < VEC_LANES; i++)
        a.lane[i] = a.lane[i] < b.lane[i] ? a.lane[i] : b.lane[i];
    return a;
}

INLINE vec vec_abs(vec a) {
    for (int i = 0; i < VEC_LANES; i++)
        a.lane[i] = fabsf(a.lane[i]);
    return a;
}

// x where a < b, else y.
INLINE vec vec_where_less(vec a, vec b, vec x, vec y) {
    for (int i = 0; i < VEC_LANES; i++)
        y.lane[i] = a.lane[i] < b.lane[i] ? x.lane[i] : y.lane[i];
    return y;
}

// The first `n` lanes of `a`, the others of `b`.
INLINE vec vec_first(int64_t n, vec a, vec b) {
    for (int i = 0; i < VEC_LANES; i++)
        a.lane[i] = i < n ? a.lane[i] : b.lane[i];
    return a;
}

// ------------------------------------------------------------------------- integers: a lane is a row of
// weights

typedef struct ivec {
    int32_t lane[VEC_LANES];
} ivec;

#define VEC_SIGNED_BIAS_BITS 0

INLINE ivec veci_load(const void *p) {
    ivec r;
    memcpy(&r, p, sizeof r);
    return r;
}

INLINE void veci_store(void *p, ivec a) {
    memcpy(p, &a, sizeof a);
}

INLINE ivec veci_set1(int32_t x) {
    ivec r;
    for (int i = 0; i < VEC_LANES; i++)
        r.lane[i] = x;
    return r;
}

INLINE ivec veci_zero(void) {
    return veci_set1(0);
}

INLINE ivec veci_add(ivec a, ivec b) {
    for (int i = 0; i < VEC_LANES; i++)
        a.lane[i] = (int32_t)((uint32_t)a.lane[i] + (uint32_t)b.lane[i]);
    return a;
}

INLINE ivec veci_sub(ivec a, ivec b) {
    for (int i = 0; i < VEC_LANES; i++)
        a.lane[i] = (int32_t)((uint32_t)a.lane[i] - (uint32_t)b.lane[i]);
    return a;
}

INLINE ivec veci_mul(ivec a, ivec b) {
    for (int i = 0; i < VEC_LANES; i++)
        a.lane[i] = (int32_t)((uint32_t)a.lane[i] * (uint32_t)b.lane[i]);
    return a;
}

INLINE ivec veci_max(ivec a, ivec b) {
    for (int i = 0; i < VEC_LANES; i++)
        a.lane[i] = a.lane[i] > b.lane[i] ? a.lane[i] : b.lane[i];
    return a;
}

INLINE ivec veci_and(ivec a, ivec b) {
    for (int i = 0; i < VEC_LANES; i++)
        a.lane[i] = a.lane[i] & b.lane[i];
    return a;
}

INLINE ivec veci_or(ivec a, ivec b) {
    for (int i = 0; i < VEC_LANES; i++)
        a.lane[i] = a.lane[i] | b.lane[i];
    return a;
}

INLINE ivec veci_xor(ivec a, ivec b) {
    for (int i = 0; i < VEC_LANES; i++)
        a.lane[i] = a.lane[i] ^ b.lane[i];
    return a;
}

INLINE ivec veci_shl(ivec a, int n) {
    for (int i = 0; i < VEC_LANES; i++)
        a.lane[i] = (int32_t)((uint32_t)a.lane[i] << n);
    return a;
}

INLINE ivec veci_shr(ivec a, int n) {
    for (int i = 0; i < VEC_LANES; i++)
        a.lane[i] = (int32_t)((uint32_t)a.lane[i] >> n);
    return a;
}

INLINE ivec veci_sar(ivec a, int n) {
    for (int i = 0; i < VEC_LANES; i++)
        a.lane[i] = a.lane[i] >> n;
    return a;
}

INLINE vec veci_to_float(ivec a) {
    vec r;
    for (int i = 0; i < VEC_LANES; i++)
        r.lane[i] = (float)a.lane[i];
    return r;
}

INLINE vec veci_as_float(ivec a) {
    vec r;
    memcpy(&r, &a, sizeof r);
    return r;
}

INLINE ivec vec_round(vec a) {
    ivec r;
    for (int i = 0; i < VEC_LANES; i++)
        r.lane[i] = (int32_t)lrintf(a.lane[i]);
    return r;
}

// The low 16 bits of each lane as a half.
INLINE vec veci_half(ivec a) {
    vec r;
    for (int i = 0; i < VEC_LANES; i++)
        r.lane[i] = half_decode((uint16_t)a.lane[i]);
    return r;
}

// VEC_LANES signed bytes, one for each lane.
INLINE ivec veci_load_bytes(const void *p) {
    ivec r;
    for (int i = 0; i < VEC_LANES; i++)
        r.lane[i] = ((const int8_t *)p)[i];
    return r;
}

// The lowest byte of each lane, VEC_LANES bytes in all.
INLINE void veci_store_bytes(void *p, ivec a) {
    for (int i = 0; i < VEC_LANES; i++)
        ((uint8_t *)p)[i] = (uint8_t)a.lane[i];
}

// Every byte of `codes` (0 to 15) replaced by that of the table, which is the same sixteen bytes in every
// lane of four.
INLINE ivec veci_table(const int8_t table[16]) {
    ivec r;
    for (int i = 0; i < VEC_LANES; i += 4)
        memcpy(&r.lane[i], table, 16);
    return r;
}

INLINE ivec veci_lookup(ivec table, ivec codes) {
    const int8_t *bytes = (const int8_t *)table.lane;
    uint8_t out[4 * VEC_LANES];
    memcpy(out, &codes, sizeof out);
    for (int i = 0; i < 4 * VEC_LANES; i++)
        out[i] = (uint8_t)bytes[out[i] & 15];
    memcpy(&codes, out, sizeof out);
    return codes;
}

// Bytes of every lane of four, chosen by their numbers within it.
INLINE ivec veci_bytes(ivec a, int b0, int b1, int b2, int b3) {
    for (int i = 0; i < VEC_LANES; i++) {
        uint32_t x = (uint32_t)a.lane[i];
        a.lane[i] = (int32_t)((x >> 8 * b0 & 255) | (x >> 8 * b1 & 255) << 8 | (x >> 8 * b2 & 255) << 16 |
                              (x >> 8 * b3 & 255) << 24);
    }
    return a;
}

// A set of bytes.
typedef ivec bytemask;

// Where bits 4 i to 4 i + 3 of each lane are set: a bit for each of its bytes, the first in the lowest.
INLINE bytemask veci_bits(ivec a, int n) {
    for (int i = 0; i < VEC_LANES; i++) {
        uint32_t four = (uint32_t)a.lane[i] >> 4 * n & 15;
        a.lane[i] = (int32_t)((four * 0x00204081 & 0x01010101) * 255);
    }
    return a;
}

// a | b in those bytes, a in the others.
INLINE ivec veci_or_where(bytemask where, ivec a, ivec b) {
    return veci_or(a, veci_and(where, b));
}

// 128 - a in those bytes, a (1 to 127) in the others.
INLINE ivec veci_mirror_where(bytemask where, ivec a) {
    for (int i = 0; i < VEC_LANES; i++)
        a.lane[i] = (a.lane[i] ^ (where.lane[i] & 0x7f7f7f7f)) + (where.lane[i] & 0x01010101);
    return a;
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
    ivec digits;
    for (int i = 0; i < VEC_LANES; i++) {
        // Bytes two by two, so that each has place for its digit above it.
        uint32_t word = (uint32_t)bytes->lane[i], even = 3 * (word & 0x00ff00ff),
                 odd = 3 * (word >> 8 & 0x00ff00ff);
        bytes->lane[i] = (int32_t)((even & 0x00ff00ff) | (odd & 0x00ff00ff) << 8);
        digits.lane[i] = (int32_t)((even >> 8 & 0x00ff00ff) | (odd & 0xff00ff00));
    }
    return digits;
}

// Entries of a table of 2^bits 16-bit numbers (bits: 8 or 9): those that the 2 * VEC_LANES numbers at `at`
// name.
INLINE ivec veci_entries(const uint16_t *table, int bits, const uint16_t *at) {
    (void)bits;
    uint16_t entry[2 * VEC_LANES];
    for (int i = 0; i < 2 * VEC_LANES; i++)
        entry[i] = table[at[i]];
    return veci_load(entry);
}

// Signed bytes as veci_dot_signed takes them.
INLINE ivec veci_signed(ivec a) {
    return a;
}

// acc + the sums of four products of bytes: unsigned codes below 128 with signed activations.
INLINE ivec veci_dot_signed(ivec acc, ivec codes, ivec x) {
    const int8_t *a = (const int8_t *)codes.lane, *b = (const int8_t *)x.lane;
    for (int i = 0; i < VEC_LANES; i++)
        for (int j = 0; j < 4; j++)
            acc.lane[i] += a[4 * i + j] * b[4 * i + j];
    return acc;
}

INLINE ivec veci_dot_unsigned(ivec acc, ivec codes, ivec x) {
    return veci_dot_signed(acc, codes, x);
}

// acc + the sums of two products of signed 16-bit numbers.
INLINE ivec veci_dot16(ivec acc, ivec a, ivec b) {
    int16_t x[2 * VEC_LANES], y[2 * VEC_LANES];
    memcpy(x, &a, sizeof x);
    memcpy(y, &b, sizeof y);
    for (int i = 0; i < VEC_LANES; i++)
        acc.lane[i] += x[2 * i] * y[2 * i] + x[2 * i + 1] * y[2 * i + 1];
    return acc;
}

// Four words of each row: lane r of out[i] is the i-th at p + r * stride.
INLINE void veci_load4(const uint8_t *p, int64_t stride, ivec out[4]) {
    for (int r = 0; r < VEC_LANES; r++)
        for (int i = 0; i < 4; i++)
            memcpy(&out[i].lane[r], p + r * stride + 4 * i, 4);
}

// Eight words of each row, as veci_load4 has four.
INLINE void veci_load8(const uint8_t *p, int64_t stride, ivec out[8]) {
    veci_load4(p, stride, out);
    veci_load4(p + 16, stride, out + 4);
}

// Entries of eight bytes, two of each row: lane r of out[0] and out[1] has the words of that which first[2 r]
// names, of out[2] and out[3] that of second[2 r].
INLINE void veci_entries8(const uint64_t *table, const uint16_t *first, const uint16_t *second, ivec out[4]) {
    for (int r = 0; r < VEC_LANES; r++) {
        const uint64_t a = table[first[2 * r]], b = table[second[2 * r]];
        out[0].lane[r] = (int32_t)(uint32_t)a;
        out[1].lane[r] = (int32_t)(uint32_t)(a >> 32);
        out[2].lane[r] = (int32_t)(uint32_t)b;
        out[3].lane[r] = (int32_t)(uint32_t)(b >> 32);
    }
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
    (void)p;
}

#endif
