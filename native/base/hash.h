// A hash of bytes, to tell damage and accident: no enemy is kept from making two that are alike.
#ifndef INGOT_BASE_HASH_H
#define INGOT_BASE_HASH_H

#include <stdint.h>

// Of `size` bytes that come behind what has the hash `before`.
uint64_t hash_bytes(uint64_t before, const void *data, uint64_t size);

#endif
