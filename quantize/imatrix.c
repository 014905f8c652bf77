#include "quantize/imatrix.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "base/map.h"

char *imatrix_text(imatrix *m, ingot_str text) {
    char *copy = store_alloc(&m->store, NULL, text.size + 1, 1);
    if (copy) {
        memcpy(copy, text.data, text.size);
        copy[text.size] = '\0';
    }
    return copy;
}

ingot_status imatrix_add(imatrix *m, ingot_str name, uint64_t n, imatrix_entry **out, ingot_error *err) {
    if (!mem_reserve(NULL, &m->entries, &m->capacity, m->n + 1, sizeof *m->entries))
        return fail_memory(err, (m->n + 1) * sizeof *m->entries, "an importance matrix");
    imatrix_entry e = {.name = imatrix_text(m, name), .n = n};
    e.values = store_alloc(&m->store, NULL, n, sizeof *e.values);
    if (!e.name || !e.values)
        return fail_memory(err, n * sizeof *e.values, "an importance matrix");
    *out = &m->entries[m->n++];
    **out = e;
    return INGOT_OK;
}

static int by_name(const void *a, const void *b) {
    return strcmp(((const imatrix_entry *)a)->name, ((const imatrix_entry *)b)->name);
}

static ingot_status check_values(const imatrix_entry *e, const char *file, ingot_error *err) {
    for (uint64_t i = 0; i < e->n; i++)
        if (!isfinite(e->values[i]) || e->values[i] < 0.0f)
            return fail(err, INGOT_ERR_FORMAT,
                        "%s: importance %" PRIu64 " of '%s' is %g, expected a finite number >= 0: make the "
                        "matrix again",
                        file, i, e->name, (double)e->values[i]);
    return INGOT_OK;
}

static ingot_status check(const imatrix *m, const char *file, ingot_error *err) {
    if (m->n == 0)
        return fail(err, INGOT_ERR_FORMAT, "%s: the importance matrix has no entries", file);
    for (size_t i = 0; i < m->n; i++) {
        TRY(check_values(&m->entries[i], file, err));
        if (i > 0 && by_name(&m->entries[i - 1], &m->entries[i]) == 0)
            return fail(err, INGOT_ERR_FORMAT, "%s: '%s' is there twice", file, m->entries[i].name);
    }
    return INGOT_OK;
}

ingot_status imatrix_read(const void *image, size_t size, const char *name, imatrix *out, ingot_error *err) {
    *out = (imatrix){.dataset = ""};
    bool gguf = size >= 4 && memcmp(image, "GGUF", 4) == 0;
    ingot_status status = (gguf ? imatrix_read_gguf : imatrix_read_legacy)(image, size, name, out, err);
    if (status == INGOT_OK) {
        qsort(out->entries, out->n, sizeof *out->entries, by_name);
        status = check(out, name, err);
    }
    if (status != INGOT_OK)
        imatrix_free(out);
    return status;
}

ingot_status imatrix_open(const char *path, imatrix *out, ingot_error *err) {
    file_map map;
    *out = (imatrix){.dataset = ""};
    TRY(file_map_open(path, false, false, NULL, NULL, NULL, &map, err));
    ingot_status status = imatrix_read(map.data, (size_t)map.size, path, out, err);
    if (status == INGOT_OK && !file_map_intact(&map)) {
        imatrix_free(out);
        status = fail(err, INGOT_ERR_IO, "%s: the file was changed while it was read; try again", path);
    }
    file_map_close(&map, NULL);
    return status;
}

void imatrix_free(imatrix *m) {
    mem_free(NULL, m->entries);
    store_free(&m->store, NULL);
    *m = (imatrix){.dataset = ""};
}

const imatrix_entry *imatrix_find(const imatrix *m, const char *name) {
    imatrix_entry key = {.name = name};
    return m->n > 0 ? bsearch(&key, m->entries, m->n, sizeof key, by_name) : NULL;
}

void imatrix_filter(imatrix *m, const char *const *parts, size_t n, bool include) {
    size_t kept = 0;
    for (size_t i = 0; i < m->n; i++) {
        bool found = false;
        for (size_t j = 0; j < n && !found; j++)
            found = strstr(m->entries[i].name, parts[j]) != NULL;
        if (found == include)
            m->entries[kept++] = m->entries[i];
    }
    m->n = kept;
}
