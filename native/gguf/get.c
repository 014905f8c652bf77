// Typed look-ups of metadata.
#include "gguf/gguf.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "gguf/format.h"

// A number of any type, for messages and comparisons.
typedef struct integer {
    uint64_t magnitude;
    bool negative;
} integer;

// The i-th item of `value` as an integer; false if its items aren't integers.
static bool integer_at(const ingot_gguf_value *value, uint64_t i, integer *out) {
    uint64_t size = gguf_type_bytes(value->item_type);
    int64_t number = 0;
    switch (value->item_type) {
    case INGOT_GGUF_U8:
    case INGOT_GGUF_U16:
    case INGOT_GGUF_U32:
    case INGOT_GGUF_U64:
        *out = (integer){0};
        memcpy(&out->magnitude, (const uint8_t *)value->data + i * size, size);
        return true;
    case INGOT_GGUF_I8:
        number = ((const int8_t *)value->data)[i];
        break;
    case INGOT_GGUF_I16:
        number = ((const int16_t *)value->data)[i];
        break;
    case INGOT_GGUF_I32:
        number = ((const int32_t *)value->data)[i];
        break;
    case INGOT_GGUF_I64:
        number = ((const int64_t *)value->data)[i];
        break;
    default:
        return false;
    }
    out->negative = number < 0;
    out->magnitude = number < 0 ? -(uint64_t)number : (uint64_t)number;
    return true;
}

// Finds the value; a missing one that isn't required gives *out = NULL.
static ingot_status find(const ingot_gguf *g, const char *key, bool required, const ingot_gguf_value **out,
                         ingot_error *err) {
    *out = ingot_gguf_find(g, key);
    if (!*out && required)
        return fail(err, INGOT_ERR_FORMAT, "%s: the key '%s' is missing", gguf_name(g), key);
    return INGOT_OK;
}

static ingot_status fail_type(const ingot_gguf *g, const char *key, const ingot_gguf_value *value,
                              const char *expected, ingot_error *err) {
    if (value->type != INGOT_GGUF_ARRAY)
        return fail(err, INGOT_ERR_FORMAT, "%s: the key '%s' is of type %s, expected %s", gguf_name(g), key,
                    gguf_type_name(value->type), expected);
    return fail(err, INGOT_ERR_FORMAT,
                "%s: the key '%s' is an array of %" PRIu64 " items of type %s, expected %s", gguf_name(g),
                key, value->count, gguf_type_name(value->item_type), expected);
}

// Item `i` of `value`, which holds integers, if it lies in the range.
static ingot_status range_check(const ingot_gguf *g, const char *key, const ingot_gguf_value *value,
                                uint64_t i, uint32_t min, uint32_t max, uint32_t *out, ingot_error *err) {
    integer number = {0};
    integer_at(value, i, &number);
    if (!number.negative && number.magnitude >= min && number.magnitude <= max) {
        *out = (uint32_t)number.magnitude;
        return INGOT_OK;
    }
    char item[32] = "";
    if (value->type == INGOT_GGUF_ARRAY)
        snprintf(item, sizeof item, " (item %" PRIu64 ")", i);
    return fail(err, INGOT_ERR_FORMAT,
                "%s: the key '%s'%s is %s%" PRIu64 ", expected %" PRIu32 " to %" PRIu32, gguf_name(g), key,
                item, number.negative ? "-" : "", number.magnitude, min, max);
}

ingot_status gguf_get_u32(const ingot_gguf *g, const char *key, bool required, uint32_t min, uint32_t max,
                          uint32_t *out, ingot_error *err) {
    const ingot_gguf_value *value;
    integer number;
    TRY(find(g, key, required, &value, err));
    if (!value)
        return INGOT_OK;
    if (value->type == INGOT_GGUF_ARRAY || !integer_at(value, 0, &number))
        return fail_type(g, key, value, "an integer", err);
    return range_check(g, key, value, 0, min, max, out, err);
}

ingot_status gguf_get_f32(const ingot_gguf *g, const char *key, bool required, float *out, ingot_error *err) {
    const ingot_gguf_value *value;
    TRY(find(g, key, required, &value, err));
    if (!value)
        return INGOT_OK;
    float number;
    if (value->type == INGOT_GGUF_F32)
        number = *(const float *)value->data;
    else if (value->type == INGOT_GGUF_F64)
        number = (float)*(const double *)value->data;
    else
        return fail_type(g, key, value, "f32 or f64", err);
    if (!isfinite(number))
        return fail(err, INGOT_ERR_FORMAT, "%s: the key '%s' is %g, expected a finite number", gguf_name(g),
                    key, (double)number);
    *out = number;
    return INGOT_OK;
}

ingot_status gguf_get_bool(const ingot_gguf *g, const char *key, bool required, bool *out, ingot_error *err) {
    const ingot_gguf_value *value;
    TRY(find(g, key, required, &value, err));
    if (!value)
        return INGOT_OK;
    if (value->type != INGOT_GGUF_BOOL)
        return fail_type(g, key, value, "bool", err);
    *out = *(const uint8_t *)value->data != 0;
    return INGOT_OK;
}

ingot_status gguf_get_str(const ingot_gguf *g, const char *key, bool required, ingot_str *out,
                          ingot_error *err) {
    const ingot_gguf_value *value;
    TRY(find(g, key, required, &value, err));
    if (!value)
        return INGOT_OK;
    if (value->type != INGOT_GGUF_STRING)
        return fail_type(g, key, value, "string", err);
    *out = *(const ingot_str *)value->data;
    return INGOT_OK;
}

ingot_status gguf_get_array(const ingot_gguf *g, const char *key, bool required, ingot_gguf_type item_type,
                            const ingot_gguf_value **out, ingot_error *err) {
    const ingot_gguf_value *value;
    TRY(find(g, key, required, &value, err));
    if (value && (value->type != INGOT_GGUF_ARRAY || value->item_type != item_type)) {
        char expected[32];
        snprintf(expected, sizeof expected, "an array of %s", gguf_type_name(item_type));
        return fail_type(g, key, value, expected, err);
    }
    *out = value;
    return INGOT_OK;
}

ingot_status gguf_get_u32_per_layer(const ingot_gguf *g, const char *key, bool required, uint32_t min,
                                    uint32_t max, uint32_t n, uint32_t *out, ingot_error *err) {
    const ingot_gguf_value *value;
    TRY(find(g, key, required, &value, err));
    if (!value)
        return INGOT_OK;
    bool array = value->type == INGOT_GGUF_ARRAY;
    integer number;
    if (array ? value->count != n || (n > 0 && !integer_at(value, 0, &number))
              : !integer_at(value, 0, &number)) {
        char expected[64];
        snprintf(expected, sizeof expected, "an integer or an array of %" PRIu32 " integers", n);
        return fail_type(g, key, value, expected, err);
    }
    for (uint32_t i = 0; i < n; i++)
        TRY(range_check(g, key, value, array ? i : 0, min, max, &out[i], err));
    return INGOT_OK;
}
