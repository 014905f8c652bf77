#include "run/speculate.h"

#include "grammar/grammar.h"
#include "run/choose.h"
#include "run/engine.h"

static uint64_t logits_bytes(const ingot_engine *e) {
    return (uint64_t)SPECULATE_ROWS * (uint64_t)e->model->plan.n_vocab * sizeof(float);
}

ingot_status speculate_init(ingot_engine *e, ingot_model *draft, ingot_error *err) {
    for (int32_t i = 0; i < e->info.n_seqs; i++)
        TRY(draft_index_init(&e->slots[i].drafted.index, e->info.n_ctx, err));
    e->speculation.logits = vm_reserve(logits_bytes(e));
    if (!e->speculation.logits)
        return fail_memory(err, logits_bytes(e), "the engine");
    if (!draft)
        return INGOT_OK;
    TRY(draft_model_new(draft, e->mem, &e->layout, e->info.n_seqs, e->info.n_ctx, &e->sampler.list,
                        &e->speculation.model, err));
    e->info.draft_kv_bytes = e->speculation.model->kv_bytes;
    return INGOT_OK;
}

void speculate_free(ingot_engine *e) {
    for (int32_t i = 0; e->slots && i < e->info.n_seqs; i++)
        draft_index_free(&e->slots[i].drafted.index);
    vm_release(e->speculation.logits, logits_bytes(e));
    draft_model_free(e->speculation.model);
}

float *speculate_row(const ingot_engine *e, const slot *s, int32_t i) {
    return e->speculation.logits + (int64_t)(s->drafted.row + i) * e->model->plan.n_vocab;
}

// ------------------------------------------------------------------------------------------------- time

// What the coming step computes besides drafts.
typedef struct load {
    int32_t n_answers; // that take a token
    int32_t n_tokens;
} load;

static bool generates(const slot *s) {
    return s->r && !s->waits && slot_answers(s);
}

static load load_of(const ingot_engine *e) {
    load l = {0};
    int64_t n_tokens = 0;
    for (int32_t i = 0; i < e->info.n_seqs; i++) {
        const slot *s = &e->slots[i];
        l.n_answers += generates(s);
        if (s->r && !s->waits)
            n_tokens += s->n_pending;
    }
    l.n_tokens = (int32_t)(n_tokens < e->info.n_batch ? n_tokens : e->info.n_batch);
    return l;
}

// What may come next, as far as is known: the chance of each token of a draft, if those before it come, and
// the seconds that it takes to draft one.
typedef struct prospect {
    double chances[SPECULATE_MOST], seconds;
} prospect;

// How many tokens to draft, of at most `most`: as many as save the most time, which is *gain. A token that
// needn't be waited for saves its share of a step; what drafts take is what the step takes longer.
static int32_t paying(const ingot_engine *e, const prospect *p, const load *l, int32_t most, double *gain) {
    const double without = pace_expected(&e->pace, l->n_tokens),
                 value = pace_measured(&e->pace, l->n_answers) / l->n_answers;
    const int32_t tried = pace_tried(&e->pace);
    const int32_t bound = l->n_tokens >= PACE_STEPS || tried > PACE_STEPS ? INT32_MAX : tried;
    double chance = 1.0, saved = 0.0;
    int32_t n = 0;
    *gain = 0.05 * value;
    if (without == 0.0 || value == 0.0)
        return 0;
    for (int32_t k = 1; k <= most && l->n_tokens + k <= bound && chance > 0.02; k++) {
        chance *= p->chances[k - 1];
        saved += chance * value - p->seconds;
        const double all = saved - (pace_expected(&e->pace, l->n_tokens + k) - without);
        if (all > *gain) {
            *gain = all;
            n = k;
        }
    }
    return n;
}

// ------------------------------------------------------------------------------------------------- drafts

static bool is_open(const ingot_engine *e, const slot *s, int32_t token) {
    const request *r = s->r;
    for (int32_t i = 0; i < e->n_ends; i++)
        if (e->ends[i] == token)
            return false;
    return request_stop_token(r, token) < 0 && (!r->allowed || (r->allowed[token / 32] >> token % 32 & 1));
}

// How many of the drafted tokens may come: up to one that ends the answer, or that isn't allowed.
static int32_t possible(const ingot_engine *e, const slot *s, int32_t n) {
    const drafted *d = &s->drafted;
    ingot_matcher *m = s->constraint.mask.matcher;
    int32_t k = 0;
    for (bool open = true; k < n && open; k += open) {
        open = is_open(e, s, d->tokens[k]);
        // What goes wrong here would go wrong where the token comes, if it does.
        if (open && m && ingot_matcher_accept_token(m, d->tokens[k], &open, NULL) != INGOT_OK)
            open = false;
    }
    if (m && ingot_matcher_rollback(m, (size_t)k, NULL) != INGOT_OK)
        return 0;
    return k;
}

static void begin_request(drafted *d, const request *r) {
    draft_index_reset(&d->index);
    d->request = r->id;
    d->tries = 4.0;
    d->hits = 3.0; // believed until something is known
}

// How many tokens the text itself drafts, of at most `most`.
static int32_t from_text(const ingot_engine *e, const drafted *d, const load *l, int32_t most, bool asked,
                         double *gain) {
    prospect p = {.seconds = 0.0};
    *gain = 0.0;
    if (d->index.at == 0 || asked)
        return d->index.at == 0 ? 0 : most;
    for (int32_t i = 0; i < most; i++)
        p.chances[i] = draft_index_chance(&d->index, i);
    return paying(e, &p, l, most, gain);
}

// The same of the draft model, whose steps all answers take together.
static int32_t from_model(const ingot_engine *e, const drafted *d, const load *l, int32_t most, bool asked,
                          double *gain) {
    const draft_model *model = e->speculation.model;
    *gain = 0.0;
    if (!model || asked)
        return model ? most : 0;
    prospect p = {.seconds = model->seconds / l->n_answers};
    for (int32_t i = 0; i < most; i++)
        p.chances[i] = d->hits / d->tries;
    return paying(e, &p, l, most, gain);
}

// Drafts for a slot from its text, or has the draft model do it: then true, and `wish` says what it is to do.
static bool draft(ingot_engine *e, slot *s, const load *l, draft_wish *wish) {
    drafted *d = &s->drafted;
    const request *r = s->r;
    const bool asked = r->params.max_draft > 0;
    const int32_t n_text = s->sequence.n_tokens + s->n_pending;
    int64_t left = slot_tokens_left(e, s) - 1; // the last one that is chosen isn't computed
    left = left < e->info.n_ctx - n_text ? left : e->info.n_ctx - n_text;
    int32_t most = asked && r->params.max_draft < SPECULATE_MOST ? r->params.max_draft : SPECULATE_MOST;
    double text_gain, model_gain;
    if (d->request != r->id)
        begin_request(d, r);
    draft_index_feed(&d->index, s->sequence.tokens, n_text, r->n_prompt);
    most = most < left ? most : left > 0 ? (int32_t)left : 0;
    const int32_t n = from_text(e, d, l, most, asked, &text_gain);
    const int32_t n_model = asked && n > 0 ? 0 : from_model(e, d, l, most, asked, &model_gain);
    d->by_model = n_model > 0 && (n == 0 || model_gain > text_gain);
    if (d->by_model) {
        *wish = (draft_wish){.seq = (int32_t)(s - e->slots),
                             .text = s->sequence.tokens,
                             .n_text = n_text,
                             .most = n_model,
                             .tokens = d->tokens};
        return true;
    }
    d->n = draft_index_propose(&d->index, s->sequence.tokens, n, d->tokens);
    d->n = possible(e, s, d->n);
    return false;
}

// Has the draft model draft. Where it can't, answers come without it.
static void fulfil(ingot_engine *e, draft_wish *wishes, int32_t n) {
    ingot_error err = {0};
    if (draft_model_run(e->speculation.model, wishes, n, &e->stopping, &err) == INGOT_OK) {
        for (int32_t i = 0; i < n; i++) {
            slot *s = &e->slots[wishes[i].seq];
            s->drafted.n = possible(e, s, wishes[i].n);
        }
        return;
    }
    if (!atomic_load(&e->stopping))
        log_line(e->model->env.log, INGOT_LOG_WARN, "the draft model isn't used any more: %s", err.message);
    draft_model_free(e->speculation.model);
    e->speculation.model = NULL;
}

void speculate_begin(ingot_engine *e) {
    load l = load_of(e);
    draft_wish wishes[ENGINE_SEQS_MAX];
    int32_t n_wishes = 0;
    e->speculation.n_rows = 0;
    for (int32_t i = 0; i < e->info.n_seqs; i++) {
        slot *s = &e->slots[i];
        s->drafted.n = 0;
        // Who changes logits sees them one by one; sums of what was computed count what came, and nothing
        // else.
        if (!generates(s) || s->r->params.max_draft == 0 || s->r->params.edited_logits || e->model->collects)
            continue;
        const bool wishes_more = draft(e, s, &l, &wishes[n_wishes]);
        l.n_tokens += wishes_more ? wishes[n_wishes].most : s->drafted.n;
        n_wishes += wishes_more;
    }
    if (n_wishes > 0)
        fulfil(e, wishes, n_wishes);
}

int32_t speculate_take(ingot_engine *e, slot *s, int32_t room) {
    drafted *d = &s->drafted;
    const int32_t rows = SPECULATE_ROWS - e->speculation.n_rows;
    room = room < rows ? room : rows;
    d->n = d->n < room ? d->n : room > 0 ? room : 0;
    d->row = e->speculation.n_rows;
    e->speculation.n_rows += d->n;
    s->r->n_drafted += d->n;
    return d->n;
}

// ------------------------------------------------------------------------------------------------- choices

// Counts chosen tokens as computed that were drafted from `at` on; returns what of the draft is left over.
static int32_t accept(slot *s, int32_t at, int32_t n) {
    while (at < n && s->n_pending > 0 && !s->rewound &&
           s->sequence.tokens[s->sequence.n_tokens] == s->drafted.tokens[at]) {
        s->sequence.n_tokens++;
        s->n_pending--;
        at++;
    }
    return at;
}

// Notes that of `n` tokens of the draft model `at` came.
static void learn(drafted *d, int32_t at, int32_t n) {
    d->hits += at;
    d->tries += at < n ? at + 1 : at;
    if (d->tries > 64.0) {
        d->hits /= 2.0;
        d->tries /= 2.0;
    }
}

ingot_status speculate_choose(ingot_engine *e, slot *s, float *logits, ingot_finish *finish,
                              ingot_error *err) {
    const int32_t n = s->drafted.n;
    int32_t at = 0;
    s->drafted.n = 0;
    for (;;) {
        TRY(slot_is_late(s) ? choose_end(e, s, finish, err) : choose_tokens(e, s, logits, finish, err));
        const int32_t before = at;
        at = accept(s, at, n);
        s->r->n_accepted += at - before;
        if (*finish != INGOT_FINISH_NONE || s->n_pending > 0 || at == before)
            break;
        logits = speculate_row(e, s, at - 1);
        if (s->constraint.mask.matcher) {
            masks_want(&e->masks, &s->constraint.mask);
            masks_wait(&e->masks);
        }
    }
    if (n > 0 && s->drafted.by_model)
        learn(&s->drafted, at, n);
    if (n > 0) {
        sequence_trim(&s->sequence, &e->pool);
        engine_count_pages(e);
    }
    return INGOT_OK;
}
