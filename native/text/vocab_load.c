// Reading what every vocabulary has: its kind, and its tokens with their scores and kinds.
#include <string.h>

#include "text/vocab_impl.h"

#define KEY_MODEL  "tokenizer.ggml.model"
#define KEY_PRE    "tokenizer.ggml.pre"
#define KEY_TOKENS "tokenizer.ggml.tokens"
#define KEY_SCORES "tokenizer.ggml.scores"
#define KEY_TYPES  "tokenizer.ggml.token_type"

static bool is(ingot_str s, const char *text) {
    return s.size == strlen(text) && memcmp(s.data, text, s.size) == 0;
}

static ingot_status choose_model(vocab *v, const ingot_gguf *gguf, ingot_str *name, ingot_error *err) {
    static const struct {
        const char *name;
        vocab_model model;
    } models[] = {
        {"llama", VOCAB_SPM},      {"gpt2", VOCAB_BPE},   {"gemma4", VOCAB_BPE},
        {"bert", VOCAB_WORDPIECE}, {"t5", VOCAB_UNIGRAM},
    };
    TRY(gguf_get_str(gguf, KEY_MODEL, false, name, err));
    if (!name->data || is(*name, "none") || is(*name, "no_vocab"))
        return fail(err, INGOT_ERR_UNSUPPORTED,
                    "%s: the file has no vocabulary (" KEY_MODEL " is %s), so it can't tokenise text",
                    gguf_name(gguf), name->data ? "none" : "missing");
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        if (is(*name, models[i].name)) {
            v->model = models[i].model;
            return INGOT_OK;
        }
    }
    return fail(err, INGOT_ERR_UNSUPPORTED,
                "%s: " KEY_MODEL " is \"%.*s\"; the kinds that are known are llama (SentencePiece BPE), gpt2 "
                "(BPE), gemma4 (BPE), bert (WordPiece) and t5 (Unigram)",
                gguf_name(gguf), (int)(name->size < 64 ? name->size : 64), name->data);
}

// `pre` is the caller's, or NULL.
static ingot_status choose_pre(vocab *v, const ingot_gguf *gguf, ingot_str model, const char *pre,
                               ingot_error *err) {
    if (v->model != VOCAB_BPE) {
        if (!pre)
            return INGOT_OK;
        return fail(err, INGOT_ERR_INVALID,
                    "--pre %s: this vocabulary (" KEY_MODEL " %.*s) has no pre-tokenizer to replace", pre,
                    (int)model.size, model.data);
    }
    ingot_str name = {"default", 7};
    TRY(gguf_get_str(gguf, KEY_PRE, false, &name, err));
    if (is(model, "gemma4"))
        name = (ingot_str){"gemma4", 6};
    if (pre)
        name = (ingot_str){pre, strlen(pre)};
    v->pre = pre_find(name);
    if (v->pre) {
        v->raw = v->pre->flags & PRE_RAW;
        return INGOT_OK;
    }
    char known[900];
    pre_list(known, sizeof known);
    return fail(err, INGOT_ERR_UNSUPPORTED,
                "%s: " KEY_PRE " is \"%.*s\", which isn't known; choose another with --pre: %s",
                gguf_name(gguf), (int)(name.size < 48 ? name.size : 48), name.data, known);
}

static ingot_status load_scores(vocab *v, const ingot_gguf *gguf, ingot_error *err) {
    const ingot_gguf_value *scores = NULL;
    TRY(gguf_get_array(gguf, KEY_SCORES, v->model == VOCAB_UNIGRAM, INGOT_GGUF_F32, &scores, err));
    v->scores = mem_alloc(v->mem, (size_t)v->n_tokens, sizeof *v->scores);
    if (!v->scores)
        return fail_memory(err, (uint64_t)v->n_tokens * sizeof *v->scores, KEY_SCORES);
    if (!scores)
        return INGOT_OK;
    if (scores->count < (uint64_t)v->n_tokens)
        return fail(err, INGOT_ERR_FORMAT, "%s: " KEY_SCORES " has %llu entries, " KEY_TOKENS " has %d",
                    gguf_name(gguf), (unsigned long long)scores->count, v->n_tokens);
    memcpy(v->scores, scores->data, (size_t)v->n_tokens * sizeof *v->scores);
    return INGOT_OK;
}

static ingot_status load_kinds(vocab *v, const ingot_gguf *gguf, ingot_error *err) {
    const ingot_gguf_value *types = NULL;
    TRY(gguf_get_array(gguf, KEY_TYPES, false, INGOT_GGUF_I32, &types, err));
    v->kinds = mem_alloc(v->mem, (size_t)v->n_tokens, 1);
    v->flags = mem_alloc(v->mem, (size_t)v->n_tokens, 1);
    if (!v->kinds || !v->flags)
        return fail_memory(err, (uint64_t)v->n_tokens * 2, KEY_TYPES);
    if (types && types->count < (uint64_t)v->n_tokens)
        return fail(err, INGOT_ERR_FORMAT, "%s: " KEY_TYPES " has %llu entries, " KEY_TOKENS " has %d",
                    gguf_name(gguf), (unsigned long long)types->count, v->n_tokens);
    for (int32_t i = 0; i < v->n_tokens; i++) {
        int32_t kind = types ? ((const int32_t *)types->data)[i] : INGOT_TOKEN_NORMAL;
        if (kind < INGOT_TOKEN_UNDEFINED || kind > INGOT_TOKEN_BYTE)
            return fail(err, INGOT_ERR_FORMAT, "%s: " KEY_TYPES "[%d] is %d; it must be between 0 and 6",
                        gguf_name(gguf), i, kind);
        v->kinds[i] = (uint8_t)kind;
    }
    return INGOT_OK;
}

static ingot_status load_tokens(vocab *v, const ingot_gguf *gguf, ingot_error *err) {
    const ingot_gguf_value *tokens = NULL;
    TRY(gguf_get_array(gguf, KEY_TOKENS, true, INGOT_GGUF_STRING, &tokens, err));
    if (tokens->count == 0)
        return fail(err, INGOT_ERR_FORMAT, "%s: " KEY_TOKENS " is empty", gguf_name(gguf));
    if (tokens->count >= INT32_MAX)
        return fail(err, INGOT_ERR_LIMIT, "%s: " KEY_TOKENS " has %llu entries; at most 2147483646 are read",
                    gguf_name(gguf), (unsigned long long)tokens->count);
    v->n_tokens = (int32_t)tokens->count;
    v->texts = tokens->data;
    for (int32_t i = 0; i < v->n_tokens; i++)
        if (v->texts[i].size > v->longest)
            v->longest = v->texts[i].size;
    TRY(load_scores(v, gguf, err));
    return load_kinds(v, gguf, err);
}

void byte_tokens_load(vocab *v) {
    static const char digits[] = "0123456789ABCDEF";
    for (int byte = 0; byte < 256; byte++) {
        const char name[] = {'<', '0', 'x', digits[byte >> 4], digits[byte & 15], '>'};
        v->byte_ids[byte] = strmap_find(&v->map, name, sizeof name);
        if (v->byte_ids[byte] < 0)
            v->byte_ids[byte] = strmap_find(&v->map, &(char){(char)(unsigned char)byte}, 1);
    }
}

ingot_status trie_add_tokens(const vocab *v, trie *t, unsigned kinds, ingot_error *err) {
    ingot_str texts[64];
    int32_t tokens[64];
    size_t n = 0;
    for (int32_t i = 0; i < v->n_tokens; i++) {
        if ((kinds >> v->kinds[i] & 1) && v->texts[i].size <= VOCAB_MAX_TRIE_TOKEN) {
            texts[n] = v->texts[i];
            tokens[n++] = i;
        }
        if (n == 64 || i + 1 == v->n_tokens) {
            TRY(trie_add(t, texts, tokens, n, err));
            n = 0;
        }
    }
    return INGOT_OK;
}

static ingot_status spm_load(vocab *v, ingot_error *err) {
    for (int32_t i = 0; i < v->n_tokens; i++)
        TRY(strmap_push(&v->map, v->texts[i], err));
    TRY(strmap_index(&v->map, 0, err));
    byte_tokens_load(v);
    return INGOT_OK;
}

ingot_status vocab_load(vocab *v, const ingot_gguf *gguf, const char *pre, ingot_error *err) {
    ingot_str model = {NULL, 0};
    TRY(choose_model(v, gguf, &model, err));
    TRY(choose_pre(v, gguf, model, pre, err));
    TRY(load_tokens(v, gguf, err));
    bool is_spm = v->model == VOCAB_SPM;
    TRY(strmap_init(&v->map, v->mem, is_spm || v->pre ? (size_t)v->n_tokens : 0, err));
    v->add_space_prefix = is_spm;
    TRY(gguf_get_bool(gguf, "tokenizer.ggml.add_space_prefix", false, &v->add_space_prefix, err));
    TRY(gguf_get_bool(gguf, "tokenizer.ggml.remove_extra_whitespaces", false, &v->remove_extra_spaces, err));
    switch (v->model) {
    case VOCAB_BPE:
        v->tidy = !(v->pre->flags & PRE_AS_IS);
        TRY(bpe_load(v, gguf, err));
        break;
    case VOCAB_WORDPIECE:
        v->tidy = true;
        TRY(wordpiece_load(v, gguf, err));
        break;
    case VOCAB_UNIGRAM:
        TRY(unigram_load(v, gguf, err));
        break;
    default:
        TRY(spm_load(v, err));
        break;
    }
    TRY(roles_load(v, gguf, err));
    return special_load(v, err);
}
