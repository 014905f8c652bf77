// Tensor types: layout, scalar decode and encode of each, one row in types.def and one <type>.inc.h per type.
#ifndef INGOT_QUANT_QUANT_H
#define INGOT_QUANT_QUANT_H

#include "base/status.h"

typedef struct quant_type {
    const char *name;    // "Q4_K"
    int32_t id;          // the GGUF tensor type id
    int32_t block_size;  // weights in a block
    int32_t block_bytes; // bytes of a block
    // Decodes `n` weights, a multiple of block_size, from `src` (any alignment). NULL for types that appear
    // in no file as weights of a model (none today).
    void (*decode)(const void *src, float *dst, uint64_t n);
    // Encodes `n` weights, a multiple of block_size; NULL where there is no scalar encoder.
    void (*encode)(const float *src, void *dst, uint64_t n);
    bool can_encode;   // so or by kernels/
    bool has_feedback; // kernels/ can let errors of a row's weights make up for each other
} quant_type;

// The type with GGUF id `id`, NULL if there is none. Ids that the format retired (4, 5, 31 to 33, 36 to 38)
// are none.
const quant_type *quant_type_get(int32_t id);

// The type called `name` (any case), NULL if there is none.
const quant_type *quant_type_find(const char *name);

// The i-th row of types.def, NULL past the last.
const quant_type *quant_type_at(int32_t i);

// Bytes of `n` weights, a multiple of the type's block_size.
static inline uint64_t quant_bytes(const quant_type *type, uint64_t n) {
    return n / (uint64_t)type->block_size * (uint64_t)type->block_bytes;
}

// QUANT_F32, QUANT_Q4_K, ...: the GGUF ids.
enum {
#define QUANT_TYPE(name, type, id, size, bytes, coding) QUANT_##name = (id),
#include "quant/types.def"
#undef QUANT_TYPE
};

// Half precision both ways; encoding rounds to nearest even, a NaN stays one and becomes quiet.
float quant_f16_decode(uint16_t half);
uint16_t quant_f16_encode(float value);

// A window of columns whose errors make up for each other: rows j of [columns][QUANT_WINDOW] have the shares
// of the other columns' errors that column j adds to its weight before it takes the nearest code. `first` has
// those of the columns before it, where all columns behind it will make up for what is left, and zeros;
// `next` those of all others.
enum { QUANT_WINDOW = 256 };

typedef struct quant_feedback {
    int32_t columns; // up to QUANT_WINDOW, a multiple of 32
    const float *first, *next;
} quant_feedback;

#endif
