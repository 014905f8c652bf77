// An opened GGUF file from the inside, and the parser that fills it.
#ifndef INGOT_GGUF_READER_H
#define INGOT_GGUF_READER_H

#include "base/map.h"
#include "gguf/gguf.h"
#include "gguf/index.h"
#include "gguf/store.h"

struct ingot_gguf {
    const ingot_allocator *mem; // borrowed
    char *name;                 // the path, or what gguf_open_memory was told
    file_map map;               // {0} for an image in memory
    uint32_t version;
    uint64_t alignment;
    ingot_gguf_kv *kvs; // [keys.count]; what the keys and values point to lies in the map and in `store`
    name_index keys;
    store store;
    ingot_gguf_tensor *tensors; // [n_tensors] of this file, then of its siblings
    uint32_t n_tensors;
    name_index names;             // of all tensors; built when the siblings are there
    struct ingot_gguf **siblings; // [n_siblings] the further files of a split, which have none themselves
    uint32_t n_siblings;
};

// Reads header, keys and tensor directory of the image `data` into `g`, which has mem, name and nothing else.
// The tensors' data pointers are set if `with_data`. Messages begin with the file's name. On failure `g` is
// as good as before for ingot_gguf_close.
ingot_status gguf_parse(ingot_gguf *g, const uint8_t *data, uint64_t size, bool with_data, ingot_error *err);

#endif
