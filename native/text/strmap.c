#include "text/strmap.h"

#include <string.h>

#include "text/prefetch.h"

#define CHUNK_BYTES 65536
#define BATCH       64

struct strmap_chunk {
    strmap_chunk *next;
    size_t used;
    size_t size;
    char bytes[];
};

// ------------------------------------------------------------------------------------------ hash
// SipHash-1-3, J.-P. Aumasson and D. J. Bernstein, "SipHash: a fast short-input PRF" (2012).

typedef struct sip {
    uint64_t v[4];
    uint64_t tail; // bytes that don't fill a word yet
    uint64_t total;
} sip;

static uint64_t rotate(uint64_t x, int n) {
    return x << n | x >> (64 - n);
}

static void sip_round(uint64_t v[4]) {
    v[0] += v[1];
    v[2] += v[3];
    v[1] = rotate(v[1], 13) ^ v[0];
    v[3] = rotate(v[3], 16) ^ v[2];
    v[0] = rotate(v[0], 32) + v[3];
    v[2] += v[1];
    v[3] = rotate(v[3], 21) ^ v[0];
    v[1] = rotate(v[1], 17) ^ v[2];
    v[2] = rotate(v[2], 32);
}

static void sip_word(sip *s, uint64_t word) {
    s->v[3] ^= word;
    sip_round(s->v);
    s->v[0] ^= word;
}

static void sip_absorb(sip *s, ingot_str part) {
    const char *at = part.data;
    size_t left = part.size;
    for (; left > 0 && s->total % 8 != 0; left--) {
        s->tail |= (uint64_t)(unsigned char)*at++ << (s->total++ % 8 * 8);
        if (s->total % 8 == 0) {
            sip_word(s, s->tail);
            s->tail = 0;
        }
    }
    for (; left >= 8; left -= 8, at += 8, s->total += 8) {
        uint64_t word;
        memcpy(&word, at, 8);
        sip_word(s, word);
    }
    for (; left > 0; left--)
        s->tail |= (uint64_t)(unsigned char)*at++ << (s->total++ % 8 * 8);
}

static uint64_t hash_joined(const strmap *map, ingot_str a, ingot_str b) {
    sip s = {{map->key[0] ^ UINT64_C(0x736f6d6570736575), map->key[1] ^ UINT64_C(0x646f72616e646f6d),
              map->key[0] ^ UINT64_C(0x6c7967656e657261), map->key[1] ^ UINT64_C(0x7465646279746573)},
             0,
             0};
    sip_absorb(&s, a);
    sip_absorb(&s, b);
    sip_word(&s, s.tail | s.total << 56);
    s.v[2] ^= 0xFF;
    sip_round(s.v);
    sip_round(s.v);
    sip_round(s.v);
    return s.v[0] ^ s.v[1] ^ s.v[2] ^ s.v[3];
}

// ------------------------------------------------------------------------------------------ table

static bool equals_joined(ingot_str item, ingot_str a, ingot_str b) {
    return item.size == a.size + b.size && (a.size == 0 || memcmp(item.data, a.data, a.size) == 0) &&
           (b.size == 0 || memcmp(item.data + a.size, b.data, b.size) == 0);
}

// The slot of the item that equals the joined strings, or the free one where it would go.
static uint64_t *find_slot(const strmap *map, uint64_t hash, ingot_str a, ingot_str b) {
    size_t mask = map->n_slots - 1;
    for (size_t i = (size_t)hash & mask;; i = (i + 1) & mask) {
        uint64_t *slot = &map->slots[i];
        if (*slot == 0 || (*slot >> 32 == hash >> 32 && equals_joined(map->items[(uint32_t)*slot - 1], a, b)))
            return slot;
    }
}

static ingot_status make_slots(strmap *map, size_t n_items, ingot_error *err) {
    size_t n_slots = 64;
    while (n_slots < n_items * 2)
        n_slots *= 2;
    uint64_t *slots = mem_alloc(map->mem, n_slots, sizeof *slots);
    if (!slots)
        return fail_memory(err, n_slots * sizeof *slots, "a vocabulary's index");
    uint64_t *old = map->slots;
    size_t n_old = map->n_slots;
    map->slots = slots;
    map->n_slots = n_slots;
    for (size_t i = 0; i < n_old; i++) {
        if (old[i] == 0)
            continue;
        ingot_str item = map->items[(uint32_t)old[i] - 1];
        *find_slot(map, hash_joined(map, item, (ingot_str){NULL, 0}), item, (ingot_str){NULL, 0}) = old[i];
    }
    mem_free(map->mem, old);
    return INGOT_OK;
}

ingot_status strmap_init(strmap *map, const ingot_allocator *mem, size_t expected, ingot_error *err) {
    *map = (strmap){.mem = mem};
    TRY(make_slots(map, expected, err));
    uint64_t place = (uint64_t)(uintptr_t)map->slots;
    map->key[0] = place * UINT64_C(0x9E3779B97F4A7C15);
    map->key[1] = ((uint64_t)(uintptr_t)map ^ rotate(place, 32)) * UINT64_C(0xD1B54A32D192ED03);
    if (!mem_reserve(mem, &map->items, &map->capacity, expected, sizeof *map->items))
        return fail_memory(err, expected * sizeof *map->items, "a vocabulary's index");
    return INGOT_OK;
}

void strmap_free(strmap *map) {
    mem_free(map->mem, map->items);
    mem_free(map->mem, map->slots);
    while (map->chunks) {
        strmap_chunk *next = map->chunks->next;
        mem_free(map->mem, map->chunks);
        map->chunks = next;
    }
    *map = (strmap){.mem = map->mem};
}

int32_t strmap_find_joined(const strmap *map, ingot_str a, ingot_str b) {
    uint64_t slot = *find_slot(map, hash_joined(map, a, b), a, b);
    return slot ? (int32_t)((uint32_t)slot - 1) : -1;
}

static void find_batch(const strmap *map, const ingot_str *items, size_t n, int32_t *ids) {
    const ingot_str nothing = {NULL, 0};
    uint64_t hashes[BATCH];
    const ingot_str *likely[BATCH];
    for (size_t i = 0; i < n; i++) {
        hashes[i] = hash_joined(map, items[i], nothing);
        PREFETCH(&map->slots[hashes[i] & (map->n_slots - 1)]);
    }
    for (size_t i = 0; i < n; i++) {
        uint64_t slot = map->slots[hashes[i] & (map->n_slots - 1)];
        likely[i] = slot && slot >> 32 == hashes[i] >> 32 ? &map->items[(uint32_t)slot - 1] : NULL;
        PREFETCH(likely[i]);
    }
    for (size_t i = 0; i < n; i++)
        if (likely[i])
            PREFETCH(likely[i]->data);
    for (size_t i = 0; i < n; i++) {
        uint64_t slot = *find_slot(map, hashes[i], items[i], nothing);
        ids[i] = slot ? (int32_t)((uint32_t)slot - 1) : -1;
    }
}

void strmap_find_many(const strmap *map, const ingot_str *items, size_t n, int32_t *ids) {
    for (size_t i = 0; i < n; i += BATCH)
        find_batch(map, items + i, n - i < BATCH ? n - i : BATCH, ids + i);
}

ingot_status strmap_push(strmap *map, ingot_str item, ingot_error *err) {
    if (map->n == INT32_MAX)
        return fail(err, INGOT_ERR_LIMIT, "a vocabulary has over 2147483647 entries");
    if (!mem_reserve(map->mem, &map->items, &map->capacity, map->n + 1, sizeof *map->items))
        return fail_memory(err, (map->n + 1) * sizeof *map->items, "a vocabulary's index");
    map->items[map->n++] = item;
    return INGOT_OK;
}

static void index_batch(strmap *map, size_t first, size_t n) {
    const ingot_str nothing = {NULL, 0};
    uint64_t hashes[BATCH];
    for (size_t i = 0; i < n; i++) {
        hashes[i] = hash_joined(map, map->items[first + i], nothing);
        PREFETCH(&map->slots[hashes[i] & (map->n_slots - 1)]);
    }
    for (size_t i = 0; i < n; i++) {
        ingot_str item = map->items[first + i];
        uint64_t *slot = item.size > 0 ? find_slot(map, hashes[i], item, nothing) : NULL;
        if (slot && *slot == 0) {
            *slot = hashes[i] >> 32 << 32 | (first + i + 1);
            map->n_used++;
        }
    }
}

ingot_status strmap_index(strmap *map, size_t first, ingot_error *err) {
    size_t needed = map->n_used + (map->n - first);
    if (needed * 2 > map->n_slots)
        TRY(make_slots(map, needed * 2, err));
    for (size_t i = first; i < map->n; i += BATCH)
        index_batch(map, i, map->n - i < BATCH ? map->n - i : BATCH);
    return INGOT_OK;
}

char *strmap_copy(strmap *map, size_t size) {
    strmap_chunk *chunk = map->chunks;
    if (!chunk || chunk->size - chunk->used < size) {
        size_t room = size > CHUNK_BYTES / 4 ? size : CHUNK_BYTES;
        if (size > SIZE_MAX / 2)
            return NULL;
        chunk = mem_resize(map->mem, NULL, 1, sizeof *chunk + room);
        if (!chunk)
            return NULL;
        *chunk = (strmap_chunk){.next = map->chunks, .size = room};
        map->chunks = chunk;
    }
    char *bytes = chunk->bytes + chunk->used;
    chunk->used += size;
    return bytes;
}
