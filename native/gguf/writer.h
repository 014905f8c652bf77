// The writer from the inside, and the part of it that lays out the files.
#ifndef INGOT_GGUF_WRITER_H
#define INGOT_GGUF_WRITER_H

#include "base/file.h"
#include "gguf/buffer.h"
#include "gguf/format.h"
#include "gguf/gguf.h"
#include "gguf/index.h"
#include "gguf/store.h"

enum { WRITER_OWN_KEYS = 4 }; // general.alignment and the three of a split

struct ingot_gguf_writer {
    const ingot_allocator *mem; // borrowed
    char *path;                 // of the file, or the stem of a split's
    uint64_t max_split_bytes;   // 0: any number
    bool is_split;              // else it is one file
    uint32_t n_begun;           // files that the caller began
    uint64_t alignment;         // 0 until it was given or the files were planned
    buffer metadata;            // the caller's keys and values as they stand in the file
    name_index keys;            // the caller's
    name_index tensor_names;
    ingot_gguf_tensor *tensors; // [tensor_names.count]
    size_t tensor_capacity;
    store names;      // the bytes of all names
    file_out **files; // [n_files], of which the first n_open are open; NULL until they were planned
    uint32_t n_files;
    uint32_t n_open;
    uint32_t current; // the tensor whose data comes next
    uint64_t done;    // how many bytes of it were written
    bool broken;      // a write failed: only finish and abort may follow
};

// Decides which tensor goes where: sets alignment, files, n_files and each tensor's `split` and `offset`
// (from the start of its file's tensor data). Files are filled in the order of the tensors, a new one begun
// where gguf_writer_next_file said so or max_split_bytes of padded data would be exceeded.
ingot_status writer_plan(ingot_gguf_writer *w, ingot_error *err);

// Opens the files up to number `last` (from 0) and writes their headers, metadata and directories.
ingot_status writer_open_until(ingot_gguf_writer *w, uint32_t last, ingot_error *err);

#endif
