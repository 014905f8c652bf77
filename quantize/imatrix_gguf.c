#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "gguf/format.h"
#include "gguf/gguf.h"
#include "quant/quant.h"
#include "quantize/imatrix.h"

static const char SUMS[] = ".in_sum2", COUNTS[] = ".counts", CORRELATIONS[] = ".in_correlations";
static const char INPUT[] = "imatrix.ingot.input.";

static bool ends_with(ingot_str text, const char *suffix) {
    size_t n = strlen(suffix);
    return text.size > n && memcmp(text.data + text.size - n, suffix, n) == 0;
}

// The tensor that holds the counts to the sums `sums`.
static ingot_status find_counts(const ingot_gguf *g, const ingot_gguf_tensor *sums,
                                const ingot_gguf_tensor **out, ingot_error *err) {
    char name[GGUF_MAX_NAME_BYTES + 1];
    size_t n = sums->name.size - (sizeof SUMS - 1);
    if (n + sizeof COUNTS > sizeof name)
        return fail(err, INGOT_ERR_FORMAT, "%s: '%.*s' is too long a name", gguf_name(g),
                    gguf_name_shown(sums->name), sums->name.data);
    memcpy(name, sums->name.data, n);
    memcpy(name + n, COUNTS, sizeof COUNTS);
    const ingot_gguf_tensor *counts = ingot_gguf_find_tensor(g, name);
    if (!counts)
        return fail(err, INGOT_ERR_FORMAT, "%s: there are sums, but no tensor '%s'", gguf_name(g), name);
    if (counts->type != QUANT_F32 || sums->type != QUANT_F32)
        return fail(err, INGOT_ERR_FORMAT, "%s: '%s' or its sums aren't of type F32", gguf_name(g), name);
    uint64_t matrices = sums->shape[1] * sums->shape[2] * sums->shape[3];
    uint64_t found = counts->bytes / sizeof(float);
    if (found != matrices)
        return fail(err, INGOT_ERR_FORMAT,
                    "%s: '%s' holds %" PRIu64 " numbers, but there are sums of %" PRIu64, gguf_name(g), name,
                    found, matrices);
    *out = counts;
    return INGOT_OK;
}

// The tensor NAME.in_correlations, of NAME's own or of those that its input's name says; *out NULL: none.
static ingot_status find_correlations(const ingot_gguf *g, ingot_str name, const ingot_gguf_tensor **out,
                                      ingot_error *err) {
    char text[sizeof INPUT + GGUF_MAX_NAME_BYTES + sizeof CORRELATIONS];
    snprintf(text, sizeof text, "%s%.*s", INPUT, (int)name.size, name.data);
    ingot_str of = {0};
    TRY(gguf_get_str(g, text, false, &of, err));
    if (of.size == 0)
        of = name;
    if (of.size > GGUF_MAX_NAME_BYTES)
        return fail(err, INGOT_ERR_FORMAT, "%s: key '%s' holds too long a name", gguf_name(g), text);
    snprintf(text, sizeof text, "%.*s%s", (int)of.size, of.data, CORRELATIONS);
    *out = ingot_gguf_find_tensor(g, text);
    return *out || of.data == name.data
               ? INGOT_OK
               : fail(err, INGOT_ERR_FORMAT, "%s: key '%s%.*s' names '%.*s', of which there is no '%s'",
                      gguf_name(g), INPUT, gguf_name_shown(name), name.data, gguf_name_shown(of), of.data,
                      text);
}

static ingot_status read_correlations(const ingot_gguf *g, const ingot_gguf_tensor *sums,
                                      const ingot_gguf_tensor *counts, imatrix *m, imatrix_entry *e,
                                      ingot_error *err) {
    const ingot_gguf_tensor *found;
    TRY(find_correlations(g, (ingot_str){sums->name.data, sums->name.size - (sizeof SUMS - 1)}, &found, err));
    if (!found)
        return INGOT_OK;
    const uint64_t columns = sums->shape[0];
    if (found->type != QUANT_F16 || found->shape[0] != INGOT_WINDOW || found->shape[1] != columns ||
        found->shape[2] * found->shape[3] * columns != e->n)
        return fail(
            err, INGOT_ERR_FORMAT,
            "%s: '%.*s' isn't of type F16 and shape %d x %" PRIu64 " for each of the matrices of '%s'",
            gguf_name(g), gguf_name_shown(found->name), found->name.data, INGOT_WINDOW, columns, e->name);
    e->correlations = found->offset;
    e->columns = columns;
    e->counts = store_alloc(&m->store, NULL, e->n / columns, sizeof *e->counts);
    if (!e->counts)
        return fail_memory(err, e->n / columns * sizeof *e->counts, "an importance matrix");
    memcpy(e->counts, counts->data, (size_t)(e->n / columns) * sizeof *e->counts);
    return INGOT_OK;
}

static ingot_status read_entry(const ingot_gguf *g, const ingot_gguf_tensor *sums, imatrix *out,
                               ingot_error *err) {
    const ingot_gguf_tensor *counts;
    TRY(find_counts(g, sums, &counts, err));
    uint64_t columns = sums->shape[0], n = sums->bytes / sizeof(float);
    imatrix_entry *e;
    ingot_str name = {sums->name.data, sums->name.size - (sizeof SUMS - 1)};
    TRY(imatrix_add(out, name, n, &e, err));
    memcpy(e->values, sums->data, (size_t)(n * sizeof *e->values));
    for (uint64_t i = 0; i < n; i++) {
        float count;
        memcpy(&count, (const uint8_t *)counts->data + i / columns * sizeof count, sizeof count);
        if (!isfinite(count) || count < 0)
            return fail(err, INGOT_ERR_FORMAT, "%s: a count of '%s' is %g, expected a finite number >= 0",
                        gguf_name(g), e->name, (double)count);
        // An expert that no token chose: all columns matter alike.
        e->values[i] = count > 0 ? e->values[i] / count : 1.0f;
    }
    return read_correlations(g, sums, counts, out, e, err);
}

static ingot_status read_metadata(const ingot_gguf *g, imatrix *out, ingot_error *err) {
    const ingot_gguf_value *datasets = NULL;
    TRY(gguf_get_u32(g, "imatrix.chunk_count", false, 0, UINT32_MAX, &out->chunks, err));
    TRY(gguf_get_array(g, "imatrix.datasets", false, INGOT_GGUF_STRING, &datasets, err));
    if (!datasets || datasets->count == 0)
        return INGOT_OK;
    out->dataset = imatrix_text(out, *(const ingot_str *)datasets->data);
    return out->dataset ? INGOT_OK : fail_memory(err, 1, "an importance matrix");
}

ingot_status imatrix_read_gguf(const void *image, size_t size, const char *name, imatrix *out,
                               ingot_error *err) {
    ingot_gguf *g;
    TRY(gguf_open_memory(NULL, image, size, name, &g, err));
    ingot_status status = read_metadata(g, out, err);
    const ingot_gguf_tensor *t;
    for (uint64_t i = 0; status == INGOT_OK && (t = ingot_gguf_tensor_at(g, i)); i++)
        if (ends_with(t->name, SUMS))
            status = read_entry(g, t, out, err);
    if (status == INGOT_OK && out->n == 0)
        status = fail(err, INGOT_ERR_FORMAT,
                      "%s: is no importance matrix: none of its %" PRIu64 " tensors is named NAME%s", name,
                      ingot_gguf_tensor_count(g), SUMS);
    ingot_gguf_close(g);
    return status;
}
