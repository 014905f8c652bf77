// Answers that a grammar holds: the same tokens as masking logits by hand chooses, whatever is left out on
// the way; ends in time; stop texts that don't cut.
#include "check.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>

#include "grammar/grammar.h"
#include "run/engine.h"
#include "session.h"

static temp_dir dir;
static temp_path dense;

// A grammar over a session's vocabulary.
typedef struct held {
    ingot_token_trie *trie;
    ingot_grammar *grammar;
    ingot_matcher *matcher;
} held;

static ingot_grammar *compile(const session *s, const ingot_token_trie *trie, const char *gbnf) {
    ingot_grammar_builder *b = NULL;
    ingot_grammar *g = NULL;
    ingot_error err = {0};
    CHECK(ingot_grammar_builder_new(s->runtime, trie, &b, NULL) == INGOT_OK);
    const int32_t root = ingot_grammar_builder_gbnf(b, gbnf, strlen(gbnf), "root");
    if (ingot_grammar_compile(b, root, 0, &g, &err) != INGOT_OK) {
        fprintf(stderr, "%s: %s\n", gbnf, err.message);
        exit(1);
    }
    ingot_grammar_builder_free(b);
    return g;
}

static held hold(const session *s, const char *gbnf) {
    held h = {0};
    CHECK(ingot_token_trie_of_model(s->model, &h.trie, NULL) == INGOT_OK);
    h.grammar = compile(s, h.trie, gbnf);
    CHECK(ingot_matcher_new(h.grammar, &h.matcher, NULL) == INGOT_OK);
    return h;
}

static void let_go(held *h) {
    ingot_matcher_free(h->matcher);
    ingot_grammar_free(h->grammar);
    ingot_token_trie_free(h->trie);
}

static ingot_request asked(const held *h, int32_t max_tokens) {
    ingot_request r = simple(max_tokens);
    r.ignore_eos = false;
    r.matcher = h->matcher;
    return r;
}

// Values in the order of the samplers' table: a temperature, and nothing else that changes anything.
static void set_temperature(double *values, size_t n, double temperature) {
    for (size_t i = 0; i < n; i++) {
        const ingot_sampler_param *p = ingot_sampler_param_at((int32_t)i);
        values[i] = strcmp(p->name, "temperature") == 0 ? temperature
                    : strcmp(p->name, "top_k") == 0     ? 0.0
                    : strcmp(p->name, "top_p") == 0     ? 1.0
                    : strcmp(p->name, "min_p") == 0     ? 0.0
                                                        : p->default_value;
    }
}

static const char *const grammars[] = {
    "root ::= \"forced text, \" [a-f]{3,9} \" and \" [0-9]+ \";\"",
    "root ::= \"[\" item (\",\" item)* \"]\"\nitem ::= [\"] [^\"\\\\]{2,6} [\"] | \"true\" | \"null\"",
    "root ::= [^x]{1,20}",
    "root ::= (\"alpha\" | \"beta\" | \"alphabet\") root | \".\"",
    "root ::= \"only this\"",
};
enum { N_GRAMMARS = (int)(sizeof grammars / sizeof *grammars) };

// What choosing the likeliest allowed token again and again says, each time from logits of all tokens.
static answer by_hand(const session *s, held *h, int32_t max_tokens) {
    static float logits[TINY_CTX * TINY_VOCAB];
    int32_t tokens[TINY_CTX];
    uint32_t mask[(TINY_VOCAB + 31) / 32];
    answer a = {0};
    memcpy(tokens, prompt, sizeof prompt);
    while (a.n < max_tokens) {
        ingot_request r = simple(0);
        r.tokens = tokens;
        r.n_tokens = (size_t)(N_PROMPT + a.n);
        r.rows = (ingot_prompt_rows){.first = N_PROMPT + a.n - 1, .logits = logits};
        CHECK(run(s->engine, r).last.kind == INGOT_EVENT_DONE);
        CHECK(ingot_matcher_mask(h->matcher, mask, sizeof mask / sizeof *mask, NULL, NULL) == INGOT_OK);
        int32_t best = -1;
        for (int32_t i = 0; i < TINY_VOCAB; i++)
            if (mask[i / 32] >> (i % 32) & 1 && (best < 0 || logits[i] > logits[best]))
                best = i;
        bool accepted = false;
        CHECK(best >= 0 && ingot_matcher_accept_token(h->matcher, best, &accepted, NULL) == INGOT_OK &&
              accepted);
        if (!accepted)
            break;
        tokens[N_PROMPT + a.n] = best;
        a.tokens[a.n++] = best;
        if (best == 2) // </s>
            break;
        a.text[a.size++] = (char)(best - 3);
    }
    ingot_matcher_reset(h->matcher);
    return a;
}

static void test_greedy(void) {
    double values[32];
    size_t n = 0;
    while (ingot_sampler_param_at((int32_t)n))
        n++;
    set_temperature(values, n, 0.0);
    for (int g = 0; g < N_GRAMMARS; g++) {
        answer expected = {0};
        for (int variant = 0; variant < 4; variant++) {
            const ingot_engine_params params[] = {
                {PAGES(1)}, {PAGES(1), .n_batch = 1}, {PAGES(1), .n_batch = 5}, {PAGES(1), .n_seqs = 1}};
            session s = session_open(&dense, 1 + variant % 2, params[variant]);
            held h = hold(&s, grammars[g]);
            if (variant == 0)
                expected = by_hand(&s, &h, 60);
            ingot_request r = asked(&h, 60);
            r.sampling.values = values;
            r.sampling.n_values = n;
            answer a = run(s.engine, r);
            CHECK(a.last.kind == INGOT_EVENT_DONE && a.last.finish != INGOT_FINISH_CONTEXT);
            CHECK(same(&expected, &a));
            let_go(&h);
            session_close(&s);
        }
    }
}

// Requests with several grammars and with none, together and alone.
static void test_together(void) {
    enum { N = 10 };
    static answer alone[N];
    for (int variant = 0; variant < 4; variant++) {
        const ingot_engine_params params[] = {{PAGES(1), .n_seqs = 1},
                                              {PAGES(1), .n_ctx = 4096},
                                              {PAGES(1), .n_ctx = 4096, .n_batch = 11},
                                              {PAGES(1), .n_ctx = 4096, .n_seqs = 3, .n_batch = 3}};
        session s = session_open(&dense, 1 + variant % 2, params[variant]);
        held h[N];
        uint64_t ids[N];
        for (int i = 0; i < N; i++) {
            h[i] = hold(&s, grammars[i % N_GRAMMARS]);
            ingot_request r = i == 3 ? simple(20) : asked(&h[i], 20);
            r.close_in_time = i % 2 == 0;
            r.sampling.seed = (uint64_t)i;
            CHECK(ingot_engine_submit(s.engine, &r, &ids[i], NULL) == INGOT_OK);
        }
        for (int i = 0; i < N; i++) {
            answer a = collect(s.engine, ids[i]);
            CHECK(a.last.kind == INGOT_EVENT_DONE);
            if (variant == 0)
                alone[i] = a;
            CHECK(same(&alone[i], &a));
            let_go(&h[i]);
        }
        session_close(&s);
    }
}

// Shares of what may be said follow from the model's own shares.
static void test_distribution(void) {
    enum { DRAWS = 4000, WAYS = 5 };
    static const char *const texts[WAYS] = {"ab", "ac", "b", "cab", "cad"};
    static float logits[TINY_CTX * TINY_VOCAB];
    double values[32], expected[WAYS];
    int counts[WAYS] = {0};
    size_t n = 0;
    while (ingot_sampler_param_at((int32_t)n))
        n++;
    set_temperature(values, n, 1.5);
    session s = session_open(&dense, 1, (ingot_engine_params){PAGES(1)});
    held h = hold(&s, "root ::= \"ab\" | \"ac\" | \"b\" | \"cab\" | \"cad\"");
    for (int w = 0; w < WAYS; w++) {
        int32_t tokens[N_PROMPT + 4];
        memcpy(tokens, prompt, sizeof prompt);
        expected[w] = 1.0;
        for (int k = 0; texts[w][k]; k++) {
            ingot_request r = simple(0);
            r.tokens = tokens;
            r.n_tokens = (size_t)(N_PROMPT + k);
            r.rows = (ingot_prompt_rows){.first = N_PROMPT + k - 1, .logits = logits};
            CHECK(run(s.engine, r).last.kind == INGOT_EVENT_DONE);
            double total = 0.0, own = 0.0;
            for (int byte = 0; byte < 256; byte++) {
                bool allowed = false;
                for (int o = 0; o < WAYS; o++)
                    allowed = allowed || (strncmp(texts[o], texts[w], (size_t)k) == 0 && texts[o][k] == byte);
                const double share = allowed ? exp((double)logits[byte + 3] / 1.5) : 0.0;
                total += byte > 0 ? share : 0.0;
                own = byte == texts[w][k] ? share : own;
            }
            expected[w] *= own / total;
            tokens[N_PROMPT + k] = texts[w][k] + 3;
        }
    }
    for (int i = 0; i < DRAWS; i++) {
        ingot_request r = asked(&h, 8);
        r.sampling.values = values;
        r.sampling.n_values = n;
        r.sampling.seed = (uint64_t)i;
        ingot_matcher_reset(h.matcher);
        answer a = run(s.engine, r);
        int found = -1;
        for (int w = 0; w < WAYS; w++)
            if (a.size == strlen(texts[w]) && memcmp(a.text, texts[w], a.size) == 0)
                found = w;
        CHECK(found >= 0);
        if (found >= 0)
            counts[found]++;
    }
    double chi = 0.0;
    for (int w = 0; w < WAYS; w++)
        chi += pow(counts[w] - DRAWS * expected[w], 2.0) / (DRAWS * expected[w]);
    CHECK(chi < 18.47); // four degrees of freedom, one in a thousand; the seeds are fixed
    let_go(&h);
    session_close(&s);
}

// An answer closes with any number of tokens that its shortest text fits into.
static void test_close(void) {
    static const char *const texts[] = {
        "root ::= \"[\" (\"\\\"\" [a-z ]{4,} \"\\\"\" \",\")* \"end\" \"]\"",
        "root ::= \"{\" root \"}\" | [a-z]{3} | \"(\" root \")\"",
        "root ::= [a-z]{2,} | <[80]> \"x\" <[90]>",
    };
    static const int32_t shortest[] = {5, 3, 2};
    session s = session_open(&dense, 1, (ingot_engine_params){PAGES(1)});
    for (int g = 0; g < 3; g++) {
        held h = hold(&s, texts[g]);
        for (int32_t most = 1; most < 24; most++)
            for (int close = 0; close < 2; close++) {
                ingot_request r = asked(&h, most);
                r.close_in_time = close;
                r.sampling.seed = (uint64_t)most;
                ingot_matcher_reset(h.matcher);
                answer a = run(s.engine, r);
                const bool complete = ingot_matcher_is_accepting(h.matcher);
                CHECK(a.last.kind == INGOT_EVENT_DONE && a.n <= most);
                if (close && most >= shortest[g])
                    CHECK(complete && a.last.finish == INGOT_FINISH_EOS);
                else
                    CHECK(a.last.finish == INGOT_FINISH_LENGTH || complete);
            }
        let_go(&h);
    }
    session_close(&s);
}

// The context's end is a budget, too.
static void test_close_in_context(void) {
    session s = session_open(&dense, 1, (ingot_engine_params){PAGES(1), .n_ctx = 32});
    held h = hold(&s, "root ::= \"[\" [a-z]* \"]\"");
    ingot_request r = asked(&h, -1);
    r.close_in_time = true;
    answer a = run(s.engine, r);
    CHECK(a.last.finish == INGOT_FINISH_EOS && a.size > 1 && a.text[a.size - 1] == ']');
    r.close_in_time = false;
    ingot_matcher_reset(h.matcher);
    a = run(s.engine, r);
    CHECK(a.last.finish == INGOT_FINISH_CONTEXT || a.last.finish == INGOT_FINISH_EOS);
    let_go(&h);
    session_close(&s);
}

static void test_stops(void) {
    session s = session_open(&dense, 1, (ingot_engine_params){PAGES(1)});
    const ingot_str stops[] = {{"b", 1}, {"ab", 2}};
    const struct {
        const char *gbnf, *text;
        ingot_finish finish;
    } cases[] = {
        {"root ::= \"xaby\"", "xaby", INGOT_FINISH_EOS},               // nowhere complete
        {"root ::= \"x\" (\"a\" (\"by\")?)", "xa", INGOT_FINISH_STOP}, // complete before "b" alone
        {"root ::= \"x\" (\"aby\")?", "x", INGOT_FINISH_STOP},         // before "ab" alone
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        held h = hold(&s, cases[i].gbnf);
        ingot_request r = asked(&h, 10);
        // What may end goes on.
        const ingot_logit_bias bias = {2, -INFINITY};
        r.bias = &bias;
        r.n_bias = cases[i].finish == INGOT_FINISH_STOP;
        r.stop = stops;
        r.n_stop = 2;
        answer a = run(s.engine, r);
        CHECK(a.last.finish == cases[i].finish);
        CHECK(a.size == strlen(cases[i].text) && memcmp(a.text, cases[i].text, a.size) == 0);
        let_go(&h);
    }
    session_close(&s);
}

// Where a single token may come, none is chosen: what follows is computed in one step with it.
static void test_steps(void) {
    session s = session_open(&dense, 1, (ingot_engine_params){PAGES(1)});
    held h = hold(&s, "root ::= [ab] \"this is what must come next\" [ab]");
    answer a = run(s.engine, asked(&h, 60));
    CHECK(a.size == 29 && a.last.finish == INGOT_FINISH_EOS);
    CHECK(s.engine->stats.n_steps <= 3);
    let_go(&h);
    session_close(&s);
}

// Whatever fits into a batch, and always closed in time.
static void test_jump(void) {
    static const char *const text = "root ::= [a-c] \" and then what must come, word for word \" [0-9]*";
    answer first[3] = {{.n = 0}};
    for (int32_t n_batch = 0; n_batch < 60; n_batch += 1 + n_batch / 2) {
        session s = session_open(&dense, 1, (ingot_engine_params){PAGES(1), .n_batch = n_batch});
        held h = hold(&s, text);
        for (int i = 0; i < 3; i++) {
            ingot_request r = asked(&h, 42 + 20 * i);
            r.jump_forward = true;
            r.close_in_time = true;
            ingot_matcher_reset(h.matcher);
            answer a = run(s.engine, r);
            CHECK(a.last.finish == INGOT_FINISH_EOS && ingot_matcher_is_accepting(h.matcher));
            if (n_batch == 0)
                first[i] = a;
            CHECK(same(&first[i], &a));
        }
        let_go(&h);
        session_close(&s);
    }
}

// What a slot's last request left doesn't reach the next one.
static void test_after(void) {
    session s = session_open(&dense, 1, (ingot_engine_params){PAGES(1), .n_seqs = 1});
    held h = hold(&s, "root ::= \"only this\"");
    for (int i = 0; i < 3; i++) {
        uint64_t id;
        ingot_event event;
        ingot_request r = i == 0 ? asked(&h, 60) : simple(100);
        CHECK(ingot_engine_submit(s.engine, &r, &id, NULL) == INGOT_OK);
        for (int k = 0; k < 4; k++)
            CHECK(ingot_engine_wait(s.engine, id, -1, &event, NULL) == INGOT_OK);
        if (i == 2)
            ingot_engine_cancel(s.engine, id);
        ingot_engine_drop(s.engine, id);
        answer a = run(s.engine, simple(0));
        CHECK(a.n == 0 && a.last.finish == INGOT_FINISH_LENGTH);
    }
    let_go(&h);
    session_close(&s);
}

// A matcher holds one answer at a time.
static void test_lent(void) {
    session s = session_open(&dense, 1, (ingot_engine_params){PAGES(1)});
    held h = hold(&s, grammars[2]);
    ingot_error err;
    uint64_t first, second;
    ingot_request r = asked(&h, 100);
    CHECK(ingot_engine_submit(s.engine, &r, &first, NULL) == INGOT_OK);
    const ingot_status status = ingot_engine_submit(s.engine, &r, &second, &err);
    CHECK(status == INGOT_ERR_STATE || status == INGOT_OK); // the first may have ended
    if (status == INGOT_OK)
        ingot_engine_drop(s.engine, second);
    CHECK(collect(s.engine, first).last.kind == INGOT_EVENT_DONE);
    ingot_matcher_reset(h.matcher);
    CHECK(run(s.engine, r).last.kind == INGOT_EVENT_DONE);
    let_go(&h);
    session_close(&s);
}

// Others use the grammar, with little memory, while it holds answers.
typedef struct neighbour {
    ingot_grammar *grammar;
    atomic_bool stop;
    int wrong;
} neighbour;

static void *use_grammar(void *arg) {
    neighbour *n = arg;
    while (!atomic_load(&n->stop)) {
        ingot_matcher *a = NULL, *b = NULL;
        bool accepted = false, other = true;
        if (ingot_matcher_new(n->grammar, &a, NULL) != INGOT_OK)
            continue;
        for (int i = 0; i < 20; i++)
            if (ingot_matcher_accept_bytes(a, &"[\"ab\","[i > 0], i > 0 ? 5 : 6, &accepted, NULL) !=
                    INGOT_OK ||
                !accepted)
                break;
        if (ingot_matcher_fork(a, &b, NULL) == INGOT_OK) {
            const char *const next = "true]";
            if (ingot_matcher_accept_bytes(a, next, 5, &accepted, NULL) == INGOT_OK &&
                ingot_matcher_accept_bytes(b, next, 5, &other, NULL) == INGOT_OK)
                n->wrong += accepted != other;
        }
        ingot_matcher_free(b);
        ingot_matcher_free(a);
    }
    return NULL;
}

static void test_neighbours(void) {
    session s = session_open(&dense, 2, (ingot_engine_params){PAGES(1)});
    held h = {0};
    ingot_grammar_builder *b = NULL;
    CHECK(ingot_token_trie_of_model(s.model, &h.trie, NULL) == INGOT_OK);
    CHECK(ingot_grammar_builder_new(s.runtime, h.trie, &b, NULL) == INGOT_OK);
    const int32_t root = ingot_grammar_builder_gbnf(b, grammars[1], strlen(grammars[1]), "root");
    CHECK(ingot_grammar_compile(b, root, 60000, &h.grammar, NULL) == INGOT_OK);
    CHECK(ingot_matcher_new(h.grammar, &h.matcher, NULL) == INGOT_OK);
    ingot_grammar_builder_free(b);
    neighbour n = {.grammar = h.grammar};
    pthread_t other;
    CHECK(pthread_create(&other, NULL, use_grammar, &n) == 0);
    answer first = {.n = 0};
    for (int i = 0; i < 12; i++) {
        ingot_request r = asked(&h, 60);
        r.close_in_time = true;
        ingot_matcher_reset(h.matcher);
        answer a = run(s.engine, r);
        CHECK(a.last.kind == INGOT_EVENT_DONE);
        if (i == 0)
            first = a;
        CHECK(same(&first, &a));
    }
    atomic_store(&n.stop, true);
    pthread_join(other, NULL);
    CHECK(n.wrong == 0);
    let_go(&h);
    session_close(&s);
}

// Names of control tokens are shown and not seen by the grammar: stop texts don't reach over them.
static void test_special(void) {
    session s = session_open(&dense, 1, (ingot_engine_params){PAGES(1)});
    const ingot_str stops[] = {{"e<s>", 4}, {"c", 1}};
    const struct {
        const char *gbnf, *text;
        ingot_finish finish;
    } cases[] = {
        {"root ::= \"abde\" <[1]> \"z\"", "abde<s>z</s>", INGOT_FINISH_EOS},
        {"root ::= \"ab\" <[1]> (\"cz\")?", "ab<s>", INGOT_FINISH_STOP},
        {"root ::= \"ab\" (\"d\" <[1]> \"cz\")?", "abd<s>cz", INGOT_FINISH_EOS},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        held h = hold(&s, cases[i].gbnf);
        ingot_request r = asked(&h, 10);
        const ingot_logit_bias bias = {2, -INFINITY};
        r.special = true;
        r.bias = &bias;
        r.n_bias = i > 0;
        r.stop = stops;
        r.n_stop = 2;
        answer a = run(s.engine, r);
        if (i < 2) {
            CHECK(a.last.finish == cases[i].finish);
            CHECK(a.size == strlen(cases[i].text) && memcmp(a.text, cases[i].text, a.size) == 0);
        } else { // it ends where nothing but the end may come, which is banned
            CHECK(a.last.kind == INGOT_EVENT_ERROR);
        }
        let_go(&h);
    }
    session_close(&s);
}

// Ends by token: those of text first, none that ends generation; and an end that takes many bytes.
static void test_ends(void) {
    session s = session_open(&dense, 1, (ingot_engine_params){PAGES(1)});
    int32_t tokens[8];
    size_t n;
    ingot_error err;
    held h = hold(&s, "root ::= \"a\" !<[80]> \"b\"");
    CHECK(ingot_matcher_closing(h.matcher, tokens, 8, &n, NULL) == INGOT_OK && n == 3 && tokens[1] == 3);
    let_go(&h);
    h = hold(&s, "root ::= \"a\" <[2]> \"b\"");
    CHECK(ingot_matcher_closing(h.matcher, tokens, 8, &n, &err) == INGOT_ERR_UNSUPPORTED);
    CHECK_CONTAINS(err.message, "ends generation");
    let_go(&h);
    h = hold(&s, "root ::= \"[\" a{1100} \"]\"\na ::= b{1000}\nb ::= \"b\"");
    CHECK(ingot_matcher_closing(h.matcher, tokens, 8, &n, &err) == INGOT_ERR_LIMIT && n == 0);
    ingot_request r = asked(&h, 20);
    r.close_in_time = true;
    answer a = run(s.engine, r);
    CHECK(a.last.finish == INGOT_FINISH_LENGTH && a.n == 20);
    let_go(&h);
    session_close(&s);
}

static void test_refused(void) {
    session s = session_open(&dense, 1, (ingot_engine_params){PAGES(1)});
    ingot_error err;
    uint64_t id;
    held h = hold(&s, "root ::= \"a\"");
    ingot_request r = asked(&h, 5);
    r.ignore_eos = true;
    CHECK(ingot_engine_submit(s.engine, &r, &id, &err) == INGOT_ERR_INVALID);
    CHECK_CONTAINS(err.message, "ignore_eos");
    // Every token that may come is banned.
    const ingot_logit_bias bias = {'a' + 3, -INFINITY};
    r = asked(&h, 5);
    r.bias = &bias;
    r.n_bias = 1;
    answer a = run(s.engine, r);
    CHECK(a.last.kind == INGOT_EVENT_ERROR);
    CHECK_CONTAINS(a.last.error.message, "banned by logit_bias");
    let_go(&h);

    held plain = {.grammar = compile(&s, NULL, "root ::= \"a\"")};
    CHECK(ingot_matcher_new(plain.grammar, &plain.matcher, NULL) == INGOT_OK);
    r = asked(&plain, 5);
    CHECK(ingot_engine_submit(s.engine, &r, &id, &err) == INGOT_ERR_STATE);
    let_go(&plain);

    const ingot_str texts[] = {{"a", 1}, {"b", 1}};
    held other = {0};
    CHECK(ingot_token_trie_new(s.runtime, texts, NULL, 2, &other.trie, NULL) == INGOT_OK);
    other.grammar = compile(&s, other.trie, "root ::= \"a\"");
    CHECK(ingot_matcher_new(other.grammar, &other.matcher, NULL) == INGOT_OK);
    r = asked(&other, 5);
    CHECK(ingot_engine_submit(s.engine, &r, &id, &err) == INGOT_ERR_INVALID);
    CHECK_CONTAINS(err.message, "another model");
    let_go(&other);
    session_close(&s);
}

// Dropping a request that runs leaves its matcher to the caller.
static void test_drop(void) {
    session s = session_open(&dense, 1, (ingot_engine_params){PAGES(1)});
    for (int i = 0; i < 30; i++) {
        held h = hold(&s, grammars[1 + i % 2]);
        ingot_request r = asked(&h, 100);
        uint64_t id;
        ingot_event event;
        CHECK(ingot_engine_submit(s.engine, &r, &id, NULL) == INGOT_OK);
        for (int k = 0; k < i; k++)
            if (ingot_engine_wait(s.engine, id, 0, &event, NULL) != INGOT_OK)
                break;
        ingot_engine_drop(s.engine, id);
        let_go(&h);
    }
    session_close(&s);
}

static held lent;

static ingot_request with_all(const session *s) {
    lent = hold(s, grammars[1]);
    ingot_request r = asked(&lent, 30);
    r.close_in_time = true;
    r.jump_forward = true;
    return r;
}

static void let_go_of_lent(void) {
    let_go(&lent);
}

int main(void) {
    dir = temp_dir_make();
    dense = temp_join(&dir, "dense.gguf");
    CHECK(tiny_model_write(dense.text, NULL) == INGOT_OK);
    test_greedy();
    test_together();
    test_distribution();
    test_close();
    test_close_in_context();
    test_stops();
    test_steps();
    test_jump();
    test_after();
    test_lent();
    test_neighbours();
    test_special();
    test_ends();
    test_refused();
    test_drop();
    request_out_of_memory(&dense, with_all, let_go_of_lent);
    temp_dir_remove(&dir);
    return check_report();
}
