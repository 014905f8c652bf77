// Facts of the GGUF format that the reader and the writer share, and the caps on what they accept.
//
// A file is: "GGUF", u32 version, u64 number of tensors, u64 number of keys; the keys (string name, u32 value
// type, value); the tensor directory (string name, u32 dimensions, u64 each dimension, u32 tensor type, u64
// offset); padding to the alignment; the tensors' data, each padded to the alignment. A string is a u64
// length and bytes; an array is a u32 item type, a u64 count and the items. All numbers are little-endian.
// Source: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
#ifndef INGOT_GGUF_FORMAT_H
#define INGOT_GGUF_FORMAT_H

#include "base/status.h"

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "GGUF values are used as they lie in the file, which asks for a little-endian machine"
#endif

enum {
    GGUF_VERSION_MIN = 2, // version 1 had 32-bit lengths and no longer exists in the wild
    GGUF_VERSION = 3,     // what the writer writes; 2 and 3 differ in nothing that a reader sees
    GGUF_HEADER_BYTES = 24,

    GGUF_DEFAULT_ALIGNMENT = 32,
    GGUF_MIN_ALIGNMENT = 8,
    GGUF_MAX_ALIGNMENT = 1 << 20,

    GGUF_MAX_KEYS = 1 << 16,
    GGUF_MAX_TENSORS = 1 << 17,
    GGUF_MAX_SPLITS = 1 << 10,
    GGUF_MAX_KEY_BYTES = (1 << 16) - 1,
    GGUF_MAX_NAME_BYTES = 255, // llama.cpp stops at 63
    GGUF_MAX_DIMS = 4,
    GGUF_MAX_DEPTH = 4, // of arrays of arrays

    // The least that these take in a file, for refusing absurd counts before anything is allocated.
    GGUF_KEY_MIN_BYTES = 8 + 1 + 4 + 1,
    GGUF_TENSOR_MIN_BYTES = 8 + 1 + 4 + 4 + 8,
};

#define GGUF_KEY_ALIGNMENT   "general.alignment"
#define GGUF_KEY_SPLIT_NO    "split.no"            // which file of a split this is, from 0
#define GGUF_KEY_SPLIT_COUNT "split.count"         // how many files it has
#define GGUF_KEY_SPLIT_TOTAL "split.tensors.count" // how many tensors all of them hold

// "u8", "string", ...; "unknown" for what is no value type.
const char *gguf_type_name(ingot_gguf_type type);

// Bytes of one item in a file: the exact size of numbers and bools, the least size of strings and arrays, 0
// for what is no value type.
uint64_t gguf_type_bytes(ingot_gguf_type type);

// A key's or tensor's name must be 1 to `max` bytes of UTF-8 without NUL. On failure says why ("is empty").
bool gguf_name_valid(ingot_str name, size_t max, const char **why);

// How much of `name` a message shows; for "%.*s".
int gguf_name_shown(ingot_str name);

// A power of two from GGUF_MIN_ALIGNMENT to GGUF_MAX_ALIGNMENT. (llama.cpp takes 1 to 4, too; the format asks
// for a multiple of 8, and data that isn't aligned to its numbers couldn't be read in place.)
bool gguf_alignment_valid(uint64_t alignment);

// The alignment that a value of general.alignment sets: a valid u32.
ingot_status gguf_alignment_get(const ingot_gguf_value *value, uint64_t *alignment, ingot_error *err);

// The bytes of a tensor's data. `shape` has n_dims (0 to 4) entries. Errors: a type that doesn't exist, a
// dimension of zero, a row that isn't whole blocks, more than INT64_MAX weights or bytes.
ingot_status gguf_tensor_bytes(int64_t type, uint32_t n_dims, const uint64_t *shape, uint64_t *bytes,
                               ingot_error *err);

#endif
