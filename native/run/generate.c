// Generation: requests in slots, and steps that all of them take together. A step computes the next tokens of
// each request that answers, and parts of the prompts of those that don't yet.
#include "run/generate.h"

#include <string.h>

#include "run/choose.h"
#include "run/engine.h"
#include "run/prompt_rows.h"
#include "run/schedule.h"

// ------------------------------------------------------------------------------------------------- slots

static bool prompt_is_done(const request *r) {
    return r->n_prompt == (int32_t)r->params.n_tokens;
}

bool slot_answers(const slot *s) {
    return prompt_is_done(s->r) && s->n_pending <= PAGE_TOKENS;
}

void slot_begin(ingot_engine *e, slot *s, request *r) {
    s->r = r;
    s->waits = false;
    s->constraint.mask.matcher = r->params.matcher;
    s->constraint.closes = r->closes;
    e->n_active++;
    if (r->begun)
        return;
    r->begun = true;
    r->start = clock_seconds();
    r->n_cached = r->n_prompt = s->sequence.n_tokens;
    histogram_add(&e->stats.wait_seconds, r->start - r->submit_time);
    e->stats.n_prompt_tokens += r->params.n_tokens;
    e->stats.n_cached_tokens += (uint64_t)r->n_cached;
}

// Computed tokens become known, but for those that may be taken back yet.
static void publish(ingot_engine *e, slot *s) {
    const request *r = s->r;
    const int32_t most = r->params.n_banned > 0 ? (int32_t)r->params.n_tokens - 1 : s->sequence.n_tokens;
    if (!e->model->collects)
        prefix_publish(&e->tree, r->domain, &s->sequence,
                       s->sequence.n_tokens < most ? s->sequence.n_tokens : most);
}

void slot_leave_pages(ingot_engine *e, slot *s) {
    if (!e->model->collects)
        prefix_publish(&e->tree, s->r->domain, &s->sequence, s->sequence.n_tokens);
    prefix_touch(&e->tree, &s->sequence);
    prefix_leave(&e->tree, &s->sequence);
}

void slot_release(ingot_engine *e, slot *s) {
    slot_leave_pages(e, s);
    s->r->closes = s->constraint.closes;
    s->r = NULL;
    s->n_pending = s->drafted.n = 0;
    s->constraint.mask.matcher = NULL;
    e->n_active--;
    atomic_store(&e->blocked, false);
    engine_count_pages(e);
}

static void slot_end(ingot_engine *e, slot *s, ingot_status status, ingot_finish finish,
                     const ingot_error *err) {
    request *r = s->r;
    const double now = clock_seconds();
    const bool ready = prompt_is_done(r);
    r->prefill_seconds = (ready ? r->ready : now) - r->start;
    r->decode_seconds = ready ? now - r->ready : 0.0;
    slot_release(e, s);
    engine_finish(e, r, status, finish, err);
}

void slots_cancel(ingot_engine *e) {
    for (int32_t i = 0; i < e->info.n_seqs; i++) {
        slot *s = &e->slots[i];
        if (!s->r || !(atomic_load(&e->stopping) || atomic_load(&s->r->cancel)))
            continue;
        ingot_error err = {0};
        slot_end(e, s, fail(&err, INGOT_ERR_CANCELLED, "the request was cancelled"), INGOT_FINISH_NONE, &err);
    }
}

// ------------------------------------------------------------------------------------------------- a step

// The tokens of a step, and whose they are.
typedef struct step {
    ingot_engine *e;
    int32_t n_tokens, n_rows, n_seqs;
    int32_t n_prompt;             // tokens of prompts, and of what is computed again
    slot *slots[ENGINE_SEQS_MAX]; // [n_seqs]
    const int32_t *pages[ENGINE_SEQS_MAX];
    int32_t ends[ENGINE_SEQS_MAX];
    adapter_list adapters[ENGINE_SEQS_MAX];
    bool adapted; // some have adapters
} step;

static float *logits_of(const ingot_engine *e, int32_t seq) {
    return e->logits + (int64_t)seq * e->model->plan.n_vocab;
}

// Puts the next `n` tokens of a slot, and those that are drafted behind them, for all of which there are
// pages, into the step's batch.
static void add_tokens(step *now, slot *s, int32_t n) {
    ingot_engine *e = now->e;
    request *r = s->r;
    const int32_t first = s->sequence.n_tokens;
    s->chooses = n == s->n_pending && r->params.max_tokens != 0;
    s->prompts = !prompt_is_done(r);
    if (s->chooses && s->constraint.mask.matcher)
        masks_want(&e->masks, &s->constraint.mask);
    const int32_t n_all = n + s->drafted.n;
    for (int32_t i = 0; i < n_all; i++) {
        const int32_t at = now->n_tokens + i;
        e->tokens[at] = i < n ? s->sequence.tokens[first + i] : s->drafted.tokens[i - n];
        e->positions[at] = first + i;
        e->seqs[at] = now->n_seqs;
        if ((s->prompts && prompt_rows_want(&r->params, first + i)) || (s->chooses && i >= n - 1))
            e->rows[now->n_rows++] = at;
    }
    now->slots[now->n_seqs] = s;
    now->adapters[now->n_seqs] = request_adapters(r);
    now->adapted = now->adapted || r->n_adapters > 0;
    now->pages[now->n_seqs] = s->sequence.pages;
    now->ends[now->n_seqs++] = first + n_all;
    now->n_tokens += n_all;
}

// Settles how many of a slot's drafted tokens stand behind its next `n`: as far as there is room for them,
// and nobody loses a page that runs.
static void take_drafts(const step *now, slot *s, int32_t n, int32_t room) {
    ingot_engine *e = now->e;
    const sequence *seq = &s->sequence;
    const int32_t end = seq->n_tokens + n;
    const int32_t pages = (seq->n_pages + e->pool.n_free + e->tree.n_unused) * PAGE_TOKENS - end;
    const int32_t most = n < s->n_pending ? 0 : pages < room ? pages : room;
    const int32_t n_drafted = speculate_take(e, s, most);
    // There are pages for them.
    schedule_evict(e, pages_for(end + n_drafted) - seq->n_pages);
    sequence_reserve(&s->sequence, &e->pool, end + n_drafted, NULL);
}

// The tokens that were chosen for those that answer: one, where no grammar forced more. Who comes later in
// `order` may lose his slot.
static void add_answers(step *now, slot **order, int32_t n) {
    ingot_engine *e = now->e;
    int32_t others = 0;
    for (int32_t i = 0; i < n; i++)
        others += slot_answers(order[i]);
    for (int32_t i = 0; i < n; i++) {
        slot *s = order[i];
        if (!s->r || !slot_answers(s))
            continue;
        const int32_t room = e->info.n_batch - now->n_tokens - --others;
        const int32_t n_new = s->n_pending < room ? s->n_pending : room;
        if (!schedule_reserve(e, s, n_new))
            continue;
        take_drafts(now, s, n_new, room - n_new);
        add_tokens(now, s, n_new);
    }
}

// Prompts share what room is left, and what time, if answers wait for the step's end.
static void add_prompts(step *now, slot **order, int32_t n) {
    ingot_engine *e = now->e;
    const int32_t left = e->info.n_batch - now->n_tokens;
    const int32_t paced =
        now->n_tokens > 0 ? pace_room(&e->pace, now->n_tokens, e->n_active, e->step_seconds) : left;
    int32_t room = paced < left ? paced : left;
    for (int32_t i = 0; i < n && room > 0; i++) {
        slot *s = order[i];
        if (!s->r || slot_answers(s))
            continue;
        const sequence *seq = &s->sequence;
        int32_t n_new = s->n_pending < room ? s->n_pending : room;
        while (n_new > 0 && !schedule_evict(e, pages_for(seq->n_tokens + n_new) - seq->n_pages))
            n_new = (seq->n_pages + e->pool.n_free + e->tree.n_unused) * PAGE_TOKENS - seq->n_tokens;
        if (n_new <= 0 || sequence_reserve(&s->sequence, &e->pool, seq->n_tokens + n_new, NULL) != INGOT_OK)
            continue;
        add_tokens(now, s, n_new);
        now->n_prompt += n_new;
        room -= n_new;
    }
}

static void compose(step *now) {
    ingot_engine *e = now->e;
    speculate_begin(e);
    do {
        slot *order[ENGINE_SEQS_MAX];
        int32_t n;
        schedule_order(e, order, &n);
        add_answers(now, order, n);
        add_prompts(now, order, n);
    } while (now->n_tokens == 0 && schedule_preempt_last(e)); // all have begun, and none can go on
    engine_count_pages(e);
    masks_begin(&e->masks);
}

// A wanted row: whose it is, and for what.
typedef struct step_row {
    slot *s;
    int32_t seq, position;
    int32_t drafted; // how many drafted tokens are before it, with its own
    bool prompt, chooses;
} step_row;

static step_row row_at(const step *now, int32_t i) {
    const ingot_engine *e = now->e;
    const int32_t token = e->rows[i], seq = e->seqs[token];
    step_row row = {.s = now->slots[seq], .seq = seq, .position = e->positions[token]};
    row.prompt = row.s->prompts && prompt_rows_want(&row.s->r->params, row.position);
    row.drafted = row.position - (now->ends[seq] - 1 - row.s->drafted.n);
    row.chooses = row.s->chooses && row.drafted >= 0;
    return row;
}

// Where a grammar allows few tokens, their logits are enough.
static const int32_t *few_of_row(void *user, int32_t i, int32_t *n) {
    const step *now = user;
    const step_row row = row_at(now, i);
    constraint *c = &row.s->constraint;
    if (row.drafted <= 0)
        c->n_few = 0;
    if (row.prompt || !row.chooses || row.drafted > 0 || !c->mask.matcher || request_wants_rows(row.s->r))
        return NULL;
    masks_wait(&now->e->masks);
    if (now->e->model->collects) // sums are of what all rows were multiplied with
        return NULL;
    constraint_list_few(c, now->e->model->plan.n_vocab);
    *n = c->n_few;
    return c->n_few > 0 ? c->few : NULL;
}

static void take_row(void *user, int32_t i, const float *logits) {
    const step *now = user;
    const step_row row = row_at(now, i);
    const constraint *c = &row.s->constraint;
    const int32_t n_vocab = now->e->model->plan.n_vocab;
    float *to = row.chooses && row.drafted > 0 ? speculate_row(now->e, row.s, row.drafted - 1)
                                               : logits_of(now->e, row.seq);
    if (row.prompt)
        prompt_rows_take(&row.s->r->params, row.position, logits, n_vocab, &now->e->sampler.list);
    if (row.chooses && row.drafted == 0 && c->mask.matcher && c->n_few > 0 && !row.prompt)
        for (int32_t k = 0; k < c->n_few; k++)
            to[c->few[k]] = logits[k];
    else if (row.chooses)
        memcpy(to, logits, (size_t)n_vocab * sizeof *logits);
}

// Gives the caller the logits to be changed.
static ingot_status offer(ingot_engine *e, slot *s, const float *logits, ingot_error *err) {
    request *r = s->r;
    const size_t size = (size_t)e->model->plan.n_vocab * sizeof *logits;
    memcpy(r->params.edited_logits, logits, size);
    if (r->model_logits)
        memcpy(r->model_logits, logits, size);
    s->waits = true;
    mutex_lock(&e->lock);
    const ingot_status status = request_offer(r, s->sequence.tokens, s->sequence.n_tokens, err);
    e->has_news = true;
    mutex_unlock(&e->lock);
    return status;
}

// Chooses, as far as drafts go, unless there is no time left.
static ingot_status go_on(ingot_engine *e, slot *s, float *logits, ingot_finish *finish, ingot_error *err) {
    const double began = thread_seconds();
    const ingot_status status = speculate_choose(e, s, logits, finish, err);
    e->choose_seconds += thread_seconds() - began;
    return status;
}

// Notes that more of a prompt was computed.
static ingot_status note_prompt(ingot_engine *e, request *r, int32_t end, ingot_error *err) {
    const int32_t before = r->n_prompt;
    r->n_prompt = end < (int32_t)r->params.n_tokens ? end : (int32_t)r->params.n_tokens;
    mutex_lock(&e->lock);
    schedule_charge(e, r->params.client, r->n_prompt - before);
    const ingot_status status = output_prefilled(&r->output, r->n_prompt, err);
    e->has_news = true;
    mutex_unlock(&e->lock);
    if (prompt_is_done(r))
        r->ready = clock_seconds();
    return status;
}

// What a step's tokens mean for one of its slots; *finish says whether its request has come to an end.
static ingot_status advance(ingot_engine *e, slot *s, int32_t seq, int32_t end, ingot_finish *finish,
                            ingot_error *err) {
    request *r = s->r;
    s->n_pending -= end - s->sequence.n_tokens;
    s->sequence.n_tokens = end;
    publish(e, s);
    if (s->prompts)
        TRY(note_prompt(e, r, end, err));
    if (s->chooses && r->params.edited_logits && !slot_is_late(s))
        return offer(e, s, logits_of(e, seq), err);
    if (s->chooses)
        return go_on(e, s, logits_of(e, seq), finish, err);
    *finish = prompt_is_done(r) && r->params.max_tokens == 0 ? INGOT_FINISH_LENGTH
              : !prompt_is_done(r) && slot_is_late(s)        ? INGOT_FINISH_TIME
                                                             : INGOT_FINISH_NONE;
    return INGOT_OK;
}

static ingot_status run_step(step *now, ingot_error *err) {
    ingot_engine *e = now->e;
    const backend_batch batch = {now->n_tokens, e->tokens, e->positions, e->seqs, now->pages, now->ends};
    const forward_rows wanted = {.rows = e->rows,
                                 .n_rows = now->n_rows,
                                 .result = FORWARD_LOGITS,
                                 .choose = few_of_row,
                                 .sink = take_row,
                                 .user = now};
    // A request alone can be cancelled within a step; of several, each between steps.
    const atomic_bool *cancel = e->n_active == 1 ? &now->slots[0]->r->cancel : &e->stopping;
    const adapter_list *adapters = now->adapted ? now->adapters : NULL;
    TRY(forward_run(e->forward, &batch, e->kv, &wanted, adapters, cancel, err));
    return ingot_gguf_check(e->model->file, err);
}

static bool is_ready(const slot *s) {
    return s->r && (!s->waits || !s->r->awaits || atomic_load(&s->r->cancel));
}

bool slots_have_work(const ingot_engine *e) {
    bool found = false;
    for (int32_t i = 0; i < e->info.n_seqs; i++)
        found = found || is_ready(&e->slots[i]);
    return found;
}

void slots_resume(ingot_engine *e) {
    for (int32_t i = 0; i < e->info.n_seqs; i++) {
        slot *s = &e->slots[i];
        ingot_finish finish = INGOT_FINISH_NONE;
        ingot_error err = {0};
        if (!s->r || !s->waits)
            continue;
        mutex_lock(&e->lock);
        const bool resumed = !s->r->awaits;
        mutex_unlock(&e->lock);
        if (!resumed)
            continue;
        s->waits = false;
        const ingot_status status = speculate_choose(e, s, s->r->params.edited_logits, &finish, &err);
        if (status != INGOT_OK || finish != INGOT_FINISH_NONE)
            slot_end(e, s, status, finish, &err);
    }
}

// What a step has cost: its forward pass, and the engine's own work.
static void note_step(const step *now, double seconds, double own_seconds) {
    ingot_engine *e = now->e;
    pace_note(&e->pace, now->n_tokens, now->n_prompt, now->n_rows, seconds);
    mutex_lock(&e->lock);
    e->stats.n_steps++;
    e->stats.n_computed_tokens += (uint64_t)now->n_tokens;
    e->stats.step_seconds += seconds;
    e->stats.schedule_seconds += own_seconds;
    mutex_unlock(&e->lock);
}

void slots_step(ingot_engine *e, double began) {
    step now = {.e = e};
    ingot_error err = {0};
    bool any = false;
    for (int32_t i = 0; i < e->info.n_seqs; i++)
        any = any || (e->slots[i].r && !e->slots[i].waits);
    if (!any)
        return;
    compose(&now);
    if (now.n_tokens == 0)
        return;
    engine_tell_news(e);
    double own_seconds = thread_seconds() - began;
    const double start = clock_seconds();
    const ingot_status status = run_step(&now, &err);
    masks_wait(&e->masks);
    const double seconds = clock_seconds() - start, computed = thread_seconds();
    e->choose_seconds = 0.0;
    for (int32_t i = 0; status != INGOT_OK && i < e->info.n_seqs; i++)
        if (e->slots[i].r)
            slot_end(e, &e->slots[i], status, INGOT_FINISH_NONE, &err);
    for (int32_t i = 0; status == INGOT_OK && i < now.n_seqs; i++) {
        ingot_finish finish = INGOT_FINISH_NONE;
        ingot_error own = {0};
        const ingot_status advanced =
            advance(e, now.slots[i], i, now.ends[i] - now.slots[i]->drafted.n, &finish, &own);
        if (advanced != INGOT_OK || finish != INGOT_FINISH_NONE)
            slot_end(e, now.slots[i], advanced, finish, &own);
    }
    own_seconds += thread_seconds() - computed - e->choose_seconds;
    if (status == INGOT_OK)
        note_step(&now, seconds, own_seconds);
}
