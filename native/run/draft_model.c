#include "run/draft_model.h"

#include <string.h>

#include "base/thread.h"
#include "quant/quant.h"
#include "run/layout.h"

enum { BATCH = 256 };

// ------------------------------------------------------------------------------------------------- life

static int32_t page_type(int32_t dim, int32_t type) {
    return dim % quant_type_get(type)->block_size == 0 ? type : QUANT_F16;
}

static kv_layout layout_of(const plan *p, int32_t k_type, int32_t v_type) {
    return (kv_layout){.n_layers = p->n_layer,
                       .n_head = p->n_head,
                       .n_head_kv = p->n_head_kv,
                       .k_dim = p->k_dim,
                       .v_dim = p->v_dim,
                       .k_type = page_type(p->k_dim, k_type),
                       .v_type = page_type(p->v_dim, v_type),
                       .page_tokens = PAGE_TOKENS};
}

uint64_t draft_model_token_bytes(const ingot_model *m, int32_t k_type, int32_t v_type) {
    const kv_layout layout = layout_of(&m->plan, k_type, v_type);
    return layout_token_bytes(&layout);
}

static ingot_status check_texts(const ingot_model *draft, const ingot_model *target, ingot_error *err) {
    for (int32_t i = 0; i < vocab_size(target->text); i++) {
        ingot_token_info a, b;
        TRY(vocab_token(draft->text, i, &a, err));
        TRY(vocab_token(target->text, i, &b, err));
        if (a.text.size != b.text.size || memcmp(a.text.data, b.text.data, a.text.size) != 0)
            return fail(err, INGOT_ERR_INVALID,
                        "%s can't draft for %s: its token %d is '%.*s', not '%.*s'; a draft model needs the "
                        "same vocabulary",
                        gguf_name(draft->file), gguf_name(target->file), i,
                        (int)(a.text.size < 64 ? a.text.size : 64), a.text.data,
                        (int)(b.text.size < 64 ? b.text.size : 64), b.text.data);
    }
    return INGOT_OK;
}

ingot_status draft_model_check(const ingot_model *draft, const ingot_model *target, ingot_error *err) {
    const char *name = gguf_name(draft->file);
    if (draft->runtime != target->runtime)
        return fail(err, INGOT_ERR_INVALID,
                    "%s was opened in another runtime than %s, for which it is to draft; open both in one",
                    name, gguf_name(target->file));
    if (!draft->device || !draft->plan.head.weight || !draft->plan.causal)
        return fail(err, INGOT_ERR_UNSUPPORTED,
                    "%s can't draft: it is an encoder, or was opened with vocab_only", name);
    if (draft->collects)
        return fail(err, INGOT_ERR_INVALID, "%s was opened with `collect`: it would sum up drafts", name);
    if (!draft->text != !target->text ||
        (target->text && vocab_size(draft->text) != vocab_size(target->text)))
        return fail(
            err, INGOT_ERR_INVALID,
            "%s can't draft for %s: its vocabulary has %d tokens, not %d; a draft model needs the same "
            "vocabulary",
            name, gguf_name(target->file), draft->text ? vocab_size(draft->text) : 0,
            target->text ? vocab_size(target->text) : 0);
    if (!target->text && draft->plan.n_vocab != target->plan.n_vocab)
        return fail(err, INGOT_ERR_INVALID, "%s can't draft for %s: it has %d logits, not %d", name,
                    gguf_name(target->file), draft->plan.n_vocab, target->plan.n_vocab);
    return target->text ? check_texts(draft, target, err) : INGOT_OK;
}

static ingot_status make(draft_model *d, kv_layout layout, ingot_error *err) {
    const plan *p = &d->model->plan;
    const size_t n_seqs = (size_t)d->n_seqs, n_batch = (size_t)d->n_batch;
    const forward_params params = {.max_tokens = d->n_batch, .n_ctx = d->n_ctx};
    d->kv_bytes = layout_token_bytes(&layout) * PAGE_TOKENS * (uint64_t)layout.n_pages;
    TRY(d->model->device->ops->kv_new(d->model->device, &layout, &d->kv, err));
    TRY(forward_new(p, d->model->device, d->mem, &params, &d->forward, err));
    TRY(page_pool_init(&d->pool, layout.n_pages, err));
    d->sequences = mem_alloc(d->mem, n_seqs, sizeof *d->sequences);
    d->pages = mem_alloc(d->mem, n_seqs, sizeof(int32_t *));
    d->ends = mem_alloc(d->mem, n_seqs, sizeof *d->ends);
    d->best = mem_alloc(d->mem, n_seqs, sizeof *d->best);
    d->tokens = mem_alloc(d->mem, n_batch, sizeof *d->tokens);
    d->positions = mem_alloc(d->mem, n_batch, sizeof *d->positions);
    d->seqs = mem_alloc(d->mem, n_batch, sizeof *d->seqs);
    d->rows = mem_alloc(d->mem, n_batch, sizeof *d->rows);
    if (!d->sequences || !d->pages || !d->ends || !d->best || !d->tokens || !d->positions || !d->seqs ||
        !d->rows)
        return fail_memory(err, n_batch * 4 * sizeof(int32_t), "a draft model");
    for (int32_t i = 0; i < d->n_seqs; i++)
        TRY(sequence_init(&d->sequences[i], d->n_ctx, err));
    return INGOT_OK;
}

ingot_status draft_model_new(ingot_model *model, const ingot_allocator *mem, const kv_layout *like,
                             int32_t n_seqs, int32_t n_ctx, candidates *list, draft_model **out,
                             ingot_error *err) {
    draft_model *d = mem_alloc(mem, 1, sizeof *d);
    if (!d)
        return fail_memory(err, sizeof *d, "a draft model");
    const plan *p = &model->plan;
    *d = (draft_model){.model = model, .mem = mem, .n_seqs = n_seqs, .list = list};
    d->n_ctx = p->positions && p->n_ctx_train < n_ctx ? p->n_ctx_train : n_ctx;
    d->n_batch = n_seqs > BATCH ? n_seqs : BATCH;
    kv_layout layout = layout_of(p, like->k_type, like->v_type);
    layout.n_pages = like->n_pages;
    const ingot_status status = make(d, layout, err);
    if (status != INGOT_OK) {
        draft_model_free(d);
        return status;
    }
    *out = d;
    return INGOT_OK;
}

void draft_model_free(draft_model *d) {
    if (!d)
        return;
    for (int32_t i = 0; d->sequences && i < d->n_seqs; i++)
        sequence_free(&d->sequences[i], &d->pool);
    page_pool_free(&d->pool);
    forward_free(d->forward);
    d->model->device->ops->kv_free(d->model->device, d->kv);
    void *blocks[] = {d->sequences, d->pages, d->ends, d->best, d->tokens, d->positions, d->seqs, d->rows};
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++)
        mem_free(d->mem, blocks[i]);
    mem_free(d->mem, d);
}

// ------------------------------------------------------------------------------------------------- drafts

// The tokens of a pass.
typedef struct pass {
    draft_model *d;
    int32_t n_tokens, n_seqs, n_rows;
} pass;

// Keeps of a slot's sequence what its text begins with, but for the text's last token, which is computed.
static void keep_common(draft_model *d, const draft_wish *w) {
    sequence *s = &d->sequences[w->seq];
    int32_t n = 0;
    while (n < s->n_tokens && n < w->n_text - 1 && s->tokens[n] == w->text[n])
        n++;
    sequence_truncate(s, &d->pool, n);
}

// Gives back the pages of those that want nothing now, one after the other, until `n` are free.
static void free_pages(draft_model *d, const draft_wish *wishes, int32_t n_wishes, int32_t n) {
    for (int32_t i = 0; i < d->n_seqs && d->pool.n_free < n; i++) {
        bool wanted = false;
        for (int32_t k = 0; k < n_wishes; k++)
            wanted = wanted || wishes[k].seq == i;
        if (!wanted)
            sequence_truncate(&d->sequences[i], &d->pool, 0);
    }
}

// Puts tokens [n] behind a sequence and into the pass, with the logits of the last one if they are wanted.
// False, with nothing done, where there is no room.
static bool add(pass *now, int32_t seq, const int32_t *tokens, int32_t n, bool wanted) {
    draft_model *d = now->d;
    sequence *s = &d->sequences[seq];
    const int32_t first = s->n_tokens;
    if (first + n > s->n_ctx || sequence_reserve(s, &d->pool, first + n, NULL) != INGOT_OK)
        return false;
    for (int32_t i = 0; i < n; i++) {
        const int32_t at = now->n_tokens + i;
        d->tokens[at] = s->tokens[first + i] = tokens[i];
        d->positions[at] = first + i;
        d->seqs[at] = now->n_seqs;
    }
    now->n_tokens += n;
    if (wanted)
        d->rows[now->n_rows++] = now->n_tokens - 1;
    d->pages[now->n_seqs] = s->pages;
    d->ends[now->n_seqs++] = first + n;
    return true;
}

static void take_best(void *user, int32_t i, const float *logits) {
    const pass *now = user;
    draft_model *d = now->d;
    const vocab *v = d->model->text;
    candidates_view(d->list, logits, v ? vocab_size(v) : d->model->plan.n_vocab);
    d->best[i] = candidates_best(d->list);
}

static ingot_status compute(pass *now, const atomic_bool *cancel, ingot_error *err) {
    draft_model *d = now->d;
    const backend_batch batch = {now->n_tokens, d->tokens, d->positions, d->seqs, d->pages, d->ends};
    const forward_rows wanted = {
        .rows = d->rows, .n_rows = now->n_rows, .result = FORWARD_LOGITS, .sink = take_best, .user = now};
    const double start = clock_seconds();
    TRY(forward_run(d->forward, &batch, d->kv, &wanted, NULL, cancel, err));
    const double seconds = clock_seconds() - start;
    if (now->n_tokens == now->n_seqs)
        d->seconds += (seconds - d->seconds) / (d->seconds == 0.0 ? 1.0 : 8.0);
    return ingot_gguf_check(d->model->file, err);
}

// Computes what texts have and the model doesn't know, as far as a pass goes; then each that is ready has its
// first token.
static ingot_status catch_up(draft_model *d, draft_wish *wishes, int32_t n, const atomic_bool *cancel,
                             ingot_error *err) {
    pass now = {.d = d};
    bool ready[BATCH] = {false}; // there are no more slots
    int32_t counts[BATCH] = {0};
    for (int32_t i = 0; i < n; i++) {
        draft_wish *w = &wishes[i];
        keep_common(d, w);
        const int32_t known = d->sequences[w->seq].n_tokens, missing = w->n_text - known;
        const int32_t room = d->n_batch - now.n_tokens - (n - 1 - i);
        const int32_t some = missing < room ? missing : room;
        free_pages(d, wishes, n, pages_for(known + some) - d->sequences[w->seq].n_pages);
        if (add(&now, w->seq, w->text + known, some, some == missing)) {
            ready[i] = some == missing;
            counts[i] = some;
        }
    }
    if (now.n_tokens == 0)
        return INGOT_OK;
    TRY(compute(&now, cancel, err));
    for (int32_t i = 0, row = 0; i < n; i++) {
        d->sequences[wishes[i].seq].n_tokens += counts[i];
        if (ready[i])
            wishes[i].tokens[wishes[i].n++] = d->best[row++];
    }
    return INGOT_OK;
}

ingot_status draft_model_run(draft_model *d, draft_wish *wishes, int32_t n, const atomic_bool *cancel,
                             ingot_error *err) {
    for (int32_t i = 0; i < n; i++)
        wishes[i].n = 0;
    TRY(catch_up(d, wishes, n, cancel, err));
    for (int32_t k = 1;; k++) {
        pass now = {.d = d};
        int32_t taken[BATCH];
        for (int32_t i = 0; i < n; i++) {
            draft_wish *w = &wishes[i];
            if (w->n == k && k < w->most && add(&now, w->seq, &w->tokens[k - 1], 1, true))
                taken[now.n_seqs - 1] = i;
        }
        if (now.n_seqs == 0)
            return INGOT_OK;
        TRY(compute(&now, cancel, err));
        for (int32_t row = 0; row < now.n_seqs; row++) {
            draft_wish *w = &wishes[taken[row]];
            d->sequences[w->seq].n_tokens++;
            w->tokens[w->n++] = d->best[row];
        }
    }
}
