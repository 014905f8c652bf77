#include "backend/cpu/cpu.h"

#include <math.h>
#include <string.h>

// Small operations over tokens: one job type, one worker function each.
typedef struct rows_job {
    cpu_backend *cpu;
    const backend_buffer *x;
    backend_buffer *out;
    const int32_t *rows;
    const backend_norm *norm;
    float number; // scale, cap or limit
    kernels_activation *activation;
    rope_kind kind;
    int32_t n_head;
    int32_t group; // that is rotated
} rows_job;

enum { TOKENS_PER_PIECE = 8 };

static void run_rows(backend *b, int64_t n_tokens, pool_fn fn, rows_job *job) {
    job->cpu = cpu_of(b);
    pool_run(job->cpu->threads, n_tokens, TOKENS_PER_PIECE, fn, job);
}

static void gather_rows(void *arg, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const rows_job *job = arg;
    for (int64_t i = begin; i < end; i++)
        memcpy(job->out->data + i * job->out->width, job->x->data + job->rows[i] * job->x->width,
               (size_t)job->x->width * sizeof(float));
}

void cpu_gather(backend *b, const backend_buffer *x, const int32_t *rows, int64_t n, backend_buffer *out) {
    run_rows(b, n, gather_rows, &(rows_job){.x = x, .rows = rows, .out = out});
}

// The numbers of a group, of a vector that has some for each or the same for all.
static const float *of_group(const backend_weight *w, int64_t at) {
    return w ? w->vector + at % w->width : NULL;
}

static void norm_rows(void *arg, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const rows_job *job = arg;
    const backend_norm *norm = job->norm;
    int64_t width = job->x->width;
    for (int64_t t = begin; t < end; t++) {
        for (int64_t at = 0; at < width; at += norm->group) {
            const float *x = job->x->data + t * width + at;
            float *out = job->out->data + t * width + at;
            const float *w = of_group(norm->weight, at);
            if (norm->kind == NORM_RMS)
                job->cpu->k->rms_norm(x, w, norm->eps, norm->group, out);
            else
                job->cpu->k->layer_norm(x, w, of_group(norm->bias, at), norm->eps, norm->group, out);
        }
    }
}

void cpu_norm(backend *b, const backend_buffer *x, const backend_norm *norm, int64_t n_tokens,
              backend_buffer *out) {
    run_rows(b, n_tokens, norm_rows, &(rows_job){.x = x, .norm = norm, .out = out});
}

void cpu_clear(backend *b, backend_buffer *x, int64_t n_tokens) {
    (void)b;
    memset(x->data, 0, (size_t)(n_tokens * x->width) * sizeof(float));
}

static void add_rows(void *arg, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const rows_job *job = arg;
    int64_t width = job->out->width;
    job->cpu->k->axpy(job->number, job->x->data + begin * width, (end - begin) * width,
                      job->out->data + begin * width);
}

void cpu_add(backend *b, const backend_buffer *x, float scale, int64_t n_tokens, backend_buffer *y) {
    run_rows(b, n_tokens, add_rows, &(rows_job){.x = x, .number = scale, .out = y});
}

static void scale_rows(void *arg, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const rows_job *job = arg;
    int64_t width = job->out->width;
    for (int64_t i = begin * width; i < end * width; i++)
        job->out->data[i] *= job->number;
}

void cpu_scale(backend *b, backend_buffer *x, float scale, int64_t n_tokens) {
    run_rows(b, n_tokens, scale_rows, &(rows_job){.out = x, .number = scale});
}

static void soft_cap_rows(void *arg, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const rows_job *job = arg;
    int64_t width = job->out->width;
    for (int64_t i = begin * width; i < end * width; i++)
        job->out->data[i] = job->number * tanhf(job->out->data[i] / job->number);
}

void cpu_soft_cap(backend *b, backend_buffer *x, float cap, int64_t n_tokens) {
    run_rows(b, n_tokens, soft_cap_rows, &(rows_job){.out = x, .number = cap});
}

static void clamp_rows(void *arg, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const rows_job *job = arg;
    int64_t width = job->out->width;
    for (int64_t i = begin * width; i < end * width; i++)
        job->out->data[i] = fminf(fmaxf(job->out->data[i], -job->number), job->number);
}

void cpu_clamp(backend *b, backend_buffer *x, float limit, int64_t n_tokens) {
    run_rows(b, n_tokens, clamp_rows, &(rows_job){.out = x, .number = limit});
}

static void activate_rows(void *arg, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const rows_job *job = arg;
    int64_t width = job->out->width;
    float *x = job->out->data + begin * width;
    job->activation(x, job->x ? job->x->data + begin * width : NULL, (end - begin) * width, x);
}

static kernels_activation *find_activation(const kernels *k, activation kind) {
    switch (kind) {
    case ACTIVATION_SILU:
        return k->silu;
    case ACTIVATION_GELU:
        return k->gelu;
    case ACTIVATION_GELU_ERF:
        return k->gelu_erf;
    case ACTIVATION_RELU_SQUARED:
        return k->relu_squared;
    case ACTIVATION_TANH:
        return k->tanh;
    case ACTIVATION_SWIGLU_OAI:
        return k->swiglu_oai;
    }
    return NULL;
}

void cpu_activate(backend *b, activation kind, backend_buffer *x, const backend_buffer *up, int64_t n_rows) {
    run_rows(b, n_rows, activate_rows,
             &(rows_job){.x = up, .out = x, .activation = find_activation(cpu_of(b)->k, kind)});
}

void cpu_rope_table(backend *b, const float *freqs, int32_t n_freqs, float magnitude,
                    const backend_batch *batch, backend_buffer *table) {
    (void)b;
    for (int32_t t = 0; t < batch->n_tokens; t++) {
        float *row = table->data + t * table->width;
        for (int32_t i = 0; i < n_freqs; i++) {
            double angle = (double)batch->positions[t] * (double)freqs[i];
            row[2 * i] = (float)(cos(angle) * (double)magnitude);
            row[2 * i + 1] = (float)(sin(angle) * (double)magnitude);
        }
    }
}

static void rope_rows(void *arg, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const rows_job *job = arg;
    int64_t n_freqs = job->x->width / 2, dim = job->out->width / job->n_head;
    int64_t step = job->kind == ROPE_NORM ? 2 : 1, mate = job->kind == ROPE_NORM ? 1 : n_freqs;
    for (int64_t t = begin; t < end; t++) {
        const float *table = job->x->data + t * job->x->width;
        for (int32_t h = 0; h < job->n_head; h++) {
            float *head = job->out->data + t * job->out->width + h * dim;
            for (int64_t i = 0; i < n_freqs; i++) {
                float c = table[2 * i], s = table[2 * i + 1];
                float a = head[i * step], d = head[i * step + mate];
                head[i * step] = a * c - d * s;
                head[i * step + mate] = a * s + d * c;
            }
        }
    }
}

void cpu_rope(backend *b, backend_buffer *x, const backend_buffer *table, rope_kind kind, int32_t n_head,
              const backend_batch *batch) {
    run_rows(b, batch->n_tokens, rope_rows,
             &(rows_job){.x = table, .out = x, .kind = kind, .n_head = n_head});
}

static void rotate_rows(void *arg, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const rows_job *job = arg;
    const int64_t width = job->out->width;
    job->cpu->k->rotate(job->out->data + begin * width, (end - begin) * width, job->group);
}

void cpu_rotate(backend *b, backend_buffer *x, int32_t group, int64_t n_tokens) {
    run_rows(b, n_tokens, rotate_rows, &(rows_job){.out = x, .group = group});
}

static void gate_rows(void *arg, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const rows_job *job = arg;
    for (int64_t t = begin; t < end; t++) {
        float share = 1.0f / (1.0f + expf(-job->x->data[t * job->x->width]));
        for (int64_t i = 0; i < job->out->width; i++)
            job->out->data[t * job->out->width + i] *= share;
    }
}

void cpu_gate(backend *b, backend_buffer *x, const backend_buffer *gate, int64_t n_tokens) {
    run_rows(b, n_tokens, gate_rows, &(rows_job){.x = gate, .out = x});
}
