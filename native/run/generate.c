// Generation: requests in slots, and steps that all of them take together. A step computes one token of each
// request that generates, and the next part of the prompts of those that don't yet. What a slot's last
// sequence shares with its next request isn't computed again.
#include "run/generate.h"

#include <string.h>

#include "run/choose.h"
#include "run/engine.h"
#include "run/prompt_rows.h"

// ------------------------------------------------------------------------------------------------- slots

// Pages that the request may come to need.
static int32_t worst_pages(const ingot_engine *e, const request *r) {
    const int64_t n_tokens = (int64_t)r->params.n_tokens, most = r->params.max_tokens;
    // The last token that is chosen isn't computed.
    const int64_t n = most < 0 ? e->info.n_ctx : n_tokens + (most > 0 ? most - 1 : 0);
    return pages_for((int32_t)(n < e->info.n_ctx ? n : e->info.n_ctx));
}

// How much of a slot's sequence can stay: its prompt's last token, and tokens whose logits are asked for,
// must be computed.
static int32_t shared_prefix(const slot *s, const request *r) {
    size_t most = r->params.n_tokens - 1, n = 0;
    if (prompt_rows_any(&r->params) && (size_t)r->params.rows.first < most)
        most = (size_t)r->params.rows.first;
    // What may be taken back isn't shared: pages that come in its place were promised to nobody.
    if (s->r && s->r->params.n_banned > 0 && s->r->params.n_tokens - 1 < most)
        most = s->r->params.n_tokens - 1;
    while (n < most && n < (size_t)s->sequence.n_tokens && s->sequence.tokens[n] == r->tokens[n])
        n++;
    return (int32_t)n;
}

// The slot that has most of a request's prompt, and how much of it: perhaps one whose request still runs.
static slot *best_donor(const ingot_engine *e, const request *r, int32_t *n_shared) {
    slot *best = NULL;
    *n_shared = 0;
    for (int32_t i = 0; i < e->info.n_seqs; i++) {
        const int32_t n = shared_prefix(&e->slots[i], r);
        if (n > *n_shared || (n == *n_shared && n > 0 && best->r && !e->slots[i].r)) {
            *n_shared = n;
            best = &e->slots[i];
        }
    }
    return best;
}

// Whether another request, whose prompt is being computed, will soon have more of this one's than there is
// now.
static bool soon_shared(const ingot_engine *e, const request *r, int32_t n_shared) {
    for (int32_t i = 0; i < e->info.n_seqs; i++) {
        const request *other = e->slots[i].r;
        if (!other || other->n_prompt == (int32_t)other->params.n_tokens)
            continue;
        const size_t most =
            other->params.n_tokens < r->params.n_tokens ? other->params.n_tokens : r->params.n_tokens;
        size_t n = 0;
        while (n < most && other->tokens[n] == r->tokens[n])
            n++;
        if (n > (size_t)n_shared + PAGE_TOKENS && !prompt_rows_any(&r->params))
            return true;
    }
    return false;
}

// The free slot that was left alone the longest.
static slot *oldest_free(const ingot_engine *e) {
    slot *oldest = NULL;
    for (int32_t i = 0; i < e->info.n_seqs; i++) {
        slot *s = &e->slots[i];
        if (!s->r && (!oldest || s->last_step < oldest->last_step))
            oldest = s;
    }
    return oldest;
}

int32_t slots_spare_pages(const ingot_engine *e) {
    int32_t n = e->pool.n_free;
    for (int32_t i = 0; i < e->info.n_seqs; i++)
        if (e->slots[i].r)
            n -= e->slots[i].worst_pages - e->slots[i].sequence.n_pages;
    return n;
}

// Whether the pages of an idle slot may be taken.
static bool is_idle(const slot *s, const slot *keep) {
    return !s->r && s != keep;
}

// Pages that are free once all idle slots have given theirs back: they may share them.
static int32_t idle_pages(ingot_engine *e, const slot *keep) {
    int32_t n = 0, *references = e->pool.references;
    for (int32_t i = 0; i < e->info.n_seqs; i++)
        for (int32_t k = 0; is_idle(&e->slots[i], keep) && k < e->slots[i].sequence.n_pages; k++)
            n += --references[e->slots[i].sequence.pages[k]] == 0;
    for (int32_t i = 0; i < e->info.n_seqs; i++)
        for (int32_t k = 0; is_idle(&e->slots[i], keep) && k < e->slots[i].sequence.n_pages; k++)
            references[e->slots[i].sequence.pages[k]]++;
    return n;
}

bool slots_make_room(ingot_engine *e, int32_t n_pages, const slot *keep) {
    if (slots_spare_pages(e) < n_pages && slots_spare_pages(e) + idle_pages(e, keep) < n_pages)
        return false;
    while (slots_spare_pages(e) < n_pages) {
        slot *oldest = NULL;
        for (int32_t i = 0; i < e->info.n_seqs; i++) {
            slot *s = &e->slots[i];
            if (is_idle(s, keep) && s->sequence.n_pages > 0 && (!oldest || s->last_step < oldest->last_step))
                oldest = s;
        }
        sequence_truncate(&oldest->sequence, &e->pool, 0);
    }
    engine_count_pages(e);
    return true;
}

// Puts a request's known beginning, `n_shared` tokens that `donor` has, into a free slot, and sees to it that
// there are `worst` pages altogether; false if there are too few.
static bool take_prefix(ingot_engine *e, slot *s, const slot *donor, int32_t n_shared, int32_t worst) {
    backend *device = e->model->device;
    page_copy copy;
    ingot_error err;
    if (donor == s) {
        sequence_truncate(&s->sequence, &e->pool, n_shared);
    } else {
        sequence_truncate(&s->sequence, &e->pool, 0);
        if (donor) {
            if (n_shared % PAGE_TOKENS != 0 && !slots_make_room(e, 1, donor))
                n_shared -= n_shared % PAGE_TOKENS;
            if (sequence_fork(&s->sequence, &donor->sequence, &e->pool, n_shared, &copy, &err) != INGOT_OK)
                return false;
            if (copy.from >= 0)
                device->ops->kv_copy(device, e->kv, copy.from, copy.to);
        }
    }
    return slots_make_room(e, worst - s->sequence.n_pages, s);
}

bool slots_begin(ingot_engine *e, request *r) {
    int32_t n_shared;
    slot *donor = best_donor(e, r, &n_shared), *s = oldest_free(e);
    if (!s || soon_shared(e, r, n_shared))
        return false;
    // A sequence that would lose more than it keeps goes on elsewhere: so conversations that only begin alike
    // keep theirs.
    const bool mostly =
        donor && (n_shared >= donor->sequence.n_tokens / 2 || (size_t)n_shared >= r->params.n_tokens / 2);
    if (donor && !donor->r && mostly)
        s = donor;
    const int32_t worst = worst_pages(e, r);
    const bool room = take_prefix(e, s, donor, n_shared, worst);
    engine_count_pages(e);
    if (!room)
        return false;
    s->r = r;
    s->n_chosen = 0;
    s->waits = false;
    s->constraint.mask.matcher = r->params.matcher;
    s->worst_pages = worst;
    s->start = clock_seconds();
    r->n_cached = r->n_prompt = s->sequence.n_tokens;
    e->n_active++;
    return true;
}

static void slot_end(ingot_engine *e, slot *s, ingot_status status, ingot_finish finish,
                     const ingot_error *err) {
    request *r = s->r;
    const double now = clock_seconds();
    const bool ready = r->n_prompt == (int32_t)r->params.n_tokens;
    r->prefill_seconds = (ready ? s->ready : now) - s->start;
    r->decode_seconds = ready ? now - s->ready : 0.0;
    s->r = NULL;
    s->constraint.mask.matcher = NULL;
    e->n_active--;
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
    slot *slots[ENGINE_SEQS_MAX]; // [n_seqs]
    const int32_t *pages[ENGINE_SEQS_MAX];
    int32_t ends[ENGINE_SEQS_MAX];
} step;

static float *logits_of(const ingot_engine *e, int32_t seq) {
    return e->logits + (int64_t)seq * e->model->plan.n_vocab;
}

static bool generates(const request *r) {
    return r->n_prompt == (int32_t)r->params.n_tokens;
}

// Puts the next `n` tokens of a slot into the step's batch, and behind its last one those that are drafted.
static ingot_status add_tokens(step *now, slot *s, int32_t n, ingot_error *err) {
    ingot_engine *e = now->e;
    request *r = s->r;
    const int32_t first = s->sequence.n_tokens;
    const bool last = !generates(r) && r->n_prompt + n == (int32_t)r->params.n_tokens;
    s->chooses = generates(r) ? n == s->n_chosen : last && r->params.max_tokens != 0;
    if (s->chooses && s->constraint.mask.matcher)
        masks_want(&e->masks, &s->constraint.mask);
    s->last_step = e->n_steps;
    // A token of each other slot must find room.
    const int32_t room =
        s->chooses ? e->info.n_batch - now->n_tokens - n - (e->info.n_seqs - now->n_seqs - 1) : 0;
    const int32_t n_all = n + speculate_take(e, s, room);
    TRY(sequence_reserve(&s->sequence, &e->pool, first + n_all, err));
    for (int32_t i = 0; i < n_all; i++) {
        const int32_t at = now->n_tokens + i;
        // Behind the sequence's end: they count once they are computed.
        if (!generates(r))
            s->sequence.tokens[first + i] = r->tokens[first + i];
        e->tokens[at] = i < n ? s->sequence.tokens[first + i] : s->drafted.tokens[i - n];
        e->positions[at] = first + i;
        e->seqs[at] = now->n_seqs;
        if (prompt_rows_want(&r->params, first + i) || (s->chooses && i >= n - 1))
            e->rows[now->n_rows++] = at;
    }
    now->slots[now->n_seqs] = s;
    now->pages[now->n_seqs] = s->sequence.pages;
    now->ends[now->n_seqs++] = first + n_all;
    now->n_tokens += n_all;
    return INGOT_OK;
}

// Those that generate go first, with the tokens that were chosen for them: one, where no grammar forced more;
// prompts share what room is left, first come first served.
static ingot_status compose(step *now, ingot_error *err) {
    ingot_engine *e = now->e;
    int32_t others = 0;
    speculate_begin(e);
    for (int32_t i = 0; i < e->info.n_seqs; i++)
        others += e->slots[i].r && !e->slots[i].waits && generates(e->slots[i].r);
    for (int32_t i = 0; i < e->info.n_seqs; i++) {
        slot *s = &e->slots[i];
        if (!s->r || s->waits || !generates(s->r))
            continue;
        const int32_t room = e->info.n_batch - now->n_tokens - --others;
        TRY(add_tokens(now, s, s->n_chosen < room ? s->n_chosen : room, err));
    }
    for (uint64_t after = 0; now->n_tokens < e->info.n_batch;) {
        slot *s = NULL;
        for (int32_t i = 0; i < e->info.n_seqs; i++) {
            slot *other = &e->slots[i];
            if (other->r && !generates(other->r) && other->r->id > after && (!s || other->r->id < s->r->id))
                s = other;
        }
        if (!s)
            break;
        after = s->r->id;
        const int32_t left = (int32_t)s->r->params.n_tokens - s->r->n_prompt;
        const int32_t room = e->info.n_batch - now->n_tokens;
        TRY(add_tokens(now, s, left < room ? left : room, err));
    }
    engine_count_pages(e);
    masks_begin(&e->masks);
    return INGOT_OK;
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
    row.prompt = prompt_rows_want(&row.s->r->params, row.position);
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
    condition_wake_all(&e->news);
    mutex_unlock(&e->lock);
    return status;
}

// What a step's tokens mean for one of its slots; *finish says whether its request has come to an end.
static ingot_status advance(ingot_engine *e, slot *s, int32_t seq, int32_t end, ingot_finish *finish,
                            ingot_error *err) {
    request *r = s->r;
    const int32_t n_new = end - s->sequence.n_tokens;
    s->sequence.n_tokens = end;
    if (generates(r)) {
        s->n_chosen -= n_new;
    } else {
        r->n_prompt = end;
        mutex_lock(&e->lock);
        ingot_status status = output_prefilled(&r->output, end, err);
        condition_wake_all(&e->news);
        mutex_unlock(&e->lock);
        if (generates(r))
            s->ready = clock_seconds();
        TRY(status);
    }
    if (s->chooses && r->params.edited_logits && !slot_is_late(s))
        return offer(e, s, logits_of(e, seq), err);
    if (s->chooses)
        return speculate_choose(e, s, logits_of(e, seq), finish, err);
    *finish = generates(r) && r->params.max_tokens == 0 ? INGOT_FINISH_LENGTH
              : !generates(r) && slot_is_late(s)        ? INGOT_FINISH_TIME
                                                        : INGOT_FINISH_NONE;
    return INGOT_OK;
}

static ingot_status run_step(step *now, ingot_error *err) {
    ingot_engine *e = now->e;
    TRY(compose(now, err));
    const backend_batch batch = {now->n_tokens, e->tokens, e->positions, e->seqs, now->pages, now->ends};
    const forward_rows wanted = {.rows = e->rows,
                                 .n_rows = now->n_rows,
                                 .result = FORWARD_LOGITS,
                                 .choose = few_of_row,
                                 .sink = take_row,
                                 .user = now};
    // A request alone can be cancelled within a step; of several, each between steps.
    const atomic_bool *cancel = e->n_active == 1 ? &now->slots[0]->r->cancel : &e->stopping;
    const double start = clock_seconds();
    TRY(forward_run(e->forward, &batch, e->kv, &wanted, cancel, err));
    speculate_measure(e, now->n_tokens, now->n_rows, clock_seconds() - start);
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
        mutex_lock(&e->lock);
        const bool resumed = s->r && s->waits && !s->r->awaits;
        mutex_unlock(&e->lock);
        if (!resumed)
            continue;
        s->waits = false;
        const ingot_status status = speculate_choose(e, s, s->r->params.edited_logits, &finish, &err);
        if (status != INGOT_OK || finish != INGOT_FINISH_NONE)
            slot_end(e, s, status, finish, &err);
    }
}

void slots_step(ingot_engine *e) {
    step now = {.e = e};
    ingot_error err = {0};
    bool any = false;
    for (int32_t i = 0; i < e->info.n_seqs; i++)
        any = any || (e->slots[i].r && !e->slots[i].waits);
    if (!any)
        return;
    e->n_steps++;
    const ingot_status status = run_step(&now, &err);
    masks_wait(&e->masks);
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
}
