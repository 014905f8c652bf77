// Tokenizers of every kind, on vocabularies of a few dozen tokens.
#include <stdlib.h>
#include <time.h>

#include "check.h"
#include "failing_mem.h"
#include "text_vocabs.h"

// The tokens of `text`, with spaces between.
static const char *ids(const vocab *v, const char *text, bool add_special, bool parse_special) {
    static char out[1024];
    int32_t tokens[256];
    size_t n = 0;
    ingot_error err;
    if (vocab_tokenize(v, text, strlen(text), add_special, parse_special, tokens, 256, &n, &err) != INGOT_OK)
        return "(error)";
    size_t size = 0;
    out[0] = '\0';
    for (size_t i = 0; i < n; i++)
        size += (size_t)snprintf(out + size, sizeof out - size, i ? " %d" : "%d", tokens[i]);
    return out;
}

// The text of tokens, which end with a negative number.
static const char *text_of(const vocab *v, const int32_t *tokens, bool special) {
    static char out[256];
    size_t n = 0;
    while (tokens[n] >= 0)
        n++;
    size_t size = 0;
    ingot_error err;
    if (vocab_detokenize(v, tokens, n, special, out, sizeof out - 1, &size, &err) != INGOT_OK)
        return "(error)";
    out[size] = '\0';
    return out;
}

static bool same(const char *got, const char *want) {
    if (strcmp(got, want) != 0)
        fprintf(stderr, "got  %s\nwant %s\n", got, want);
    return strcmp(got, want) == 0;
}

#define IDS(text, add, parse, want) CHECK(same(ids(t.v, text, add, parse), want))
#define TEXT(special, want, ...)    CHECK(same(text_of(t.v, (const int32_t[]){__VA_ARGS__, -1}, special), want))

static void test_spm(void) {
    test_vocab t = test_vocab_new(&spm_spec, NULL, NULL);
    CHECK(t.status == INGOT_OK);
    CHECK(vocab_size(t.v) == 276);
    IDS("", false, false, "");
    IDS("", true, false, "1");
    IDS("hello", false, false, "12"); // the space in front
    IDS("hello", true, false, "1 12");
    IDS("ahello", false, false, "3 18 11"); // lo, he, llo, hello: by score
    IDS("hellhe", false, false, "3 8 9 8");
    IDS("helo", false, false, "3 8 13");
    IDS("aaaaa", false, false, "3 17 18"); // the leftmost of equal pairs first
    IDS("  ", false, false, "16 3");
    IDS("é", false, false, "3 215 189"); // byte tokens: 20 + 0xC3, 20 + 0xA9
    IDS("\xFF", false, false, "3 275");
    IDS("<s>", false, false, "3 80 135 82"); // not parsed: < s > as bytes
    IDS("<s>", false, true, "1");
    IDS("<s>hello", true, true, "1 1 12");             // the text's own BOS stays; a space comes after it
    IDS("<tag>hello<tag>>", false, false, "14 12 15"); // user-defined, and the longest first
    IDS("<unk>", false, true, "0");
    TEXT(true, "<s> hello", 1, 12); // the space in front is that of the first token alone
    TEXT(false, "hello", 1, 12);
    TEXT(true, "hello", 12);
    TEXT(false, "\xC3\xA9", 215, 189);
    TEXT(false, "<tag>", 14);
    char piece[8];
    CHECK(vocab_piece(t.v, 12, false, piece, 8) == 6 && memcmp(piece, " hello", 6) == 0);
    CHECK(vocab_piece(t.v, 12, false, piece, 2) == 6);
    CHECK(vocab_piece(t.v, 1, false, piece, 8) == 0 && vocab_piece(t.v, 1, true, piece, 8) == 3);
    CHECK(vocab_piece(t.v, -1, true, piece, 8) == 0 && vocab_piece(t.v, 276, true, piece, 8) == 0);
    test_vocab_free(&t);
}

static void test_bpe(void) {
    test_vocab t = test_vocab_new(&bpe_spec, NULL, NULL);
    CHECK(t.status == INGOT_OK);
    IDS("hello hello", false, false, "9 10");
    IDS("hell", false, false, "6 7");
    IDS("111", false, false, "19 18");
    IDS("é", false, false, "17");
    IDS("\xC3", false, false, "15"); // half a character is a byte like another
    IDS("\n", false, false, "11");
    IDS("z", false, false, ""); // no token at all
    IDS("<|end|>", false, true, "12");
    IDS("hello[tool]hello", false, false, "9 14 9");
    IDS("hello", true, false, "9"); // no BOS unless asked for
    TEXT(false, "hello!", 9, 5, 0); // " !" is tidied up
    TEXT(true, "<|end|>", 12);
    TEXT(false, "", 12);
    TEXT(false, "\xC3\xA9\n", 17, 11);
    ingot_special_tokens s;
    vocab_specials(t.v, &s);
    CHECK(s.bos == 13 && s.eos == 12 && s.eot == 12 && !s.add_bos && !s.add_eos && s.unk == -1 &&
          s.pad == -1);
    CHECK(vocab_ends_generation(t.v, 12) && !vocab_ends_generation(t.v, 13));
    CHECK(!vocab_ends_generation(t.v, -1) && !vocab_ends_generation(t.v, 20));
    ingot_token_info info;
    CHECK(vocab_token(t.v, 13, &info, NULL) == INGOT_OK);
    CHECK(info.kind == INGOT_TOKEN_USER_DEFINED); // <|start|> stays visible
    CHECK(vocab_token(t.v, 20, &info, NULL) == INGOT_ERR_INVALID);
    test_vocab_free(&t);
    t = test_vocab_new(&bpe_spec, "llama-bpe", NULL);
    IDS("hello", true, false, "13 9");
    test_vocab_free(&t);
}

static void test_raw(void) {
    test_vocab t = test_vocab_new(&raw_spec, NULL, NULL);
    CHECK(t.status == INGOT_OK);
    IDS("hi hi", true, false, "2 7 8");
    IDS("  hi", false, false, "4 8");     // "h i", then "▁ hi", come before "▁ ▁"
    IDS("\n\n\n", false, false, "9 9 9"); // three are no token, and newlines have no merges
    IDS("\n\nhi", false, false, "10 7");
    IDS("é", false, false, "207 181"); // 12 + 0xC3, 12 + 0xA9
    IDS("\xFF", false, false, "267");
    TEXT(false, " hi\n", 8, 9);
    test_vocab_free(&t);
}

static void test_wordpiece(void) {
    test_vocab t = test_vocab_new(&wordpiece_spec, NULL, NULL);
    CHECK(t.status == INGOT_OK);
    IDS("Hello, WORLD!", false, false, "4 1 7 8"); // a comma that isn't known
    IDS("hello", true, false, "2 4 3");
    IDS("", true, false, "2 3");
    IDS("h\xC3\xA9llo", false, false, "4"); // accents go
    IDS("helloing", false, false, "4 12");
    IDS("hellox", false, false, "1"); // one unknown token for the whole word
    IDS("日本", false, false, "10 11");
    IDS("\t hello\xE3\x80\x80world\x01", false, false, "4 7");
    IDS("[CLS]", false, true, "2");
    TEXT(true, "[CLS] hello!", 2, 4, 8);
    test_vocab_free(&t);
}

static void test_unigram(void) {
    test_vocab t = test_vocab_new(&unigram_spec, NULL, NULL);
    CHECK(t.status == INGOT_OK);
    IDS("hello", false, false, "4 6"); // -4 -2 is better than -4.5 -5 and -9
    IDS("aa", true, false, "3 9 1");   // -11 is better than -6 -6
    IDS("xyz", false, false, "3 2");   // a run of unknown characters is one token
    IDS("  hello   hello ", false, false, "4 6 4 6");
    IDS("A", false, false, "3 8"); // by the rule
    IDS("AB", false, false, "");   // the longer rule: nothing is left
    IDS("a<mask>a", false, false, "3 8 10 3 8");
    IDS("\xFF", false, false, "3 2");
    TEXT(false, "hello", 4, 6);
    test_vocab_free(&t);
}

// The longest token takes its occurrences first, wherever they are; white space goes with some.
static void test_specials(void) {
    static const vocab_token_row rows[] = {
        {"<unk>", 0, 2}, {"a", 0, 1},   {"b", 0, 1},  {"c", 0, 1},    {"d", 0, 1},
        {"ab", 0, 4},    {"bcd", 0, 4}, {"xx", 0, 4}, {"xxxx", 0, 4}, {"<c>", 0, 3},
        {"x", 0, 1},     {" ", 0, 1},   {"▁", 0, 1},  {"</s>", 0, 3}, {"<s>", 0, 3},
    };
    vocab_spec spec = {.model = "llama",
                       .tokens = rows,
                       .n_tokens = 15,
                       .name = "Phi-3 mini",
                       .ids = {"add_space_prefix=0"}};
    test_vocab t = test_vocab_new(&spec, NULL, NULL);
    CHECK(t.status == INGOT_OK);
    IDS("abcd", false, false, "1 6"); // bcd, not ab
    IDS("abc", false, false, "5 3");
    IDS("xxxxxxx", false, false, "8 7 10"); // 4, 2, 1
    IDS("axxxxxa", false, false, "1 8 10 1");
    IDS("<c> \t a", false, true, "9 1");  // Phi-3's special tokens take the space after them
    IDS("<s> a", false, true, "14 12 1"); // but <s> doesn't
    IDS("<c> a", false, false, "0 3 0 12 1");
    test_vocab_free(&t);
}

static void test_contract(void) {
    test_vocab t = test_vocab_new(&spm_spec, NULL, NULL);
    ingot_error err = {0};
    size_t n = 0;
    int32_t two[2] = {-7, -7};
    CHECK(vocab_tokenize(t.v, "hello é", 8, true, false, two, 2, &n, &err) == INGOT_ERR_LIMIT);
    CHECK(n == 5 && two[0] == 1 && two[1] == 12);
    CHECK_CONTAINS(err.message, "5 tokens");
    CHECK(vocab_tokenize(t.v, "hello", 5, false, false, NULL, 0, &n, &err) == INGOT_ERR_LIMIT && n == 1);
    CHECK(vocab_tokenize(t.v, NULL, 0, false, false, NULL, 0, &n, &err) == INGOT_OK && n == 0);
    CHECK(vocab_tokenize(t.v, "", (size_t)INT32_MAX + 1, false, false, NULL, 0, &n, &err) == INGOT_ERR_LIMIT);
    CHECK_CONTAINS(err.message, "2147483648 bytes");
    CHECK(vocab_tokenize(t.v, "a\0a", 3, false, false, two, 2, &n, NULL) == INGOT_ERR_LIMIT && n == 4);
    char three[3];
    const int32_t hello[] = {12, 12};
    CHECK(vocab_detokenize(t.v, hello, 2, false, three, 3, &n, &err) == INGOT_ERR_LIMIT && n == 11);
    CHECK(memcmp(three, "hel", 3) == 0);
    CHECK(vocab_detokenize(t.v, NULL, 0, false, NULL, 0, &n, &err) == INGOT_OK && n == 0);
    CHECK(vocab_detokenize(t.v, (const int32_t[]){12, 276}, 2, false, NULL, 0, &n, &err) ==
          INGOT_ERR_INVALID);
    CHECK_CONTAINS(err.message, "token 1 of 2 is 276");
    CHECK(vocab_detokenize(t.v, (const int32_t[]){-1}, 1, false, NULL, 0, &n, &err) == INGOT_ERR_INVALID);
    test_vocab_free(&t);
}

static void fail_with(const vocab_spec *s, const char *pre, ingot_status status, const char *part) {
    test_vocab t = test_vocab_new(s, pre, NULL);
    CHECK(t.status == status && t.v == NULL);
    CHECK_CONTAINS(t.err.message, part);
    test_vocab_free(&t);
}

static void test_errors(void) {
    vocab_spec s = bpe_spec;
    s.pre = "no-such";
    fail_with(&s, NULL, INGOT_ERR_UNSUPPORTED, "tokenizer.ggml.pre is \"no-such\"");
    fail_with(&s, NULL, INGOT_ERR_UNSUPPORTED, "--pre");
    fail_with(&s, NULL, INGOT_ERR_UNSUPPORTED, " qwen2 ");
    fail_with(&s, NULL, INGOT_ERR_UNSUPPORTED, " sarvam-moe"); // the last: the list isn't cut off
    fail_with(&bpe_spec, "other", INGOT_ERR_UNSUPPORTED, "\"other\"");
    fail_with(&spm_spec, "qwen2", INGOT_ERR_INVALID, "--pre");
    s = bpe_spec;
    s.pre = NULL; // the default
    test_vocab t = test_vocab_new(&s, NULL, NULL);
    CHECK(t.status == INGOT_OK);
    test_vocab_free(&t);
    s.merges = NULL;
    fail_with(&s, NULL, INGOT_ERR_FORMAT, "tokenizer.ggml.merges");
    s = spm_spec;
    s.model = "rwkv";
    fail_with(&s, NULL, INGOT_ERR_UNSUPPORTED, "\"rwkv\"; the kinds that are known are llama");
    s.model = "none";
    fail_with(&s, NULL, INGOT_ERR_UNSUPPORTED, "no vocabulary");
    s.model = NULL;
    fail_with(&s, NULL, INGOT_ERR_UNSUPPORTED, "missing");
    s = spm_spec;
    s.n_tokens = 0;
    s.bytes = false;
    fail_with(&s, NULL, INGOT_ERR_FORMAT, "tokenizer.ggml.tokens is empty");
    s = spm_spec;
    s.ids[0] = "eos_token_id=276";
    fail_with(&s, NULL, INGOT_ERR_FORMAT, "tokenizer.ggml.eos_token_id is 276, but the vocabulary has 276");
    s.ids[0] = "eos_token_id=4294967295"; // none
    s.ids[1] = "add_eos_token=1";
    fail_with(&s, NULL, INGOT_ERR_FORMAT, "tokenizer.ggml.add_eos_token is true");
    const vocab_token_row bad_kind[] = {{"a", 0, 1}, {"b", 0, 7}};
    s = (vocab_spec){.model = "llama", .tokens = bad_kind, .n_tokens = 2};
    fail_with(&s, NULL, INGOT_ERR_FORMAT, "tokenizer.ggml.token_type[1] is 7");
    s = unigram_spec;
    s.charsmap = (const uint8_t[]){255, 255, 255, 255, 0};
    s.charsmap_size = 5;
    fail_with(&s, NULL, INGOT_ERR_FORMAT, "precompiled_charsmap");
    s.charsmap_size = 3;
    fail_with(&s, NULL, INGOT_ERR_FORMAT, "precompiled_charsmap");
    s.charsmap = (const uint8_t[]){0, 0, 0, 0, 'a'};
    s.charsmap_size = 5;
    fail_with(&s, NULL, INGOT_ERR_FORMAT, "isn't terminated");
}

// Files that are odd but no error: what doubt there is goes to the first token, the missing is left out.
static void test_odd_vocabularies(void) {
    const vocab_token_row rows[] = {{"a", -1, 1},     {"a", 0, 1}, {"", 0, 1},
                                    {"<0x-1>", 0, 6}, {"b", 0, 1}, {"ab", 9, 1}};
    vocab_spec s = {.model = "llama", .tokens = rows, .n_tokens = 6, .ids = {"add_space_prefix=0"}};
    test_vocab t = test_vocab_new(&s, NULL, NULL);
    CHECK(t.status == INGOT_OK);
    IDS("a", false, false, "0");
    IDS("ab\xFF", false, false, "5 0"); // no byte tokens: the unknown token, by default the first
    TEXT(false, "<0x-1>", 3);
    TEXT(false, "", 2);
    test_vocab_free(&t);
    s.model = "gpt2";
    s.merges = (const char *const[]){"a b", "a b", "b", "", " ", "a ", " a", "x y", "a  b"};
    s.n_merges = 9;
    t = test_vocab_new(&s, NULL, NULL);
    CHECK(t.status == INGOT_OK);
    IDS("abxy", false, false, "5");
    test_vocab_free(&t);
    s.model = "t5";
    s.merges = NULL;
    t = test_vocab_new(&s, NULL, NULL);
    CHECK(t.status == INGOT_OK);
    IDS("ab?", false, false, "5 2"); // the unknown token is 2 by default
    test_vocab_free(&t);
    s.model = "bert";
    t = test_vocab_new(&s, NULL, NULL);
    CHECK(t.status == INGOT_OK);
    IDS("ab", true, false, ""); // there is neither [CLS] nor an unknown token
    test_vocab_free(&t);
}

// Bytes that are no tokens are where merges start, all the same.
static void test_merges_of_bytes(void) {
    static const vocab_token_row rows[] = {{"Ġ", 0, 1}, {"Ġa", 0, 1}};
    const vocab_spec s = {.model = "gpt2",
                          .pre = "gpt-2",
                          .tokens = rows,
                          .n_tokens = 2,
                          .merges = (const char *const[]){"Ġ a"},
                          .n_merges = 1,
                          .ids = {"bos_token_id=0", "eos_token_id=0"}};
    test_vocab t = test_vocab_new(&s, NULL, NULL);
    CHECK(t.status == INGOT_OK);
    IDS(" aa", false, false, "1");
    test_vocab_free(&t);
}

// Flags that ask for a token are refused only where the model would add it.
static void test_unused_flags(void) {
    vocab_spec s = spm_spec;
    s.ids[0] = "add_sep_token=1";
    test_vocab t = test_vocab_new(&s, NULL, NULL);
    CHECK(t.status == INGOT_OK);
    ingot_special_tokens special = {.add_sep = true};
    vocab_specials(t.v, &special);
    CHECK(!special.add_sep);
    test_vocab_free(&t);
    s = wordpiece_spec;
    s.ids[0] = "add_eos_token=1";
    t = test_vocab_new(&s, NULL, NULL);
    CHECK(t.status == INGOT_OK);
    test_vocab_free(&t);
}

static void test_memory(void) {
    static const char text[] = "hello<tag> é  hello [tool]aaaa\n\n日本 <|end|>A<mask>";
    for (int kind = 0; kind < ALL_SPECS; kind++) {
        long n = 0;
        for (bool failed = true; failed; n++) {
            failing_mem m;
            failing_mem_init(&m, n);
            test_vocab t = test_vocab_new(all_specs[kind], NULL, &m.allocator);
            ingot_status status = t.status;
            int32_t tokens[200];
            char out[200];
            size_t count = 0;
            if (status == INGOT_OK)
                status = vocab_tokenize(t.v, text, sizeof text - 1, true, true, tokens, 200, &count, NULL);
            if (status == INGOT_OK)
                status = vocab_detokenize(t.v, tokens, count, true, out, sizeof out, &count, NULL);
            test_vocab_free(&t);
            failed = failing_mem_end(&m, status);
        }
        CHECK(n > 10);
    }
}

// A megabyte without a word's end, in every kind.
static void test_linear_time(void) {
    const size_t size = 1 << 20;
    static const char *const fills[] = {"a",        " ",    "hello", "\n", "1", "<", "\xF0\x9F\x98\x80",
                                        "\xCC\x81", "\xFF", "<tag>"};
    char *text = malloc(size);
    for (int kind = 0; kind < ALL_SPECS; kind++) {
        test_vocab t = test_vocab_new(all_specs[kind], NULL, NULL);
        for (size_t i = 0; i < sizeof fills / sizeof *fills; i++) {
            size_t n = strlen(fills[i]);
            for (size_t at = 0; at < size; at++)
                text[at] = fills[i][at % n];
            clock_t start = clock();
            ingot_status status = vocab_tokenize(t.v, text, size, false, true, NULL, 0, &n, NULL);
            CHECK(status == INGOT_ERR_LIMIT || (status == INGOT_OK && n == 0));
            CHECK((double)(clock() - start) / CLOCKS_PER_SEC < 10); // under a sanitizer, on a busy machine
        }
        test_vocab_free(&t);
    }
    free(text);
}

int main(void) {
    charsmap_fill();
    test_spm();
    test_bpe();
    test_raw();
    test_wordpiece();
    test_unigram();
    test_specials();
    test_contract();
    test_errors();
    test_odd_vocabularies();
    test_merges_of_bytes();
    test_unused_flags();
    test_memory();
    test_linear_time();
    return check_report();
}
