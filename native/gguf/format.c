#include "gguf/format.h"

#include <inttypes.h>
#include <string.h>

#include "base/checked.h"
#include "base/utf8.h"
#include "quant/quant.h"

enum { MAX_SHOWN = 100, N_TYPES = 13 };

static const struct {
    const char *name;
    uint64_t bytes;
} types[N_TYPES] = {
    [INGOT_GGUF_U8] = {"u8", 1},        [INGOT_GGUF_I8] = {"i8", 1},     [INGOT_GGUF_U16] = {"u16", 2},
    [INGOT_GGUF_I16] = {"i16", 2},      [INGOT_GGUF_U32] = {"u32", 4},   [INGOT_GGUF_I32] = {"i32", 4},
    [INGOT_GGUF_F32] = {"f32", 4},      [INGOT_GGUF_BOOL] = {"bool", 1}, [INGOT_GGUF_STRING] = {"string", 8},
    [INGOT_GGUF_ARRAY] = {"array", 12}, [INGOT_GGUF_U64] = {"u64", 8},   [INGOT_GGUF_I64] = {"i64", 8},
    [INGOT_GGUF_F64] = {"f64", 8},
};

const char *gguf_type_name(ingot_gguf_type type) {
    return (unsigned)type < N_TYPES ? types[type].name : "unknown";
}

uint64_t gguf_type_bytes(ingot_gguf_type type) {
    return (unsigned)type < N_TYPES ? types[type].bytes : 0;
}

bool gguf_name_valid(ingot_str name, size_t max, const char **why) {
    if (name.size == 0) {
        *why = "is empty";
        return false;
    }
    if (name.size > max) {
        *why = "is too long";
        return false;
    }
    for (size_t i = 0; i < name.size;) {
        int n;
        uint32_t cp = utf8_decode(name.data + i, name.size - i, &n);
        if (cp == 0 || (cp == 0xfffd && n == 1)) {
            *why = cp == 0 ? "holds a NUL byte" : "isn't UTF-8";
            return false;
        }
        i += (size_t)n;
    }
    return true;
}

int gguf_name_shown(ingot_str name) {
    return (int)(name.size <= MAX_SHOWN ? name.size : utf8_complete_prefix(name.data, MAX_SHOWN));
}

bool gguf_alignment_valid(uint64_t alignment) {
    return alignment >= GGUF_MIN_ALIGNMENT && alignment <= GGUF_MAX_ALIGNMENT &&
           (alignment & (alignment - 1)) == 0;
}

ingot_status gguf_alignment_get(const ingot_gguf_value *value, uint64_t *alignment, ingot_error *err) {
    if (value->type != INGOT_GGUF_U32)
        return fail(err, INGOT_ERR_FORMAT, GGUF_KEY_ALIGNMENT " is of type %s, expected u32",
                    gguf_type_name(value->type));
    uint32_t a;
    memcpy(&a, value->data, sizeof a);
    if (!gguf_alignment_valid(a))
        return fail(err, INGOT_ERR_FORMAT,
                    GGUF_KEY_ALIGNMENT " is %" PRIu32 ", expected a power of two from %d to %d", a,
                    GGUF_MIN_ALIGNMENT, GGUF_MAX_ALIGNMENT);
    *alignment = a;
    return INGOT_OK;
}

ingot_status gguf_tensor_bytes(int64_t type, uint32_t n_dims, const uint64_t *shape, uint64_t *bytes,
                               ingot_error *err) {
    const quant_type *row = type >= 0 && type <= INT32_MAX ? quant_type_get((int32_t)type) : NULL;
    if (!row)
        return fail(err, INGOT_ERR_UNSUPPORTED,
                    "tensor type %" PRId64 " is unknown or was retired from the format", type);
    if (n_dims > GGUF_MAX_DIMS)
        return fail(err, INGOT_ERR_FORMAT, "%" PRIu32 " dimensions, expected at most %d", n_dims,
                    GGUF_MAX_DIMS);
    uint64_t weights = 1;
    for (uint32_t i = 0; i < n_dims; i++) {
        if (shape[i] == 0)
            return fail(err, INGOT_ERR_FORMAT, "dimension %" PRIu32 " is 0, expected at least 1", i);
        if (!checked_mul(weights, shape[i], &weights) || weights > INT64_MAX)
            return fail(err, INGOT_ERR_FORMAT, "the product of its %" PRIu32 " dimensions overflows", n_dims);
    }
    uint64_t row_length = n_dims > 0 ? shape[0] : 1;
    uint64_t block = (uint64_t)row->block_size;
    if (row_length % block != 0)
        return fail(err, INGOT_ERR_FORMAT,
                    "rows of %" PRIu64 " weights aren't whole blocks of %" PRIu64 " (type %s)", row_length,
                    block, row->name);
    if (!checked_mul(weights / block, (uint64_t)row->block_bytes, bytes) || *bytes > INT64_MAX)
        return fail(err, INGOT_ERR_FORMAT, "%" PRIu64 " weights of type %s overflow", weights, row->name);
    return INGOT_OK;
}
