#include "text/unicode.h"

typedef struct lower_range {
    uint32_t first;
    uint32_t last;
    uint32_t step;
    int32_t delta;
} lower_range;

typedef struct nfd_range {
    uint32_t first;
    uint32_t last;
    uint32_t to;
} nfd_range;

#include "text/unicode/tables.inc.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

const unicode_range unicode_spaces[] = {
    {0x0009, 0x000D}, {0x0020, 0x0020}, {0x0085, 0x0085}, {0x00A0, 0x00A0}, {0x1680, 0x1680},
    {0x2000, 0x200A}, {0x2028, 0x2029}, {0x202F, 0x202F}, {0x205F, 0x205F}, {0x3000, 0x3000},
};
const size_t unicode_spaces_count = COUNT(unicode_spaces);

const unicode_range unicode_han[] = {
    {0x2E80, 0x2E99},   {0x2E9B, 0x2EF3},   {0x2F00, 0x2FD5},   {0x3005, 0x3005},   {0x3007, 0x3007},
    {0x3021, 0x3029},   {0x3038, 0x303B},   {0x3400, 0x4DBF},   {0x4E00, 0x9FFF},   {0xF900, 0xFA6D},
    {0xFA70, 0xFAD9},   {0x16FE2, 0x16FE3}, {0x16FF0, 0x16FF1}, {0x20000, 0x2A6DF}, {0x2A700, 0x2B739},
    {0x2B740, 0x2B81D}, {0x2B820, 0x2CEA1}, {0x2CEB0, 0x2EBE0}, {0x2EBF0, 0x2EE5D}, {0x2F800, 0x2FA1D},
    {0x30000, 0x3134A}, {0x31350, 0x323AF},
};
const size_t unicode_han_count = COUNT(unicode_han);

unicode_category unicode_category_of(uint32_t cp) {
    if (cp > UNICODE_MAX)
        return UNICODE_CN;
    size_t low = 0;
    size_t high = COUNT(category_starts);
    while (high - low > 1) {
        size_t middle = (low + high) / 2;
        if (category_starts[middle] >> 5 <= cp)
            low = middle;
        else
            high = middle;
    }
    return (unicode_category)(category_starts[low] & 31);
}

bool unicode_is_space(uint32_t cp) {
    for (size_t i = 0; i < unicode_spaces_count && unicode_spaces[i].first <= cp; i++)
        if (cp <= unicode_spaces[i].last)
            return true;
    return false;
}

bool unicode_category_run(size_t i, unicode_range *run, unicode_category *category) {
    if (i >= COUNT(category_starts))
        return false;
    run->first = category_starts[i] >> 5;
    run->last = i + 1 < COUNT(category_starts) ? (category_starts[i + 1] >> 5) - 1 : UNICODE_MAX;
    *category = (unicode_category)(category_starts[i] & 31);
    return true;
}

uint32_t unicode_lower(uint32_t cp) {
    size_t low = 0;
    size_t high = COUNT(lower_ranges);
    while (low < high) {
        size_t middle = (low + high) / 2;
        const lower_range *r = &lower_ranges[middle];
        if (cp > r->last)
            low = middle + 1;
        else if (cp < r->first)
            high = middle;
        else
            return (cp - r->first) % r->step == 0 ? (uint32_t)((int32_t)cp + r->delta) : cp;
    }
    return cp;
}

uint32_t unicode_base(uint32_t cp) {
    size_t low = 0;
    size_t high = COUNT(nfd_ranges);
    while (low < high) {
        size_t middle = (low + high) / 2;
        const nfd_range *r = &nfd_ranges[middle];
        if (cp > r->last)
            low = middle + 1;
        else if (cp < r->first)
            high = middle;
        else
            return r->to;
    }
    return cp;
}
