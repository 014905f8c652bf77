#include "model/adapter.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { NAME_SHOWN = 100 };

// Reading one.
typedef struct loader {
    ingot_adapter *adapter;
    const ingot_model *model;
    const char *name; // of the file, for messages
    ingot_error *err;
} loader;

// A pair of tensors and what they change.
typedef struct tensor_pair {
    const ingot_gguf_tensor *a, *b;
    char base[NAME_SHOWN + 1];
} tensor_pair;

// ---------------------------------------------------------------------------------------------- metadata

static ingot_status expect_str(const loader *l, const char *key, ingot_str expected) {
    ingot_str found = {0};
    TRY(gguf_get_str(l->adapter->file, key, true, &found, l->err));
    if (found.size == expected.size && memcmp(found.data, expected.data, found.size) == 0)
        return INGOT_OK;
    return fail(l->err, INGOT_ERR_FORMAT, "%s: key '%s' is '%.*s', expected '%.*s'", l->name, key,
                (int)(found.size < NAME_SHOWN ? found.size : NAME_SHOWN), found.data, (int)expected.size,
                expected.data);
}

static ingot_status check_metadata(loader *l) {
    const char *activated = "adapter.alora.invocation_tokens";
    ingot_str architecture = {0};
    TRY(expect_str(l, "general.type", (ingot_str){"adapter", 7}));
    TRY(expect_str(l, "adapter.type", (ingot_str){"lora", 4}));
    TRY(gguf_get_str(l->model->file, "general.architecture", true, &architecture, l->err));
    const ingot_status status = expect_str(l, "general.architecture", architecture);
    if (status != INGOT_OK)
        return l->err && status == INGOT_ERR_FORMAT
                   ? fail_prefix(l->err, status, "the adapter isn't for %s", gguf_name(l->model->file))
                   : status;
    TRY(gguf_get_f32(l->adapter->file, "adapter.lora.alpha", false, &l->adapter->alpha, l->err));
    if (!isfinite(l->adapter->alpha))
        return fail(l->err, INGOT_ERR_FORMAT, "%s: key 'adapter.lora.alpha' is %g, expected a finite number",
                    l->name, (double)l->adapter->alpha);
    if (ingot_gguf_find(l->adapter->file, activated))
        return fail(l->err, INGOT_ERR_UNSUPPORTED,
                    "%s: key '%s': adapters that begin to work at certain tokens aren't supported", l->name,
                    activated);
    return INGOT_OK;
}

// ---------------------------------------------------------------------------------------------- tensors

static bool ends_with(ingot_str name, const char *end) {
    const size_t n = strlen(end);
    return name.size > n && memcmp(name.data + name.size - n, end, n) == 0;
}

// The pair that tensor `t`, an A or a B, belongs to.
static ingot_status find_pair(const loader *l, const ingot_gguf_tensor *t, tensor_pair *out) {
    const bool is_a = ends_with(t->name, ".lora_a");
    char other[NAME_SHOWN + 8];
    if (!is_a && !ends_with(t->name, ".lora_b"))
        return fail(l->err, INGOT_ERR_UNSUPPORTED,
                    "%s: tensor '%.*s' is no .lora_a and no .lora_b: nothing is known of it", l->name,
                    (int)(t->name.size < NAME_SHOWN ? t->name.size : NAME_SHOWN), t->name.data);
    const size_t n = t->name.size - strlen(".lora_a");
    if (n > NAME_SHOWN)
        return fail(l->err, INGOT_ERR_FORMAT, "%s: tensor '%.*s...' has a name that no model's tensor has",
                    l->name, NAME_SHOWN, t->name.data);
    memcpy(out->base, t->name.data, n);
    out->base[n] = '\0';
    snprintf(other, sizeof other, "%s%s", out->base, is_a ? ".lora_b" : ".lora_a");
    const ingot_gguf_tensor *found = ingot_gguf_find_tensor(l->adapter->file, other);
    if (!found)
        return fail(l->err, INGOT_ERR_FORMAT, "%s: tensor '%s.lora_%c' has no '%s'", l->name, out->base,
                    is_a ? 'a' : 'b', other);
    out->a = is_a ? t : found;
    out->b = is_a ? found : t;
    return INGOT_OK;
}

static bool is_matrix(const ingot_gguf_tensor *t) {
    return t->shape[2] == 1 && t->shape[3] == 1;
}

// The pair must give `rows` numbers of `width`: A is [rank][width], of an embedding [width][rank].
static ingot_status check_shape(const loader *l, const tensor_pair *pair, uint64_t width, uint64_t rows,
                                bool embedding) {
    const ingot_gguf_tensor *a = pair->a, *b = pair->b;
    const uint64_t rank = b->shape[0];
    const uint64_t a_width = embedding ? rank : width, a_rows = embedding ? width : rank;
    if (is_matrix(a) && is_matrix(b) && b->shape[1] == rows && a->shape[0] == a_width &&
        a->shape[1] == a_rows && rank <= INT32_MAX)
        return INGOT_OK;
    return fail(
        l->err, INGOT_ERR_FORMAT,
        "%s: tensors '%s.lora_a' and '.lora_b' have shapes [%llu, %llu, %llu, %llu] and [%llu, %llu, "
        "%llu, %llu], expected [%s%llu] and [rank, %llu] for the model's tensor; is the adapter for "
        "another model?",
        l->name, pair->base, (unsigned long long)a->shape[0], (unsigned long long)a->shape[1],
        (unsigned long long)a->shape[2], (unsigned long long)a->shape[3], (unsigned long long)b->shape[0],
        (unsigned long long)b->shape[1], (unsigned long long)b->shape[2], (unsigned long long)b->shape[3],
        embedding ? "rank, " : "width by rank, width ", (unsigned long long)width, (unsigned long long)rows);
}

static weight_desc desc_of(const ingot_gguf_tensor *t, const char *name, int64_t first, int64_t rows) {
    const uint64_t row_bytes = t->bytes / t->shape[1];
    return (weight_desc){.name = name,
                         .data = (const uint8_t *)t->data + (uint64_t)first * row_bytes,
                         .type = t->type,
                         .width = (int64_t)t->shape[0],
                         .rows = rows,
                         .mats = 1};
}

// Makes the part for rows [first, first + rows) of what the pair changes.
static ingot_status make_part(const loader *l, const tensor_pair *pair, int64_t first, int64_t rows,
                              adapter_part *out) {
    ingot_adapter *adapter = l->adapter;
    backend *device = l->model->device;
    const int64_t rank = (int64_t)pair->b->shape[0];
    char a_name[NAME_SHOWN + 8], b_name[NAME_SHOWN + 8];
    snprintf(a_name, sizeof a_name, "%s.lora_a", pair->base);
    snprintf(b_name, sizeof b_name, "%s.lora_b", pair->base);
    const weight_desc down = desc_of(pair->a, a_name, 0, (int64_t)pair->a->shape[1]);
    const weight_desc up = desc_of(pair->b, b_name, first, rows);
    const ingot_status status = device->ops->low_rank_new(device, &down, &up, &out->pair, l->err);
    if (status != INGOT_OK)
        return fail_prefix(l->err, status, "%s", l->name);
    out->factor = adapter->alpha == 0.0f ? 1.0f : adapter->alpha / (float)rank;
    if (rank > adapter->info.rank)
        adapter->info.rank = (int32_t)rank;
    return INGOT_OK;
}

static ingot_status refuse(const loader *l, const tensor_pair *pair, const char *why) {
    return fail(l->err, INGOT_ERR_UNSUPPORTED, "%s: tensor '%s.lora_a' changes '%s', %s", l->name, pair->base,
                pair->base, why);
}

// Makes the parts of a pair: several, where the model computes with parts of the tensor.
static ingot_status bind_pair(const loader *l, const tensor_pair *pair) {
    const plan *p = &l->model->plan;
    const ingot_gguf_tensor *base = ingot_gguf_find_tensor(l->model->file, pair->base);
    ingot_adapter *adapter = l->adapter;
    const uint64_t n_embd = (uint64_t)p->n_embd, n_vocab = (uint64_t)p->n_vocab;
    if (strcmp(pair->base, "token_embd.weight") == 0) {
        TRY(check_shape(l, pair, n_vocab, n_embd, true));
        return make_part(l, pair, 0, p->n_embd, &adapter->embedding);
    }
    if (!base && strcmp(pair->base, "output.weight") == 0 && p->head.number == p->n_weights) {
        TRY(check_shape(l, pair, n_embd, n_vocab, false));
        return make_part(l, pair, 0, p->n_vocab, &adapter->parts[p->n_weights]);
    }
    if (!base)
        return fail(l->err, INGOT_ERR_FORMAT, "%s: tensor '%s.lora_a' changes '%s', which %s doesn't have",
                    l->name, pair->base, pair->base, gguf_name(l->model->file));
    if (!is_matrix(base))
        return refuse(l, pair, "the matrices of experts, and adapters of experts aren't supported");
    TRY(check_shape(l, pair, base->shape[0], base->shape[1], false));
    bool used = false;
    for (int32_t i = 0; i < p->n_weights; i++) {
        const plan_source *source = &p->sources[i];
        if (source->tensor != base || !source->linear)
            continue;
        used = true;
        TRY(make_part(l, pair, source->first, source->rows, &adapter->parts[i]));
    }
    return used ? INGOT_OK : refuse(l, pair, "which is no linear map that the model computes");
}

static ingot_status bind_tensors(loader *l) {
    ingot_adapter *adapter = l->adapter;
    const uint64_t n = ingot_gguf_tensor_count(adapter->file);
    if (n == 0)
        return fail(l->err, INGOT_ERR_FORMAT, "%s: the adapter has no tensors", l->name);
    for (uint64_t i = 0; i < n; i++) {
        const ingot_gguf_tensor *t = ingot_gguf_tensor_at(adapter->file, i);
        tensor_pair pair = {0};
        TRY(find_pair(l, t, &pair));
        adapter->info.n_params += t->shape[0] * t->shape[1];
        adapter->info.weight_bytes += t->bytes;
        if (t == pair.a)
            TRY(bind_pair(l, &pair));
    }
    return INGOT_OK;
}

// ------------------------------------------------------------------------------------------------- life

static ingot_status read_file(loader *l, const char *path, ingot_progress_fn progress, void *user) {
    ingot_adapter *adapter = l->adapter;
    const ingot_model *m = l->model;
    TRY(gguf_open(m->env.mem, path, NULL, progress, user, &adapter->file, l->err));
    l->name = gguf_name(adapter->file);
    TRY(check_metadata(l));
    adapter->parts = mem_alloc(m->env.mem, (size_t)m->plan.n_weights + 1, sizeof *adapter->parts);
    if (!adapter->parts)
        return fail_memory(l->err, (uint64_t)m->plan.n_weights * sizeof *adapter->parts, "an adapter");
    TRY(bind_tensors(l));
    TRY(ingot_gguf_check(adapter->file, l->err));
    if (progress && !progress(user, 1.0))
        return fail(l->err, INGOT_ERR_CANCELLED, "opening %s was cancelled", path);
    return INGOT_OK;
}

ingot_status adapter_load(ingot_model *m, const char *path, ingot_progress_fn progress, void *user,
                          ingot_adapter **out, ingot_error *err) {
    if (!m->device)
        return fail(err, INGOT_ERR_STATE, "%s was opened with vocab_only: it has no weights to adapt",
                    gguf_name(m->file));
    ingot_adapter *adapter = mem_alloc(m->env.mem, 1, sizeof *adapter);
    if (!adapter)
        return fail_memory(err, sizeof *adapter, "an adapter");
    adapter->model = m;
    atomic_init(&adapter->users, 1);
    adapter->info.serial = atomic_fetch_add(&m->n_adapters, 1) + 1;
    loader l = {.adapter = adapter, .model = m, .err = err};
    const ingot_status status = read_file(&l, path, progress, user);
    if (status == INGOT_OK)
        *out = adapter;
    else
        adapter_release(adapter);
    return status;
}

void adapter_keep(ingot_adapter *a) {
    atomic_fetch_add(&a->users, 1);
}

void adapter_release(ingot_adapter *a) {
    if (!a || atomic_fetch_sub(&a->users, 1) > 1)
        return;
    backend *device = a->model->device;
    const ingot_allocator *mem = a->model->env.mem;
    for (int32_t i = 0; a->parts && i <= a->model->plan.n_weights; i++)
        device->ops->low_rank_free(device, a->parts[i].pair);
    device->ops->low_rank_free(device, a->embedding.pair);
    mem_free(mem, a->parts);
    ingot_gguf_close(a->file);
    mem_free(mem, a);
}

// Steele et al. 2014, "Fast Splittable Pseudorandom Number Generators": its function is one to one.
static uint64_t mix(uint64_t x) {
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

uint64_t adapter_list_key(adapter_list list) {
    uint64_t key = 0;
    for (int32_t i = 0; i < list.n; i++) {
        uint32_t scale;
        memcpy(&scale, &list.uses[i].scale, sizeof scale);
        key = mix(mix(key + 0x9e3779b97f4a7c15u) ^ list.uses[i].adapter->info.serial);
        key = mix(key + scale);
    }
    return list.n > 0 && key == 0 ? 1 : key;
}
