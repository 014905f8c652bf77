// Embeddings: many texts in one forward pass, one after the other, padded by nothing. A text of a model that
// sees texts as a whole goes into one pass; others may be cut.
#include <string.h>

#include "run/engine.h"
#include "run/schedule.h"

enum { MAX_TEXTS = 256 };

// A text on its way.
typedef struct embed_text {
    request *r;     // NULL: it has ended
    int32_t *pages; // its part of the batch's page table; NULL: none was taken yet
    int32_t n_tokens;
    int32_t n_done; // computed so far
} embed_text;

typedef struct embed_job {
    ingot_engine *e;
    double start;
    bool rank; // scores are wanted
    embed_text texts[MAX_TEXTS];
    int32_t n_texts;
    int32_t *page_table; // of all texts
    int32_t n_pages;
    double *sum; // [n_embd] of the text whose mean is being taken
    // Of the present pass.
    int32_t n_tokens, n_rows;
    int32_t text_of[MAX_TEXTS]; // sequences of the batch -> texts
    int32_t n_seqs;
} embed_job;

static bool wants_row(const request *r, int32_t position, bool causal) {
    const int32_t last = (int32_t)r->params.n_tokens - 1;
    switch (r->params.pooling) {
    case INGOT_POOLING_CLS:
        return position == 0;
    case INGOT_POOLING_LAST:
        return position == last;
    case INGOT_POOLING_RANK: // the token that has seen the whole text
        return position == (causal ? last : 0);
    default:
        return true;
    }
}

static void take_row(void *user, int32_t i, const float *row) {
    embed_job *job = user;
    const ingot_engine *e = job->e;
    const int32_t token = e->rows[i], position = e->positions[token];
    const request *r = job->texts[job->text_of[e->seqs[token]]].r;
    const size_t n_embd = (size_t)e->model->plan.n_embd;
    float *out = r->params.embedding;
    switch (r->params.pooling) {
    case INGOT_POOLING_NONE:
        memcpy(out + (size_t)position * n_embd, row, n_embd * sizeof *out);
        return;
    case INGOT_POOLING_MEAN:
        for (size_t k = 0; k < n_embd; k++)
            job->sum[k] = (position == 0 ? 0.0 : job->sum[k]) + (double)row[k];
        if ((size_t)position + 1 == r->params.n_tokens)
            for (size_t k = 0; k < n_embd; k++)
                out[k] = (float)(job->sum[k] / (double)r->params.n_tokens);
        return;
    case INGOT_POOLING_RANK:
        memcpy(out, row, (size_t)e->model->plan.n_label * sizeof *out);
        return;
    default:
        memcpy(out, row, n_embd * sizeof *out);
    }
}

static bool is_rank(const request *r) {
    return r->params.pooling == INGOT_POOLING_RANK;
}

// Collects, from `first` on, the requests that wait for the same kind of result, as far as there are `n_free`
// pages.
static void collect(embed_job *job, request *first, int32_t n_free) {
    ingot_engine *e = job->e;
    mutex_lock(&e->lock);
    for (request *r = first; r && job->n_texts < MAX_TEXTS; r = r->next) {
        const int32_t n = (int32_t)r->params.n_tokens;
        if (r != first && (r->started || r->dropped))
            continue;
        if (!r->params.embedding || is_rank(r) != job->rank)
            continue;
        if (job->n_pages + pages_for(n) > n_free)
            break; // longer ones would never come
        r->started = true;
        job->texts[job->n_texts++] = (embed_text){.r = r, .n_tokens = n};
        job->n_pages += pages_for(n);
    }
    mutex_unlock(&e->lock);
}

// Puts the next tokens of the texts into the engine's batch; false when there are none left.
static bool next_pass(embed_job *job, const int32_t **pages, int32_t *ends, adapter_list *adapters) {
    ingot_engine *e = job->e;
    const bool causal = e->model->plan.causal;
    job->n_tokens = job->n_rows = job->n_seqs = 0;
    for (int32_t t = 0; t < job->n_texts; t++) {
        embed_text *text = &job->texts[t];
        int32_t left = text->n_tokens - text->n_done, room = e->info.n_batch - job->n_tokens;
        int32_t n = left < room ? left : room;
        if (!text->r || left == 0)
            continue;
        if (n == 0 || (n < left && !causal))
            break;
        for (int32_t i = 0; i < n; i++) {
            int32_t position = text->n_done + i, at = job->n_tokens + i;
            e->tokens[at] = text->r->tokens[position];
            e->positions[at] = position;
            e->seqs[at] = job->n_seqs;
            if (wants_row(text->r, position, causal))
                e->rows[job->n_rows++] = at;
        }
        text->n_done += n;
        job->n_tokens += n;
        job->text_of[job->n_seqs] = t;
        pages[job->n_seqs] = text->pages;
        adapters[job->n_seqs] = request_adapters(text->r);
        ends[job->n_seqs++] = text->n_done;
    }
    return job->n_tokens > 0;
}

// Ends the texts that are complete or cancelled, or all of them with a bad status.
static void finish_texts(embed_job *job, ingot_status status, const ingot_error *err) {
    for (int32_t t = 0; t < job->n_texts; t++) {
        const embed_text *text = &job->texts[t];
        request *r = text->r;
        if (!r)
            continue;
        bool cancelled = status == INGOT_OK && atomic_load(&r->cancel);
        if (status == INGOT_OK && !cancelled && text->n_done < text->n_tokens)
            continue;
        ingot_error error = *err;
        if (cancelled)
            fail(&error, INGOT_ERR_CANCELLED, "the request was cancelled");
        r->n_prompt = text->n_done;
        r->prefill_seconds = clock_seconds() - job->start;
        job->texts[t].r = NULL;
        if (text->pages)
            page_pool_give(&job->e->pool, pages_for(text->n_tokens), text->pages);
        engine_count_pages(job->e);
        engine_finish(job->e, r, cancelled ? INGOT_ERR_CANCELLED : status, INGOT_FINISH_LENGTH, &error);
    }
}

// Where there is one text its own cancellation is looked at within a pass, else that of each between passes.
static ingot_status run_passes(embed_job *job, ingot_error *err) {
    ingot_engine *e = job->e;
    const int32_t *pages[MAX_TEXTS];
    int32_t ends[MAX_TEXTS];
    adapter_list adapters[MAX_TEXTS];
    const atomic_bool *cancel = job->n_texts == 1 ? &job->texts[0].r->cancel : &e->stopping;
    while (next_pass(job, pages, ends, adapters)) {
        backend_batch batch = {job->n_tokens, e->tokens, e->positions, e->seqs, pages, ends};
        forward_rows wanted = {.rows = e->rows,
                               .n_rows = job->n_rows,
                               .result = job->rank ? FORWARD_SCORES : FORWARD_HIDDEN,
                               .sink = take_row,
                               .user = job};
        TRY(forward_run(e->forward, &batch, e->kv, &wanted, adapters, cancel, err));
        TRY(ingot_gguf_check(e->model->file, err));
        finish_texts(job, INGOT_OK, err);
    }
    return INGOT_OK;
}

static ingot_status run(embed_job *job, ingot_error *err) {
    ingot_engine *e = job->e;
    job->page_table = mem_alloc(e->mem, (size_t)job->n_pages, sizeof *job->page_table);
    job->sum = mem_alloc(e->mem, (size_t)e->model->plan.n_embd, sizeof *job->sum);
    if (!job->page_table || !job->sum)
        return fail_memory(err, (uint64_t)e->model->plan.n_embd * sizeof *job->sum, "a batch of embeddings");
    schedule_evict(e, job->n_pages);
    TRY(page_pool_take(&e->pool, job->n_pages, job->page_table, err));
    engine_count_pages(e);
    int32_t *pages = job->page_table;
    for (int32_t t = 0; t < job->n_texts; t++) {
        job->texts[t].pages = pages;
        pages += pages_for(job->texts[t].n_tokens);
    }
    return run_passes(job, err);
}

void engine_embed(ingot_engine *e, request *r) {
    embed_job job = {.e = e, .start = clock_seconds(), .rank = is_rank(r)};
    ingot_error err = {0};
    // What is known of prompts shall not all go for a large batch.
    const int32_t least = pages_for((int32_t)r->params.n_tokens), share = e->pool.n_pages / 4;
    const int32_t most = e->pool.n_free > share ? e->pool.n_free : share;
    const int32_t free = e->pool.n_free + e->tree.n_unused;
    collect(&job, r, most < least ? least : most < free ? most : free);
    ingot_status status = run(&job, &err);
    finish_texts(&job, status, &err);
    atomic_store(&e->blocked, false);
    mem_free(e->mem, job.page_table);
    mem_free(e->mem, job.sum);
}
