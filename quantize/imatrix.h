// Importance matrices: how much the squared error of a tensor's columns matters, measured by llama-imatrix
// over a text. Two forms of files are read, both made by llama.cpp:
//
// GGUF: for each tensor NAME.in_sum2, F32 [columns, matrices], the sums of the squared activations, and
// NAME.counts, F32 [1, matrices], how many were summed up; imatrix.datasets and imatrix.chunk_count.
// With what `ingot imatrix --moments` adds: NAME.in_correlations, F16, of the columns in windows; keys
// imatrix.ingot.input.NAME name the tensor whose correlations are NAME's too.
// The older one, numbers little-endian: i32 entries; for each i32 length, name, i32 calls, i32 count,
// F32[count] (sums, to be divided by the calls); then, maybe, i32 chunks, i32 length, the data set's name.
#ifndef INGOT_QUANTIZE_IMATRIX_H
#define INGOT_QUANTIZE_IMATRIX_H

#include "base/status.h"
#include "gguf/store.h"

typedef struct imatrix_entry {
    const char *name; // of the tensor
    uint64_t n;       // columns, times the matrices of a tensor of three dimensions
    float *values;    // [n], finite and not negative
    // Where the file has its columns' correlations, F16 [matrices][columns][INGOT_WINDOW] (row i of a matrix:
    // those of column i with the columns of its window); 0: nowhere.
    uint64_t correlations;
    uint64_t columns; // of a matrix; this and counts only with correlations
    float *counts;    // [matrices], of how many tokens they are
} imatrix_entry;

typedef struct imatrix {
    imatrix_entry *entries; // sorted by name
    size_t n;
    size_t capacity;
    const char *dataset; // "" if it isn't said
    uint32_t chunks;     // 0 if it isn't said
    store store;         // holds the names and values
} imatrix;

// Reads a file. Every message names it.
ingot_status imatrix_open(const char *path, imatrix *out, ingot_error *err);

// Reads the `size` bytes of `image`, aligned to 64; nothing is borrowed. `name` is for messages. On failure
// *out is empty.
ingot_status imatrix_read(const void *image, size_t size, const char *name, imatrix *out, ingot_error *err);

void imatrix_free(imatrix *m);

// NULL where there is none.
const imatrix_entry *imatrix_find(const imatrix *m, const char *name);

// Drops the entries whose names contain (`include` false) or don't contain (true) one of `parts` [n].
void imatrix_filter(imatrix *m, const char *const *parts, size_t n, bool include);

// The two forms; `out` is {0} before and may be filled in part after a failure.
ingot_status imatrix_read_gguf(const void *image, size_t size, const char *name, imatrix *out,
                               ingot_error *err);
ingot_status imatrix_read_legacy(const void *image, size_t size, const char *name, imatrix *out,
                                 ingot_error *err);

// Appends an entry with room for `n` values, for both.
ingot_status imatrix_add(imatrix *m, ingot_str name, uint64_t n, imatrix_entry **out, ingot_error *err);

// A copy of `text` with a NUL after it, in the matrix's store; NULL when exhausted.
char *imatrix_text(imatrix *m, ingot_str text);

#endif
