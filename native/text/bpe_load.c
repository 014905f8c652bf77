// Reading a BPE vocabulary: its pre-tokenizer, its tokens as bytes, its merges as pairs of numbers.
#include <string.h>

#include "text/grow.h"
#include "text/vocab_impl.h"

#define KEY_PRE    "tokenizer.ggml.pre"
#define KEY_MERGES "tokenizer.ggml.merges"

// ------------------------------------------------------------------------------------------ byte alphabet
// GPT-2 writes every byte as a printable character: those of 0x21-0x7E, 0xA1-0xAC and 0xAE-0xFF as
// themselves, the 68 others, in order, as U+0100 and on.

static int byte_of_character(uint32_t cp) {
    bool itself = (cp >= 0x21 && cp <= 0x7E) || (cp >= 0xA1 && cp <= 0xAC) || (cp >= 0xAE && cp <= 0xFF);
    if (itself)
        return (int)cp;
    if (cp < 0x100 || cp >= 0x100 + 68)
        return -1;
    int i = (int)cp - 0x100;
    return i < 33 ? i : i < 67 ? 0x7F + i - 33 : 0xAD;
}

int64_t bpe_decode(ingot_str text, char *bytes) {
    int64_t n = 0;
    for (size_t i = 0; i < text.size;) {
        int used;
        int byte = byte_of_character(utf8_decode(text.data + i, text.size - i, &used));
        if (byte < 0)
            return -1;
        bytes[n++] = (char)(unsigned char)byte;
        i += (size_t)used;
    }
    return n;
}

// ------------------------------------------------------------------------------------------ tokens

static ingot_status load_tokens(vocab *v, ingot_error *err) {
    for (int32_t i = 0; i < v->n_tokens; i++) {
        ingot_str text = v->texts[i];
        if (v->raw || text.size == 0) {
            TRY(strmap_push(&v->map, text, text.size > 0, err));
            continue;
        }
        char *bytes = strmap_copy(&v->map, text.size);
        if (!bytes)
            return fail_memory(err, text.size, "a token");
        int64_t n = bpe_decode(text, bytes);
        ingot_str decoded = {bytes, (size_t)n};
        TRY(strmap_push(&v->map, n < 0 ? text : decoded, n >= 0, err));
    }
    for (int byte = 0; byte < 256 && !v->raw; byte++)
        v->byte_ids[byte] = strmap_find(&v->map, &(char){(char)(unsigned char)byte}, 1);
    if (v->raw)
        byte_tokens_load(v);
    return INGOT_OK;
}

// ------------------------------------------------------------------------------------------ merges

static bool is_joined(ingot_str item, ingot_str a, ingot_str b) {
    return item.size == a.size + b.size && memcmp(item.data, a.data, a.size) == 0 &&
           memcmp(item.data + a.size, b.data, b.size) == 0;
}

// The entry for `a` followed by `b`, a new one if need be.
static ingot_status file_joined(vocab *v, ingot_str a, ingot_str b, int32_t *id, ingot_error *err) {
    *id = strmap_find_joined(&v->map, a, b);
    if (*id >= 0)
        return INGOT_OK;
    char *bytes = strmap_copy(&v->map, a.size + b.size);
    if (!bytes)
        return fail_memory(err, a.size + b.size, "a merge");
    memcpy(bytes, a.data, a.size);
    if (b.size > 0)
        memcpy(bytes + a.size, b.data, b.size);
    *id = (int32_t)v->map.n;
    return strmap_push(&v->map, (ingot_str){bytes, a.size + b.size}, true, err);
}

static uint32_t *merge_slot(const vocab *v, int32_t left, int32_t right) {
    uint64_t pair = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
    uint64_t h = (pair ^ v->merge_key) * UINT64_C(0x9E3779B97F4A7C15);
    h = (h ^ h >> 32) * (v->merge_key | 1);
    size_t mask = v->n_merge_slots - 1;
    for (size_t i = (size_t)(h >> 32) & mask;; i = (i + 1) & mask) {
        uint32_t *slot = &v->merge_slots[i];
        if (*slot == 0 || (v->merges[*slot - 1].left == left && v->merges[*slot - 1].right == right))
            return slot;
    }
}

const merge_rule *bpe_find_merge(const vocab *v, int32_t left, int32_t right) {
    uint32_t slot = *merge_slot(v, left, right);
    return slot ? &v->merges[slot - 1] : NULL;
}

// Reads "left right" into two strings of bytes; `buffer` has room for line.size. False if it isn't a merge.
static bool parse_merge(const vocab *v, ingot_str line, char *buffer, ingot_str *left, ingot_str *right) {
    const char *space = line.size > 2 ? memchr(line.data + 1, ' ', line.size - 1) : NULL;
    if (!space || space + 1 == line.data + line.size)
        return false;
    *left = (ingot_str){line.data, (size_t)(space - line.data)};
    *right = (ingot_str){space + 1, line.size - left->size - 1};
    if (v->raw)
        return true;
    int64_t n_left = bpe_decode(*left, buffer);
    int64_t n_right = n_left < 0 ? -1 : bpe_decode(*right, buffer + n_left);
    *left = (ingot_str){buffer, (size_t)n_left};
    *right = (ingot_str){buffer + n_left, (size_t)n_right};
    return n_right >= 0;
}

static ingot_status add_merge(vocab *v, ingot_str left, ingot_str right, int32_t *previous,
                              ingot_error *err) {
    const ingot_str nothing = {NULL, 0};
    merge_rule rule;
    TRY(file_joined(v, left, nothing, &rule.left, err));
    TRY(file_joined(v, right, nothing, &rule.right, err));
    // Merges mostly come in the order of the tokens that they make.
    rule.merged = *previous + 1;
    if ((size_t)rule.merged >= v->map.n || !is_joined(v->map.items[rule.merged], left, right))
        TRY(file_joined(v, left, right, &rule.merged, err));
    *previous = rule.merged;
    uint32_t *slot = merge_slot(v, rule.left, rule.right);
    if (*slot == 0) {
        v->merges[v->n_merges++] = rule;
        *slot = (uint32_t)v->n_merges;
    }
    return INGOT_OK;
}

static ingot_status load_merges(vocab *v, const ingot_gguf *gguf, ingot_error *err) {
    const ingot_gguf_value *lines = NULL;
    TRY(gguf_get_array(gguf, KEY_MERGES, true, INGOT_GGUF_STRING, &lines, err));
    if (lines->count > INT32_MAX)
        return fail(err, INGOT_ERR_LIMIT, "%s: " KEY_MERGES " has %llu entries; at most 2147483647 are read",
                    gguf_name(gguf), (unsigned long long)lines->count);
    size_t count = (size_t)lines->count;
    v->n_merge_slots = 64;
    while (v->n_merge_slots < count * 2)
        v->n_merge_slots *= 2;
    v->merges = mem_alloc(v->mem, count, sizeof *v->merges);
    v->merge_slots = mem_alloc(v->mem, v->n_merge_slots, sizeof *v->merge_slots);
    if (!v->merges || !v->merge_slots)
        return fail_memory(err, count * sizeof *v->merges, KEY_MERGES);
    v->merge_key = (uint64_t)(uintptr_t)v->merge_slots * UINT64_C(0xD1B54A32D192ED03);
    char *buffer = NULL;
    size_t capacity = 0;
    int32_t previous = -1;
    ingot_status status = INGOT_OK;
    for (size_t i = 0; i < count && status == INGOT_OK; i++) {
        ingot_str line = ((const ingot_str *)lines->data)[i];
        char *grown = grow(v->mem, buffer, &capacity, line.size, 1);
        ingot_str left;
        ingot_str right;
        if (!grown)
            status = fail_memory(err, line.size, "a merge");
        else if (buffer = grown, parse_merge(v, line, buffer, &left, &right))
            status = add_merge(v, left, right, &previous, err);
    }
    mem_free(v->mem, buffer);
    return status;
}

// ------------------------------------------------------------------------------------------ expressions

static ingot_status compile(vocab *v, ingot_error *err) {
    for (int i = 0; v->pre->expressions[i]; i++)
        if (regex_new(v->pre->expressions[i], v->mem, &v->expressions[i], err) != INGOT_OK)
            return fail_prefix(err, INGOT_ERR_INTERNAL, "pre-tokenizer %s", v->pre->names);
    return INGOT_OK;
}

ingot_status bpe_load(vocab *v, const ingot_gguf *gguf, ingot_error *err) {
    TRY(load_tokens(v, err));
    TRY(load_merges(v, gguf, err));
    return compile(v, err);
}
