// Which tokens play which part: special ids and what is added around a text, from metadata; and, where
// files don't say it, by the spelling of well-known tokens.
#include <string.h>

#include "text/vocab_impl.h"

#define KEY(name) "tokenizer.ggml." name

// ------------------------------------------------------------------------------------------ known spellings

typedef enum role {
    ROLE_NONE = 0,
    ROLE_END_OF_TURN, // the roles up to ROLE_FILE have one token: the key's, else the first of these found
    ROLE_END_OF_MESSAGE,
    ROLE_INFILL_PREFIX,
    ROLE_INFILL_SUFFIX,
    ROLE_INFILL_MIDDLE,
    ROLE_INFILL_PAD,
    ROLE_REPOSITORY,
    ROLE_FILE,
    ROLES,
} role;

enum {
    ENDS = 1,     // ends generation, and is a control token whatever the file says
    SHOWN = 2,    // a part of the answer's markup that must stay visible
    MASK = 4,     // takes the space before it in some models
    NO_STRIP = 8, // doesn't take the space after it in Phi-3, as its other special tokens do
};

typedef struct known_token {
    const char *text;
    role role;
    int flags;
} known_token;

static const known_token known[] = {
    {"<|eot_id|>", ROLE_END_OF_TURN, ENDS},
    {"<|im_end|>", ROLE_END_OF_TURN, ENDS},
    {"<|end|>", ROLE_END_OF_TURN, ENDS},
    {"<end_of_turn>", ROLE_END_OF_TURN, ENDS},
    {"<|endoftext|>", ROLE_END_OF_TURN, ENDS | NO_STRIP},
    {"<|end_of_text|>", ROLE_END_OF_TURN, ENDS},
    {"<EOT>", ROLE_END_OF_TURN, ENDS},
    {"_<EOT>", ROLE_END_OF_TURN, ENDS},
    {"[EOT]", ROLE_END_OF_TURN, ENDS},
    {"<｜end▁of▁sentence｜>", ROLE_END_OF_TURN, ENDS},
    {"<end_of_utterance>", ROLE_END_OF_TURN, ENDS},
    {"<|eom_id|>", ROLE_END_OF_MESSAGE, ENDS},
    {"<|return|>", ROLE_NONE, ENDS},
    {"<|call|>", ROLE_NONE, ENDS},
    {"<|calls|>", ROLE_NONE, ENDS},
    {"<|flush|>", ROLE_NONE, ENDS},
    {"</s>", ROLE_NONE, ENDS},
    {"[EOS]", ROLE_NONE, ENDS},
    {"<eos>", ROLE_NONE, ENDS},
    {"<turn|>", ROLE_NONE, ENDS},
    {"<|tool_response>", ROLE_NONE, ENDS},
    {"[e~[", ROLE_NONE, ENDS},
    {"<|fim_prefix|>", ROLE_INFILL_PREFIX, 0},
    {"<fim-prefix>", ROLE_INFILL_PREFIX, 0},
    {"<fim_prefix>", ROLE_INFILL_PREFIX, 0},
    {"<｜fim▁begin｜>", ROLE_INFILL_PREFIX, 0},
    {"<PRE>", ROLE_INFILL_PREFIX, 0},
    {"▁<PRE>", ROLE_INFILL_PREFIX, 0},
    {"<|code_prefix|>", ROLE_INFILL_PREFIX, 0},
    {"<|prefix|>", ROLE_INFILL_PREFIX, 0},
    {"<|fim_suffix|>", ROLE_INFILL_SUFFIX, 0},
    {"<fim-suffix>", ROLE_INFILL_SUFFIX, 0},
    {"<fim_suffix>", ROLE_INFILL_SUFFIX, 0},
    {"<｜fim▁hole｜>", ROLE_INFILL_SUFFIX, 0},
    {"<SUF>", ROLE_INFILL_SUFFIX, 0},
    {"▁<SUF>", ROLE_INFILL_SUFFIX, 0},
    {"<|code_suffix|>", ROLE_INFILL_SUFFIX, 0},
    {"<|suffix|>", ROLE_INFILL_SUFFIX, 0},
    {"<|fim_middle|>", ROLE_INFILL_MIDDLE, 0},
    {"<fim-middle>", ROLE_INFILL_MIDDLE, 0},
    {"<fim_middle>", ROLE_INFILL_MIDDLE, 0},
    {"<｜fim▁end｜>", ROLE_INFILL_MIDDLE, 0},
    {"<MID>", ROLE_INFILL_MIDDLE, 0},
    {"▁<MID>", ROLE_INFILL_MIDDLE, 0},
    {"<|code_middle|>", ROLE_INFILL_MIDDLE, 0},
    {"<|middle|>", ROLE_INFILL_MIDDLE, 0},
    {"<|fim_pad|>", ROLE_INFILL_PAD, 0},
    {"<fim-pad>", ROLE_INFILL_PAD, 0},
    {"<fim_pad>", ROLE_INFILL_PAD, 0},
    {"<PAD>", ROLE_INFILL_PAD, 0},
    {"[PAD]", ROLE_INFILL_PAD, 0},
    {"<|fim_repo|>", ROLE_REPOSITORY, 0},
    {"<|repo_name|>", ROLE_REPOSITORY, 0},
    {"<fim-repo>", ROLE_REPOSITORY, 0},
    {"<REPO>", ROLE_REPOSITORY, 0},
    {"<reponame>", ROLE_REPOSITORY, 0},
    {"<|file_sep|>", ROLE_FILE, 0},
    {"<|channel|>", ROLE_NONE, SHOWN},
    {"<|message|>", ROLE_NONE, SHOWN},
    {"<|start|>", ROLE_NONE, SHOWN},
    {"<|constrain|>", ROLE_NONE, SHOWN},
    {"<mask>", ROLE_NONE, MASK},
    {"[MASK]", ROLE_NONE, MASK},
    {"<unk>", ROLE_NONE, NO_STRIP},
    {"<s>", ROLE_NONE, NO_STRIP},
};

#define KNOWN ((int)(sizeof known / sizeof *known))

// What was found: the token of every known spelling, -1 where the vocabulary hasn't got it.
typedef struct finds {
    int32_t tokens[KNOWN];
    int32_t by_role[ROLES];
} finds;

static void find_known(const vocab *v, finds *f) {
    size_t sizes[KNOWN];
    for (int k = 0; k < KNOWN; k++) {
        sizes[k] = strlen(known[k].text);
        f->tokens[k] = -1;
    }
    for (int32_t i = 0; i < v->n_tokens; i++) {
        ingot_str text = v->texts[i];
        if (text.size < 3 || text.size > 40 || !memchr("<[_\xE2", text.data[0], 4))
            continue;
        for (int k = 0; k < KNOWN; k++)
            if (text.size == sizes[k] && memcmp(text.data, known[k].text, text.size) == 0 && f->tokens[k] < 0)
                f->tokens[k] = i;
    }
}

static int32_t find(const finds *f, const char *text) {
    for (int k = 0; k < KNOWN; k++)
        if (strcmp(known[k].text, text) == 0)
            return f->tokens[k];
    return -1;
}

static bool ends(const vocab *v, int32_t token) {
    return token >= 0 && (v->flags[token] & VOCAB_ENDS_GENERATION);
}

static void set_end(vocab *v, int32_t token) {
    if (token >= 0)
        v->flags[token] |= VOCAB_ENDS_GENERATION;
}

static void clear_end(vocab *v, int32_t token, ingot_token_kind kind) {
    v->flags[token] &= (uint8_t)~VOCAB_ENDS_GENERATION;
    v->kinds[token] = (uint8_t)kind;
}

// Gives every role without a key its token, and every known token its kind.
static void assign(vocab *v, finds *f) {
    for (int k = 0; k < KNOWN; k++) {
        int32_t token = f->tokens[k];
        if (token < 0)
            continue;
        bool chosen = known[k].role != ROLE_NONE && f->by_role[known[k].role] < 0;
        if (chosen)
            f->by_role[known[k].role] = token;
        if (chosen || (known[k].flags & ENDS))
            v->kinds[token] = INGOT_TOKEN_CONTROL;
        if (known[k].flags & ENDS)
            set_end(v, token);
        if (known[k].flags & SHOWN)
            v->kinds[token] = INGOT_TOKEN_USER_DEFINED;
    }
    static const role also_end[] = {ROLE_END_OF_TURN, ROLE_END_OF_MESSAGE, ROLE_INFILL_PAD, ROLE_REPOSITORY,
                                    ROLE_FILE};
    for (size_t i = 0; i < sizeof also_end / sizeof *also_end; i++)
        set_end(v, f->by_role[also_end[i]]);
    v->special.eot = f->by_role[ROLE_END_OF_TURN];
    set_end(v, v->special.eos);
}

// Vocabularies in which a well-known token means something else.
static void make_exceptions(vocab *v, const finds *f) {
    // gpt-oss and Solar end a message with <|end|>, and the answer with others.
    int32_t end = find(f, "<|end|>");
    bool calls = ends(v, find(f, "<|call|>")) || ends(v, find(f, "<|calls|>"));
    if (ends(v, end) && calls && (ends(v, find(f, "<|return|>")) || ends(v, find(f, "<|flush|>"))))
        clear_end(v, end, INGOT_TOKEN_USER_DEFINED);
    // In Gemma 4's vocabulary </s> is an HTML tag.
    int32_t strike = find(f, "</s>");
    if (ends(v, strike) && ends(v, find(f, "<|tool_response>")))
        clear_end(v, strike, INGOT_TOKEN_NORMAL);
}

// ------------------------------------------------------------------------------------------ white space

static bool contains(ingot_str text, const char *part) {
    size_t size = strlen(part);
    for (size_t i = 0; i + size <= text.size; i++) {
        size_t j = 0;
        while (j < size &&
               (text.data[i + j] | (text.data[i + j] >= 'A' && text.data[i + j] <= 'Z' ? 32 : 0)) == part[j])
            j++;
        if (j == size)
            return true;
    }
    return false;
}

// Some models' special tokens take the white space beside them, which no metadata says.
static ingot_status load_stripping(vocab *v, const ingot_gguf *gguf, const finds *f, ingot_error *err) {
    ingot_str name = {NULL, 0};
    ingot_str architecture = {NULL, 0};
    ingot_str pre = {NULL, 0};
    TRY(gguf_get_str(gguf, "general.name", false, &name, err));
    TRY(gguf_get_str(gguf, "general.architecture", false, &architecture, err));
    TRY(gguf_get_str(gguf, KEY("pre"), false, &pre, err));
    const char *mask = NULL;
    if (contains(pre, "jina-v2-de") || contains(pre, "jina-v2-es") || contains(pre, "jina-v2-code") ||
        contains(architecture, "nomic-bert-moe") || contains(architecture, "jina-bert-v3"))
        mask = "<mask>";
    else if (contains(name, "modern-bert"))
        mask = "[MASK]";
    bool phi3 = !mask && (contains(name, "phi-3") || contains(name, "phi3"));
    for (int32_t i = 0; phi3 && i < v->n_tokens; i++)
        if (v->kinds[i] == INGOT_TOKEN_CONTROL || v->kinds[i] == INGOT_TOKEN_USER_DEFINED ||
            v->kinds[i] == INGOT_TOKEN_UNKNOWN)
            v->flags[i] |= VOCAB_STRIP_RIGHT;
    for (int k = 0; k < KNOWN; k++) {
        if (f->tokens[k] < 0)
            continue;
        if (mask && strcmp(known[k].text, mask) == 0)
            v->flags[f->tokens[k]] |= VOCAB_STRIP_LEFT;
        if (known[k].flags & NO_STRIP)
            v->flags[f->tokens[k]] &= (uint8_t)~VOCAB_STRIP_RIGHT;
    }
    return INGOT_OK;
}

// ------------------------------------------------------------------------------------------ metadata

// A token's id under `key`; UINT32_MAX in the file, which some converters write, means none.
static ingot_status load_id(const vocab *v, const ingot_gguf *gguf, const char *key, int32_t *id,
                            ingot_error *err) {
    if (*id >= v->n_tokens)
        *id = -1;
    if (!ingot_gguf_find(gguf, key))
        return INGOT_OK;
    uint32_t value = 0;
    TRY(gguf_get_u32(gguf, key, true, 0, UINT32_MAX, &value, err));
    if (value != UINT32_MAX && value >= (uint32_t)v->n_tokens)
        return fail(err, INGOT_ERR_FORMAT, "%s: %s is %u, but the vocabulary has %d tokens", gguf_name(gguf),
                    key, value, v->n_tokens);
    *id = value == UINT32_MAX ? -1 : (int32_t)value;
    return INGOT_OK;
}

static void set_defaults(vocab *v) {
    ingot_special_tokens *s = &v->special;
    *s = (ingot_special_tokens){-1, -1, -1, -1, -1, -1, -1, -1, false, false, false};
    switch (v->model) {
    case VOCAB_SPM:
        s->bos = 1;
        s->eos = 2;
        s->unk = 0;
        s->add_bos = true;
        break;
    case VOCAB_WORDPIECE:
        s->bos = s->cls = 101;
        s->unk = 100;
        s->sep = 102;
        s->pad = 0;
        s->mask = 103;
        s->add_bos = s->add_sep = true;
        break;
    case VOCAB_UNIGRAM:
        s->eos = 1;
        s->unk = 2;
        s->pad = 0;
        s->add_eos = true;
        break;
    case VOCAB_BPE:
        if (!v->raw)
            s->eos = 11;
        if (!v->raw && !(v->pre->flags & PRE_NO_BOS))
            s->bos = 11;
        s->add_bos = v->pre->flags & PRE_ADD_BOS;
        s->add_sep = v->pre->flags & PRE_ADD_SEP;
        break;
    }
}

static ingot_status load_ids(vocab *v, const ingot_gguf *gguf, finds *f, ingot_error *err) {
    ingot_special_tokens *s = &v->special;
    for (int i = 0; i < ROLES; i++)
        f->by_role[i] = -1;
    if (v->model == VOCAB_WORDPIECE)
        TRY(load_id(v, gguf, KEY("cls_token_id"), &s->bos, err));
    const struct {
        const char *key;
        int32_t *id;
    } ids[] = {
        {KEY("bos_token_id"), &s->bos},
        {KEY("eos_token_id"), &s->eos},
        {KEY("unknown_token_id"), &s->unk},
        {KEY("seperator_token_id"), &s->sep},
        {KEY("padding_token_id"), &s->pad},
        {KEY("mask_token_id"), &s->mask},
        {KEY("cls_token_id"), &s->cls},
        {KEY("eot_token_id"), &f->by_role[ROLE_END_OF_TURN]},
        {KEY("eom_token_id"), &f->by_role[ROLE_END_OF_MESSAGE]},
        {KEY("prefix_token_id"), &f->by_role[ROLE_INFILL_PREFIX]},
        {KEY("suffix_token_id"), &f->by_role[ROLE_INFILL_SUFFIX]},
        {KEY("middle_token_id"), &f->by_role[ROLE_INFILL_MIDDLE]},
        {KEY("fim_pre_token_id"), &f->by_role[ROLE_INFILL_PREFIX]},
        {KEY("fim_suf_token_id"), &f->by_role[ROLE_INFILL_SUFFIX]},
        {KEY("fim_mid_token_id"), &f->by_role[ROLE_INFILL_MIDDLE]},
        {KEY("fim_pad_token_id"), &f->by_role[ROLE_INFILL_PAD]},
        {KEY("fim_rep_token_id"), &f->by_role[ROLE_REPOSITORY]},
        {KEY("fim_sep_token_id"), &f->by_role[ROLE_FILE]},
    };
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++)
        TRY(load_id(v, gguf, ids[i].key, ids[i].id, err));
    return INGOT_OK;
}

// Whether `add_key` asks for a token, which must then exist, unless the model never adds it (not `used`).
static ingot_status load_adding(const ingot_gguf *gguf, const char *add_key, const char *id_key, int32_t id,
                                bool used, bool *add, ingot_error *err) {
    if (id < 0)
        *add = false;
    TRY(gguf_get_bool(gguf, add_key, false, add, err));
    if (id < 0 && !used)
        *add = false;
    if (*add && id < 0)
        return fail(err, INGOT_ERR_FORMAT, "%s: %s is true, but %s gives no token", gguf_name(gguf), add_key,
                    id_key);
    return INGOT_OK;
}

ingot_status roles_load(vocab *v, const ingot_gguf *gguf, ingot_error *err) {
    ingot_special_tokens *s = &v->special;
    finds f;
    set_defaults(v);
    TRY(load_ids(v, gguf, &f, err));
    const bool framed = v->model == VOCAB_WORDPIECE; // between CLS and SEP, whatever the file says
    TRY(load_adding(gguf, KEY("add_bos_token"), KEY("bos_token_id"), s->bos, !framed, &s->add_bos, err));
    TRY(load_adding(gguf, KEY("add_eos_token"), KEY("eos_token_id"), s->eos, !framed, &s->add_eos, err));
    TRY(load_adding(gguf, KEY("add_sep_token"), KEY("seperator_token_id"), s->sep, false, &s->add_sep, err));
    // Early Gemma 4 files say that no BOS is wanted, which is wrong.
    if (v->raw && (v->pre->flags & PRE_ADD_BOS) && s->bos >= 0)
        s->add_bos = true;
    find_known(v, &f);
    assign(v, &f);
    make_exceptions(v, &f);
    return load_stripping(v, gguf, &f, err);
}
