#include "base/hash.h"

#include <string.h>

enum { LANES = 4 };
static const uint64_t ODD = 0x9e3779b97f4a7c15u, OTHER = 0xbf58476d1ce4e5b9u;

static uint64_t mix(uint64_t hash, uint64_t word) {
    hash = (hash ^ word) * ODD;
    return hash ^ hash >> 32;
}

// Lanes that don't wait for each other.
uint64_t hash_bytes(uint64_t before, const void *data, uint64_t size) {
    uint64_t lanes[LANES] = {before, before + 1, before + 2, before + 3}, hash = size * OTHER;
    const uint8_t *at = data;
    for (; size >= sizeof lanes; size -= sizeof lanes, at += sizeof lanes) {
        uint64_t words[LANES];
        memcpy(words, at, sizeof words);
        for (int i = 0; i < LANES; i++)
            lanes[i] = mix(lanes[i], words[i]);
    }
    uint64_t rest[LANES] = {0};
    if (size > 0)
        memcpy(rest, at, (size_t)size);
    for (int i = 0; i < LANES; i++)
        hash = mix(mix(hash, lanes[i]), rest[i]);
    return (hash ^ hash >> 29) * OTHER;
}
