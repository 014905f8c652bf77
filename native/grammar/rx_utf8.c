// Classes of characters as terms over the bytes of UTF-8 (RFC 3629).
#include "grammar/rx.h"

// The ranges of a class, of which those below `from` lie behind what is asked for.
typedef struct characters {
    const uint32_t *words;
    size_t n;
    size_t from;
} characters;

// How much of first to last is in the class: nothing, something, all.
static int cover(characters *s, uint32_t first, uint32_t last) {
    while (s->from < s->n && s->words[2 * s->from + 1] < first)
        s->from++;
    if (s->from == s->n || s->words[2 * s->from] > last)
        return 0;
    return s->words[2 * s->from] <= first && s->words[2 * s->from + 1] >= last ? 2 : 1;
}

// The last byte of the 64 characters from `first` on.
static rx one_byte(rx_pool *p, characters *s, uint32_t first) {
    byte_set set = {{0, 0, cover(s, first, first + 63) == 2 ? ~(uint64_t)0 : 0, 0}};
    if (set.bits[2] == 0)
        for (uint32_t i = 0; i < 64; i++)
            if (cover(s, first + i, first + i))
                set.bits[2] |= (uint64_t)1 << i;
    return rx_bytes(p, &set);
}

// Bytes from `low` on, each followed by ends[i]: `n` of them.
static rx branch(rx_pool *p, uint32_t low, const rx *ends, uint32_t n) {
    rx kids[128];
    uint32_t n_kids = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (i > 0 && ends[i] == ends[i - 1])
            continue; // as most are
        bool first = ends[i] != RX_NONE;
        byte_set set = {{0, 0, 0, 0}};
        for (uint32_t k = 0; k < n; k++)
            if (ends[k] == ends[i]) {
                first = first && k >= i;
                set.bits[(low + k) >> 6] |= (uint64_t)1 << ((low + k) & 63);
            }
        if (first)
            kids[n_kids++] = rx_cat(p, rx_bytes(p, &set), ends[i]);
    }
    return rx_or(p, kids, n_kids);
}

// The last two bytes of 64 * 64 characters, without the first `skip` times 64.
static rx two_bytes(rx_pool *p, characters *s, uint32_t first, uint32_t skip) {
    rx ends[64] = {RX_NONE};
    bool all = cover(s, first + 64 * skip, first + 4095) == 2;
    for (uint32_t i = skip; i < 64; i++) {
        if (all && i > skip)
            ends[i] = ends[i - 1];
        else if (cover(s, first + 64 * i, first + 64 * i + 63))
            ends[i] = one_byte(p, s, first + 64 * i);
    }
    return branch(p, 0x80, ends, 64);
}

static rx three_bytes(rx_pool *p, characters *s, uint32_t first, uint32_t skip) {
    rx ends[64] = {RX_NONE};
    for (uint32_t i = skip; i < 64; i++) {
        int covered = cover(s, first + 4096 * i, first + 4096 * i + 4095);
        if (covered == 2 && i > skip && cover(s, first + 4096 * (i - 1), first + 4096 * i - 1) == 2)
            ends[i] = ends[i - 1];
        else if (covered)
            ends[i] = two_bytes(p, s, first + 4096 * i, 0);
    }
    return branch(p, 0x80, ends, 64);
}

rx rx_characters(rx_pool *p, const uint32_t *words, size_t n) {
    characters s = {words, n, 0};
    byte_set ascii = {{0, 0, 0, 0}};
    for (uint32_t i = 0; i < 128; i++)
        if (cover(&s, i, i))
            ascii.bits[i >> 6] |= (uint64_t)1 << (i & 63);
    rx leads[51]; // 0xC2 to 0xF4
    for (uint32_t lead = 0xC2; lead <= 0xF4; lead++) {
        rx *out = &leads[lead - 0xC2];
        *out = RX_NONE;
        if (lead < 0xE0 && cover(&s, (lead & 31) * 64, (lead & 31) * 64 + 63))
            *out = one_byte(p, &s, (lead & 31) * 64);
        else if (lead >= 0xE0 && lead < 0xF0 && cover(&s, (lead & 15) * 4096, (lead & 15) * 4096 + 4095))
            *out = two_bytes(p, &s, (lead & 15) * 4096, lead == 0xE0 ? 32 : 0); // no overlong forms
        else if (lead >= 0xF0 && cover(&s, (lead & 7) << 18, ((lead & 7) << 18) + 0x3FFFF))
            *out = three_bytes(p, &s, (lead & 7) << 18, lead == 0xF0 ? 16 : 0);
    }
    return rx_or(p, (rx[]){rx_bytes(p, &ascii), branch(p, 0xC2, leads, 51)}, 2);
}
