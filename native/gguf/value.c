#include "gguf/value.h"

#include <inttypes.h>
#include <string.h>

#include "base/checked.h"
#include "gguf/format.h"

// Arrays of arrays are walked with a stack of our own, as deep as the format's cap.
typedef struct level {
    const ingot_gguf_value *items;
    uint64_t count;
    uint64_t next;
} level;

static ingot_status type_read(cursor *c, const char *what, ingot_gguf_type *out, ingot_error *err) {
    uint64_t at = c->at;
    uint32_t type;
    TRY(cursor_u32(c, what, &type, err));
    if (type > INGOT_GGUF_F64)
        return fail(err, INGOT_ERR_FORMAT, "byte %" PRIu64 ": %s is %" PRIu32 ", expected 0 to %d", at, what,
                    type, INGOT_GGUF_F64);
    *out = (ingot_gguf_type)type;
    return INGOT_OK;
}

static bool bools_valid(const uint8_t *bytes, uint64_t count) {
    for (uint64_t i = 0; i < count; i++)
        if (bytes[i] > 1)
            return false;
    return true;
}

// Allocates room for value->count items after checking that the rest of the file can hold as many.
static ingot_status items_new(const cursor *c, store *s, const ingot_allocator *mem,
                              const ingot_gguf_value *value, uint64_t item_size, void **out,
                              ingot_error *err) {
    uint64_t least = gguf_type_bytes(value->item_type);
    if (value->count > cursor_left(c) / least)
        return fail(err, INGOT_ERR_FORMAT,
                    "byte %" PRIu64 ": %" PRIu64 " items of type %s take at least %" PRIu64
                    " bytes each, but the file ends after %" PRIu64 " more",
                    c->at, value->count, gguf_type_name(value->item_type), least, cursor_left(c));
    *out = store_alloc(s, mem, value->count, item_size);
    return *out ? INGOT_OK : fail_memory(err, value->count * item_size, "metadata");
}

// Reads value->count items that aren't arrays.
static ingot_status flat_read(cursor *c, store *s, const ingot_allocator *mem, ingot_gguf_value *value,
                              ingot_error *err) {
    void *items;
    if (value->item_type == INGOT_GGUF_STRING) {
        TRY(items_new(c, s, mem, value, sizeof(ingot_str), &items, err));
        for (uint64_t i = 0; i < value->count; i++)
            TRY(cursor_str(c, "a string", (ingot_str *)items + i, err));
    } else {
        uint64_t at = c->at, size = gguf_type_bytes(value->item_type);
        const void *bytes;
        TRY(items_new(c, s, mem, value, size, &items, err));
        TRY(cursor_bytes(c, value->count * size, "a value", &bytes, err));
        memcpy(items, bytes, (size_t)(value->count * size));
        // The copy is checked: a mapped file may change at any time.
        if (value->item_type == INGOT_GGUF_BOOL && !bools_valid(items, value->count))
            return fail(err, INGOT_ERR_FORMAT,
                        "byte %" PRIu64 ": a bool is neither 0 nor 1 (among %" PRIu64 ")", at, value->count);
    }
    value->data = items;
    return INGOT_OK;
}

static ingot_status array_read(cursor *c, store *s, const ingot_allocator *mem, ingot_gguf_value *root,
                               ingot_error *err) {
    level stack[GGUF_MAX_DEPTH] = {{.items = root, .count = 1}};
    for (int depth = 1; depth > 0;) {
        level *top = &stack[depth - 1];
        if (top->next == top->count) {
            depth--;
            continue;
        }
        // The items were allocated by this function, or are the caller's root: both may be written.
        ingot_gguf_value *value = (ingot_gguf_value *)&top->items[top->next++];
        value->type = INGOT_GGUF_ARRAY;
        TRY(type_read(c, "an array's item type", &value->item_type, err));
        TRY(cursor_u64(c, "an array's count", &value->count, err));
        if (value->item_type != INGOT_GGUF_ARRAY) {
            TRY(flat_read(c, s, mem, value, err));
            continue;
        }
        if (depth == GGUF_MAX_DEPTH)
            return fail(err, INGOT_ERR_LIMIT, "byte %" PRIu64 ": arrays are nested deeper than %d levels",
                        c->at, GGUF_MAX_DEPTH);
        void *items;
        TRY(items_new(c, s, mem, value, sizeof(ingot_gguf_value), &items, err));
        value->data = items;
        stack[depth++] = (level){.items = items, .count = value->count};
    }
    return INGOT_OK;
}

ingot_status value_read(cursor *c, store *s, const ingot_allocator *mem, ingot_gguf_value *out,
                        ingot_error *err) {
    ingot_gguf_type type = INGOT_GGUF_U8;
    TRY(type_read(c, "a value type", &type, err));
    if (type == INGOT_GGUF_ARRAY)
        return array_read(c, s, mem, out, err);
    *out = (ingot_gguf_value){.type = type, .item_type = type, .count = 1};
    return flat_read(c, s, mem, out, err);
}

static ingot_status flat_write(buffer *b, const ingot_allocator *mem, const ingot_gguf_value *value,
                               ingot_error *err) {
    if (value->item_type == INGOT_GGUF_STRING) {
        const ingot_str *strings = value->data;
        for (uint64_t i = 0; i < value->count; i++)
            TRY(buffer_str(b, mem, strings[i], err));
        return INGOT_OK;
    }
    if (value->item_type == INGOT_GGUF_BOOL && !bools_valid(value->data, value->count))
        return fail(err, INGOT_ERR_INVALID, "a bool is neither 0 nor 1");
    uint64_t bytes;
    if (!checked_mul(value->count, gguf_type_bytes(value->item_type), &bytes))
        return fail(err, INGOT_ERR_INVALID, "an array of %" PRIu64 " items overflows", value->count);
    return buffer_bytes(b, mem, value->data, bytes, err);
}

static ingot_status array_write(buffer *b, const ingot_allocator *mem, const ingot_gguf_value *root,
                                ingot_error *err) {
    level stack[GGUF_MAX_DEPTH] = {{.items = root, .count = 1}};
    for (int depth = 1; depth > 0;) {
        level *top = &stack[depth - 1];
        if (top->next == top->count) {
            depth--;
            continue;
        }
        const ingot_gguf_value *value = &top->items[top->next++];
        if (value->type != INGOT_GGUF_ARRAY || gguf_type_bytes(value->item_type) == 0)
            return fail(err, INGOT_ERR_INVALID, "an array has type %d and item type %d", (int)value->type,
                        (int)value->item_type);
        TRY(buffer_u32(b, mem, (uint32_t)value->item_type, err));
        TRY(buffer_u64(b, mem, value->count, err));
        if (value->item_type != INGOT_GGUF_ARRAY) {
            TRY(flat_write(b, mem, value, err));
            continue;
        }
        if (depth == GGUF_MAX_DEPTH)
            return fail(err, INGOT_ERR_INVALID, "arrays are nested deeper than %d levels", GGUF_MAX_DEPTH);
        stack[depth++] = (level){.items = value->data, .count = value->count};
    }
    return INGOT_OK;
}

ingot_status value_write(buffer *b, const ingot_allocator *mem, const ingot_gguf_value *value,
                         ingot_error *err) {
    TRY(buffer_u32(b, mem, (uint32_t)value->type, err));
    if (value->type == INGOT_GGUF_ARRAY)
        return array_write(b, mem, value, err);
    if (gguf_type_bytes(value->type) == 0 || value->item_type != value->type || value->count != 1)
        return fail(err, INGOT_ERR_INVALID, "a scalar has type %d, item type %d and count %" PRIu64,
                    (int)value->type, (int)value->item_type, value->count);
    return flat_write(b, mem, value, err);
}
