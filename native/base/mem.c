#include "base/mem.h"

#include <inttypes.h>

static void *libc_resize(void *user, void *old, size_t size) {
    (void)user;
    if (size == 0) {
        free(old);
        return NULL;
    }
    return realloc(old, size);
}

const ingot_allocator mem_libc = {.user = NULL, .resize = libc_resize};

static bool total_size(size_t count, size_t size, size_t *total) {
    if (size != 0 && count > (SIZE_MAX / 2) / size)
        return false;
    *total = count * size == 0 ? 1 : count * size;
    return true;
}

void *mem_resize(const ingot_allocator *mem, void *old, size_t count, size_t size) {
    size_t total;
    if (!total_size(count, size, &total))
        return NULL;
    const ingot_allocator *a = mem ? mem : &mem_libc;
    return a->resize(a->user, old, total);
}

void *mem_alloc(const ingot_allocator *mem, size_t count, size_t size) {
    void *block = mem_resize(mem, NULL, count, size);
    if (block)
        memset(block, 0, count * size);
    return block;
}

bool mem_grow(const ingot_allocator *mem, void *array, size_t *capacity, size_t need, size_t size) {
    void *block;
    memcpy(&block, array, sizeof block);
    size_t wanted = *capacity < 32 ? 64 : *capacity + *capacity / 2;
    if (wanted < need)
        wanted = need;
    block = mem_resize(mem, block, wanted, size);
    if (!block)
        return false;
    memcpy(array, &block, sizeof block);
    *capacity = wanted;
    return true;
}

void mem_free(const ingot_allocator *mem, void *block) {
    const ingot_allocator *a = mem ? mem : &mem_libc;
    if (block)
        a->resize(a->user, block, 0);
}

ingot_status fail_memory(ingot_error *err, uint64_t bytes, const char *what) {
    return fail(err, INGOT_ERR_MEMORY, "cannot allocate %" PRIu64 " bytes for %s", bytes, what);
}
