// Tokens to text.
#include <string.h>

#include "text/vocab_impl.h"

static int hex_digit(char c) {
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
                                  : -1;
}

// The byte of a token spelled <0xXX>; -1 for other spellings.
static int byte_of(ingot_str text) {
    if (text.size != 6 || memcmp(text.data, "<0x", 3) != 0 || text.data[5] != '>')
        return -1;
    int high = hex_digit(text.data[3]);
    int low = hex_digit(text.data[4]);
    return high < 0 || low < 0 ? -1 : high * 16 + low;
}

static size_t put(ingot_str from, char *bytes, size_t capacity) {
    size_t n = from.size < capacity ? from.size : capacity;
    if (n > 0)
        memcpy(bytes, from.data, n);
    return from.size;
}

// `text` with U+2581 as spaces.
static size_t put_unmarked(ingot_str text, char *bytes, size_t capacity) {
    size_t n = 0;
    for (size_t i = 0; i < text.size; n++) {
        bool mark = text.size - i >= 3 && memcmp(text.data + i, VOCAB_SPACE, 3) == 0;
        if (n < capacity)
            bytes[n] = mark ? ' ' : text.data[i];
        i += mark ? 3 : 1;
    }
    return n;
}

size_t vocab_piece(const vocab *v, int32_t token, bool special, char *bytes, size_t capacity) {
    if (token < 0 || token >= v->n_tokens)
        return 0;
    ingot_str text = v->texts[token];
    switch ((ingot_token_kind)v->kinds[token]) {
    case INGOT_TOKEN_CONTROL:
    case INGOT_TOKEN_UNKNOWN:
        return special ? put(text, bytes, capacity) : 0;
    case INGOT_TOKEN_USER_DEFINED:
        return put(text, bytes, capacity);
    case INGOT_TOKEN_NORMAL:
        if (v->model == VOCAB_BPE && !v->raw) {
            ingot_str decoded = v->map.items[token]; // empty if the text isn't of the byte alphabet
            return put(decoded.size > 0 ? decoded : text, bytes, capacity);
        }
        return put_unmarked(text, bytes, capacity);
    case INGOT_TOKEN_BYTE: {
        int byte = byte_of(text);
        return put(byte < 0 ? text : (ingot_str){&(char){(char)(unsigned char)byte}, 1}, bytes, capacity);
    }
    default:
        return 0;
    }
}

// ------------------------------------------------------------------------------------------ tidying up
// Decoded text of vocabularies whose words were split at punctuation has spaces too many. Three passes remove
// them in place, each seeing what the one before it left; each returns the new size.

// The space before . , ! and ?
static size_t tidy_punctuation(char *text, size_t size) {
    size_t n = 0;
    char previous = '\0';
    for (size_t i = 0; i < size; i++) {
        char c = text[i];
        n -= previous == ' ' && (c == '.' || c == ',' || c == '!' || c == '?');
        text[n++] = previous = c;
    }
    return n;
}

// The spaces around a lone apostrophe.
static size_t tidy_apostrophes(char *text, size_t size) {
    size_t n = 0;
    char previous = '\0';
    for (size_t i = 0; i < size; i++) {
        char c = text[i];
        bool alone = c == '\'' && previous == ' ' && i + 1 < size && text[i + 1] == ' ';
        n -= alone;
        i += alone;
        text[n++] = c;
        previous = alone ? '\0' : c;
    }
    return n;
}

// The space before 's 'm 're 've
static size_t tidy_contractions(char *text, size_t size) {
    size_t n = 0;
    char previous = '\0';
    for (size_t i = 0; i < size; i++) {
        char c = text[i];
        char c1 = i + 1 < size ? text[i + 1] : '\0';
        char c2 = i + 2 < size ? text[i + 2] : '\0';
        bool contraction = c1 == 's' || c1 == 'm' || ((c1 == 'r' || c1 == 'v') && c2 == 'e');
        n -= c == '\'' && previous == ' ' && contraction;
        text[n++] = previous = c;
    }
    return n;
}

// ------------------------------------------------------------------------------------------ texts

// Writes the tokens' bytes as far as `capacity` reaches; returns how many there are. The first token loses
// one leading space if the tokenizer puts one in front of a text.
static size_t put_all(const vocab *v, const int32_t *tokens, size_t n, bool special, char *text,
                      size_t capacity) {
    size_t size = 0;
    bool first = v->add_space_prefix;
    for (size_t i = 0; i < n; i++) {
        size_t room = size < capacity ? capacity - size : 0;
        size_t piece = vocab_piece(v, tokens[i], special, room ? text + size : NULL, room);
        char start = ' ';
        if (first && piece > 0)
            vocab_piece(v, tokens[i], special, &start, 1);
        if (first && piece > 0 && start == ' ') {
            piece--;
            if (room > 0)
                memmove(text + size, text + size + 1, piece < room ? piece : room - 1);
        }
        size += piece;
        bool hidden = !special && (v->kinds[tokens[i]] == INGOT_TOKEN_CONTROL ||
                                   v->kinds[tokens[i]] == INGOT_TOKEN_UNKNOWN);
        first = first && hidden;
    }
    return size;
}

ingot_status vocab_detokenize(const vocab *v, const int32_t *tokens, size_t n, bool special, char *text,
                              size_t capacity, size_t *size, ingot_error *err) {
    for (size_t i = 0; i < n; i++)
        if (tokens[i] < 0 || tokens[i] >= v->n_tokens)
            return fail(err, INGOT_ERR_INVALID, "token %zu of %zu is %d, but the vocabulary has %d", i, n,
                        tokens[i], v->n_tokens);
    size_t all = put_all(v, tokens, n, special, NULL, 0);
    // One byte more than is needed: the space in front is written before it is removed.
    char *bytes = mem_alloc(v->mem, all + 1, 1);
    if (!bytes)
        return fail_memory(err, all + 1, "decoded text");
    put_all(v, tokens, n, special, bytes, all + 1);
    if (v->tidy)
        all = tidy_contractions(bytes, tidy_apostrophes(bytes, tidy_punctuation(bytes, all)));
    *size = all;
    put((ingot_str){bytes, all}, text, capacity);
    mem_free(v->mem, bytes);
    if (all > capacity)
        return fail(err, INGOT_ERR_LIMIT, "the text takes %zu bytes; there is room for %zu", all, capacity);
    return INGOT_OK;
}
