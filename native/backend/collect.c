// A backend that passes everything on to another one, and sums up the squares of what weights are multiplied
// with: by them an importance matrix says how much each column of a weight matters.
#include <stdio.h>
#include <string.h>

#include "backend/backend.h"
#include "base/thread.h"

enum { UNUSED = -1 };

// A tensor of matrices.
typedef struct collected {
    char name[sizeof((ingot_collected){0}).tensor];
    int64_t width, mats;
    int32_t input;            // the first tensor with the same input; UNUSED: none came yet
    backend_squares *squares; // of the first one
} collected;

// A weight, to be known again when it is multiplied with: all of a tensor's matrices, or some rows of them.
typedef struct known_weight {
    const backend_weight *weight; // NULL: freed
    int32_t tensor;
} known_weight;

typedef struct collect {
    backend head;
    backend *inner;
    const ingot_allocator *mem;
    bool moments;
    mutex lock; // for the sums: two engines may run on one model
    collected *tensors;
    int32_t n_tensors;
    known_weight *weights;
    size_t n_weights, tensors_capacity, weights_capacity;
    size_t last;         // found last
    ingot_error failure; // what sync reports
} collect;

static const backend_ops collect_ops;

static collect *collect_of(backend *b) {
    return (collect *)b;
}

// ------------------------------------------------------------------------------------------------- summing

// Operations come in the order in which weights were made: the search begins where the last one ended.
static collected *find_tensor(collect *c, const backend_weight *weight) {
    for (size_t i = 1; i <= c->n_weights; i++) {
        const size_t at = (c->last + i) % c->n_weights;
        if (c->weights[at].weight == weight) {
            c->last = at;
            return &c->tensors[c->weights[at].tensor];
        }
    }
    return NULL;
}

// The sums over what these products have in common: the first one's, which are made when it first comes.
static backend_squares *find_squares(collect *c, const backend_product *products, int32_t n_products) {
    collected *first = find_tensor(c, products[0].weight);
    if (!first || c->failure.status != INGOT_OK)
        return NULL;
    if (first->input == UNUSED) {
        backend *to = c->inner;
        if (to->ops->squares_new(to, first->width, first->mats, c->moments, &first->squares, &c->failure) !=
            INGOT_OK)
            return NULL;
        for (int32_t i = 0; i < n_products; i++) {
            collected *t = find_tensor(c, products[i].weight);
            if (t)
                t->input = (int32_t)(first - c->tensors);
        }
    }
    return c->tensors[first->input].squares;
}

static void collect_multiply(backend *b, const backend_buffer *x, int64_t n_tokens,
                             const backend_product *products, int32_t n_products) {
    collect *c = collect_of(b);
    backend *to = c->inner;
    mutex_lock(&c->lock);
    backend_squares *squares = find_squares(c, products, n_products);
    if (squares)
        to->ops->add_squares(to, x, n_tokens, squares);
    mutex_unlock(&c->lock);
    to->ops->multiply(to, x, n_tokens, products, n_products);
}

static void collect_multiply_experts(backend *b, const backend_buffer *x, bool per_choice,
                                     const backend_routing *routing, const backend_product *products,
                                     int32_t n_products) {
    collect *c = collect_of(b);
    backend *to = c->inner;
    mutex_lock(&c->lock);
    backend_squares *squares = find_squares(c, products, n_products);
    if (squares)
        to->ops->add_squares_experts(to, x, per_choice, routing, squares);
    mutex_unlock(&c->lock);
    to->ops->multiply_experts(to, x, per_choice, routing, products, n_products);
}

// ------------------------------------------------------------------------------------------------- reading

static ingot_status check_collects(const backend *b, ingot_error *err) {
    return b->ops == &collect_ops
               ? INGOT_OK
               : fail(err, INGOT_ERR_STATE, "the model was opened without `collect`: nothing was summed up");
}

static ingot_status tensor_at(backend *b, int32_t i, const collected **out, ingot_error *err) {
    TRY(check_collects(b, err));
    const collect *c = collect_of(b);
    if (i < 0 || i >= c->n_tensors)
        return fail(err, INGOT_ERR_NOT_FOUND, "there is no matrix %d; matrices: %d", i, c->n_tensors);
    *out = &c->tensors[i];
    return INGOT_OK;
}

ingot_status backend_collected(backend *b, int32_t i, ingot_collected *out, ingot_error *err) {
    const collected *t = NULL;
    TRY(tensor_at(b, i, &t, err));
    mutex_lock(&collect_of(b)->lock);
    *out = (ingot_collected){.width = t->width, .matrices = t->mats, .input = t->input};
    mutex_unlock(&collect_of(b)->lock);
    memcpy(out->tensor, t->name, sizeof out->tensor);
    return INGOT_OK;
}

ingot_status backend_collected_read(backend *b, int32_t i, double *sums, uint64_t *counts, ingot_error *err) {
    const collected *t = NULL;
    TRY(tensor_at(b, i, &t, err));
    collect *c = collect_of(b);
    ingot_status status = INGOT_OK;
    mutex_lock(&c->lock);
    if (t->input != UNUSED) {
        status = c->inner->ops->squares_read(c->inner, c->tensors[t->input].squares, sums, counts, err);
    } else {
        memset(sums, 0, (size_t)(t->width * t->mats) * sizeof *sums);
        memset(counts, 0, (size_t)t->mats * sizeof *counts);
    }
    mutex_unlock(&c->lock);
    return status;
}

ingot_status backend_collected_moments(backend *b, int32_t i, float *moments, ingot_error *err) {
    const collected *t = NULL;
    TRY(tensor_at(b, i, &t, err));
    collect *c = collect_of(b);
    if (!c->moments)
        return fail(err, INGOT_ERR_STATE,
                    "the model was opened without `moments`: no products were summed up");
    ingot_status status = INGOT_OK;
    mutex_lock(&c->lock);
    if (t->input != UNUSED)
        status = c->inner->ops->moments_read(c->inner, c->tensors[t->input].squares, moments, err);
    else
        memset(moments, 0, (size_t)(t->width * t->mats) * INGOT_WINDOW * sizeof *moments);
    mutex_unlock(&c->lock);
    return status;
}

ingot_status backend_collected_clear(backend *b, ingot_error *err) {
    TRY(check_collects(b, err));
    collect *c = collect_of(b);
    mutex_lock(&c->lock);
    for (int32_t i = 0; i < c->n_tensors; i++)
        if (c->tensors[i].squares)
            c->inner->ops->squares_clear(c->inner, c->tensors[i].squares);
    mutex_unlock(&c->lock);
    return INGOT_OK;
}

// ------------------------------------------------------------------------------------------------- handles

static int32_t collect_device_count(void) {
    return backend_at(0)->device_count();
}

static ingot_status collect_describe(const backend_params *params, int32_t device, ingot_device *out,
                                     ingot_error *err) {
    return backend_at(0)->describe(params, device, out, err);
}

static void collect_close(backend *b) {
    if (!b)
        return;
    collect *c = collect_of(b);
    for (int32_t i = 0; i < c->n_tensors; i++)
        c->inner->ops->squares_free(c->inner, c->tensors[i].squares);
    if (c->inner)
        c->inner->ops->close(c->inner);
    mutex_free(&c->lock);
    mem_free(c->mem, c->tensors);
    mem_free(c->mem, c->weights);
    mem_free(c->mem, c);
}

static ingot_status collect_open(const backend_params *params, int32_t device, backend **out,
                                 ingot_error *err) {
    collect *c = mem_alloc(params->mem, 1, sizeof *c);
    if (!c)
        return fail_memory(err, sizeof *c, "sums of squares");
    const ingot_status status = mutex_init(&c->lock, err);
    if (status != INGOT_OK) {
        mem_free(params->mem, c);
        return status;
    }
    c->head.ops = &collect_ops;
    c->mem = params->mem;
    const ingot_status opened = backend_open(params, device, &c->inner, err);
    if (opened != INGOT_OK) {
        collect_close(&c->head);
        return opened;
    }
    *out = &c->head;
    return INGOT_OK;
}

ingot_status backend_open_collect(const backend_params *params, int32_t device, bool moments, backend **out,
                                  ingot_error *err) {
    TRY(collect_ops.open(params, device, out, err));
    collect_of(*out)->moments = moments;
    return INGOT_OK;
}

// Makes room for another tensor and another weight.
static ingot_status make_room(collect *c, ingot_error *err) {
    const size_t n_tensors = (size_t)c->n_tensors + 1, n_weights = c->n_weights + 1;
    if (!mem_reserve(c->mem, &c->tensors, &c->tensors_capacity, n_tensors, sizeof *c->tensors))
        return fail_memory(err, n_tensors * sizeof *c->tensors, "sums of squares");
    if (!mem_reserve(c->mem, &c->weights, &c->weights_capacity, n_weights, sizeof *c->weights))
        return fail_memory(err, n_weights * sizeof *c->weights, "sums of squares");
    return INGOT_OK;
}

static ingot_status collect_weight_new(backend *b, const weight_desc *desc, backend_weight **out,
                                       ingot_error *err) {
    collect *c = collect_of(b);
    TRY(make_room(c, err));
    TRY(c->inner->ops->weight_new(c->inner, desc, out, err));
    if (desc->vector)
        return INGOT_OK;
    // Parts of one tensor follow each other.
    if (c->n_tensors == 0 || strcmp(c->tensors[c->n_tensors - 1].name, desc->name) != 0) {
        collected *t = &c->tensors[c->n_tensors++];
        *t = (collected){.width = desc->width, .mats = desc->mats, .input = UNUSED};
        snprintf(t->name, sizeof t->name, "%s", desc->name);
    }
    c->weights[c->n_weights++] = (known_weight){*out, c->n_tensors - 1};
    return INGOT_OK;
}

static void collect_weight_free(backend *b, backend_weight *w) {
    collect *c = collect_of(b);
    for (size_t i = 0; w && i < c->n_weights; i++)
        if (c->weights[i].weight == w)
            c->weights[i].weight = NULL;
    c->inner->ops->weight_free(c->inner, w);
}

static ingot_status collect_routing_new(backend *b, int32_t n_expert, int32_t n_used, int64_t max_tokens,
                                        backend_routing **out, ingot_error *err) {
    backend *to = collect_of(b)->inner;
    return to->ops->routing_new(to, n_expert, n_used, max_tokens, out, err);
}

static ingot_status collect_sync(backend *b, ingot_error *err) {
    collect *c = collect_of(b);
    mutex_lock(&c->lock);
    const ingot_error failure = c->failure;
    mutex_unlock(&c->lock);
    if (failure.status != INGOT_OK)
        return fail(err, failure.status, "%s", failure.message);
    return c->inner->ops->sync(c->inner, err);
}

static ingot_status collect_read(backend *b, const backend_buffer *buffer, int64_t first, int64_t n,
                                 float *out, ingot_error *err) {
    backend *to = collect_of(b)->inner;
    return to->ops->read(to, buffer, first, n, out, err);
}

static void collect_route(backend *b, backend_buffer *logits, router_kind kind, float scale, int64_t n_tokens,
                          backend_routing *routing) {
    backend *to = collect_of(b)->inner;
    to->ops->route(to, logits, kind, scale, n_tokens, routing);
}

#define PASS(operation, parameters, ...)                                                                     \
    static void collect_##operation parameters {                                                             \
        backend *to = collect_of(b)->inner;                                                                  \
        to->ops->operation(to, __VA_ARGS__);                                                                 \
    }
#define PASS_STATUS(operation, parameters, ...)                                                              \
    static ingot_status collect_##operation parameters {                                                     \
        backend *to = collect_of(b)->inner;                                                                  \
        return to->ops->operation(to, __VA_ARGS__);                                                          \
    }
#define PASS_FREE PASS
#include "backend/pass.def"
#undef PASS
#undef PASS_STATUS
#undef PASS_FREE

static const backend_ops collect_ops = {
    .version = BACKEND_VERSION,
    .name = "collect",
    .device_count = collect_device_count,
    .describe = collect_describe,
    .open = collect_open,
    .close = collect_close,
    .weight_new = collect_weight_new,
    .weight_free = collect_weight_free,
    .routing_new = collect_routing_new,
    .sync = collect_sync,
    .read = collect_read,
    .multiply = collect_multiply,
    .route = collect_route,
    .multiply_experts = collect_multiply_experts,
#define PASS(operation, ...)        .operation = collect_##operation,
#define PASS_STATUS(operation, ...) .operation = collect_##operation,
#define PASS_FREE(operation, ...)   .operation = collect_##operation,
#include "backend/pass.def"
#undef PASS
#undef PASS_STATUS
#undef PASS_FREE
};
