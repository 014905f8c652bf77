#include "base/utf8.h"

// How many bytes the sequence that starts with `lead` has, 0 if none can start so.
static int sequence_length(unsigned char lead) {
    if (lead < 0x80)
        return 1;
    if (lead >= 0xc2 && lead <= 0xdf)
        return 2;
    if ((lead & 0xf0) == 0xe0)
        return 3;
    return lead >= 0xf0 && lead <= 0xf4 ? 4 : 0;
}

// Whether `next` may follow `lead` as the second byte (excludes overlong forms, surrogates, > U+10FFFF).
static int second_ok(unsigned char lead, unsigned char next) {
    if ((next & 0xc0) != 0x80)
        return 0;
    switch (lead) {
    case 0xe0:
        return next >= 0xa0;
    case 0xed:
        return next <= 0x9f;
    case 0xf0:
        return next >= 0x90;
    case 0xf4:
        return next <= 0x8f;
    default:
        return 1;
    }
}

uint32_t utf8_decode(const char *text, size_t size, int *n) {
    const unsigned char *s = (const unsigned char *)text;
    int len = sequence_length(s[0]);
    *n = 1;
    if (len == 1)
        return s[0];
    if (len == 0 || (size_t)len > size || !second_ok(s[0], s[1]))
        return 0xfffd;
    uint32_t cp = s[0] & (0xffu >> (len + 1));
    for (int i = 1; i < len; i++) {
        if ((s[i] & 0xc0) != 0x80)
            return 0xfffd;
        cp = cp << 6 | (s[i] & 0x3fu);
    }
    *n = len;
    return cp;
}

int utf8_encode(uint32_t cp, char *out) {
    if (cp < 0x80) {
        out[0] = (char)cp;
        return 1;
    }
    int len = cp < 0x800 ? 2 : cp < 0x10000 ? 3 : 4;
    for (int i = len - 1; i > 0; i--, cp >>= 6)
        out[i] = (char)(0x80 | (cp & 0x3f));
    out[0] = (char)((0xf00 >> len & 0xff) | cp);
    return len;
}

size_t utf8_complete_prefix(const char *text, size_t size) {
    const unsigned char *s = (const unsigned char *)text;
    for (size_t back = 1; back <= 3 && back <= size; back++) {
        unsigned char lead = s[size - back];
        if ((lead & 0xc0) == 0x80)
            continue;
        int len = sequence_length(lead);
        if (len <= (int)back)
            return size;
        return back == 1 || second_ok(lead, s[size - back + 1]) ? size - back : size;
    }
    return size;
}
