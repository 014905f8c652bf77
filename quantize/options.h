// What the command line asks for.
#ifndef INGOT_QUANTIZE_OPTIONS_H
#define INGOT_QUANTIZE_OPTIONS_H

#include "base/mem.h"
#include "base/pattern.h"
#include "base/status.h"
#include "gguf/store.h"
#include "quantize/filetype.h"

// A type for the tensors whose names a pattern finds.
typedef struct wish {
    pattern *pattern;
    int32_t type;
} wish;

// A metadata entry to set. `value` points into the other fields.
typedef struct kv_override {
    const char *key;
    ingot_gguf_value value;
    uint64_t number; // the bytes of a number or bool
    ingot_str text;
} kv_override;

typedef struct options {
    const char *input;
    const char *output; // with `keep_split` the stem of the files' names
    const filetype *target;
    int32_t threads;      // 0: as many as the machine grants
    const char *imatrix;  // NULL: none
    const char **weights; // [n_weights] parts of names
    size_t n_weights;
    bool weights_included;  // those, else all others
    int32_t output_type;    // RECIPE_NO_TYPE: by the recipe
    int32_t embedding_type; // RECIPE_NO_TYPE: by the recipe
    wish *wishes;           // [n_wishes], the first that fits counts
    size_t n_wishes;
    kv_override *overrides; // [n_overrides]
    size_t n_overrides;
    int32_t *pruned; // [n_pruned] layers, in order
    size_t n_pruned;
    uint64_t max_memory; // bytes for buffers
    bool high_effort;    // errors of a row's weights make up for each other
    bool pure, leave_output, allow_requantize, keep_split, dry_run, json, help;
    store store; // texts
} options;

// Reads the arguments after the program's name; with --help nothing else counts. INGOT_ERR_INVALID for wrong
// usage.
ingot_status options_read(int argc, char **argv, options *out, ingot_error *err);
void options_free(options *o);

// The type wished for a tensor, or RECIPE_NO_TYPE; `user` is the options (a recipe_options.wish).
int32_t options_wish(void *user, const char *name);

// Reads the values of single options into `o`.
ingot_status option_wish(options *o, const char *text, ingot_error *err);
ingot_status option_wish_file(options *o, const char *path, ingot_error *err);
ingot_status option_override(options *o, const char *text, ingot_error *err);
ingot_status option_prune(options *o, const char *text, ingot_error *err);
ingot_status option_tensor_type(const char *text, int32_t *out, ingot_error *err);
ingot_status option_size(const char *text, uint64_t *out, ingot_error *err);

// Appends `size` bytes to the array *items [*n]. False when memory is exhausted.
bool option_append(void *items, size_t *n, const void *item, size_t size);

// A copy of `size` bytes of `text` with a NUL after them; NULL when exhausted.
char *option_text(options *o, const char *text, size_t size);

// The help text.
void help_print(void);

#endif
