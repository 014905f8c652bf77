// Reading a BPE vocabulary: its pre-tokenizer, its tokens as bytes, its merges as pairs of numbers.
#include <string.h>

#include "text/prefetch.h"
#include "text/vocab_impl.h"

#define KEY_MERGES  "tokenizer.ggml.merges"
#define MERGE_BATCH 64

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
            TRY(strmap_push(&v->map, text, err));
            continue;
        }
        char *bytes = strmap_copy(&v->map, text.size);
        if (!bytes)
            return fail_memory(err, text.size, "a token");
        int64_t n = bpe_decode(text, bytes);
        TRY(strmap_push(&v->map, (ingot_str){bytes, n < 0 ? 0 : (size_t)n}, err));
    }
    TRY(strmap_index(&v->map, 0, err));
    if (v->raw)
        byte_tokens_load(v);
    return INGOT_OK;
}

// ------------------------------------------------------------------------------------------ merges

static bool is_joined(const vocab *v, int32_t id, ingot_str a, ingot_str b) {
    if (id < 0 || (size_t)id >= v->map.n)
        return false;
    ingot_str item = v->map.items[id];
    return item.size == a.size + b.size && memcmp(item.data, a.data, a.size) == 0 &&
           memcmp(item.data + a.size, b.data, b.size) == 0;
}

// Appends `a` followed by `b` to the entries that aren't tokens.
static ingot_status add_entry(vocab *v, ingot_str a, ingot_str b, int32_t *id, ingot_error *err) {
    char *bytes = strmap_copy(&v->map, a.size + b.size);
    if (!bytes)
        return fail_memory(err, a.size + b.size, "a merge");
    memcpy(bytes, a.data, a.size);
    if (b.size > 0)
        memcpy(bytes + a.size, b.data, b.size);
    *id = (int32_t)v->map.n;
    TRY(strmap_push(&v->map, (ingot_str){bytes, a.size + b.size}, err));
    return strmap_index(&v->map, v->map.n - 1, err);
}

// The entry for `a` followed by `b`, a new one if need be.
static ingot_status file_joined(vocab *v, ingot_str a, ingot_str b, int32_t *id, ingot_error *err) {
    *id = strmap_find_joined(&v->map, a, b);
    return *id >= 0 ? INGOT_OK : add_entry(v, a, b, id, err);
}

static uint64_t merge_hash(const vocab *v, int32_t left, int32_t right) {
    uint64_t pair = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
    uint64_t h = (pair ^ v->merge_key) * UINT64_C(0x9E3779B97F4A7C15);
    h = (h ^ h >> 32) * (v->merge_key | 1);
    return h ^ h >> 29;
}

static uint64_t *merge_slot(const vocab *v, uint64_t hash, int32_t left, int32_t right) {
    size_t mask = v->n_merge_slots - 1;
    for (size_t i = (size_t)hash & mask;; i = (i + 1) & mask) {
        uint64_t *slot = &v->merge_slots[i];
        if (*slot == 0)
            return slot;
        const merge_rule *rule = &v->merges[(uint32_t)*slot - 1];
        if (*slot >> 32 == hash >> 32 && rule->left == left && rule->right == right)
            return slot;
    }
}

const merge_rule *bpe_find_merge(const vocab *v, int32_t left, int32_t right) {
    uint64_t slot = *merge_slot(v, merge_hash(v, left, right), left, right);
    return slot ? &v->merges[(uint32_t)slot - 1] : NULL;
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
    if (n_right < 0)
        return false;
    *left = (ingot_str){buffer, (size_t)n_left};
    *right = (ingot_str){buffer + n_left, (size_t)n_right};
    return true;
}

// A few merges on their way into the table.
typedef struct merge_batch {
    ingot_str parts[2 * MERGE_BATCH]; // left, right, left, right ...
    int32_t ids[2 * MERGE_BATCH];
    uint64_t hashes[MERGE_BATCH];
    size_t n;
    char *buffer;
    size_t capacity;
    int32_t last; // what the merge before made
} merge_batch;

static ingot_status parse_batch(const vocab *v, const ingot_str *lines, size_t n, merge_batch *b,
                                ingot_error *err) {
    size_t bytes = 1;
    for (size_t i = 0; i < n; i++)
        bytes += lines[i].size;
    if (!mem_reserve(v->mem, &b->buffer, &b->capacity, bytes, 1))
        return fail_memory(err, bytes, KEY_MERGES);
    char *buffer = b->buffer;
    b->n = 0;
    for (size_t i = 0; i < n; buffer += lines[i++].size)
        b->n += parse_merge(v, lines[i], buffer, &b->parts[2 * b->n], &b->parts[2 * b->n + 1]);
    return INGOT_OK;
}

// Adds the merges of `b`; the first of several for one pair counts.
static ingot_status add_batch(vocab *v, merge_batch *b, ingot_error *err) {
    strmap_find_many(&v->map, b->parts, 2 * b->n, b->ids);
    for (size_t i = 0; i < 2 * b->n; i++)
        if (b->ids[i] < 0)
            TRY(file_joined(v, b->parts[i], (ingot_str){NULL, 0}, &b->ids[i], err));
    for (size_t i = 0; i < b->n; i++) {
        b->hashes[i] = merge_hash(v, b->ids[2 * i], b->ids[2 * i + 1]);
        PREFETCH(&v->merge_slots[b->hashes[i] & (v->n_merge_slots - 1)]);
    }
    for (size_t i = 0; i < b->n; i++) {
        ingot_str left = b->parts[2 * i];
        ingot_str right = b->parts[2 * i + 1];
        merge_rule rule = {b->ids[2 * i], b->ids[2 * i + 1], b->last};
        // Merges mostly come in the order of the tokens that they make, several of one token in a row.
        if (!is_joined(v, rule.merged, left, right) && !is_joined(v, ++rule.merged, left, right))
            TRY(file_joined(v, left, right, &rule.merged, err));
        b->last = rule.merged;
        uint64_t *slot = merge_slot(v, b->hashes[i], rule.left, rule.right);
        if (*slot == 0) {
            v->merges[v->n_merges++] = rule;
            *slot = b->hashes[i] >> 32 << 32 | v->n_merges;
        }
    }
    return INGOT_OK;
}

static ingot_status load_merges(vocab *v, const ingot_gguf *gguf, ingot_error *err) {
    const ingot_gguf_value *merges = NULL;
    TRY(gguf_get_array(gguf, KEY_MERGES, true, INGOT_GGUF_STRING, &merges, err));
    if (merges->count > INT32_MAX)
        return fail(err, INGOT_ERR_LIMIT, "%s: " KEY_MERGES " has %llu entries; at most 2147483647 are read",
                    gguf_name(gguf), (unsigned long long)merges->count);
    size_t count = (size_t)merges->count;
    v->n_merge_slots = 64;
    while (v->n_merge_slots < count * 2)
        v->n_merge_slots *= 2;
    v->merges = mem_alloc(v->mem, count, sizeof *v->merges);
    v->merge_slots = mem_alloc(v->mem, v->n_merge_slots, sizeof *v->merge_slots);
    if (!v->merges || !v->merge_slots)
        return fail_memory(err, count * sizeof *v->merges, KEY_MERGES);
    v->merge_key = (uint64_t)(uintptr_t)v->merge_slots * UINT64_C(0xD1B54A32D192ED03);
    const ingot_str *lines = merges->data;
    merge_batch b = {.last = -1};
    ingot_status status = INGOT_OK;
    for (size_t i = 0; i < count && status == INGOT_OK; i += MERGE_BATCH) {
        status = parse_batch(v, lines + i, count - i < MERGE_BATCH ? count - i : MERGE_BATCH, &b, err);
        if (status == INGOT_OK)
            status = add_batch(v, &b, err);
    }
    mem_free(v->mem, b.buffer);
    return status;
}

// ------------------------------------------------------------------------------------------ expressions

static ingot_status compile(vocab *v, ingot_error *err) {
    for (int i = 0; v->pre->expressions[i]; i++) {
        ingot_status status = regex_new(v->pre->expressions[i], v->mem, &v->expressions[i], err);
        if (status != INGOT_OK)
            return fail_prefix(err, status, "pre-tokenizer %s", v->pre->names);
    }
    return INGOT_OK;
}

ingot_status bpe_load(vocab *v, const ingot_gguf *gguf, ingot_error *err) {
    TRY(load_tokens(v, err));
    TRY(load_merges(v, gguf, err));
    // After the merges, which may start from bytes that are no tokens.
    for (int byte = 0; byte < 256 && !v->raw; byte++)
        v->byte_ids[byte] = strmap_find(&v->map, &(char){(char)(unsigned char)byte}, 1);
    return compile(v, err);
}
