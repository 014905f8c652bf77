// The numbers inside a block: little-endian loads from any alignment, bits, halves, bfloat16.
#ifndef INGOT_QUANT_SCALAR_H
#define INGOT_QUANT_SCALAR_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "GGUF tensors are little-endian and are read in place: this host must be little-endian"
#endif
_Static_assert(sizeof(float) == 4 && sizeof(double) == 8, "IEEE 754 floats are read in place");

static inline uint16_t load_u16(const uint8_t *p) {
    uint16_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline uint32_t load_u32(const uint8_t *p) {
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline uint64_t load_u64(const uint8_t *p) {
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline float float_of_bits(uint32_t bits) {
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

static inline uint32_t bits_of_float(float f) {
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    return bits;
}

// `condition ? yes : no` by masks: compilers won't turn a choice of floating-point results into selects by
// themselves, and loops over halves must vectorise.
static inline uint32_t bits_select(bool condition, uint32_t yes, uint32_t no) {
    uint32_t mask = -(uint32_t)condition;
    return (yes & mask) | (no & ~mask);
}

// The bits of `b` as the lowest bits of eight bytes, the lowest first.
static inline uint64_t bits_spread(uint8_t b) {
    uint64_t kept = b * UINT64_C(0x0101010101010101) & UINT64_C(0x8040201008040201);
    return (kept + UINT64_C(0x7f7f7f7f7f7f7f7f)) >> 7 & UINT64_C(0x0101010101010101);
}

// binary16 to binary32, exact; a NaN keeps its payload and becomes quiet. No operand is subnormal, so that a
// flush-to-zero mode doesn't matter.
static inline float half_decode(uint16_t half) {
    uint32_t magnitude = half & 0x7fffu;
    uint32_t normal = (magnitude << 13) + (112u << 23);
    uint32_t special = (normal + (112u << 23)) | (uint32_t)(magnitude > 0x7c00) << 22;
    uint32_t subnormal = bits_of_float(float_of_bits((magnitude << 13) + (113u << 23)) - 0x1p-14f);
    uint32_t bits = bits_select(magnitude < 0x7c00, normal, special);
    bits = bits_select(magnitude < 0x0400, subnormal, bits);
    return float_of_bits(bits | (half & 0x8000u) << 16);
}

// binary32 to binary16, to nearest even; too large becomes infinite, a NaN keeps its upper payload and
// becomes quiet. Adding a half to a small magnitude makes the adder round it at 2^-24, the unit of subnormal
// halves.
static inline uint16_t half_encode(float value) {
    uint32_t bits = bits_of_float(value);
    uint32_t magnitude = bits & 0x7fffffffu;
    uint32_t subnormal = bits_of_float(float_of_bits(magnitude) + 0.5f) - (126u << 23);
    uint32_t normal = (magnitude - (112u << 23) + 0x0fff + (magnitude >> 13 & 1)) >> 13;
    uint32_t nan = 0x7e00 | (magnitude >> 13 & 0x03ff);
    uint32_t half = bits_select(magnitude < 0x38800000u, subnormal, normal);
    half = bits_select(magnitude >= 0x477ff000u, 0x7c00, half);
    half = bits_select(magnitude > 0x7f800000u, nan, half);
    return (uint16_t)(half | (bits >> 16 & 0x8000));
}

static inline float half_load(const uint8_t *p) {
    return half_decode(load_u16(p));
}

static inline void half_store(uint8_t *p, float value) {
    uint16_t half = half_encode(value);
    memcpy(p, &half, sizeof half);
}

// bfloat16 is the upper half of a binary32. Encoding rounds to nearest even; a NaN becomes quiet.
static inline float bfloat_decode(uint16_t upper) {
    return float_of_bits((uint32_t)upper << 16);
}

static inline uint16_t bfloat_encode(float value) {
    uint32_t bits = bits_of_float(value);
    uint32_t rounded = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
    uint32_t nan = bits >> 16 | 0x40;
    return (uint16_t)((bits & 0x7fffffffu) > 0x7f800000u ? nan : rounded);
}

#endif
