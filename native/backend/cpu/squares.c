// Sums of squares, and of products, of what matrices are multiplied with. Threads share the columns, so that
// each sum has one order: that of the tokens.
#include <string.h>

#include "backend/cpu/cpu.h"

enum { STRIP = 128, ROWS = 64 };

enum { WINDOW_SUMS = QUANT_WINDOW * QUANT_WINDOW };

static int64_t windows_of(const backend_squares *s) {
    return (s->width + QUANT_WINDOW - 1) / QUANT_WINDOW;
}

static size_t n_moments(const backend_squares *s) {
    return (size_t)(windows_of(s) * s->mats) * WINDOW_SUMS;
}

ingot_status cpu_squares_new(backend *b, int64_t width, int64_t mats, bool moments, backend_squares **out,
                             ingot_error *err) {
    const ingot_allocator *mem = cpu_of(b)->mem;
    backend_squares *s = mem_alloc(mem, 1, sizeof *s);
    if (!s)
        return fail_memory(err, sizeof *s, "sums of squares");
    *s = (backend_squares){
        .width = width,
        .mats = mats,
        .sums = mem_alloc(mem, (size_t)(width * mats), sizeof *s->sums),
        .counts = mem_alloc(mem, (size_t)mats, sizeof *s->counts),
    };
    if (!s->sums || !s->counts) {
        cpu_squares_free(b, s);
        return fail_memory(err, (uint64_t)(width * mats) * sizeof *s->sums, "sums of squares");
    }
    if (moments && !(s->moments = mem_alloc(mem, n_moments(s), sizeof *s->moments))) {
        const uint64_t bytes = n_moments(s) * sizeof *s->moments;
        cpu_squares_free(b, s);
        return fail_memory(err, bytes, "sums of products");
    }
    *out = s;
    return INGOT_OK;
}

void cpu_squares_free(backend *b, backend_squares *squares) {
    const ingot_allocator *mem = cpu_of(b)->mem;
    if (!squares)
        return;
    mem_free(mem, squares->sums);
    mem_free(mem, squares->moments);
    mem_free(mem, squares->counts);
    mem_free(mem, squares);
}

void cpu_squares_clear(backend *b, backend_squares *squares) {
    (void)b;
    memset(squares->sums, 0, (size_t)(squares->width * squares->mats) * sizeof *squares->sums);
    memset(squares->counts, 0, (size_t)squares->mats * sizeof *squares->counts);
    if (squares->moments)
        memset(squares->moments, 0, n_moments(squares) * sizeof *squares->moments);
}

ingot_status cpu_squares_read(backend *b, const backend_squares *squares, double *sums, uint64_t *counts,
                              ingot_error *err) {
    (void)b;
    (void)err;
    memcpy(sums, squares->sums, (size_t)(squares->width * squares->mats) * sizeof *sums);
    memcpy(counts, squares->counts, (size_t)squares->mats * sizeof *counts);
    return INGOT_OK;
}

// What lies above the diagonal is the same as below it.
ingot_status cpu_moments_read(backend *b, const backend_squares *squares, float *moments, ingot_error *err) {
    (void)b;
    (void)err;
    for (int64_t row = 0; row < squares->mats * squares->width; row++) {
        const int64_t mat = row / squares->width, column = row % squares->width;
        const int64_t i = column % QUANT_WINDOW, window = column - i;
        const float *sums =
            squares->moments + (mat * windows_of(squares) + window / QUANT_WINDOW) * WINDOW_SUMS;
        for (int64_t j = 0; j < QUANT_WINDOW; j++)
            moments[row * QUANT_WINDOW + j] = window + j < squares->width
                                                  ? sums[i > j ? i * QUANT_WINDOW + j : j * QUANT_WINDOW + i]
                                                  : 0.0f;
    }
    return INGOT_OK;
}

typedef struct squares_job {
    cpu_backend *cpu;
    const backend_buffer *x;
    int64_t n_tokens;               // of all, without a routing
    const backend_routing *routing; // NULL: there is one matrix
    bool per_choice;
    backend_squares *squares;
    int64_t strips; // of a matrix
} squares_job;

static int64_t rows_of(const squares_job *job, int64_t mat) {
    return job->routing ? job->routing->first[mat + 1] - job->routing->first[mat] : job->n_tokens;
}

// The i-th row that goes to a matrix.
static const float *row_of(const squares_job *job, int64_t mat, int64_t i) {
    const backend_routing *r = job->routing;
    const int64_t choice = r ? r->order[r->first[mat] + i] : i;
    return job->x->data + (r && !job->per_choice ? choice / r->n_used : choice) * job->x->width;
}

static void add_strip(const squares_job *job, int64_t mat, int64_t column) {
    const int64_t left = job->squares->width - column, n = left < STRIP ? left : STRIP;
    const int64_t n_rows = rows_of(job, mat);
    double *sums = job->squares->sums + mat * job->squares->width + column;
    for (int64_t first = 0; first < n_rows; first += ROWS) {
        const float *rows[ROWS];
        int64_t k = 0;
        for (; k < ROWS && first + k < n_rows; k++)
            rows[k] = row_of(job, mat, first + k) + column;
        job->cpu->k->add_squares(rows, k, n, sums);
    }
}

static void add_window(const squares_job *job, int64_t mat, int64_t window) {
    float rows[ROWS][QUANT_WINDOW] = {0};
    const int64_t column = window * QUANT_WINDOW, left = job->squares->width - column;
    const size_t bytes = (size_t)(left < QUANT_WINDOW ? left : QUANT_WINDOW) * sizeof **rows;
    const int64_t n_rows = rows_of(job, mat);
    float *sums = job->squares->moments + (mat * windows_of(job->squares) + window) * WINDOW_SUMS;
    for (int64_t first = 0; first < n_rows; first += ROWS) {
        int64_t k = 0;
        for (; k < ROWS && first + k < n_rows; k++)
            memcpy(rows[k], row_of(job, mat, first + k) + column, bytes);
        job->cpu->k->add_moments(rows[0], k, sums);
    }
}

static void add_windows(void *arg, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const squares_job *job = arg;
    for (int64_t i = begin; i < end; i++)
        add_window(job, i / windows_of(job->squares), i % windows_of(job->squares));
}

static void add_strips(void *arg, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const squares_job *job = arg;
    for (int64_t i = begin; i < end; i++)
        add_strip(job, i / job->strips, i % job->strips * STRIP);
}

static void run(squares_job *job) {
    job->strips = (job->squares->width + STRIP - 1) / STRIP;
    pool_run(job->cpu->threads, job->strips * job->squares->mats, 1, add_strips, job);
    if (job->squares->moments)
        pool_run(job->cpu->threads, windows_of(job->squares) * job->squares->mats, 1, add_windows, job);
    for (int64_t mat = 0; mat < job->squares->mats; mat++)
        job->squares->counts[mat] += (uint64_t)rows_of(job, mat);
}

void cpu_add_squares(backend *b, const backend_buffer *x, int64_t n_tokens, backend_squares *squares) {
    run(&(squares_job){.cpu = cpu_of(b), .x = x, .n_tokens = n_tokens, .squares = squares});
}

void cpu_add_squares_experts(backend *b, const backend_buffer *x, bool per_choice,
                             const backend_routing *routing, backend_squares *squares) {
    run(&(squares_job){
        .cpu = cpu_of(b), .x = x, .routing = routing, .per_choice = per_choice, .squares = squares});
}
