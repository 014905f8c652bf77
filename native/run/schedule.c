#include "run/schedule.h"

#include <string.h>

#include "run/engine.h"
#include "run/prompt_rows.h"

// Of the requests whose turn it might be so many are asked what is known of their prompts, and each not more
// often than that: order depends on it, and nothing else.
enum { ASKED_MOST = 64 };
static const double ASKED_AGAIN = 0.25;

// ------------------------------------------------------------------------------------------------- clients

static client_share *find_client(client_shares *all, uint64_t client) {
    for (int32_t i = 0; i < all->n; i++)
        if (all->known[i].client == client)
            return &all->known[i];
    return NULL;
}

static double least_share(const client_shares *all) {
    double least = all->n > 0 ? all->known[0].tokens : 0.0;
    for (int32_t i = 1; i < all->n; i++)
        least = all->known[i].tokens < least ? all->known[i].tokens : least;
    return least;
}

static double share_of(client_shares *all, uint64_t client) {
    const client_share *found = find_client(all, client);
    return found ? found->tokens : least_share(all);
}

void schedule_charge(ingot_engine *e, uint64_t client, double tokens) {
    client_shares *all = &e->clients;
    client_share *found = find_client(all, client);
    if (!found) {
        const double least = least_share(all);
        if (all->n == CLIENTS_MAX) { // the one that has had most would wait: it may begin anew
            int32_t most = 0;
            for (int32_t i = 1; i < all->n; i++)
                most = all->known[i].tokens > all->known[most].tokens ? i : most;
            all->known[most] = all->known[--all->n];
        }
        found = &all->known[all->n++];
        *found = (client_share){client, least};
    }
    found->tokens += tokens;
}

// Clients that have nothing to do don't gather claims.
static void forget_idle_clients(ingot_engine *e) {
    client_shares *all = &e->clients;
    for (int32_t i = 0; i < all->n;) {
        bool active = false;
        for (const request *r = e->first; r && !active; r = r->next)
            active = !r->finished && r->params.client == all->known[i].client;
        if (active)
            i++;
        else
            all->known[i] = all->known[--all->n];
    }
}

// ------------------------------------------------------------------------------------------------- the next
// one

int32_t schedule_most_shared(const ingot_engine *e, const request *r) {
    int32_t most = r->n_known - 1;
    if (e->model->collects) // sums are of all that was asked for
        return 0;
    if (prompt_rows_any(&r->params) && r->n_prompt < (int32_t)r->params.n_tokens &&
        r->params.rows.first < most)
        most = r->params.rows.first;
    return most;
}

// Whether a running request, whose prompt is being computed, will soon have made more of this one's known
// than is now.
static bool soon_known(const ingot_engine *e, const request *r, int32_t n_known) {
    const int32_t most = schedule_most_shared(e, r);
    for (int32_t i = 0; i < e->info.n_seqs; i++) {
        const slot *s = &e->slots[i];
        const int32_t there = s->sequence.n_tokens + s->n_pending, end = there < most ? there : most;
        if (!s->r || slot_answers(s) || s->r->domain != r->domain || end <= n_known + PAGE_TOKENS)
            continue;
        if (memcmp(s->sequence.tokens, r->tokens, (size_t)(n_known + PAGE_TOKENS + 1) * sizeof *r->tokens) ==
            0)
            return true;
    }
    return false;
}

static bool waits(const request *r) {
    return !r->started && !r->dropped;
}

// Whether `a` comes before `b` whatever is known of their prompts; *equal: neither does.
static bool comes_first(ingot_engine *e, const request *a, const request *b, bool *equal) {
    *equal = false;
    if (a->params.priority != b->params.priority)
        return a->params.priority > b->params.priority;
    if (a->params.client != b->params.client) {
        const double x = share_of(&e->clients, a->params.client), y = share_of(&e->clients, b->params.client);
        if (x < y || x > y)
            return x < y;
    }
    *equal = true;
    return false;
}

request *schedule_next(ingot_engine *e) {
    bool equal;
    const request *top = NULL;
    for (const request *r = e->first; r; r = r->next)
        if (waits(r) && (!top || comes_first(e, r, top, &equal)))
            top = r;
    if (!top)
        return NULL;
    request *best = NULL;
    double longest = 0.0;
    const double now = clock_seconds();
    int32_t n_asked = 0;
    for (request *r = e->first; r && n_asked < ASKED_MOST; r = r->next) {
        if (!waits(r) || (r != top && (comes_first(e, top, r, &equal) || !equal)))
            continue;
        n_asked++;
        if (!r->params.embedding && now >= r->asked_time + ASKED_AGAIN) {
            r->n_match = prefix_match(&e->tree, r->domain, r->tokens, schedule_most_shared(e, r));
            r->asked_time = now;
        }
        if (!r->params.embedding && soon_known(e, r, r->n_match))
            continue;
        const double seconds = now - r->submit_time + r->n_match * e->pace.prompt_token;
        if (!best || seconds > longest) {
            best = r;
            longest = seconds;
        }
    }
    return best;
}

void schedule_expire(ingot_engine *e) {
    const double now = clock_seconds();
    if (now < e->next_expiry)
        return;
    e->next_expiry = 1e300;
    for (request *r = e->first, *next; r; r = next) {
        const double end = r->submit_time + r->params.max_wait_seconds;
        next = r->next;
        if (!waits(r) || r->begun || r->params.max_wait_seconds <= 0.0)
            continue;
        if (now < end) {
            e->next_expiry = end < e->next_expiry ? end : e->next_expiry;
            continue;
        }
        ingot_error err;
        fail(&err, INGOT_ERR_BUSY, "the request has waited for its turn for %.3g s, as long as it may",
             r->params.max_wait_seconds);
        r->started = true;
        e->stats.n_failed++;
        request_finish(r, INGOT_FINISH_ERROR, &err);
        condition_wake_all(&e->news);
    }
}

// ------------------------------------------------------------------------------------------------- pages

bool schedule_evict(ingot_engine *e, int32_t n) {
    const bool done = prefix_evict(&e->tree, n);
    engine_count_pages(e);
    return done;
}

// Pages that a slot's known tokens and the next one will take beyond those that it has.
static int32_t pages_missing(const ingot_engine *e, const slot *s) {
    int32_t n = s->sequence.n_tokens + s->n_pending + 1;
    n = pages_for(n < e->info.n_ctx ? n : e->info.n_ctx) - s->sequence.n_pages;
    return n > 0 ? n : 0;
}

static bool has_room(const ingot_engine *e, const slot *candidate) {
    int32_t wanted = pages_missing(e, candidate);
    for (int32_t i = 0; i < e->info.n_seqs; i++)
        if (e->slots[i].r) // and something to go on with
            wanted += pages_missing(e, &e->slots[i]) + 1;
    return e->n_active == 0 || wanted <= e->pool.n_free + e->tree.n_unused;
}

// Puts what is known of a request's tokens into a free slot; false if there are too few pages for the rest.
static bool take_prefix(ingot_engine *e, slot *s, const request *r) {
    backend *device = e->model->device;
    page_copy copy;
    memcpy(s->sequence.tokens, r->tokens, (size_t)r->n_known * sizeof *r->tokens);
    prefix_take(&e->tree, r->domain, &s->sequence, schedule_most_shared(e, r), &copy);
    s->n_pending = r->n_known - s->sequence.n_tokens;
    if (!has_room(e, s))
        return false;
    if (copy.from >= 0)
        device->ops->kv_copy(device, e->kv, copy.from, copy.to);
    return true;
}

// Whether `a` shall go on rather than `b`.
static bool goes_on_first(const request *a, const request *b) {
    return a->params.priority != b->params.priority ? a->params.priority > b->params.priority : a->id < b->id;
}

static slot *last_in_order(const ingot_engine *e) {
    slot *last = NULL;
    for (int32_t i = 0; i < e->info.n_seqs; i++) {
        slot *s = &e->slots[i];
        if (s->r && !s->waits && (!last || goes_on_first(last->r, s->r)))
            last = s;
    }
    return last;
}

void schedule_order(const ingot_engine *e, slot **slots, int32_t *n) {
    *n = 0;
    for (int32_t i = 0; i < e->info.n_seqs; i++) {
        slot *s = &e->slots[i];
        if (!s->r || s->waits)
            continue;
        int32_t at = (*n)++;
        for (; at > 0 && goes_on_first(s->r, slots[at - 1]->r); at--)
            slots[at] = slots[at - 1];
        slots[at] = s;
    }
}

// What is computed stays known, as long as nobody wants its memory. The caller holds the lock.
static void preempt(ingot_engine *e, slot *s) {
    request *r = s->r;
    ingot_error err = {0};
    const ingot_status status =
        request_keep(r, s->sequence.tokens, s->sequence.n_tokens + s->n_pending, &err);
    slot_release(e, s);
    if (status != INGOT_OK) {
        e->stats.n_failed++;
        request_finish(r, INGOT_FINISH_ERROR, &err);
        condition_wake_all(&e->news);
        return;
    }
    r->started = false;
    e->stats.n_preempted++;
}

bool schedule_preempt_last(ingot_engine *e) {
    slot *last = e->n_active > 1 ? last_in_order(e) : NULL;
    if (!last)
        return false;
    mutex_lock(&e->lock);
    preempt(e, last);
    mutex_unlock(&e->lock);
    return true;
}

bool schedule_reserve(ingot_engine *e, slot *s, int32_t n_tokens) {
    const int32_t n = pages_for(s->sequence.n_tokens + n_tokens) - s->sequence.n_pages;
    while (n > 0 && !schedule_evict(e, n))
        if (!schedule_preempt_last(e) || !s->r)
            return false;
    return sequence_reserve(&s->sequence, &e->pool, s->sequence.n_tokens + n_tokens, NULL) == INGOT_OK;
}

static slot *free_slot(const ingot_engine *e) {
    for (int32_t i = 0; i < e->info.n_seqs; i++)
        if (!e->slots[i].r)
            return &e->slots[i];
    return NULL;
}

// The slot of a request that has to wait again for `r`.
static slot *victim_of(const ingot_engine *e, const request *r) {
    slot *last = last_in_order(e);
    return last && last->r->params.priority < r->params.priority ? last : NULL;
}

bool schedule_begin(ingot_engine *e, request *r) {
    slot *s = free_slot(e), *victim = victim_of(e, r);
    if (!s && victim)
        preempt(e, s = victim);
    if (!s)
        return false;
    while (!take_prefix(e, s, r)) {
        prefix_leave(&e->tree, &s->sequence);
        s->n_pending = 0;
        victim = victim_of(e, r);
        if (!victim)
            return false;
        preempt(e, victim);
    }
    engine_count_pages(e);
    forget_idle_clients(e);
    slot_begin(e, s, r);
    return true;
}

void schedule_shift(ingot_engine *e, slot *s) {
    backend *device = e->model->device;
    const request *r = s->r;
    sequence *seq = &s->sequence;
    const int32_t n = seq->n_tokens + s->n_pending, keep = r->params.n_keep, drop = (n - keep) / 2;
    page_copy copy;
    slot_leave_pages(e, s);
    memmove(seq->tokens + keep, seq->tokens + keep + drop, (size_t)(n - keep - drop) * sizeof *seq->tokens);
    prefix_take(&e->tree, r->domain, seq, n - drop - 1, &copy);
    if (copy.from >= 0)
        device->ops->kv_copy(device, e->kv, copy.from, copy.to);
    s->n_pending = n - drop - seq->n_tokens;
    s->drafted.request = 0; // what it drafts from is another text now
    engine_count_pages(e);
    mutex_lock(&e->lock);
    s->r->n_shifted += drop; // which events tell
    e->stats.n_shifts++;
    mutex_unlock(&e->lock);
}
