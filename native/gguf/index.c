#include "gguf/index.h"

#include <string.h>

#include "gguf/format.h"

static int compare(ingot_str a, ingot_str b) {
    int order = memcmp(a.data, b.data, a.size < b.size ? a.size : b.size);
    return order != 0 ? order : (a.size > b.size) - (a.size < b.size);
}

// Lets the entry at `root` sink to its place in the heap entries[0 .. count).
static void heap_sink(name_entry *entries, uint32_t root, uint32_t count) {
    name_entry entry = entries[root];
    for (;;) {
        uint32_t child = 2 * root + 1;
        if (child >= count)
            break;
        if (child + 1 < count && compare(entries[child + 1].name, entries[child].name) > 0)
            child++;
        if (compare(entries[child].name, entry.name) <= 0)
            break;
        entries[root] = entries[child];
        root = child;
    }
    entries[root] = entry;
}

// Heap sort: never slow, whatever the names, and needs no memory.
static void sort(name_entry *entries, uint32_t count) {
    for (uint32_t i = count / 2; i > 0; i--)
        heap_sink(entries, i - 1, count);
    for (uint32_t end = count; end > 1; end--) {
        name_entry last = entries[0];
        entries[0] = entries[end - 1];
        entries[end - 1] = last;
        heap_sink(entries, 0, end - 1);
    }
}

ingot_status index_build(name_index *index, const ingot_allocator *mem, const void *items, size_t stride,
                         uint32_t count, const char *kind, ingot_error *err) {
    *index = (name_index){0};
    name_entry *entries = mem_alloc(mem, count, sizeof *entries);
    if (!entries)
        return fail_memory(err, (uint64_t)count * sizeof *entries, "an index of names");
    for (uint32_t i = 0; i < count; i++) {
        memcpy(&entries[i].name, (const char *)items + i * stride, sizeof entries[i].name);
        entries[i].item = i;
    }
    sort(entries, count);
    for (uint32_t i = 1; i < count; i++) {
        ingot_str name = entries[i].name;
        if (compare(entries[i - 1].name, name) == 0) {
            mem_free(mem, entries);
            return fail(err, INGOT_ERR_FORMAT, "%s '%.*s' appears twice", kind, gguf_name_shown(name),
                        name.data);
        }
    }
    *index = (name_index){.entries = entries, .count = count, .capacity = count};
    return INGOT_OK;
}

// The first place whose name isn't before `name`.
static uint32_t lower_bound(const name_index *index, ingot_str name) {
    uint32_t low = 0, high = index->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (compare(index->entries[middle].name, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

ingot_status index_append(name_index *index, const ingot_allocator *mem, ingot_str name, ingot_error *err) {
    const size_t need = (size_t)index->count + 1;
    if (!mem_reserve(mem, &index->entries, &index->capacity, need, sizeof *index->entries))
        return fail_memory(err, need * sizeof *index->entries, "an index of names");
    name_entry *place = index->entries + lower_bound(index, name);
    memmove(place + 1, place, (size_t)(index->entries + index->count - place) * sizeof *place);
    *place = (name_entry){.name = name, .item = index->count++};
    return INGOT_OK;
}

uint32_t index_find(const name_index *index, ingot_str name) {
    uint32_t place = lower_bound(index, name);
    if (place == index->count || compare(index->entries[place].name, name) != 0)
        return INDEX_NONE;
    return index->entries[place].item;
}

void index_free(name_index *index, const ingot_allocator *mem) {
    mem_free(mem, index->entries);
    *index = (name_index){0};
}
