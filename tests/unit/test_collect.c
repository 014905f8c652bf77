// What a model opened with `collect` sums up: the squares of what matrices are multiplied with, and products
// of columns, to the bit, whatever the threads and batches; nothing that is computed changes.
#include "check.h"

#include <math.h>
#include <stdlib.h>

#include "backend/backend.h"
#include "session.h"

static temp_dir dir;
static const ingot_model_params collecting = {.collect = true};

// ------------------------------------------------------------------------------------------------- a backend

enum { WIDTH = 299, ROWS = 100, N_EXPERT = 5, N_USED = 2 };

typedef struct device {
    pool *threads;
    backend *b;
    backend_weight *table, *all, *part, *experts;
    backend_buffer *x, *out, *more, *choices, *logits;
    backend_routing *routing;
    float rows[ROWS * WIDTH];
} device;

static uint32_t state = 7;

static float random_float(void) {
    state = state * 1664525u + 1013904223u;
    return (float)(state >> 8) / 8388608.0f - 1.0f;
}

static backend_weight *weight(backend *b, const char *name, const float *data, int64_t rows, int64_t mats) {
    backend_weight *w = NULL;
    const weight_desc desc = {
        .name = name, .data = data, .type = 0, .width = WIDTH, .rows = rows, .mats = mats};
    CHECK(b->ops->weight_new(b, &desc, &w, NULL) == INGOT_OK);
    return w;
}

static device *device_open(int threads) {
    device *d = calloc(1, sizeof *d);
    const struct kernels *chosen;
    for (int i = 0; i < ROWS * WIDTH; i++)
        d->rows[i] = random_float() * (i % 7 == 0 ? 30.0f : 1.0f);
    CHECK(pool_new(threads, NULL, NULL, &d->threads, NULL) == INGOT_OK);
    CHECK(backend_isa_choose(NULL, &chosen, NULL) == INGOT_OK);
    const backend_params params = {BACKEND_VERSION, d->threads, chosen, NULL, NULL};
    CHECK(backend_open_collect(&params, 0, true, &d->b, NULL) == INGOT_OK);
    const backend_ops *ops = d->b->ops;
    d->table = weight(d->b, "table", d->rows, ROWS, 1);
    d->all = weight(d->b, "parts", d->rows, 1, 1);
    d->part = weight(d->b, "parts", d->rows, 2, 1);
    d->experts = weight(d->b, "experts", d->rows, 1, N_EXPERT);
    CHECK(ops->buffer_new(d->b, WIDTH, ROWS, &d->x, NULL) == INGOT_OK);
    CHECK(ops->buffer_new(d->b, 2, ROWS * N_USED, &d->out, NULL) == INGOT_OK);
    CHECK(ops->buffer_new(d->b, 2, ROWS, &d->more, NULL) == INGOT_OK);
    CHECK(ops->buffer_new(d->b, WIDTH, ROWS, &d->choices, NULL) == INGOT_OK);
    CHECK(ops->buffer_new(d->b, N_EXPERT, ROWS, &d->logits, NULL) == INGOT_OK);
    CHECK(ops->routing_new(d->b, N_EXPERT, N_USED, ROWS, &d->routing, NULL) == INGOT_OK);
    return d;
}

static void device_close(device *d) {
    const backend_ops *ops = d->b->ops;
    ops->routing_free(d->b, d->routing);
    backend_buffer *const buffers[] = {d->x, d->out, d->more, d->choices, d->logits};
    for (size_t i = 0; i < sizeof buffers / sizeof *buffers; i++)
        ops->buffer_free(d->b, buffers[i]);
    backend_weight *const weights[] = {d->table, d->all, d->part, d->experts};
    for (size_t i = 0; i < sizeof weights / sizeof *weights; i++)
        ops->weight_free(d->b, weights[i]);
    ops->close(d->b);
    pool_free(d->threads);
    free(d);
}

// Puts rows [first, first + n) of the table into `x`.
static void load(device *d, backend_buffer *x, int32_t first, int32_t n) {
    int32_t ids[ROWS];
    for (int32_t i = 0; i < n; i++)
        ids[i] = first + i;
    d->b->ops->embed(d->b, d->table, ids, n, x);
}

static int32_t index_of(const device *d, const char *name) {
    ingot_collected found;
    for (int32_t i = 0; backend_collected(d->b, i, &found, NULL) == INGOT_OK; i++)
        if (strcmp(found.tensor, name) == 0)
            return i;
    CHECK_CONTAINS("", name);
    return 0;
}

static void check_dense(const device *d, int32_t n_rows) {
    double sums[WIDTH], expected[WIDTH] = {0};
    uint64_t count;
    for (int t = 0; t < n_rows; t++)
        for (int c = 0; c < WIDTH; c++)
            expected[c] += (double)d->rows[t * WIDTH + c] * (double)d->rows[t * WIDTH + c];
    CHECK(backend_collected_read(d->b, index_of(d, "parts"), sums, &count, NULL) == INGOT_OK);
    CHECK(count == (uint64_t)n_rows && memcmp(sums, expected, sizeof sums) == 0);
}

// Column c of the rows that go to a matrix of `tensor`, of which `rows` has the numbers [n].
static void check_moments(const device *d, const char *tensor, int32_t mat, const int *rows, int n) {
    enum { COLUMNS = N_EXPERT * WIDTH };
    static float found[COLUMNS][INGOT_WINDOW];
    CHECK(backend_collected_moments(d->b, index_of(d, tensor), found[0], NULL) == INGOT_OK);
    for (int c = 0; c < WIDTH; c++)
        for (int k = 0; k < INGOT_WINDOW; k++) {
            const int other = c / INGOT_WINDOW * INGOT_WINDOW + k;
            double expected = 0.0, size = 0.0;
            for (int i = 0; i < n && other < WIDTH; i++) {
                const double product =
                    (double)d->rows[rows[i] * WIDTH + c] * (double)d->rows[rows[i] * WIDTH + other];
                expected += product;
                size += fabs(product);
            }
            CHECK(fabs((double)found[mat * WIDTH + c][k] - expected) <= 1e-6 * size);
        }
}

static void check_dense_moments(const device *d, int32_t n_rows, float *first) {
    float found[WIDTH][INGOT_WINDOW];
    int rows[ROWS];
    for (int i = 0; i < n_rows; i++)
        rows[i] = i;
    check_moments(d, "parts", 0, rows, n_rows);
    CHECK(backend_collected_moments(d->b, index_of(d, "parts"), found[0], NULL) == INGOT_OK);
    if (first[0] == 0.0f)
        memcpy(first, found, sizeof found);
    CHECK(memcmp(first, found, sizeof found) == 0);
}

// The same rows in batches of several sizes.
static void test_dense(int threads) {
    static const int32_t batches[] = {ROWS, 64, 7, 1};
    float moments[WIDTH * INGOT_WINDOW] = {0}; // which batches don't change
    device *d = device_open(threads);
    const backend_product products[2] = {{d->all, NULL, d->out}, {d->part, NULL, d->more}};
    for (size_t k = 0; k < sizeof batches / sizeof *batches; k++) {
        for (int32_t first = 0; first < ROWS; first += batches[k]) {
            const int32_t left = ROWS - first, n = left < batches[k] ? left : batches[k];
            load(d, d->x, first, n);
            d->b->ops->multiply(d->b, d->x, n, products, 2);
        }
        CHECK(d->b->ops->sync(d->b, NULL) == INGOT_OK);
        check_dense(d, ROWS);
        check_dense_moments(d, ROWS, moments);
        CHECK(backend_collected_clear(d->b, NULL) == INGOT_OK);
    }
    check_dense(d, 0);
    check_moments(d, "parts", 0, NULL, 0);
    device_close(d);
}

// Chooses experts t % N_EXPERT and (t + 1) % N_EXPERT for token t.
static void route(device *d, int32_t n) {
    static float wanted[ROWS][N_EXPERT];
    for (int32_t t = 0; t < n; t++)
        for (int32_t e = 0; e < N_EXPERT; e++)
            wanted[t][e] = e == t % N_EXPERT ? 2.0f : e == (t + 1) % N_EXPERT ? 1.0f : 0.0f;
    backend_weight *table = NULL;
    const weight_desc desc = {
        .name = "logits", .data = wanted, .type = 0, .width = N_EXPERT, .rows = n, .mats = 1};
    int32_t ids[ROWS];
    for (int32_t i = 0; i < n; i++)
        ids[i] = i;
    CHECK(d->b->ops->weight_new(d->b, &desc, &table, NULL) == INGOT_OK);
    d->b->ops->embed(d->b, table, ids, n, d->logits);
    d->b->ops->route(d->b, d->logits, ROUTER_SOFTMAX, 1.0f, n, d->routing);
    d->b->ops->weight_free(d->b, table);
}

static void test_experts(int threads, bool per_choice) {
    enum { N = ROWS / N_USED }; // rows of the choices too
    device *d = device_open(threads);
    const backend_product product = {d->experts, NULL, d->out};
    double sums[N_EXPERT][WIDTH], expected[N_EXPERT][WIDTH] = {{0}};
    uint64_t counts[N_EXPERT];
    route(d, N);
    load(d, d->choices, 0, per_choice ? N * N_USED : N);
    d->b->ops->multiply_experts(d->b, d->choices, per_choice, d->routing, &product, 1);
    for (int t = 0; t < N; t++) {
        for (int j = 0; j < N_USED; j++) {
            const float *row = d->rows + (per_choice ? t * N_USED + j : t) * WIDTH;
            for (int c = 0; c < WIDTH; c++)
                expected[(t + j) % N_EXPERT][c] += (double)row[c] * (double)row[c];
        }
    }
    CHECK(backend_collected_read(d->b, index_of(d, "experts"), *sums, counts, NULL) == INGOT_OK);
    CHECK(memcmp(sums, expected, sizeof sums) == 0);
    for (int e = 0; e < N_EXPERT; e++) {
        int rows[ROWS], n = 0;
        for (int t = 0; t < N; t++)
            for (int j = 0; j < N_USED; j++)
                if ((t + j) % N_EXPERT == e)
                    rows[n++] = per_choice ? t * N_USED + j : t;
        CHECK(counts[e] == N * N_USED / N_EXPERT);
        check_moments(d, "experts", e, rows, n);
    }
    device_close(d);
}

// An operation that is new in backend.h must be passed on too.
static void test_nothing_is_missing(void) {
    device *d = device_open(1);
    for (size_t at = offsetof(backend_ops, name); at < sizeof *d->b->ops; at += sizeof(void *)) {
        uintptr_t pointer;
        memcpy(&pointer, (const char *)d->b->ops + at, sizeof pointer);
        CHECK(pointer != 0);
    }
    device_close(d);
}

// ------------------------------------------------------------------------------------------------- a model

// Runs the prompt and returns the last token's vector.
static ingot_status embed(ingot_model *model, float *vector, ingot_error *err) {
    ingot_engine *e = NULL;
    ingot_request r = simple(0);
    uint64_t id;
    ingot_event event = {0};
    r.embedding = vector;
    r.pooling = INGOT_POOLING_LAST;
    ingot_status status = ingot_engine_new(model, NULL, &e, err);
    if (status == INGOT_OK)
        status = ingot_engine_submit(e, &r, &id, err);
    while (status == INGOT_OK && event.kind != INGOT_EVENT_DONE && event.kind != INGOT_EVENT_ERROR)
        status = ingot_engine_wait(e, id, -1, &event, err);
    if (status == INGOT_OK && event.kind == INGOT_EVENT_ERROR) {
        *err = event.error;
        status = event.error.status;
    }
    if (e && event.kind != INGOT_EVENT_NONE)
        ingot_engine_drop(e, id);
    ingot_engine_free(e);
    return status;
}

static ingot_collected find(const ingot_model *m, const char *name, double *sums, uint64_t *counts) {
    ingot_collected found;
    for (int32_t i = 0; ingot_model_collected(m, i, &found, NULL) == INGOT_OK; i++) {
        if (strcmp(found.tensor, name) != 0)
            continue;
        CHECK(ingot_model_collected_read(m, i, sums, counts, NULL) == INGOT_OK);
        return found;
    }
    CHECK_CONTAINS("", name);
    return (ingot_collected){0};
}

enum { WIDEST = TINY_FF * TINY_EXPERTS };

static void check_dense_model(const ingot_model *m) {
    double q[WIDEST], other[WIDEST];
    uint64_t count = 0;
    const ingot_collected first = find(m, "blk.1.attn_q.weight", q, &count);
    CHECK(first.width == TINY_EMBD && first.matrices == 1 && count == N_PROMPT && q[0] > 0);
    static const char *const alike[] = {"blk.1.attn_k.weight", "blk.1.attn_v.weight"};
    for (size_t i = 0; i < 2; i++) {
        CHECK(find(m, alike[i], other, &count).input == first.input);
        CHECK(count == N_PROMPT && memcmp(q, other, TINY_EMBD * sizeof *q) == 0);
    }
    CHECK(find(m, "blk.0.attn_q.weight", other, &count).input != first.input);
    CHECK(find(m, "blk.1.ffn_down.weight", other, &count).width == TINY_FF && count == N_PROMPT);
    CHECK(find(m, "blk.1.ffn_up.weight", q, &count).input ==
          find(m, "blk.1.ffn_gate.weight", other, &count).input);
    const ingot_collected head = find(m, "token_embd.weight", other, &count); // nobody asked for logits
    CHECK(head.input == -1 && count == 0 && other[0] == 0);
}

static void check_experts_model(const ingot_model *m) {
    double sums[WIDEST];
    uint64_t counts[TINY_EXPERTS], n = 0;
    const ingot_collected down = find(m, "blk.1.ffn_down_exps.weight", sums, counts);
    CHECK(down.width == TINY_FF && down.matrices == TINY_EXPERTS);
    for (int e = 0; e < TINY_EXPERTS; e++) {
        CHECK((counts[e] > 0) == (sums[e * TINY_FF] > 0));
        n += counts[e];
    }
    CHECK(n == N_PROMPT * N_USED);
}

static void test_model(bool experts) {
    temp_path path = temp_join(&dir, "model.gguf");
    CHECK(tiny_model_write(path.text, &(tiny_options){.experts = experts}) == INGOT_OK);
    ingot_runtime *runtime = NULL;
    ingot_model *plain = NULL, *m = NULL;
    ingot_collected found;
    ingot_error err;
    float vectors[2][TINY_EMBD];
    CHECK(ingot_runtime_new(&(ingot_runtime_params){.threads = 2}, &runtime, NULL) == INGOT_OK);
    CHECK(ingot_model_open(runtime, path.text, NULL, NULL, NULL, &plain, NULL) == INGOT_OK);
    CHECK(ingot_model_open(runtime, path.text, &collecting, NULL, NULL, &m, NULL) == INGOT_OK);
    CHECK(ingot_model_collected(plain, 0, &found, &err) == INGOT_ERR_STATE);
    CHECK_CONTAINS(err.message, "opened without `collect`");
    CHECK(ingot_model_collected_clear(plain, NULL) == INGOT_ERR_STATE);
    CHECK(ingot_model_collected_moments(m, 0, NULL, &err) == INGOT_ERR_STATE);
    CHECK_CONTAINS(err.message, "opened without `moments`");
    CHECK(ingot_model_collected(m, -1, &found, NULL) == INGOT_ERR_NOT_FOUND);
    CHECK(ingot_model_collected(m, 1000, &found, &err) == INGOT_ERR_NOT_FOUND);
    CHECK_CONTAINS(err.message, "there is no matrix 1000");
    CHECK(embed(plain, vectors[0], &err) == INGOT_OK && embed(m, vectors[1], &err) == INGOT_OK);
    CHECK(memcmp(vectors[0], vectors[1], sizeof vectors[0]) == 0);
    if (experts)
        check_experts_model(m);
    else
        check_dense_model(m);
    ingot_model_close(m);
    ingot_model_close(plain);
    ingot_model_params both = {.collect = true, .profile = true};
    CHECK(ingot_model_open(runtime, path.text, &both, NULL, NULL, &m, &err) == INGOT_ERR_INVALID);
    CHECK_CONTAINS(err.message, "profile and collect can't go together");
    ingot_runtime_free(runtime);
}

// Sums are made within a pass, whose request then fails if there is no memory for them.
static void test_memory(void) {
    temp_path path = temp_join(&dir, "model.gguf");
    CHECK(tiny_model_write(path.text, NULL) == INGOT_OK);
    for (long n = 0;; n++) {
        failing_mem mem;
        failing_mem_init(&mem, n);
        ingot_runtime *runtime = NULL;
        ingot_model *m = NULL;
        ingot_error err;
        float vector[TINY_EMBD];
        const ingot_runtime_params params = {.threads = 1, .allocator = &mem.allocator};
        ingot_status status = ingot_runtime_new(&params, &runtime, NULL);
        if (status == INGOT_OK)
            status = ingot_model_open(runtime, path.text, &collecting, NULL, NULL, &m, NULL);
        if (status == INGOT_OK)
            status = embed(m, vector, &err);
        ingot_model_close(m);
        ingot_runtime_free(runtime);
        if (!failing_mem_end(&mem, status))
            break;
    }
}

int main(void) {
    dir = temp_dir_make();
    for (int threads = 1; threads <= 3; threads++) {
        test_dense(threads);
        test_experts(threads, false);
        test_experts(threads, true);
    }
    test_nothing_is_missing();
    test_model(false);
    test_model(true);
    test_memory();
    temp_dir_remove(&dir);
    return check_report();
}
