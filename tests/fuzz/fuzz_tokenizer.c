// libFuzzer target, two in one. Bytes that start with "GGUF" are opened as a file and its vocabulary
// tokenises a text; others are a text for one of a few vocabularies, one of every kind. Whatever they are: an
// error with its message or a result, tokens that are in the vocabulary, and a count that doesn't depend on
// the room.
#include <stdlib.h>

#include "../unit/text_vocabs.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition) {
    if (!condition)
        abort();
}

static void detokenize(const vocab *v, const int32_t *tokens, size_t n, bool special) {
    size_t size = 0;
    ingot_error err;
    ingot_status status = vocab_detokenize(v, tokens, n, special, NULL, 0, &size, &err);
    require(status == (size > 0 ? INGOT_ERR_LIMIT : INGOT_OK));
    char *text = malloc(size + 1);
    require(vocab_detokenize(v, tokens, n, special, text, size, &size, &err) == INGOT_OK);
    free(text);
    size_t pieces = 0;
    for (size_t i = 0; i < n; i++) {
        char piece[64];
        pieces += vocab_piece(v, tokens[i], special, piece, sizeof piece);
    }
    require(pieces >= size);
}

static void tokenize(const vocab *v, const char *text, size_t size, bool add_special, bool parse_special) {
    size_t n = 0;
    ingot_error err;
    ingot_status status = vocab_tokenize(v, text, size, add_special, parse_special, NULL, 0, &n, &err);
    require(status == (n > 0 ? INGOT_ERR_LIMIT : INGOT_OK));
    int32_t *tokens = malloc((n + 1) * sizeof *tokens);
    size_t again = 0;
    require(vocab_tokenize(v, text, size, add_special, parse_special, tokens, n, &again, &err) == INGOT_OK);
    require(again == n);
    for (size_t i = 0; i < n; i++) {
        ingot_token_info info;
        require(vocab_token(v, tokens[i], &info, &err) == INGOT_OK);
    }
    detokenize(v, tokens, n, parse_special);
    free(tokens);
}

static void fuzz_file(const uint8_t *data, size_t size) {
    static const char text[] = "Hello  world's <s>12345</s> \n\n é日本😀 <|end|>\xFF aaaaaaaa[UNK]<0x41>";
    test_vocab t = test_vocab_open(image_new(data, size), size, NULL, NULL);
    require(t.status == INGOT_OK || t.err.message[0] != '\0');
    if (t.status == INGOT_OK) {
        tokenize(t.v, text, sizeof text - 1, true, true);
        tokenize(t.v, text, sizeof text - 1, false, false);
        for (int32_t i = 0; i < vocab_size(t.v) && i < 64; i++) // the vocabulary's own tokens
            detokenize(t.v, &i, 1, true);
    }
    test_vocab_free(&t);
}

static void fuzz_text(const uint8_t *data, size_t size) {
    // The first byte chooses the vocabulary, a pre-tokenizer for those that have one, and the options.
    static const char *const pres[] = {NULL,           "default", "qwen35",  "gpt-4o",
                                       "deepseek-llm", "kimi-k2", "superbpe"};
    static test_vocab vocabs[ALL_SPECS + sizeof pres / sizeof *pres];
    static size_t n;
    if (n == 0) {
        charsmap_fill();
        for (int i = 0; i < ALL_SPECS; i++)
            vocabs[n++] = test_vocab_new(all_specs[i], NULL, NULL);
        for (size_t i = 1; i < sizeof pres / sizeof *pres; i++)
            vocabs[n++] = test_vocab_new(&bpe_spec, pres[i], NULL);
    }
    if (size == 0)
        return;
    const test_vocab *t = &vocabs[(data[0] >> 2) % n];
    require(t->status == INGOT_OK);
    char *text = malloc(size); // of exactly the size, so that reading past the end is seen
    memcpy(text, data + 1, size - 1);
    char *exact = realloc(text, size > 1 ? size - 1 : 1);
    tokenize(t->v, exact, size - 1, data[0] & 1, data[0] & 2);
    free(exact);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size >= 4 && memcmp(data, "GGUF", 4) == 0)
        fuzz_file(data, size);
    else
        fuzz_text(data, size);
    return 0;
}
