#include "gguf/store.h"

#include "base/checked.h"

enum { BLOCK_BYTES = 4096, ALIGNMENT = 8 };

typedef struct store_block {
    struct store_block *older;
    uint64_t data[];
} store_block;

static uint8_t *block_new(store *s, const ingot_allocator *mem, size_t bytes) {
    store_block *block = mem_resize(mem, NULL, sizeof(store_block) + bytes, 1);
    if (!block)
        return NULL;
    block->older = s->blocks;
    s->blocks = block;
    return (uint8_t *)block->data;
}

void *store_alloc(store *s, const ingot_allocator *mem, uint64_t count, uint64_t size) {
    uint64_t total;
    size_t bytes;
    if (!checked_mul(count, size, &total) || !checked_align(total, ALIGNMENT, &total) ||
        !checked_size(total, &bytes))
        return NULL;
    if (bytes > BLOCK_BYTES / 2)
        return block_new(s, mem, bytes);
    if (!s->next || bytes > s->left) {
        uint8_t *block = block_new(s, mem, BLOCK_BYTES);
        if (!block)
            return NULL;
        s->next = block;
        s->left = BLOCK_BYTES;
    }
    void *piece = s->next;
    s->next += bytes;
    s->left -= bytes;
    return piece;
}

void store_free(store *s, const ingot_allocator *mem) {
    while (s->blocks) {
        store_block *older = s->blocks->older;
        mem_free(mem, s->blocks);
        s->blocks = older;
    }
    *s = (store){0};
}
