// Speculation: the same answers with and without, whatever is asked for and whoever else is there.
#include "check.h"

#include <math.h>

#include "run/engine.h"
#include "session.h"

static temp_dir dir;
static temp_path dense, experts;

enum { FIRST_HELD = 11, MIXES = 14, PARAMS = 40 };

static const int32_t few[] = {75, 104, 111, 2};
static const int32_t stops[] = {111};
static const ingot_str banned[] = {{"lH", 2}, {"on e", 4}}, stop[] = {{"lll", 3}},
                       expression[] = {{"e.e.h", 5}};
static const ingot_logit_bias bias[] = {{75, 3.0f}, {104, 3.2f}, {111, 2.9f}, {76, 2.5f}};

static void set(double *values, const char *name, double value) {
    for (int32_t i = 0; ingot_sampler_param_at(i); i++)
        if (strcmp(ingot_sampler_param_at(i)->name, name) == 0)
            values[i] = value;
}

static size_t defaults(double *values) {
    size_t n = 0;
    for (; ingot_sampler_param_at((int32_t)n); n++)
        values[n] = ingot_sampler_param_at((int32_t)n)->default_value;
    return n;
}

// One with text that must come, one with a banned text, one that must close in time.
static const char *const grammars[] = {"root ::= (\"ab, \" [cd] [ef]){8,12}",
                                       "root ::= (\"one \" | \"on e\" | \"two \"){9,}",
                                       "root ::= \"[\" ([hkl]{2,3} \",\")* \"end\" \"]\""};

// What a request of the test borrows.
typedef struct mix {
    double values[PARAMS];
    ingot_token_trie *trie;
    ingot_grammar *grammar;
    ingot_matcher *matcher;
} mix;

static void hold(mix *m, const session *s, const char *gbnf) {
    ingot_grammar_builder *b = NULL;
    CHECK(ingot_token_trie_of_model(s->model, &m->trie, NULL) == INGOT_OK);
    CHECK(ingot_grammar_builder_new(s->runtime, m->trie, &b, NULL) == INGOT_OK);
    const int32_t root = ingot_grammar_builder_gbnf(b, gbnf, strlen(gbnf), "root");
    CHECK(ingot_grammar_compile(b, root, 0, &m->grammar, NULL) == INGOT_OK);
    CHECK(ingot_matcher_new(m->grammar, &m->matcher, NULL) == INGOT_OK);
    ingot_grammar_builder_free(b);
}

static void let_go(mix *m) {
    ingot_matcher_free(m->matcher);
    ingot_grammar_free(m->grammar);
    ingot_token_trie_free(m->trie);
}

// Request `i`: few tokens that may come, so that drafts are often right and often wrong; and each mix its
// own ways of choosing and ending.
static ingot_request mixed(mix *m, int i) {
    ingot_request r = simple(60 + i);
    *m = (mix){0};
    r.sampling.values = m->values;
    r.sampling.n_values = defaults(m->values);
    r.sampling.seed = (uint64_t)i;
    r.allowed = few;
    r.n_allowed = 3;
    switch (i) {
    case 0: // greedy
    case 1:
        set(m->values, "temperature", 0.0);
        r.n_allowed = i == 0 ? 3 : 0;
        r.allowed = i == 0 ? few : NULL;
        break;
    case 2:
        r.n_logprobs = 3;
        break;
    case 3:
        r.n_logprobs = 2;
        r.sampled_logprobs = true;
        set(m->values, "repeat_penalty", 1.2);
        set(m->values, "repeat_last_n", 9);
        break;
    case 4:
        set(m->values, "mirostat", 2);
        set(m->values, "mirostat_tau", 1.5);
        break;
    case 5:
        set(m->values, "dry_multiplier", 0.8);
        set(m->values, "xtc_probability", 0.3);
        break;
    case 6:
        r.banned = banned;
        r.n_banned = 2;
        break;
    case 7:
        r.n_allowed = 4; // and </s>
        r.ignore_eos = false;
        r.min_tokens = 30;
        break;
    case 8:
        r.stop = stop;
        r.n_stop = 1;
        r.min_tokens = 20;
        break;
    case 9:
        r.stop_regex = expression;
        r.n_stop_regex = 1;
        r.stop_tokens = stops;
        r.n_stop_tokens = 1;
        r.min_tokens = 10;
        break;
    default: // biased, but free
        r.bias = bias;
        r.n_bias = 4;
        r.allowed = NULL;
        r.n_allowed = 0;
        set(m->values, "adaptive_target", 0.4);
    }
    return r;
}

// The same with a grammar.
static ingot_request held(mix *m, const session *s, int i) {
    ingot_request r = mixed(m, i);
    hold(m, s, grammars[i - FIRST_HELD]);
    r.matcher = m->matcher;
    r.allowed = NULL;
    r.n_allowed = 0;
    r.n_bias = 0;
    r.ignore_eos = false;
    r.banned = banned;
    r.n_banned = i == FIRST_HELD + 1;
    r.jump_forward = i == FIRST_HELD + 1;
    r.close_in_time = i == FIRST_HELD + 2;
    return r;
}

typedef struct told {
    answer a;
    float logprobs[TINY_CTX];
    int32_t top[TINY_CTX];
} told;

static void read_all(ingot_engine *e, uint64_t id, told *t) {
    answer *a = &t->a;
    *t = (told){0};
    do {
        CHECK(ingot_engine_wait(e, id, -1, &a->last, NULL) == INGOT_OK);
        if (a->last.kind == INGOT_EVENT_TOKEN && a->n < TINY_CTX) {
            t->logprobs[a->n] = isnan(a->last.logprob) ? 1.0f : a->last.logprob;
            t->top[a->n] = a->last.n_top > 0 ? a->last.top_tokens[a->last.n_top - 1] : -1;
            a->tokens[a->n++] = a->last.token;
        }
        memcpy(a->text + a->size, a->last.text.data, a->last.text.size);
        a->size += a->last.text.size;
    } while (a->last.kind != INGOT_EVENT_DONE && a->last.kind != INGOT_EVENT_ERROR);
    ingot_engine_drop(e, id);
}

static bool same_told(const told *a, const told *b) {
    return same(&a->a, &b->a) && memcmp(a->logprobs, b->logprobs, sizeof a->logprobs) == 0 &&
           memcmp(a->top, b->top, sizeof a->top) == 0 && a->a.last.kind == INGOT_EVENT_DONE &&
           b->a.last.kind == INGOT_EVENT_DONE && a->a.last.finish == b->a.last.finish &&
           a->a.last.stop_index == b->a.last.stop_index && a->a.last.n_generated == b->a.last.n_generated;
}

// Every mix alone without drafts, then with some, then all in company, in several kinds of it.
static void test_same(const temp_path *path) {
    static told expected[MIXES], found;
    static mix mixes[MIXES];
    static const ingot_engine_params kinds[] = {{PAGES(1), .n_ctx = 128},
                                                {PAGES(1), .n_ctx = 128},
                                                {PAGES(1), .n_ctx = 4096, .n_seqs = MIXES},
                                                {PAGES(1), .n_ctx = 4096, .n_batch = 17, .n_seqs = 5},
                                                {PAGES(1), .n_ctx = 256, .n_batch = 4, .n_seqs = 3}};
    static const int32_t drafts[] = {0, 7, 32, 3, 5};
    for (int kind = 0; kind < 5; kind++) {
        session s = session_open(path, 1 + kind % 2, kinds[kind]);
        const bool alone = kind < 2;
        uint64_t ids[MIXES];
        int32_t n_drafted = 0, n_accepted = 0, n_forced = 0;
        for (int i = 0; i < MIXES; i++) {
            ingot_request r = i < FIRST_HELD ? mixed(&mixes[i], i) : held(&mixes[i], &s, i);
            r.max_draft = drafts[kind];
            CHECK(ingot_engine_submit(s.engine, &r, &ids[i], NULL) == INGOT_OK);
            if (alone)
                read_all(s.engine, ids[i], kind == 0 ? &expected[i] : &found);
            CHECK(kind != 1 || same_told(&found, &expected[i]));
            CHECK(kind != 1 || found.a.last.n_drafted > 0 || i == 1);
        }
        for (int i = 0; i < MIXES; i++) {
            if (!alone)
                read_all(s.engine, ids[i], &found);
            CHECK(alone || same_told(&found, &expected[i]));
            n_drafted += found.a.last.n_drafted;
            n_accepted += found.a.last.n_accepted;
            n_forced += found.a.last.n_forced;
            let_go(&mixes[i]);
        }
        CHECK(alone || (n_accepted > 50 && n_drafted > n_accepted + 50 && n_forced > 20));
        session_close(&s);
    }
}

// By itself the engine drafts where it pays; the answer is the same.
static void test_by_itself(void) {
    session s = session_open(&dense, 1, (ingot_engine_params){PAGES(1)});
    const int32_t one[] = {75};
    ingot_request r = simple(100);
    r.max_draft = 0;
    r.allowed = one; // certain, but nobody has told the engine
    r.n_allowed = 1;
    const answer a = run(s.engine, r);
    CHECK(a.last.n_drafted == 0 && a.last.n_accepted == 0);
    r.max_draft = -1;
    const answer b = run(s.engine, r);
    CHECK(same(&a, &b) && b.last.n_accepted <= b.last.n_drafted);
    r.max_draft = 4;
    const answer c = run(s.engine, r);
    CHECK(same(&a, &c) && c.last.n_accepted > 60);
    r.max_draft = -2;
    uint64_t id;
    ingot_error err;
    CHECK(ingot_engine_submit(s.engine, &r, &id, &err) == INGOT_ERR_INVALID);
    CHECK_CONTAINS(err.message, "max_draft is -2");
    session_close(&s);
}

// An answer ends at the context's end, and keeps no pages for what was drafted.
static void test_pages(void) {
    uint64_t used[2];
    for (int drafts = 0; drafts < 2; drafts++) {
        session s = session_open(&dense, 1, (ingot_engine_params){PAGES(1), .n_ctx = 96, .n_seqs = 3});
        for (int32_t n = 1; n < 90; n++) {
            ingot_request r = simple(n > 80 ? -1 : n);
            r.allowed = few;
            r.n_allowed = n % 3 == 0 ? 1 : 2;
            r.sampling.seed = (uint64_t)n;
            r.max_draft = drafts * 31;
            const answer a = run(s.engine, r);
            CHECK(a.n == (n > 80 ? 96 - N_PROMPT + 1 : n));
            CHECK(a.last.finish == (n > 80 ? INGOT_FINISH_CONTEXT : INGOT_FINISH_LENGTH));
        }
        ingot_engine_info info;
        ingot_engine_get_info(s.engine, &info);
        used[drafts] = info.kv_bytes_used;
        for (int32_t i = 0; i < 3; i++) {
            const sequence *q = &s.engine->slots[i].sequence;
            CHECK(q->n_pages == pages_for(q->n_tokens));
        }
        session_close(&s);
    }
    CHECK(used[0] == used[1] && used[0] > 0);
}

// Cancelled and dropped in the middle of it, with others around; the next ones find everything in order.
static void test_cancels(void) {
    session s = session_open(&dense, 2, (ingot_engine_params){PAGES(1), .n_ctx = 512, .n_seqs = 4});
    ingot_request r = simple(100);
    r.allowed = few;
    r.n_allowed = 2;
    r.max_draft = 0;
    const answer expected = run(s.engine, r);
    r.max_draft = 9;
    for (int round = 0; round < 30; round++) {
        uint64_t ids[4];
        for (int i = 0; i < 4; i++)
            CHECK(ingot_engine_submit(s.engine, &r, &ids[i], NULL) == INGOT_OK);
        ingot_event event;
        for (int i = 0; i < round; i++)
            CHECK(ingot_engine_wait(s.engine, ids[0], -1, &event, NULL) == INGOT_OK);
        ingot_engine_cancel(s.engine, ids[0]);
        ingot_engine_drop(s.engine, ids[1]);
        const answer cancelled = collect(s.engine, ids[0]), a = collect(s.engine, ids[2]);
        CHECK(cancelled.last.kind == INGOT_EVENT_ERROR || same(&a, &expected));
        CHECK(same(&a, &expected));
        ingot_engine_drop(s.engine, ids[3]);
    }
    session_close(&s);
}

// The model drafts for itself, and another one for it, whose drafts hardly ever come: the same answers, in
// any company, and texts longer than the drafting model computes at once.
static void test_draft_model(void) {
    static told expected[MIXES], found;
    static mix mixes[MIXES];
    for (int kind = 0; kind < 3; kind++) {
        const ingot_engine_params plain = {PAGES(1), .n_ctx = kind == 2 ? 160 : 4096, .n_seqs = 1 + 4 * kind};
        session s = session_open(&dense, 1 + kind % 2, plain);
        ingot_model *other = NULL;
        ingot_engine *e = NULL;
        CHECK(ingot_model_open(s.runtime, kind == 1 ? experts.text : dense.text, NULL, NULL, NULL, &other,
                               NULL) == INGOT_OK);
        ingot_engine_params params = plain;
        params.draft = other;
        CHECK(ingot_engine_new(s.model, &params, &e, NULL) == INGOT_OK);
        ingot_engine_info info;
        ingot_engine_get_info(e, &info);
        CHECK(info.draft_kv_bytes == info.kv_bytes);
        uint64_t ids[MIXES];
        int32_t n_accepted = 0;
        for (int drafts = 0; drafts < 2; drafts++) {
            for (int i = 0; i < MIXES; i++) {
                ingot_request r = i < FIRST_HELD ? mixed(&mixes[i], i) : held(&mixes[i], &s, i);
                r.max_draft = drafts * 4;
                CHECK(ingot_engine_submit(drafts ? e : s.engine, &r, &ids[i], NULL) == INGOT_OK);
            }
            for (int i = 0; i < MIXES; i++) {
                read_all(drafts ? e : s.engine, ids[i], drafts ? &found : &expected[i]);
                CHECK(!drafts || same_told(&found, &expected[i]));
                n_accepted += found.a.last.n_accepted;
                let_go(&mixes[i]);
            }
        }
        CHECK(n_accepted > (kind == 1 ? 50 : 100));
        ingot_engine_free(e);
        ingot_model_close(other);
        session_close(&s);
    }
}

// What the model itself drafts is what is likeliest.
static void test_own_drafts(void) {
    static int32_t text[1000];
    double values[PARAMS];
    session s = session_open(&dense, 1, (ingot_engine_params){PAGES(1), .n_ctx = 2048});
    ingot_engine *e = NULL;
    ingot_engine_params params = {PAGES(1), .n_ctx = 2048, .draft = s.model};
    CHECK(ingot_engine_new(s.model, &params, &e, NULL) == INGOT_OK);
    for (int32_t i = 0; i < 1000; i++)
        text[i] = (int32_t)((uint32_t)i * 2654435761u >> 16) % TINY_VOCAB; // nothing comes twice
    ingot_request r = simple(60);
    r.tokens = text;
    r.n_tokens = 1000;
    r.sampling.values = values;
    r.sampling.n_values = defaults(values);
    set(values, "temperature", 0.0);
    const answer a = run(s.engine, r);
    r.max_draft = 5;
    const answer b = run(e, r);
    CHECK(same(&a, &b) && b.last.n_accepted >= 40 && b.last.n_drafted <= b.last.n_accepted + 20);
    ingot_engine_free(e);
    session_close(&s);
}

static void check_refused(const session *s, const tiny_options *options, const char *why) {
    const temp_path path = temp_join(&dir, "odd.gguf");
    ingot_model *other = NULL;
    ingot_engine *e = NULL;
    ingot_error err;
    CHECK(tiny_model_write(path.text, options) == INGOT_OK);
    CHECK(ingot_model_open(s->runtime, path.text, NULL, NULL, NULL, &other, NULL) == INGOT_OK);
    ingot_engine_params params = {PAGES(1), .draft = other};
    CHECK(ingot_engine_new(s->model, &params, &e, &err) != INGOT_OK);
    CHECK_CONTAINS(err.message, why);
    ingot_model_close(other);
}

static void test_other_vocabularies(void) {
    session s = session_open(&dense, 1, (ingot_engine_params){PAGES(1)});
    check_refused(&s, &(tiny_options){.renamed = 77}, "its token 77 is '<0xG4A>', not '<0x4A>'");
    ingot_runtime *runtime = NULL;
    ingot_model *other = NULL;
    ingot_engine *e = NULL;
    ingot_error err;
    CHECK(ingot_runtime_new(NULL, &runtime, NULL) == INGOT_OK);
    CHECK(ingot_model_open(runtime, dense.text, NULL, NULL, NULL, &other, NULL) == INGOT_OK);
    ingot_engine_params params = {PAGES(1), .draft = other};
    CHECK(ingot_engine_new(s.model, &params, &e, &err) == INGOT_ERR_INVALID);
    CHECK_CONTAINS(err.message, "another runtime");
    ingot_model_close(other);
    ingot_runtime_free(runtime);
    session_close(&s);
}

// Who changes logits sees them one by one.
static void test_edited(void) {
    static float logits[TINY_VOCAB];
    session s = session_open(&dense, 1, (ingot_engine_params){PAGES(1)});
    ingot_request r = simple(30);
    r.allowed = few;
    r.n_allowed = 1;
    r.max_draft = 8;
    r.edited_logits = logits;
    uint64_t id;
    ingot_event event;
    int n_offers = 0;
    CHECK(ingot_engine_submit(s.engine, &r, &id, NULL) == INGOT_OK);
    do {
        CHECK(ingot_engine_wait(s.engine, id, -1, &event, NULL) == INGOT_OK);
        if (event.kind != INGOT_EVENT_LOGITS)
            continue;
        n_offers++;
        CHECK(ingot_engine_resume(s.engine, id, NULL) == INGOT_OK);
    } while (event.kind != INGOT_EVENT_DONE);
    CHECK(n_offers == 30 && event.n_drafted == 0);
    ingot_engine_drop(s.engine, id);
    session_close(&s);
}

static ingot_request drafting(const session *s) {
    (void)s;
    ingot_request r = simple(40);
    r.allowed = few;
    r.n_allowed = 1;
    r.n_logprobs = 2;
    r.max_draft = 8;
    return r;
}

int main(void) {
    dir = temp_dir_make();
    dense = temp_join(&dir, "dense.gguf");
    experts = temp_join(&dir, "experts.gguf");
    CHECK(tiny_model_write(dense.text, NULL) == INGOT_OK);
    CHECK(tiny_model_write(experts.text, &(tiny_options){.experts = true}) == INGOT_OK);
    test_same(&dense);
    test_same(&experts);
    test_by_itself();
    test_pages();
    test_cancels();
    test_edited();
    test_draft_model();
    test_own_drafts();
    test_other_vocabularies();
    request_out_of_memory(&dense, drafting, NULL);
    temp_dir_remove(&dir);
    return check_report();
}
