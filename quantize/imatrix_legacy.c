#include <inttypes.h>
#include <string.h>

#include "quantize/imatrix.h"

enum { MAX_NAME_BYTES = 255, MAX_DATASET_BYTES = 1 << 16 };

// What is left of the file.
typedef struct reader {
    const uint8_t *at, *end;
    const uint8_t *begin;
    const char *name;
} reader;

static ingot_status malformed(const reader *r, const char *what, int64_t found, ingot_error *err) {
    return fail(err, INGOT_ERR_FORMAT,
                "%s: %s at byte %" PRIu64 " is %" PRId64 ", which can't be: the file was cut off, or is no "
                "importance matrix",
                r->name, what, (uint64_t)(r->at - r->begin), found);
}

// Takes an i32 from `min` to `max` out of the file.
static ingot_status take(reader *r, const char *what, int64_t min, int64_t max, int32_t *out,
                         ingot_error *err) {
    if (r->end - r->at < (ptrdiff_t)sizeof *out)
        return fail(err, INGOT_ERR_FORMAT, "%s: the file ends before %s, at byte %" PRIu64, r->name, what,
                    (uint64_t)(r->end - r->begin));
    memcpy(out, r->at, sizeof *out);
    if (*out < min || *out > max)
        return malformed(r, what, *out, err);
    r->at += sizeof *out;
    return INGOT_OK;
}

// Takes a length of at most `max` and as many bytes.
static ingot_status take_text(reader *r, const char *what, int32_t min, int32_t max, ingot_str *out,
                              ingot_error *err) {
    int32_t size = 0;
    int64_t left = r->end - r->at - (ptrdiff_t)sizeof size;
    TRY(take(r, what, min, left < max ? left : max, &size, err));
    *out = (ingot_str){(const char *)r->at, (size_t)size};
    if (memchr(out->data, '\0', out->size))
        return malformed(r, what, 0, err);
    r->at += size;
    return INGOT_OK;
}

static ingot_status read_entry(reader *r, imatrix *out, ingot_error *err) {
    ingot_str name;
    int32_t calls = 0, n = 0;
    imatrix_entry *e;
    TRY(take_text(r, "the length of a name", 1, MAX_NAME_BYTES, &name, err));
    TRY(take(r, "a number of calls", 0, INT32_MAX, &calls, err));
    int64_t left = (r->end - r->at - (ptrdiff_t)sizeof n) / (ptrdiff_t)sizeof(float);
    TRY(take(r, "a number of columns", 1, left, &n, err));
    TRY(imatrix_add(out, name, (uint64_t)n, &e, err));
    memcpy(e->values, r->at, (size_t)n * sizeof *e->values);
    r->at += (size_t)n * sizeof *e->values;
    for (int32_t i = 0; calls > 0 && i < n; i++)
        e->values[i] /= (float)calls;
    return INGOT_OK;
}

ingot_status imatrix_read_legacy(const void *image, size_t size, const char *name, imatrix *out,
                                 ingot_error *err) {
    reader r = {.at = image, .end = (const uint8_t *)image + size, .begin = image, .name = name};
    enum { ENTRY_MIN_BYTES = 4 + 1 + 4 + 4 + 4 };
    int32_t n = 0, chunks = 0;
    ingot_str dataset;
    TRY(take(&r, "the number of entries", 1, (int64_t)(size / ENTRY_MIN_BYTES), &n, err));
    for (int32_t i = 0; i < n; i++)
        TRY(read_entry(&r, out, err));
    if (r.at == r.end) // the oldest files end here
        return INGOT_OK;
    TRY(take(&r, "the number of chunks", 0, INT32_MAX, &chunks, err));
    out->chunks = (uint32_t)chunks;
    if (r.at == r.end)
        return INGOT_OK;
    TRY(take_text(&r, "the length of the data set's name", 0, MAX_DATASET_BYTES, &dataset, err));
    out->dataset = imatrix_text(out, dataset);
    return out->dataset ? INGOT_OK : fail_memory(err, dataset.size, "an importance matrix");
}
