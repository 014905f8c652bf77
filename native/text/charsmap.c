#include "text/charsmap.h"

#include <string.h>

// Bounds on what a rule may match and give, so that a hostile map costs no more than a constant per byte; the
// rules of NFKC and its variants stay far below.
#define MAX_MATCH       64
#define MAX_REPLACEMENT 256

// A unit of the trie, 32 bits:
//   0-7, 31  the byte that leads here (bit 31 is set in units that hold a value instead)
//   8        a value hangs below this node
//   9, 10-30 how far off the children are: bits 10-30, shifted by 8 more if bit 9 is set
//   0-30     the value, in units that hold one
// The child along byte c of the node at i is at i ^ offset(i) ^ c; its value unit is at i ^ offset(i).

static uint32_t unit_at(const charsmap *map, size_t i) {
    if (i >= map->n_units)
        return UINT32_MAX; // leads nowhere: bit 31 matches no byte
    const uint8_t *u = map->units + i * 4;
    return (uint32_t)u[0] | (uint32_t)u[1] << 8 | (uint32_t)u[2] << 16 | (uint32_t)u[3] << 24;
}

static uint32_t unit_offset(uint32_t unit) {
    return unit >> 10 << ((unit >> 9 & 1) * 8);
}

ingot_status charsmap_open(const void *data, size_t size, charsmap *out, ingot_error *err) {
    *out = (charsmap){0};
    if (size == 0)
        return INGOT_OK;
    const uint8_t *bytes = data;
    const charsmap header = {.units = bytes, .n_units = size / 4};
    size_t trie_size = unit_at(&header, 0);
    if (size < 4 || trie_size > size - 4 || trie_size % 4 != 0)
        return fail(
            err, INGOT_ERR_FORMAT,
            "tokenizer.ggml.precompiled_charsmap: the trie should take %zu bytes, but the array has %zu",
            trie_size, size);
    *out = (charsmap){bytes + 4, trie_size / 4, (const char *)bytes + 4 + trie_size, size - 4 - trie_size};
    if (out->replacements_size > 0 && out->replacements[out->replacements_size - 1] != '\0')
        return fail(err, INGOT_ERR_FORMAT,
                    "tokenizer.ggml.precompiled_charsmap: the last replacement isn't terminated");
    return INGOT_OK;
}

size_t charsmap_find(const charsmap *map, const char *text, size_t size, ingot_str *replacement) {
    if (map->n_units == 0)
        return 0;
    size_t longest = 0;
    uint32_t value = 0;
    uint32_t node = unit_offset(unit_at(map, 0));
    for (size_t i = 0; i < size && i < MAX_MATCH && text[i] != '\0'; i++) {
        uint32_t byte = (unsigned char)text[i];
        node ^= byte;
        uint32_t unit = unit_at(map, node);
        if ((unit & 0x800000FFu) != byte)
            break;
        node ^= unit_offset(unit);
        if (unit >> 8 & 1) {
            longest = i + 1;
            value = unit_at(map, node) & 0x7FFFFFFFu;
        }
    }
    if (longest == 0 || value >= map->replacements_size)
        return 0;
    const char *given = map->replacements + value;
    size_t room = map->replacements_size - value;
    const char *end = memchr(given, '\0', room < MAX_REPLACEMENT ? room : MAX_REPLACEMENT);
    if (!end)
        return 0;
    *replacement = (ingot_str){given, (size_t)(end - given)};
    return longest;
}
