// Types without blocks: one weight after another, little-endian. The 64-bit and integer types hold no weights
// of today's models but may stand in a file; decoding rounds them to the nearest float.
#ifndef INGOT_QUANT_PLAIN
#define INGOT_QUANT_PLAIN

#include "quant/scalar.h"

typedef struct block_f32 {
    uint8_t bits[4];
} block_f32;

typedef struct block_f64 {
    uint8_t bits[8];
} block_f64;

typedef struct block_f16 {
    uint8_t bits[2];
} block_f16;

typedef struct block_bf16 {
    uint8_t bits[2];
} block_bf16;

typedef struct block_i8 {
    int8_t value;
} block_i8;

typedef struct block_i16 {
    uint8_t bits[2];
} block_i16;

typedef struct block_i32 {
    uint8_t bits[4];
} block_i32;

typedef struct block_i64 {
    uint8_t bits[8];
} block_i64;

static inline void f32_decode(const block_f32 *restrict b, float *restrict y) {
    memcpy(y, b, sizeof *b);
}

static inline void f64_decode(const block_f64 *restrict b, float *restrict y) {
    double value;
    memcpy(&value, b, sizeof value);
    *y = (float)value;
}

static inline void f16_decode(const block_f16 *restrict b, float *restrict y) {
    *y = half_load(b->bits);
}

static inline void bf16_decode(const block_bf16 *restrict b, float *restrict y) {
    *y = bfloat_decode(load_u16(b->bits));
}

static inline void i8_decode(const block_i8 *restrict b, float *restrict y) {
    *y = (float)b->value;
}

static inline void i16_decode(const block_i16 *restrict b, float *restrict y) {
    *y = (float)(int16_t)load_u16(b->bits);
}

static inline void i32_decode(const block_i32 *restrict b, float *restrict y) {
    *y = (float)(int32_t)load_u32(b->bits);
}

static inline void i64_decode(const block_i64 *restrict b, float *restrict y) {
    int64_t value;
    memcpy(&value, b, sizeof value);
    *y = (float)value;
}

static inline void f32_encode(const float *restrict x, block_f32 *restrict b) {
    memcpy(b, x, sizeof *b);
}

static inline void f16_encode(const float *restrict x, block_f16 *restrict b) {
    half_store(b->bits, *x);
}

static inline void bf16_encode(const float *restrict x, block_bf16 *restrict b) {
    uint16_t upper = bfloat_encode(*x);
    memcpy(b, &upper, sizeof *b);
}

#endif
