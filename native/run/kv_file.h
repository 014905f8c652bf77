// Files of keys and values: tokens, and pages with what a model has computed of them. They are for the same
// model and settings alone, on the same kind of machine.
//
// A header of 48 bytes, the tokens, then of each page its hash and its bytes; numbers are little-endian:
//
//   8  magic "INGOTKV1"
//   8  model       hash of all that keys and values depend on besides tokens
//   8  page_bytes
//   4  n_tokens
//   4  first_page  pages before it are not in the file
//   4  n_pages     that are, all of them full
//   4  zero
//   8  hash        of what stands before it, and of the tokens
#ifndef INGOT_RUN_KV_FILE_H
#define INGOT_RUN_KV_FILE_H

#include "base/mem.h"
#include "base/status.h"

typedef struct kv_file_head {
    uint64_t model;
    uint64_t page_bytes;
    int32_t n_tokens, first_page, n_pages;
} kv_file_head;

// Gives the bytes of a page, by its place in the text.
typedef ingot_status (*kv_file_page_fn)(void *user, int32_t page, void *bytes, ingot_error *err);

// Writes a file; `durable`: it is on disk when the call returns.
ingot_status kv_file_write(const char *path, const ingot_allocator *mem, const kv_file_head *head,
                           const int32_t *tokens, kv_file_page_fn page, void *user, bool durable,
                           ingot_error *err);

typedef struct kv_file kv_file;

// Opens a file for `model` and pages of `page_bytes` bytes. What isn't such a file, is cut off or damaged is
// INGOT_ERR_FORMAT; what is for another model INGOT_ERR_INVALID.
ingot_status kv_file_open(const char *path, const ingot_allocator *mem, uint64_t model, uint64_t page_bytes,
                          kv_file **out, ingot_error *err);
void kv_file_close(kv_file *f);

const kv_file_head *kv_file_get_head(const kv_file *f);
const int32_t *kv_file_tokens(const kv_file *f);

// Reads the i-th of the file's pages.
ingot_status kv_file_read(kv_file *f, int32_t i, void *bytes, ingot_error *err);

// The file's bytes with so many tokens and pages.
uint64_t kv_file_bytes(const kv_file_head *head);

#endif
