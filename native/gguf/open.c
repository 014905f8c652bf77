#include "gguf/reader.h"

#include <inttypes.h>
#include <string.h>

#include "base/file.h"
#include "gguf/format.h"
#include "gguf/split.h"

enum { IMAGE_ALIGNMENT = 64 };

// The share of a whole operation's progress that one file stands for.
typedef struct progress_share {
    ingot_progress_fn fn;
    void *user;
    uint32_t number; // of `count` files, from 0
    uint32_t count;
} progress_share;

static bool progress_forward(void *user, double done) {
    const progress_share *share = user;
    return share->fn(share->user, (share->number + done) / share->count);
}

static void free_one(ingot_gguf *g) {
    const ingot_allocator *mem = g->mem;
    file_map_close(&g->map, mem);
    index_free(&g->names, mem);
    index_free(&g->keys, mem);
    store_free(&g->store, mem);
    mem_free(mem, g->tensors);
    mem_free(mem, g->kvs);
    mem_free(mem, g->siblings);
    mem_free(mem, g->name);
    mem_free(mem, g);
}

void ingot_gguf_close(ingot_gguf *g) {
    if (!g)
        return;
    for (uint32_t i = 0; i < g->n_siblings; i++)
        free_one(g->siblings[i]);
    free_one(g);
}

static ingot_status gguf_new(const ingot_allocator *mem, const char *name, ingot_gguf **out,
                             ingot_error *err) {
    size_t size = strlen(name) + 1;
    ingot_gguf *g = mem_alloc(mem, 1, sizeof *g);
    if (!g)
        return fail_memory(err, sizeof *g, "a GGUF file");
    g->mem = mem;
    g->name = mem_alloc(mem, size, 1);
    if (!g->name) {
        mem_free(mem, g);
        return fail_memory(err, size, "a file's name");
    }
    memcpy(g->name, name, size);
    *out = g;
    return INGOT_OK;
}

// Maps and parses one file.
static ingot_status open_one(const ingot_allocator *mem, const char *path, const ingot_gguf_params *params,
                             progress_share *share, ingot_gguf **out, ingot_error *err) {
    ingot_gguf *g = NULL;
    TRY(gguf_new(mem, path, &g, err));
    // Without data nothing but the first pages is looked at, which a map gives for free.
    bool with_data = !params->no_data;
    ingot_status status = file_map_open(path, params->no_map && with_data, params->lock && with_data, mem,
                                        share->fn ? progress_forward : NULL, share, &g->map, err);
    if (status == INGOT_OK)
        status = gguf_parse(g, g->map.data, g->map.size, with_data, err);
    if (status != INGOT_OK) {
        ingot_gguf_close(g);
        return status;
    }
    *out = g;
    return INGOT_OK;
}

// Which file of how many `g` says it is; 0 of 1 if it doesn't say.
static ingot_status split_place(const ingot_gguf *g, uint32_t *number, uint32_t *count, ingot_error *err) {
    *number = 0;
    *count = 1;
    TRY(gguf_get_u32(g, GGUF_KEY_SPLIT_COUNT, false, 0, GGUF_MAX_SPLITS, count, err));
    if (*count == 0) // written by some tools for "not split"
        *count = 1;
    return gguf_get_u32(g, GGUF_KEY_SPLIT_NO, *count > 1, 0, *count - 1, number, err);
}

// Refuses what isn't the first file of its split, and names that one.
static ingot_status check_first(const ingot_gguf *g, uint32_t number, uint32_t count, ingot_error *err) {
    size_t stem;
    uint32_t named_number, named_count;
    bool named = split_name_parse(g->name, &stem, &named_number, &named_count);
    if (number > 0 && !named)
        return fail(err, INGOT_ERR_INVALID,
                    "%s: is file %" PRIu32 " of %" PRIu32 " of a split; open the first of them", g->name,
                    number + 1, count);
    if (number > 0)
        return fail(err, INGOT_ERR_INVALID,
                    "%s: is file %" PRIu32 " of %" PRIu32
                    " of a split; open the first of them, %.*s-00001-of-%05" PRIu32 ".gguf",
                    g->name, number + 1, count, (int)stem, g->name, count);
    if (!named || named_number != 1 || named_count != count)
        return fail(err, INGOT_ERR_INVALID,
                    "%s: is the first of a split of %" PRIu32
                    " files; its name must end with -00001-of-%05" PRIu32 ".gguf for finding the others",
                    g->name, count, count);
    return INGOT_OK;
}

// Appends the tensors of `part`, which is file `number` of the split, to those of `g`.
static ingot_status tensors_append(ingot_gguf *g, const ingot_gguf *part, uint32_t number, ingot_error *err) {
    uint64_t total = (uint64_t)g->n_tensors + part->n_tensors;
    if (total > GGUF_MAX_TENSORS)
        return fail(err, INGOT_ERR_LIMIT, "%s: the split has more than %d tensors", g->name,
                    GGUF_MAX_TENSORS);
    ingot_gguf_tensor *tensors = mem_resize(g->mem, g->tensors, (size_t)total, sizeof *tensors);
    if (!tensors)
        return fail_memory(err, total * sizeof *tensors, "the tensor directory");
    g->tensors = tensors;
    for (uint32_t i = 0; i < part->n_tensors; i++) {
        tensors[g->n_tensors] = part->tensors[i];
        tensors[g->n_tensors++].split = (int32_t)number;
    }
    return INGOT_OK;
}

static ingot_status open_sibling(ingot_gguf *g, const char *path, const ingot_gguf_params *params,
                                 progress_share *share, ingot_error *err) {
    if (!file_exists(path))
        return fail(err, INGOT_ERR_IO, "%s: file %" PRIu32 " of %" PRIu32 " of the split is missing: %s",
                    g->name, share->number + 1, share->count, path);
    ingot_gguf *part;
    TRY(open_one(g->mem, path, params, share, &part, err));
    g->siblings[g->n_siblings++] = part;
    uint32_t number, count;
    TRY(split_place(part, &number, &count, err));
    if (number != share->number || count != share->count)
        return fail(err, INGOT_ERR_FORMAT,
                    "%s: says that it is file %" PRIu32 " of %" PRIu32 ", but its name says %" PRIu32
                    " of %" PRIu32,
                    path, number + 1, count, share->number + 1, share->count);
    return tensors_append(g, part, number, err);
}

// Opens the other files of the split whose first file is `g`.
static ingot_status open_siblings(ingot_gguf *g, const ingot_gguf_params *params, progress_share *share,
                                  ingot_error *err) {
    uint32_t number, count;
    TRY(split_place(g, &number, &count, err));
    if (count == 1)
        return INGOT_OK;
    TRY(check_first(g, number, count, err));
    g->siblings = mem_alloc(g->mem, count - 1, sizeof *g->siblings);
    if (!g->siblings)
        return fail_memory(err, (count - 1) * sizeof *g->siblings, "the files of a split");
    size_t stem;
    uint32_t named_number, named_count;
    split_name_parse(g->name, &stem, &named_number, &named_count);
    for (uint32_t i = 1; i < count; i++) {
        char *path;
        TRY(split_name_new(g->mem, g->name, stem, i + 1, count, &path, err));
        share->number = i;
        share->count = count;
        ingot_status status = open_sibling(g, path, params, share, err);
        mem_free(g->mem, path);
        TRY(status);
    }
    uint32_t total = g->n_tensors;
    TRY(gguf_get_u32(g, GGUF_KEY_SPLIT_TOTAL, false, 0, UINT32_MAX, &total, err));
    if (total != g->n_tensors)
        return fail(err, INGOT_ERR_FORMAT,
                    "%s: " GGUF_KEY_SPLIT_TOTAL " is %" PRIu32 ", but the files hold %" PRIu32 " tensors",
                    g->name, total, g->n_tensors);
    return INGOT_OK;
}

static ingot_status index_tensors(ingot_gguf *g, ingot_error *err) {
    ingot_status status =
        index_build(&g->names, g->mem, g->tensors, sizeof *g->tensors, g->n_tensors, "tensor", err);
    return status == INGOT_OK ? status : fail_prefix(err, status, "%s", g->name);
}

ingot_status gguf_open(const ingot_allocator *mem, const char *path, const ingot_gguf_params *params,
                       ingot_progress_fn progress, void *user, ingot_gguf **out, ingot_error *err) {
    static const ingot_gguf_params defaults = {0};
    if (!params)
        params = &defaults;
    progress_share share = {.fn = progress, .user = user, .number = 0, .count = 1};
    size_t stem;
    uint32_t number, count;
    if (split_name_parse(path, &stem, &number, &count) && count > 0)
        share.count = count; // a guess until the file itself has said how many there are
    ingot_gguf *g = NULL;
    TRY(open_one(mem, path, params, &share, &g, err));
    ingot_status status = open_siblings(g, params, &share, err);
    if (status == INGOT_OK)
        status = index_tensors(g, err);
    if (status != INGOT_OK) {
        ingot_gguf_close(g);
        return status;
    }
    *out = g;
    return INGOT_OK;
}

static ingot_status parse_memory(ingot_gguf *g, const void *image, size_t size, ingot_error *err) {
    TRY(gguf_parse(g, image, size, true, err));
    uint32_t number, count;
    TRY(split_place(g, &number, &count, err));
    if (count > 1)
        return fail(err, INGOT_ERR_UNSUPPORTED,
                    "%s: is file %" PRIu32 " of %" PRIu32 " of a split, which can't be opened in memory",
                    g->name, number + 1, count);
    return index_tensors(g, err);
}

ingot_status gguf_open_memory(const ingot_allocator *mem, const void *image, size_t size, const char *name,
                              ingot_gguf **out, ingot_error *err) {
    if ((uintptr_t)image % IMAGE_ALIGNMENT != 0)
        return fail(err, INGOT_ERR_INVALID, "%s: the image isn't aligned to %d bytes", name, IMAGE_ALIGNMENT);
    ingot_gguf *g = NULL;
    TRY(gguf_new(mem, name, &g, err));
    ingot_status status = parse_memory(g, image, size, err);
    if (status != INGOT_OK) {
        ingot_gguf_close(g);
        return status;
    }
    *out = g;
    return INGOT_OK;
}
