#include "run/spill.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/folder.h"
#include "base/hash.h"
#include "run/engine.h"
#include "run/kv_file.h"

#define SUFFIX      ".kv"
#define PART_SUFFIX ".kv.part"

enum { HASH_DIGITS = 16 };
static const uint64_t DEFAULT_BYTES = (uint64_t)8 << 30;
static const double PATIENCE = 0.1, PATIENCE_OF_OTHERS = 0.005; // seconds for reading pages, at a time

// ------------------------------------------------------------------------------------------------- files

// FOLDER/HASH.kv; `out` has room for PATH_MAX bytes, as spill_open has checked.
static void path_of(const spill *s, uint64_t hash, char *out) {
    snprintf(out, PATH_MAX, "%s/%016" PRIx64 SUFFIX, s->folder, hash);
}

// Where a file stands, or would stand.
static size_t place_of(const spill *s, uint64_t hash) {
    size_t low = 0, high = s->n;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (s->files[middle].hash < hash)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static spilled *find(const spill *s, uint64_t hash) {
    const size_t at = place_of(s, hash);
    return at < s->n && s->files[at].hash == hash ? &s->files[at] : NULL;
}

static void forget_file(spill *s, spilled *file) {
    s->bytes -= file->bytes;
    s->n--;
    memmove(file, file + 1, (size_t)(s->files + s->n - file) * sizeof *file);
}

static void remove_file(spill *s, spilled *file) {
    char path[PATH_MAX];
    path_of(s, file->hash, path);
    folder_remove(path);
    forget_file(s, file);
}

static void use_file(const spill *s, spilled *file, int64_t used) {
    char path[PATH_MAX];
    path_of(s, file->hash, path);
    folder_touch(path, used);
    file->used = used;
}

static bool make_room(const ingot_engine *e, spill *s) {
    return mem_reserve(e->mem, &s->files, &s->capacity, s->n + 1, sizeof *s->files);
}

// Notes a file, for which there is room.
static void note_file(spill *s, spilled file) {
    const size_t at = place_of(s, file.hash);
    memmove(s->files + at + 1, s->files + at, (s->n - at) * sizeof *s->files);
    s->files[at] = file;
    s->n++;
    s->bytes += file.bytes;
}

// Removes what was used the longest ago.
static void keep_within(spill *s, uint64_t max_bytes) {
    while (s->bytes > max_bytes) {
        spilled *oldest = s->files;
        for (size_t i = 1; i < s->n; i++)
            oldest = s->files[i].used < oldest->used ? &s->files[i] : oldest;
        remove_file(s, oldest);
    }
}

// Notes a file of the folder, and removes what a process has left that was killed.
static bool take_file(const folder_file *file, void *user) {
    ingot_engine *e = user;
    spill *s = &e->spill;
    const size_t n = strlen(file->name);
    char path[PATH_MAX];
    if (n > sizeof PART_SUFFIX && strcmp(file->name + n - (sizeof PART_SUFFIX - 1), PART_SUFFIX) == 0) {
        snprintf(path, sizeof path, "%s/%s", s->folder, file->name);
        folder_remove(path);
    }
    char *end;
    const uint64_t hash = strtoull(file->name, &end, 16);
    if (end != file->name + HASH_DIGITS || strcmp(end, SUFFIX) != 0 || find(s, hash))
        return true;
    if (!make_room(e, s))
        return false;
    note_file(s, (spilled){hash, file->bytes, file->changed});
    return true;
}

// ------------------------------------------------------------------------------------------------- writing

// The hash of `n` tokens of which the first PAGE_TOKENS * n_before have the hash `before`.
static uint64_t hash_page(uint64_t before, const int32_t *tokens, int32_t page) {
    return hash_bytes(before, tokens + (size_t)page * PAGE_TOKENS, PAGE_TOKENS * sizeof *tokens);
}

static uint64_t hash_path(const int32_t *tokens, int32_t n_pages) {
    uint64_t hash = 0;
    for (int32_t i = 0; i < n_pages; i++)
        hash = hash_page(hash, tokens, i);
    return hash;
}

static bool may_spill(const ingot_engine *e, int32_t page) {
    const prefix_node *node = &e->tree.nodes[page];
    return node->known && node->n_tokens == PAGE_TOKENS && node->domain == 0;
}

typedef struct source {
    ingot_engine *e;
    int32_t page;
} source;

static ingot_status read_page(void *user, int32_t i, void *bytes, ingot_error *err) {
    (void)i;
    const source *from = user;
    backend *device = from->e->model->device;
    return device->ops->kv_read(device, from->e->kv, from->page, bytes, err);
}

// Sees to a page's being on disk. Failures are logged, the first one of several.
static void keep_page(ingot_engine *e, int32_t page) {
    spill *s = &e->spill;
    const int32_t n = prefix_path(&e->tree, page, s->tokens);
    const kv_file_head head = {s->model, e->page_bytes, n, n / PAGE_TOKENS - 1, 1};
    const uint64_t hash = hash_path(s->tokens, n / PAGE_TOKENS), bytes = kv_file_bytes(&head);
    spilled *known = find(s, hash);
    source from = {e, page};
    char path[PATH_MAX];
    ingot_error err;
    if (known) {
        use_file(s, known, folder_now());
        return;
    }
    if (bytes > s->max_bytes || !make_room(e, s))
        return;
    keep_within(s, s->max_bytes - bytes);
    path_of(s, hash, path);
    const ingot_status status = kv_file_write(path, e->mem, &head, s->tokens, read_page, &from, false, &err);
    if (status == INGOT_OK) {
        note_file(s, (spilled){hash, bytes, folder_now()});
        atomic_fetch_add(&s->n_written, 1);
    } else if (!s->failed) {
        log_line(e->model->env.log, INGOT_LOG_WARN, "the prefix cache isn't kept on disk: %s", err.message);
    }
    s->failed = status != INGOT_OK;
}

static void keep_evicted(void *user, int32_t page) {
    ingot_engine *e = user;
    if (may_spill(e, page))
        keep_page(e, page);
}

void spill_all(ingot_engine *e) {
    const prefix_tree *t = &e->tree;
    uint64_t bytes = 0;
    int32_t first = t->newest;
    // The newest that there is room for, beginning with the oldest of them: its files are the oldest too.
    for (int32_t page = t->newest; page >= 0 && bytes < e->spill.max_bytes; page = t->nodes[page].older) {
        bytes += e->page_bytes;
        first = page;
    }
    for (int32_t page = first; page >= 0; page = t->nodes[page].newer)
        if (may_spill(e, page))
            keep_page(e, page);
}

// ------------------------------------------------------------------------------------------------- reading

bool spill_wants(ingot_engine *e, const request *r) {
    spill *s = &e->spill;
    if (!s->folder || r->domain != 0 || r->params.embedding)
        return false;
    if (s->request != r->id) {
        s->request = r->id;
        s->n_came = 0;
        s->given_up = false;
        s->began = folder_now();
    }
    const int32_t most = schedule_most_shared(e, r) + 1, n_pages = most / PAGE_TOKENS;
    if (s->given_up || s->n_came >= n_pages)
        return false;
    const int32_t known = prefix_match(&e->tree, 0, r->tokens, n_pages * PAGE_TOKENS) / PAGE_TOKENS;
    if (known >= n_pages || !find(s, hash_path(r->tokens, known + 1)))
        return false;
    s->n_wanted = n_pages * PAGE_TOKENS;
    memcpy(s->wanted.tokens, r->tokens, (size_t)s->n_wanted * sizeof *r->tokens);
    return true;
}

// Reads a page's file, which has the tokens from the beginning to its end.
static ingot_status read_file(const ingot_engine *e, const char *path, const int32_t *tokens,
                              int32_t n_tokens, uint8_t *bytes, ingot_error *err) {
    kv_file *f;
    TRY(kv_file_open(path, e->mem, e->spill.model, e->page_bytes, &f, err));
    const kv_file_head *head = kv_file_get_head(f);
    ingot_status status = INGOT_OK;
    if (head->n_tokens != n_tokens || head->n_pages != 1 || head->first_page != n_tokens / PAGE_TOKENS - 1 ||
        memcmp(kv_file_tokens(f), tokens, (size_t)n_tokens * sizeof *tokens) != 0)
        status = fail(err, INGOT_ERR_NOT_FOUND, "%s has other tokens", path);
    else
        status = kv_file_read(f, 0, bytes, err);
    kv_file_close(f);
    return status;
}

// Reads the page that ends with the first `n_tokens` wanted tokens; a file that isn't what it should be is
// removed.
static bool read_wanted(ingot_engine *e, uint64_t hash, int32_t n_tokens) {
    spill *s = &e->spill;
    spilled *file = find(s, hash);
    char path[PATH_MAX];
    ingot_error err;
    if (!file)
        return false;
    path_of(s, hash, path);
    const ingot_status status = read_file(e, path, s->wanted.tokens, n_tokens, s->page, &err);
    if (status == INGOT_OK) {
        use_file(s, file, s->began - n_tokens); // later than what follows it
        return true;
    }
    if (file_exists(path) && status != INGOT_ERR_NOT_FOUND)
        log_line(e->model->env.log, INGOT_LOG_WARN, "computed again: %s", err.message);
    remove_file(s, file);
    return false;
}

// Puts the page that was read behind those that are there; false if there is no room.
static bool add_page(ingot_engine *e) {
    sequence *seq = &e->spill.wanted;
    backend *device = e->model->device;
    ingot_error err;
    if (!prefix_evict(&e->tree, 1) ||
        sequence_reserve(seq, &e->pool, seq->n_tokens + PAGE_TOKENS, NULL) != INGOT_OK)
        return false;
    if (device->ops->kv_write(device, e->kv, seq->pages[seq->n_pages - 1], e->spill.page, &err) != INGOT_OK) {
        sequence_trim(seq, &e->pool);
        return false;
    }
    seq->n_tokens += PAGE_TOKENS;
    atomic_fetch_add(&e->spill.n_read, 1);
    return true;
}

// Reads what follows a page that couldn't be had, so that it is found out now what else is damaged: it would
// be thought to be on disk.
static void check_rest(ingot_engine *e, uint64_t hash, int32_t n_tokens) {
    const spill *s = &e->spill;
    for (; n_tokens < s->n_wanted; n_tokens += PAGE_TOKENS) {
        hash = hash_page(hash, s->wanted.tokens, n_tokens / PAGE_TOKENS);
        read_wanted(e, hash, n_tokens + PAGE_TOKENS);
    }
}

void spill_restore(ingot_engine *e) {
    spill *s = &e->spill;
    sequence *seq = &s->wanted;
    const double end = clock_seconds() + (e->n_active > 0 ? PATIENCE_OF_OTHERS : PATIENCE);
    const int32_t known = prefix_match(&e->tree, 0, seq->tokens, s->n_wanted) / PAGE_TOKENS;
    page_copy copy;
    prefix_take(&e->tree, 0, seq, known * PAGE_TOKENS, &copy); // full pages alone: nothing to copy
    uint64_t hash = hash_path(seq->tokens, seq->n_tokens / PAGE_TOKENS);
    do {
        hash = hash_page(hash, seq->tokens, seq->n_tokens / PAGE_TOKENS);
        const bool expected = find(s, hash), there = read_wanted(e, hash, seq->n_tokens + PAGE_TOKENS);
        if (expected && !there)
            check_rest(e, hash, seq->n_tokens + PAGE_TOKENS);
        s->given_up = !there || !add_page(e);
        s->n_came += !s->given_up;
    } while (!s->given_up && seq->n_tokens < s->n_wanted && clock_seconds() < end);
    prefix_publish(&e->tree, 0, seq, seq->n_tokens);
    prefix_leave(&e->tree, seq);
    engine_count_pages(e);
}

// ------------------------------------------------------------------------------------------------- life

uint64_t spill_model(const ingot_engine *e) {
    const kv_layout *l = &e->layout;
    const backend_params *env = &e->model->env;
    const int32_t settings[] = {l->k_type, l->v_type, e->info.k_rotate, l->page_tokens};
    const char *machine = env->kernels ? backend_isa_of(env->kernels) : e->model->device->ops->name;
    uint64_t hash = hash_bytes(gguf_hash(e->model->file), settings, sizeof settings);
    hash = hash_bytes(hash, machine, strlen(machine));
    return hash_bytes(hash, INGOT_VERSION, sizeof INGOT_VERSION);
}

ingot_status spill_open(ingot_engine *e, const char *folder, uint64_t max_bytes, ingot_error *err) {
    spill *s = &e->spill;
    const size_t n = strlen(folder), size = n + HASH_DIGITS + 2;
    const uint64_t token_bytes = (uint64_t)e->info.n_ctx * sizeof *s->tokens;
    if (size + HASH_DIGITS + sizeof PART_SUFFIX + 1 > PATH_MAX)
        return fail(err, INGOT_ERR_INVALID, "cache_dir has %zu bytes: expected a shorter name", n);
    s->model = spill_model(e);
    s->max_bytes = max_bytes > 0 ? max_bytes : DEFAULT_BYTES;
    s->page = mem_alloc(e->mem, (size_t)e->page_bytes, 1);
    s->tokens = vm_reserve(token_bytes);
    char *own = mem_alloc(e->mem, size, 1);
    if (!s->page || !s->tokens || !own) {
        mem_free(e->mem, own);
        return fail_memory(err, e->page_bytes + token_bytes, "the prefix cache on disk");
    }
    snprintf(own, size, "%s/%016" PRIx64, folder, s->model);
    s->folder = own;
    TRY(sequence_init(&s->wanted, e->info.n_ctx, err));
    TRY(folder_make(own, err));
    TRY(folder_list(own, take_file, e, err));
    keep_within(s, s->max_bytes);
    e->tree.evicts = keep_evicted;
    e->tree.user = e;
    return INGOT_OK;
}

void spill_close(ingot_engine *e) {
    spill *s = &e->spill;
    sequence_free(&s->wanted, &e->pool);
    vm_release(s->tokens, (uint64_t)e->info.n_ctx * sizeof *s->tokens);
    mem_free(e->mem, s->page);
    mem_free(e->mem, s->files);
    mem_free(e->mem, s->folder);
}
