// A backend that passes everything on to another one and notes what that took. It is right for devices that
// compute while an operation is called; of others it would note the queueing.
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "backend/backend.h"
#include "base/thread.h"
#include "quant/quant.h"

enum { STAGES_MAX = 64, NO_STAGE = -1 };

// A matrix, to be known again when it is multiplied with.
typedef struct known_weight {
    const backend_weight *weight; // NULL: freed
    char name[32];                // "attn_q:Q4_K"
    uint64_t bytes;               // of a matrix
    uint64_t size;                // weights of it
    int32_t stage;                // of products that begin with it
} known_weight;

typedef struct profile {
    backend head;
    backend *inner;
    pool *threads;
    const ingot_allocator *mem;
    mutex lock; // for what follows: two engines may run on one model
    ingot_stage stages[STAGES_MAX];
    int32_t n_stages;
    known_weight *weights;
    size_t n_weights, capacity;
    size_t last;              // found last
    _Atomic int64_t n_used;   // experts of a token
    _Atomic int64_t n_routed; // tokens of the last route
} profile;

static const backend_ops profile_ops;

static profile *profile_of(backend *b) {
    return (profile *)b;
}

// ------------------------------------------------------------------------------------------------- noting

typedef struct moment {
    double seconds;
    uint64_t runs;
} moment;

static moment now(backend *b) {
    const uint64_t runs = pool_runs(profile_of(b)->threads);
    return (moment){clock_seconds(), runs};
}

// The stage called `name`, which is made if there is room for it; else the last one.
static int32_t find_stage(profile *p, const char *name) {
    int32_t i = 0;
    while (i < p->n_stages && strcmp(p->stages[i].name, name) != 0)
        i++;
    if (i == STAGES_MAX)
        return STAGES_MAX - 1;
    if (i == p->n_stages)
        snprintf(p->stages[p->n_stages++].name, sizeof p->stages->name, "%s",
                 i == STAGES_MAX - 1 ? "others" : name);
    return i;
}

static void add(profile *p, int32_t stage, moment start, moment end) {
    ingot_stage *s = &p->stages[stage];
    s->calls++;
    s->barriers += end.runs - start.runs;
    s->seconds += end.seconds - start.seconds;
}

static void note(backend *b, moment start, const char *name) {
    const moment end = now(b);
    profile *p = profile_of(b);
    mutex_lock(&p->lock);
    add(p, find_stage(p, name), start, end);
    mutex_unlock(&p->lock);
}

// Operations come in the order in which weights were made: the search begins where the last one ended.
static known_weight *find_weight(profile *p, const backend_weight *weight) {
    for (size_t i = 1; i <= p->n_weights; i++) {
        const size_t at = (p->last + i) % p->n_weights;
        if (p->weights[at].weight == weight) {
            p->last = at;
            return &p->weights[at];
        }
    }
    return NULL;
}

// "multiply attn_q:Q4_K attn_k:Q4_K attn_v:Q6_K"
static int32_t name_products(profile *p, const char *operation, const backend_product *products,
                             int32_t n_products) {
    char name[sizeof p->stages->name];
    size_t used = (size_t)snprintf(name, sizeof name, "%s", operation);
    const char *before = "";
    for (int32_t i = 0; i < n_products; i++) {
        const known_weight *w = find_weight(p, products[i].weight);
        if (!w || strcmp(w->name, before) == 0) // parts of one tensor
            continue;
        before = w->name;
        const int n = snprintf(name + used, sizeof name - used, " %s", w->name);
        used += n > 0 && (size_t)n < sizeof name - used ? (size_t)n : 0;
    }
    return find_stage(p, name);
}

// `n_inputs` of them meet each weight; `n_read` matrices of it are read, 0: nobody knows how many.
static void note_products(backend *b, moment start, const char *operation, const backend_product *products,
                          int32_t n_products, int64_t n_inputs, int64_t n_read) {
    const moment end = now(b);
    profile *p = profile_of(b);
    mutex_lock(&p->lock);
    known_weight *first = find_weight(p, products[0].weight);
    if (first && first->stage == NO_STAGE)
        first->stage = name_products(p, operation, products, n_products);
    const int32_t stage = first ? first->stage : find_stage(p, operation);
    for (int32_t i = 0; i < n_products; i++) {
        const known_weight *w = find_weight(p, products[i].weight);
        p->stages[stage].weight_bytes += w ? w->bytes * (uint64_t)n_read : 0;
        p->stages[stage].products += w ? w->size * (uint64_t)n_inputs : 0;
    }
    add(p, stage, start, end);
    mutex_unlock(&p->lock);
}

ingot_status backend_stage(backend *b, int32_t i, ingot_stage *out, ingot_error *err) {
    if (b->ops != &profile_ops)
        return fail(err, INGOT_ERR_STATE, "the model was opened without `profile`: nothing was measured");
    profile *p = profile_of(b);
    mutex_lock(&p->lock);
    const int32_t n = p->n_stages;
    if (i >= 0 && i < n)
        *out = p->stages[i];
    mutex_unlock(&p->lock);
    return i >= 0 && i < n ? INGOT_OK
                           : fail(err, INGOT_ERR_NOT_FOUND, "there is no stage %d; stages: %d", i, n);
}

// ------------------------------------------------------------------------------------------------- handles

static int32_t profile_device_count(void) {
    return backend_at(0)->device_count();
}

static ingot_status profile_describe(const backend_params *params, int32_t device, ingot_device *out,
                                     ingot_error *err) {
    return backend_at(0)->describe(params, device, out, err);
}

static void profile_close(backend *b) {
    if (!b)
        return;
    profile *p = profile_of(b);
    if (p->inner)
        p->inner->ops->close(p->inner);
    mutex_free(&p->lock);
    mem_free(p->mem, p->weights);
    mem_free(p->mem, p);
}

static ingot_status profile_open(const backend_params *params, int32_t device, backend **out,
                                 ingot_error *err) {
    profile *p = mem_alloc(params->mem, 1, sizeof *p);
    if (!p)
        return fail_memory(err, sizeof *p, "a profile");
    const ingot_status status = mutex_init(&p->lock, err);
    if (status != INGOT_OK) {
        mem_free(params->mem, p);
        return status;
    }
    p->head.ops = &profile_ops;
    p->threads = params->threads;
    p->mem = params->mem;
    const ingot_status opened = backend_open(params, device, &p->inner, err);
    if (opened != INGOT_OK) {
        profile_close(&p->head);
        return opened;
    }
    *out = &p->head;
    return INGOT_OK;
}

ingot_status backend_open_profile(const backend_params *params, int32_t device, backend **out,
                                  ingot_error *err) {
    return profile_ops.open(params, device, out, err);
}

// "blk.3.attn_q.weight" of Q4_K becomes "attn_q:Q4_K".
static void name_weight(const weight_desc *desc, const char *type, char *out, size_t size) {
    const char *name = desc->name, *dot = strncmp(name, "blk.", 4) == 0 ? strchr(name + 4, '.') : NULL;
    name = dot ? dot + 1 : name;
    const char *end = strstr(name, ".weight");
    const int n = end ? (int)(end - name) : (int)strlen(name);
    snprintf(out, size, "%.*s:%s", n < 20 ? n : 20, name, type);
}

static ingot_status profile_weight_new(backend *b, const weight_desc *desc, backend_weight **out,
                                       ingot_error *err) {
    profile *p = profile_of(b);
    if (!mem_reserve(p->mem, &p->weights, &p->capacity, p->n_weights + 1, sizeof *p->weights))
        return fail_memory(err, (p->n_weights + 1) * sizeof *p->weights, "a profile");
    TRY(p->inner->ops->weight_new(p->inner, desc, out, err));
    const quant_type *type = quant_type_get(desc->type);
    known_weight *w = &p->weights[p->n_weights++];
    *w = (known_weight){.weight = *out, .stage = NO_STAGE};
    w->size = (uint64_t)desc->width * (uint64_t)desc->rows;
    w->bytes = quant_bytes(type, w->size);
    name_weight(desc, type->name, w->name, sizeof w->name);
    return INGOT_OK;
}

static void profile_weight_free(backend *b, backend_weight *w) {
    profile *p = profile_of(b);
    known_weight *known = w ? find_weight(p, w) : NULL;
    if (known)
        known->weight = NULL;
    p->inner->ops->weight_free(p->inner, w);
}

static ingot_status profile_routing_new(backend *b, int32_t n_expert, int32_t n_used, int64_t max_tokens,
                                        backend_routing **out, ingot_error *err) {
    backend *to = profile_of(b)->inner;
    profile_of(b)->n_used = n_used;
    return to->ops->routing_new(to, n_expert, n_used, max_tokens, out, err);
}

static ingot_status profile_sync(backend *b, ingot_error *err) {
    backend *to = profile_of(b)->inner;
    return to->ops->sync(to, err);
}

static ingot_status profile_read(backend *b, const backend_buffer *buffer, int64_t first, int64_t n,
                                 float *out, ingot_error *err) {
    backend *to = profile_of(b)->inner;
    const moment start = now(b);
    const ingot_status status = to->ops->read(to, buffer, first, n, out, err);
    note(b, start, "read");
    return status;
}

// -------------------------------------------------------------------------------------------------
// operations

#define PASS(operation, parameters, ...)                                                                     \
    static void profile_##operation parameters {                                                             \
        backend *to = profile_of(b)->inner;                                                                  \
        const moment start = now(b);                                                                         \
        to->ops->operation(to, __VA_ARGS__);                                                                 \
        note(b, start, #operation);                                                                          \
    }
#define PASS_STATUS(operation, parameters, ...)                                                              \
    static ingot_status profile_##operation parameters {                                                     \
        backend *to = profile_of(b)->inner;                                                                  \
        return to->ops->operation(to, __VA_ARGS__);                                                          \
    }
#define PASS_FREE(operation, parameters, ...)                                                                \
    static void profile_##operation parameters {                                                             \
        backend *to = profile_of(b)->inner;                                                                  \
        to->ops->operation(to, __VA_ARGS__);                                                                 \
    }
#include "backend/pass.def"
#undef PASS
#undef PASS_STATUS
#undef PASS_FREE

static void profile_route(backend *b, backend_buffer *logits, router_kind kind, float scale, int64_t n_tokens,
                          backend_routing *routing) {
    backend *to = profile_of(b)->inner;
    const moment start = now(b);
    profile_of(b)->n_routed = n_tokens;
    to->ops->route(to, logits, kind, scale, n_tokens, routing);
    note(b, start, "route");
}

static void profile_multiply(backend *b, const backend_buffer *x, int64_t n_tokens,
                             const backend_product *products, int32_t n_products) {
    backend *to = profile_of(b)->inner;
    const moment start = now(b);
    to->ops->multiply(to, x, n_tokens, products, n_products);
    note_products(b, start, "multiply", products, n_products, n_tokens, 1);
}

static void profile_multiply_experts(backend *b, const backend_buffer *x, bool per_choice,
                                     const backend_routing *routing, const backend_product *products,
                                     int32_t n_products) {
    profile *p = profile_of(b);
    const int64_t n_tokens = p->n_routed, n_used = p->n_used;
    const moment start = now(b);
    p->inner->ops->multiply_experts(p->inner, x, per_choice, routing, products, n_products);
    // Two tokens may choose alike: how many matrices were read isn't known here.
    note_products(b, start, "multiply_experts", products, n_products, n_used * n_tokens,
                  n_tokens == 1 ? n_used : 0);
}

static const backend_ops profile_ops = {
    .version = BACKEND_VERSION,
    .name = "profile",
    .device_count = profile_device_count,
    .describe = profile_describe,
    .open = profile_open,
    .close = profile_close,
    .weight_new = profile_weight_new,
    .weight_free = profile_weight_free,
    .routing_new = profile_routing_new,
    .sync = profile_sync,
    .read = profile_read,
    .multiply = profile_multiply,
    .route = profile_route,
    .multiply_experts = profile_multiply_experts,
#define PASS(operation, ...)        .operation = profile_##operation,
#define PASS_STATUS(operation, ...) .operation = profile_##operation,
#define PASS_FREE(operation, ...)   .operation = profile_##operation,
#include "backend/pass.def"
#undef PASS
#undef PASS_STATUS
#undef PASS_FREE
};
