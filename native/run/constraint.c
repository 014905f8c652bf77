#include "run/constraint.h"

#include <string.h>

#include "base/utf8.h"
#include "grammar/grammar.h"
#include "model/forward.h"

// Of the answer so far, as much as decides how the text behind it is cut.
enum { RECENT_BYTES = 256, FORCED_BYTES = 4096 };

ingot_status constraint_init(constraint *c, int32_t n_vocab, const ingot_allocator *mem, ingot_error *err) {
    *c = (constraint){.mem = mem};
    c->mask.words = ((size_t)n_vocab + 31) / 32;
    c->mask.bits = mem_alloc(mem, c->mask.words, sizeof *c->mask.bits);
    c->few = mem_alloc(mem, FORWARD_FEW, sizeof *c->few);
    if (c->mask.bits && c->few)
        return INGOT_OK;
    return fail_memory(err, c->mask.words * sizeof *c->mask.bits, "masks");
}

void constraint_free(constraint *c) {
    mem_free(c->mem, c->mask.bits);
    mem_free(c->mem, c->few);
    mem_free(c->mem, c->closing);
}

ingot_status constraint_check(const ingot_matcher *matcher, const vocab *v, ingot_error *err) {
    const ingot_grammar *g = matcher->grammar;
    TRY(grammar_check_trie(g, err));
    if (!v || g->trie->source != v)
        return fail(err, INGOT_ERR_INVALID,
                    "the matcher's grammar was compiled for the vocabulary of another model");
    return INGOT_OK;
}

// Whether the answer can be completed with `budget` tokens.
static ingot_status can_close(constraint *c, int64_t budget, bool *can, ingot_error *err) {
    ingot_error why;
    const ingot_status status = matcher_can_close(c->mask.matcher, (uint64_t)budget, can, &why);
    return status == INGOT_OK || status == INGOT_ERR_LIMIT ? INGOT_OK : fail(err, status, "%s", why.message);
}

ingot_status constraint_begin(constraint *c, bool close, int64_t budget, ingot_error *err) {
    c->closes = false;
    return close ? can_close(c, budget, &c->closes, err) : INGOT_OK;
}

ingot_status constraint_accept(constraint *c, int32_t token, ingot_error *err) {
    bool accepted;
    TRY(ingot_matcher_accept_token(c->mask.matcher, token, &accepted, err));
    return accepted ? INGOT_OK
                    : fail(err, INGOT_ERR_INTERNAL, "token %d was allowed, but doesn't match", token);
}

ingot_status constraint_try(constraint *c, int32_t token, int64_t budget, bool *fits, ingot_error *err) {
    *fits = true;
    TRY(constraint_accept(c, token, err));
    if (!c->closes)
        return INGOT_OK;
    TRY(can_close(c, budget - 1, fits, err));
    return *fits ? INGOT_OK : ingot_matcher_rollback(c->mask.matcher, 1, err);
}

ingot_status constraint_closing(constraint *c, size_t *n, ingot_error *err) {
    ingot_status status = ingot_matcher_closing(c->mask.matcher, c->closing, c->closing_capacity, n, err);
    if (status != INGOT_ERR_LIMIT || *n <= c->closing_capacity)
        return status;
    if (!mem_reserve(c->mem, &c->closing, &c->closing_capacity, *n, sizeof *c->closing))
        return fail_memory(err, *n * sizeof *c->closing, "an answer's end");
    return ingot_matcher_closing(c->mask.matcher, c->closing, c->closing_capacity, n, err);
}

bool constraint_complete(const constraint *c) {
    return c->mask.matcher && c->closes && ingot_matcher_is_accepting(c->mask.matcher);
}

void constraint_list_few(constraint *c, int32_t n_vocab) {
    c->n_few = 0;
    if (c->mask.status != INGOT_OK || c->mask.n_allowed > FORWARD_FEW || c->mask.n_allowed > n_vocab / 4)
        return;
    for (size_t w = 0; w < c->mask.words; w++)
        for (uint32_t bits = c->mask.bits[w]; bits != 0; bits &= bits - 1)
            c->few[c->n_few++] = (int32_t)(32 * w) + __builtin_ctz(bits);
}

ingot_status constraint_stuck(const constraint *c, ingot_error *err) {
    char why[160] = "";
    size_t n;
    ingot_matcher_explain(c->mask.matcher, -1, why, sizeof why - 1, &n, NULL);
    return fail(err, INGOT_ERR_UNSUPPORTED,
                "the grammar can't go on: the vocabulary has no token for what must come; %s", why);
}

// ------------------------------------------------------------------------------------------------- forced

// The bytes of the last tokens, as far as they fit; returns how many bytes there are.
static size_t recent_text(const vocab *v, const int32_t *recent, int32_t n_recent, char *text,
                          size_t capacity) {
    size_t size = 0;
    int32_t first = n_recent;
    for (size_t n; first > 0 && size + (n = vocab_piece(v, recent[first - 1], false, NULL, 0)) <= capacity;) {
        size += n;
        first--;
    }
    for (size_t at = 0; first < n_recent; first++)
        at += vocab_piece(v, recent[first], false, text + at, capacity - at);
    return size;
}

// Whether the piece of a token stands at `at` in a text; *size is how much of the text it is. Some tokenizers
// put a space in front of a text.
static bool stands_at(const vocab *v, int32_t token, const char *text, size_t n, size_t at, size_t *size) {
    char piece[RECENT_BYTES];
    *size = vocab_piece(v, token, false, piece, sizeof piece);
    if (*size > sizeof piece)
        return false;
    const size_t added = at == 0 && *size > 0 && piece[0] == ' ' && text[0] != ' ';
    *size -= added;
    return *size <= n - at && memcmp(piece + added, text + at, *size) == 0;
}

// Cuts a text into tokens, and finds those behind its first `known` bytes, if one begins there.
static ingot_status cut(constraint *c, const vocab *v, const char *text, size_t size, size_t known, size_t *n,
                        ingot_error *err) {
    size_t all = 0, at = 0, first = SIZE_MAX, length;
    *n = 0;
    if (!mem_reserve(c->mem, &c->closing, &c->closing_capacity, size + 8, sizeof *c->closing))
        return fail_memory(err, size * sizeof *c->closing, "a text that must come");
    const ingot_status status =
        vocab_tokenize(v, text, size, false, false, c->closing, c->closing_capacity, &all, err);
    if (status == INGOT_ERR_LIMIT) // more tokens than bytes: not this time
        return INGOT_OK;
    TRY(status);
    for (size_t i = 0; i < all; i++, at += length) {
        first = at == known && first == SIZE_MAX ? i : first;
        if (!stands_at(v, c->closing[i], text, size, at, &length)) // the tokenizer changes texts
            return INGOT_OK;
    }
    if (first == SIZE_MAX)
        return INGOT_OK;
    *n = all - first;
    memmove(c->closing, c->closing + first, *n * sizeof *c->closing);
    return INGOT_OK;
}

ingot_status constraint_forced(constraint *c, const vocab *v, const int32_t *recent, int32_t n_recent,
                               size_t *n, ingot_error *err) {
    char text[RECENT_BYTES + FORCED_BYTES];
    size_t forced;
    *n = 0;
    const size_t known = recent_text(v, recent, n_recent, text, RECENT_BYTES);
    if (known == 0)
        return INGOT_OK;
    const ingot_status status =
        ingot_matcher_forced(c->mask.matcher, text + known, FORCED_BYTES, &forced, err);
    if (status == INGOT_ERR_LIMIT && forced > FORCED_BYTES)
        forced = FORCED_BYTES;
    else
        TRY(status);
    forced = utf8_complete_prefix(text + known, forced);
    if (forced < 2)
        return INGOT_OK;
    TRY(cut(c, v, text, known + forced, known, n, err));
    if (*n > 0)
        --*n;
    return INGOT_OK;
}
