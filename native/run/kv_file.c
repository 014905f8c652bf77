#include "run/kv_file.h"

#include <inttypes.h>
#include <string.h>

#include "base/file.h"
#include "base/hash.h"
#include "run/pages.h"

enum { HEADER = 48, HASHED = 40 };
static const char MAGIC[8] = "INGOTKV1";

struct kv_file {
    const ingot_allocator *mem;
    file_in *in;
    char *path;
    kv_file_head head;
    int32_t *tokens; // [n_tokens]
};

uint64_t kv_file_bytes(const kv_file_head *head) {
    return HEADER + (uint64_t)head->n_tokens * sizeof(int32_t) +
           (uint64_t)head->n_pages * (sizeof(uint64_t) + head->page_bytes);
}

static uint64_t hash_of(const uint8_t *header, const int32_t *tokens, int32_t n_tokens) {
    return hash_bytes(hash_bytes(0, header, HASHED), tokens, (uint64_t)n_tokens * sizeof *tokens);
}

// ------------------------------------------------------------------------------------------------- writing

static void put_header(uint8_t *out, const kv_file_head *head, const int32_t *tokens) {
    const int32_t words[4] = {head->n_tokens, head->first_page, head->n_pages, 0};
    memcpy(out, MAGIC, sizeof MAGIC);
    memcpy(out + 8, &head->model, 8);
    memcpy(out + 16, &head->page_bytes, 8);
    memcpy(out + 24, words, sizeof words);
    const uint64_t hash = hash_of(out, tokens, head->n_tokens);
    memcpy(out + HASHED, &hash, sizeof hash);
}

static ingot_status write_all(file_out *out, const kv_file_head *head, const int32_t *tokens, uint8_t *bytes,
                              kv_file_page_fn page, void *user, ingot_error *err) {
    uint8_t header[HEADER];
    put_header(header, head, tokens);
    TRY(file_out_write(out, header, sizeof header, err));
    TRY(file_out_write(out, tokens, (uint64_t)head->n_tokens * sizeof *tokens, err));
    for (int32_t i = 0; i < head->n_pages; i++) {
        TRY(page(user, head->first_page + i, bytes, err));
        const uint64_t hash = hash_bytes(0, bytes, head->page_bytes);
        TRY(file_out_write(out, &hash, sizeof hash, err));
        TRY(file_out_write(out, bytes, head->page_bytes, err));
    }
    return INGOT_OK;
}

ingot_status kv_file_write(const char *path, const ingot_allocator *mem, const kv_file_head *head,
                           const int32_t *tokens, kv_file_page_fn page, void *user, bool durable,
                           ingot_error *err) {
    file_out *out;
    uint8_t *bytes = mem_resize(mem, NULL, (size_t)head->page_bytes, 1);
    if (!bytes)
        return fail_memory(err, head->page_bytes, "a page that is written");
    ingot_status status = file_out_open(path, mem, &out, err);
    if (status == INGOT_OK) {
        status = write_all(out, head, tokens, bytes, page, user, err);
        if (status != INGOT_OK)
            file_out_abort(out);
        else
            status = durable ? file_out_commit(out, err) : file_out_commit_soon(out, err);
    }
    mem_free(mem, bytes);
    return status;
}

// ------------------------------------------------------------------------------------------------- reading

static ingot_status damaged(const kv_file *f, ingot_error *err, const char *what) {
    return fail(err, INGOT_ERR_FORMAT, "%s: %s: the file is cut off or damaged, remove it", f->path, what);
}

static ingot_status read_header(kv_file *f, uint64_t model, uint64_t page_bytes, uint64_t *hash,
                                uint8_t *header, ingot_error *err) {
    kv_file_head *head = &f->head;
    int32_t words[4];
    TRY(file_in_read(f->in, 0, header, HEADER, err));
    if (memcmp(header, MAGIC, sizeof MAGIC) != 0)
        return fail(err, INGOT_ERR_FORMAT,
                    "%s: is no file of keys and values: it doesn't begin with INGOTKV1", f->path);
    memcpy(&head->model, header + 8, 8);
    memcpy(&head->page_bytes, header + 16, 8);
    memcpy(words, header + 24, sizeof words);
    memcpy(hash, header + HASHED, sizeof *hash);
    *head = (kv_file_head){head->model, head->page_bytes, words[0], words[1], words[2]};
    const bool fits = head->n_tokens >= 0 && head->first_page >= 0 && head->n_pages >= 0 &&
                      head->first_page <= head->n_tokens / PAGE_TOKENS - head->n_pages;
    if (!fits)
        return damaged(f, err, "its numbers of tokens and of pages don't fit");
    if (head->model != model || head->page_bytes != page_bytes)
        return fail(err, INGOT_ERR_INVALID,
                    "%s: was written for another model, other settings, another version or another kind of "
                    "machine (model %016" PRIx64 ", pages of %" PRIu64 " bytes; here they are %016" PRIx64
                    " and %" PRIu64 ")",
                    f->path, head->model, head->page_bytes, model, page_bytes);
    if (file_in_size(f->in) != kv_file_bytes(head))
        return fail(err, INGOT_ERR_FORMAT,
                    "%s: has %" PRIu64 " bytes, expected %" PRIu64
                    ": the file is cut off or damaged, remove it",
                    f->path, file_in_size(f->in), kv_file_bytes(head));
    return INGOT_OK;
}

static ingot_status read_tokens(kv_file *f, uint64_t hash, const uint8_t *header, ingot_error *err) {
    const uint64_t bytes = (uint64_t)f->head.n_tokens * sizeof *f->tokens;
    f->tokens = mem_alloc(f->mem, (size_t)f->head.n_tokens, sizeof *f->tokens);
    if (!f->tokens)
        return fail_memory(err, bytes, "the tokens of a file of keys and values");
    TRY(file_in_read(f->in, HEADER, f->tokens, bytes, err));
    return hash == hash_of(header, f->tokens, f->head.n_tokens)
               ? INGOT_OK
               : damaged(f, err, "its header's hash is wrong");
}

ingot_status kv_file_open(const char *path, const ingot_allocator *mem, uint64_t model, uint64_t page_bytes,
                          kv_file **out, ingot_error *err) {
    uint8_t header[HEADER];
    uint64_t hash = 0;
    kv_file *f = mem_alloc(mem, 1, sizeof *f);
    if (!f)
        return fail_memory(err, sizeof *f, "a file of keys and values");
    const size_t size = strlen(path) + 1;
    *f = (kv_file){.mem = mem, .path = mem_alloc(mem, size, 1)};
    ingot_status status = f->path ? INGOT_OK : fail_memory(err, size, "a file's name");
    if (status == INGOT_OK) {
        memcpy(f->path, path, size);
        status = file_in_open(path, mem, &f->in, err);
    }
    if (status == INGOT_OK)
        status = read_header(f, model, page_bytes, &hash, header, err);
    if (status == INGOT_OK)
        status = read_tokens(f, hash, header, err);
    if (status != INGOT_OK) {
        kv_file_close(f);
        return status;
    }
    *out = f;
    return INGOT_OK;
}

void kv_file_close(kv_file *f) {
    if (!f)
        return;
    file_in_close(f->in);
    mem_free(f->mem, f->tokens);
    mem_free(f->mem, f->path);
    mem_free(f->mem, f);
}

const kv_file_head *kv_file_get_head(const kv_file *f) {
    return &f->head;
}

const int32_t *kv_file_tokens(const kv_file *f) {
    return f->tokens;
}

ingot_status kv_file_read(kv_file *f, int32_t i, void *bytes, ingot_error *err) {
    kv_file_head before = f->head;
    uint64_t hash;
    before.n_pages = i;
    const uint64_t offset = kv_file_bytes(&before);
    TRY(file_in_read(f->in, offset, &hash, sizeof hash, err));
    TRY(file_in_read(f->in, offset + sizeof hash, bytes, f->head.page_bytes, err));
    return hash == hash_bytes(0, bytes, f->head.page_bytes) ? INGOT_OK
                                                            : damaged(f, err, "the hash of a page is wrong");
}
