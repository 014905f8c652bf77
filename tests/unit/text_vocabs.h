// Vocabularies of a few dozen tokens, one of every kind, as GGUF files in memory.
#ifndef INGOT_TESTS_TEXT_VOCABS_H
#define INGOT_TESTS_TEXT_VOCABS_H

#include <stdio.h>

#include "gguf_bytes.h"
#include "text/vocab.h"

typedef struct vocab_token_row {
    const char *text;
    float score;
    int32_t kind;
} vocab_token_row;

// What a file says; fields that are NULL or 0 are left out.
typedef struct vocab_spec {
    const char *model;
    const char *pre;
    const vocab_token_row *tokens;
    size_t n_tokens;
    bool bytes; // the tokens <0x00> ... <0xFF> follow
    const char *const *merges;
    size_t n_merges;
    const char *name; // general.name
    const uint8_t *charsmap;
    size_t charsmap_size;
    const char *ids[8]; // key, without tokenizer.ggml., and its value in turn: "bos_token_id=1"
} vocab_spec;

#define ROWS(array) (array), sizeof(array) / sizeof(array)[0]

static inline size_t spec_tokens(const vocab_spec *s) {
    return s->n_tokens + (s->bytes ? 256 : 0);
}

static inline void put_ids(gguf_bytes *b, const vocab_spec *s, uint64_t *n_keys) {
    for (int i = 0; i < 8 && s->ids[i]; i++, ++*n_keys) {
        char key[80];
        unsigned value = 0;
        char name[60] = "";
        sscanf(s->ids[i], "%59[^=]=%u", name, &value);
        snprintf(key, sizeof key, "tokenizer.ggml.%s", name);
        if (strncmp(name, "add_", 4) == 0 || strncmp(name, "remove_", 7) == 0)
            put_kv(b, key, INGOT_GGUF_BOOL, &(uint8_t){(uint8_t)value}, 1);
        else
            put_kv_u32(b, key, value);
    }
}

static inline void put_token_arrays(gguf_bytes *b, const vocab_spec *s) {
    put_kv_array(b, "tokenizer.ggml.tokens", INGOT_GGUF_STRING, spec_tokens(s));
    for (size_t i = 0; i < s->n_tokens; i++)
        put_str(b, s->tokens[i].text);
    for (int i = 0; s->bytes && i < 256; i++) {
        char text[8];
        snprintf(text, sizeof text, "<0x%02X>", (unsigned)i);
        put_str(b, text);
    }
    put_kv_array(b, "tokenizer.ggml.scores", INGOT_GGUF_F32, spec_tokens(s));
    for (size_t i = 0; i < spec_tokens(s); i++)
        put(b, i < s->n_tokens ? &s->tokens[i].score : &(float){0}, 4);
    put_kv_array(b, "tokenizer.ggml.token_type", INGOT_GGUF_I32, spec_tokens(s));
    for (size_t i = 0; i < spec_tokens(s); i++)
        put_u32(b, i < s->n_tokens ? (uint32_t)s->tokens[i].kind : INGOT_TOKEN_BYTE);
}

static inline void vocab_file(gguf_bytes *b, const vocab_spec *s) {
    uint64_t n_keys = 3;
    put_header(b, 3, 0, 0);
    put_token_arrays(b, s);
    const char *const strings[][2] = {
        {"tokenizer.ggml.model", s->model}, {"tokenizer.ggml.pre", s->pre}, {"general.name", s->name}};
    for (int i = 0; i < 3; i++) {
        if (strings[i][1]) {
            put_kv_str(b, strings[i][0], strings[i][1]);
            n_keys++;
        }
    }
    if (s->merges) {
        put_kv_array(b, "tokenizer.ggml.merges", INGOT_GGUF_STRING, s->n_merges);
        for (size_t i = 0; i < s->n_merges; i++)
            put_str(b, s->merges[i]);
        n_keys++;
    }
    if (s->charsmap) {
        put_kv_array(b, "tokenizer.ggml.precompiled_charsmap", INGOT_GGUF_U8, s->charsmap_size);
        put(b, s->charsmap, s->charsmap_size);
        n_keys++;
    }
    put_ids(b, s, &n_keys);
    memcpy(b->data + 16, &n_keys, 8);
}

// A vocabulary and the file that it borrows from.
typedef struct test_vocab {
    void *image;
    ingot_gguf *gguf;
    vocab *v;
    ingot_status status;
    ingot_error err;
} test_vocab;

// Opens `image` (64-aligned, owned from now on) as a file with a vocabulary. `pre` and `mem` may be NULL.
static inline test_vocab test_vocab_open(void *image, size_t size, const char *pre,
                                         const ingot_allocator *mem) {
    test_vocab t = {.image = image};
    t.status = gguf_open_memory(NULL, t.image, size, "test.gguf", &t.gguf, &t.err);
    if (t.status == INGOT_OK)
        t.status = vocab_new(t.gguf, pre, mem, &t.v, &t.err);
    return t;
}

static inline test_vocab test_vocab_new(const vocab_spec *s, const char *pre, const ingot_allocator *mem) {
    static gguf_bytes b;
    vocab_file(&b, s);
    return test_vocab_open(image_new(b.data, b.size), b.size, pre, mem);
}

static inline void test_vocab_free(test_vocab *t) {
    vocab_free(t->v);
    ingot_gguf_close(t->gguf);
    free(t->image);
}

// ------------------------------------------------------------------------------------------ one of every
// kind

#define NORMAL  INGOT_TOKEN_NORMAL
#define CONTROL INGOT_TOKEN_CONTROL
#define USER    INGOT_TOKEN_USER_DEFINED
#define UNKNOWN INGOT_TOKEN_UNKNOWN

static const vocab_token_row spm_rows[] = {
    {"<unk>", 0, UNKNOWN},  {"<s>", 0, CONTROL},     {"</s>", 0, CONTROL}, {"▁", -1, NORMAL},
    {"h", -20, NORMAL},     {"e", -21, NORMAL},      {"l", -22, NORMAL},   {"o", -23, NORMAL},
    {"he", -5, NORMAL},     {"ll", -4, NORMAL},      {"llo", -6, NORMAL},  {"hello", -7, NORMAL},
    {"▁hello", -8, NORMAL}, {"lo", -3, NORMAL},      {"<tag>", 0, USER},   {"<tag>>", 0, USER},
    {"▁▁", -2, NORMAL},     {"aaaa", -1.5f, NORMAL}, {"a", -30, NORMAL},   {"aa", -1, NORMAL},
};
static const vocab_spec spm_spec = {.model = "llama", .tokens = spm_rows, .n_tokens = 20, .bytes = true};

static const vocab_token_row bpe_rows[] = {
    {"!", 0, NORMAL},        {"h", 0, NORMAL},          {"e", 0, NORMAL},      {"l", 0, NORMAL},
    {"o", 0, NORMAL},        {"Ġ", 0, NORMAL},          {"he", 0, NORMAL},     {"ll", 0, NORMAL},
    {"llo", 0, NORMAL},      {"hello", 0, NORMAL},      {"Ġhello", 0, NORMAL}, {"Ċ", 0, NORMAL},
    {"<|end|>", 0, CONTROL}, {"<|start|>", 0, CONTROL}, {"[tool]", 0, USER},   {"Ã", 0, NORMAL},
    {"©", 0, NORMAL},        {"Ã©", 0, NORMAL},         {"1", 0, NORMAL},      {"11", 0, NORMAL},
};
static const char *const bpe_merges[] = {"h e", "l l", "ll o",     "he llo", "Ġ hello",
                                         "Ã ©", "1 1", "nonsense", " "};
static const vocab_spec bpe_spec = {.model = "gpt2",
                                    .pre = "gpt-2",
                                    .tokens = bpe_rows,
                                    .n_tokens = 20,
                                    .merges = bpe_merges,
                                    .n_merges = 9,
                                    .ids = {"bos_token_id=13", "eos_token_id=12"}};

static const vocab_token_row raw_rows[] = {
    {"<pad>", 0, CONTROL}, {"<eos>", 0, CONTROL}, {"<bos>", 0, CONTROL}, {"<unk>", 0, UNKNOWN},
    {"▁", 0, NORMAL},      {"h", 0, NORMAL},      {"i", 0, NORMAL},      {"hi", 0, NORMAL},
    {"▁hi", 0, NORMAL},    {"\n", 0, NORMAL},     {"\n\n", 0, NORMAL},   {"▁▁", 0, NORMAL},
};
static const char *const raw_merges[] = {"h i", "▁ hi", "▁ ▁"};
static const vocab_spec raw_spec = {.model = "gemma4",
                                    .tokens = raw_rows,
                                    .n_tokens = 12,
                                    .bytes = true,
                                    .merges = raw_merges,
                                    .n_merges = 3,
                                    .ids = {"bos_token_id=2", "eos_token_id=1", "unknown_token_id=3"}};

static const vocab_token_row wordpiece_rows[] = {
    {"[PAD]", 0, CONTROL}, {"[UNK]", 0, UNKNOWN}, {"[CLS]", 0, CONTROL}, {"[SEP]", 0, CONTROL},
    {"▁hello", 0, NORMAL}, {"▁he", 0, NORMAL},    {"llo", 0, NORMAL},    {"▁world", 0, NORMAL},
    {"▁!", 0, NORMAL},     {"▁e", 0, NORMAL},     {"▁日", 0, NORMAL},    {"▁本", 0, NORMAL},
    {"ing", 0, NORMAL},    {"▁", 0, NORMAL},
};
static const vocab_spec wordpiece_spec = {
    .model = "bert",
    .tokens = wordpiece_rows,
    .n_tokens = 14,
    .ids = {"unknown_token_id=1", "cls_token_id=2", "seperator_token_id=3", "padding_token_id=0"}};

// A charsmap whose rules are A -> a and AB -> "" (see charsmap.h): the size of the trie, its units, the
// replacements. Filled by charsmap_fill, which must be called first.
#define CHARSMAP_UNITS 0x200
static uint8_t charsmap_bytes[4 + 4 * CHARSMAP_UNITS + 3];

static inline void charsmap_unit(size_t i, uint32_t unit) {
    memcpy(charsmap_bytes + 4 + 4 * i, &unit, 4);
}

static inline void charsmap_fill(void) {
    memcpy(charsmap_bytes, &(uint32_t){4 * CHARSMAP_UNITS}, 4);
    charsmap_unit(0, 0x100u << 10); // the root: its children are at 0x100 ^ byte
    charsmap_unit(0x100 ^ 'A',
                  'A' | 1u << 8 | (0x141u ^ 0x180) << 10); // A, at 0x141: value and children at 0x180
    charsmap_unit(0x180, 1u << 31);                        // replacement at 0
    charsmap_unit(0x180 ^ 'B', 'B' | 1u << 8 | (0x1C2u ^ 0x1F0) << 10); // AB, at 0x1C2: value at 0x1F0
    charsmap_unit(0x1F0, 1u << 31 | 2);
    memcpy(charsmap_bytes + 4 + 4 * CHARSMAP_UNITS, "a\0", 3);
}

static const vocab_token_row unigram_rows[] = {
    {"<pad>", 0, CONTROL}, {"</s>", 0, CONTROL},     {"<unk>", 0, UNKNOWN}, {"▁", -3, NORMAL},
    {"▁he", -4, NORMAL},   {"▁hell", -4.5f, NORMAL}, {"llo", -2, NORMAL},   {"o", -5, NORMAL},
    {"a", -6, NORMAL},     {"aa", -11, NORMAL},      {"<mask>", 0, USER},   {"▁hello", -9, NORMAL},
};
static const vocab_spec unigram_spec = {.model = "t5",
                                        .tokens = unigram_rows,
                                        .n_tokens = 12,
                                        .charsmap = charsmap_bytes,
                                        .charsmap_size = sizeof charsmap_bytes,
                                        .ids = {"add_space_prefix=1", "remove_extra_whitespaces=1"}};

static const vocab_spec *const all_specs[] = {&spm_spec, &bpe_spec, &raw_spec, &wordpiece_spec,
                                              &unigram_spec};
#define ALL_SPECS 5

#undef NORMAL
#undef CONTROL
#undef USER
#undef UNKNOWN

#endif
