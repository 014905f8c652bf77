// WordPiece ("bert"): the text is normalised and cut into words, of which the longest tokens are bitten off.
#include <string.h>

#include "text/unicode.h"
#include "text/vocab_impl.h"

ingot_status wordpiece_load(vocab *v, const ingot_gguf *gguf, ingot_error *err) {
    v->lowercase = true;
    TRY(gguf_get_bool(gguf, "tokenizer.ggml.normalizer.lowercase", false, &v->lowercase, err));
    v->strip_accents = v->lowercase;
    TRY(gguf_get_bool(gguf, "tokenizer.ggml.normalizer.strip_accents", false, &v->strip_accents, err));
    TRY(trie_init(&v->tokens, v->mem, (size_t)v->n_tokens * 3, err));
    return trie_add_tokens(v, &v->tokens, ~0u, err);
}

// The longest token that `text` starts with; its size is 0 if there is none.
static size_t longest_token(const vocab *v, const char *text, size_t size, int32_t *token) {
    size_t longest = 0;
    uint32_t node = TRIE_ROOT;
    for (size_t i = 0; i < size; i++) {
        node = trie_child(&v->tokens, node, (unsigned char)text[i]);
        if (node == TRIE_ROOT)
            break;
        if (v->tokens.values[node] != TRIE_NONE) {
            longest = i + 1;
            *token = v->tokens.values[node];
        }
    }
    return longest;
}

// Adds the word of `size` bytes in s->text, which starts with the space mark; a word that isn't tokens from
// end to end is one unknown token.
static void add_word(session *s, size_t size) {
    size_t before = s->n;
    for (size_t at = 0; at < size;) {
        int32_t token = -1;
        size_t n = longest_token(s->v, s->text + at, size - at, &token);
        if (n == 0) {
            s->n = before;
            break;
        }
        session_add(s, token);
        at += n;
    }
    if (s->n == before && s->v->special.unk >= 0)
        session_add(s, s->v->special.unk);
}

// Han ideographs, each a word of its own: the blocks that BERT's reference tokenizer lists, with its slip in
// the sixth.
static bool is_ideograph(uint32_t cp) {
    static const unicode_range blocks[] = {
        {0x3400, 0x4DBF},   {0x4E00, 0x9FFF},   {0xF900, 0xFAFF},   {0x20000, 0x2A6DF},
        {0x2A700, 0x2B73F}, {0x2B740, 0x2B81F}, {0x2B920, 0x2CEAF}, {0x2F800, 0x2FA1F},
    };
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++)
        if (blocks[i].first <= cp && cp <= blocks[i].last)
            return true;
    return false;
}

typedef enum character_kind {
    CHARACTER_DROPPED,
    CHARACTER_SPACE,
    CHARACTER_OF_WORD,
    CHARACTER_ALONE,
} character_kind;

static character_kind kind_of(const vocab *v, uint32_t cp) {
    if (unicode_is_space(cp))
        return CHARACTER_SPACE;
    uint32_t bit = 1u << unicode_category_of(cp);
    if (cp == 0 || cp == 0xFFFD || (bit & UNICODE_BITS_C & ~(1u << UNICODE_CN)))
        return CHARACTER_DROPPED;
    if (v->strip_accents && (bit & UNICODE_BITS_M))
        return CHARACTER_DROPPED;
    bool punctuation = (bit & UNICODE_BITS_P) || (cp < 0x7F && (bit & UNICODE_BITS_S));
    return punctuation || is_ideograph(cp) ? CHARACTER_ALONE : CHARACTER_OF_WORD;
}

ingot_status wordpiece_tokenize(session *s, const char *text, size_t size) {
    const vocab *v = s->v;
    const size_t mark = sizeof VOCAB_SPACE - 1;
    TRY(session_reserve(s, mark + size * 2 + 4)); // lower case takes up to 3 bytes for 2
    memcpy(s->text, VOCAB_SPACE, mark);
    size_t word = mark;
    for (size_t i = 0; i < size;) {
        int n;
        uint32_t cp = utf8_decode(text + i, size - i, &n);
        i += (size_t)n;
        if (v->strip_accents)
            cp = unicode_base(cp);
        character_kind kind = kind_of(v, cp);
        if (kind == CHARACTER_DROPPED)
            continue;
        if (kind != CHARACTER_OF_WORD && word > mark) {
            add_word(s, word);
            word = mark;
        }
        if (kind == CHARACTER_SPACE)
            continue;
        word += (size_t)utf8_encode(v->lowercase ? unicode_lower(cp) : cp, s->text + word);
        if (kind == CHARACTER_ALONE) {
            add_word(s, word);
            word = mark;
        }
    }
    if (word > mark)
        add_word(s, word);
    return INGOT_OK;
}
