// libFuzzer target: a grammar in GBNF, a zero byte, and a text. Whatever they are: an error with its message,
// or a grammar whose masks allow just the tokens that are taken, and whose texts can be completed.
#include "grammar_visit.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const uint8_t *zero = size > 0 ? memchr(data, 0, size) : NULL;
    size_t split = zero ? (size_t)(zero - data) : size;
    ir *b;
    ingot_grammar *g;
    ingot_error err;
    require(ir_new(NULL, vocabulary(), &b, &err) == INGOT_OK);
    char *text = malloc(split + 1); // of exactly the size, so that reading past the end is seen
    memcpy(text, data, split);
    char *exact = realloc(text, split > 0 ? split : 1);
    int32_t root = ingot_grammar_builder_gbnf(b, exact, split, "root");
    ingot_status status = ingot_grammar_compile(b, root, 1 << 22, &g, &err);
    ingot_grammar_builder_free(b);
    free(exact);
    require(status == INGOT_OK || err.message[0] != '\0');
    if (status == INGOT_OK) {
        visit_grammar(g, (const char *)data + split + (zero != NULL), size - split - (zero != NULL));
        ingot_grammar_free(g);
    }
    return 0;
}
