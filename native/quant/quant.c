// Rows of blocks, and the table of types that types.def describes.
#include "quant/quant.h"

#include "quant/blocks.h"

// The column `coding` of types.def, by token pasting.
#define ENCODE_ROW_DECODE_ONLY(type)
#define ENCODE_ROW_BY_CODEBOOK(type)
#define ENCODE_ROW_BY_WEIGHT(type)
#define ENCODE_ROW_BY_WEIGHT_TOO(type) ENCODE_ROW_BOTH_WAYS(type)
#define ENCODE_ROW_BOTH_WAYS(type)                                                                           \
    static void type##_encode_row(const float *src, void *dst, uint64_t n) {                                 \
        block_##type *b = dst;                                                                               \
        for (uint64_t i = 0; i < n / type##_weights; i++)                                                    \
            type##_encode(src + i * type##_weights, b + i);                                                  \
    }
#define ENCODER_DECODE_ONLY(type)   NULL, false, false
#define ENCODER_BOTH_WAYS(type)     type##_encode_row, true, false
#define ENCODER_BY_CODEBOOK(type)   NULL, true, false
#define ENCODER_BY_WEIGHT(type)     NULL, true, true
#define ENCODER_BY_WEIGHT_TOO(type) type##_encode_row, true, true

#define QUANT_TYPE(name, type, id, size, bytes, coding)                                                      \
    _Static_assert(sizeof(block_##type) == (bytes) && _Alignof(block_##type) == 1, #name);                   \
    enum { type##_weights = (size) };                                                                        \
    static void type##_decode_row(const void *src, float *dst, uint64_t n) {                                 \
        const block_##type *b = src;                                                                         \
        for (uint64_t i = 0; i < n / type##_weights; i++)                                                    \
            type##_decode(b + i, dst + i * type##_weights);                                                  \
    }                                                                                                        \
    ENCODE_ROW_##coding(type)
#include "quant/types.def"
#undef QUANT_TYPE

enum {
#define QUANT_TYPE(name, type, id, size, bytes, coding) type##_row,
#include "quant/types.def"
#undef QUANT_TYPE
    row_count
};

static const quant_type rows[row_count] = {
#define QUANT_TYPE(name, type, id, size, bytes, coding)                                                      \
    {#name, id, size, bytes, type##_decode_row, ENCODER_##coding(type)},
#include "quant/types.def"
#undef QUANT_TYPE
};

static const quant_type *const by_id[] = {
#define QUANT_TYPE(name, type, id, size, bytes, coding) [id] = &rows[type##_row],
#include "quant/types.def"
#undef QUANT_TYPE
};

const quant_type *quant_type_get(int32_t id) {
    bool known = id >= 0 && (size_t)id < sizeof by_id / sizeof *by_id;
    return known ? by_id[id] : NULL;
}

const quant_type *quant_type_at(int32_t i) {
    return i >= 0 && i < row_count ? &rows[i] : NULL;
}

static char upper(char c) {
    return (char)(c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c);
}

const quant_type *quant_type_find(const char *name) {
    for (int i = 0; i < row_count; i++) {
        const char *a = rows[i].name, *b = name;
        while (*a && *a == upper(*b))
            a++, b++;
        if (*a == upper(*b))
            return &rows[i];
    }
    return NULL;
}

float quant_f16_decode(uint16_t half) {
    return half_decode(half);
}

uint16_t quant_f16_encode(float value) {
    return half_encode(value);
}
