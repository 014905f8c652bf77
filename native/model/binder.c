#include "model/binder.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "quant/quant.h"

const char *binder_key(const binder *b, const char *suffix, char *buffer) {
    snprintf(buffer, BINDER_NAME, "%s.%s", b->row->name, suffix);
    return buffer;
}

ingot_status binder_u32(const binder *b, const char *suffix, bool required, uint32_t min, uint32_t max,
                        int32_t *out) {
    char key[BINDER_NAME];
    uint32_t value = (uint32_t)*out;
    TRY(gguf_get_u32(b->gguf, binder_key(b, suffix, key), required, min, max, &value, b->err));
    *out = (int32_t)value;
    return INGOT_OK;
}

ingot_status binder_positive(const binder *b, const char *suffix, bool required, float *out) {
    char key[BINDER_NAME];
    TRY(gguf_get_f32(b->gguf, binder_key(b, suffix, key), required, out, b->err));
    if (isfinite(*out) && *out > 0.0f)
        return INGOT_OK;
    return fail(b->err, INGOT_ERR_FORMAT, "%s: key '%s' is %g, expected a finite number above 0",
                gguf_name(b->gguf), key, (double)*out);
}

ingot_status binder_option(const binder *b, const char *suffix, float *out) {
    char key[BINDER_NAME];
    TRY(gguf_get_f32(b->gguf, binder_key(b, suffix, key), false, out, b->err));
    if (isfinite(*out) && *out >= 0.0f)
        return INGOT_OK;
    return fail(b->err, INGOT_ERR_FORMAT, "%s: key '%s' is %g, expected a finite number, 0 for none",
                gguf_name(b->gguf), key, (double)*out);
}

ingot_status binder_bool(const binder *b, const char *suffix, bool *out) {
    char key[BINDER_NAME];
    return gguf_get_bool(b->gguf, binder_key(b, suffix, key), false, out, b->err);
}

ingot_status binder_same_u32(const binder *b, const char *suffix, bool required, uint32_t min, uint32_t max,
                             int32_t *out) {
    char key[BINDER_NAME];
    uint32_t n = (uint32_t)b->plan->n_layer;
    if (!required && !ingot_gguf_find(b->gguf, binder_key(b, suffix, key)))
        return INGOT_OK;
    uint32_t *values = mem_alloc(b->mem, n, sizeof *values);
    if (!values)
        return fail_memory(b->err, n * sizeof *values, "a key per layer");
    ingot_status status =
        gguf_get_u32_per_layer(b->gguf, binder_key(b, suffix, key), required, min, max, n, values, b->err);
    for (uint32_t i = 1; status == INGOT_OK && i < n; i++)
        if (values[i] != values[0])
            status =
                fail(b->err, INGOT_ERR_UNSUPPORTED,
                     "%s: key '%s' is %u in layer 0 and %u in layer %u; layers of different shapes aren't "
                     "supported",
                     gguf_name(b->gguf), key, values[0], values[i], i);
    if (status == INGOT_OK)
        *out = (int32_t)values[0];
    mem_free(b->mem, values);
    return status;
}

static const char *tensor_name(int32_t layer, const char *part, const char *kind, char *buffer) {
    if (layer == NO_LAYER)
        snprintf(buffer, BINDER_NAME, "%s.%s", part, kind);
    else
        snprintf(buffer, BINDER_NAME, "blk.%d.%s.%s", layer, part, kind);
    return buffer;
}

static const ingot_gguf_tensor *find(const binder *b, int32_t layer, const char *part) {
    char name[BINDER_NAME];
    return ingot_gguf_find_tensor(b->gguf, tensor_name(layer, part, "weight", name));
}

bool binder_has(const binder *b, int32_t layer, const char *part) {
    return find(b, layer, part) != NULL;
}

int64_t binder_rows(const binder *b, int32_t layer, const char *part) {
    const ingot_gguf_tensor *t = find(b, layer, part);
    return t && t->shape[1] <= INT32_MAX ? (int64_t)t->shape[1] : 0;
}

static bool has_shape(const ingot_gguf_tensor *t, int64_t d0, int64_t d1, int64_t d2) {
    return t->shape[0] == (uint64_t)d0 && t->shape[1] == (uint64_t)d1 && t->shape[2] == (uint64_t)d2 &&
           t->shape[3] == 1;
}

// Claims the tensor called `name`, if it has this shape (trailing dimensions 1).
static ingot_status claim(binder *b, const char *name, bool required, int64_t d0, int64_t d1, int64_t d2,
                          const ingot_gguf_tensor **out) {
    const ingot_gguf_tensor *t = ingot_gguf_find_tensor(b->gguf, name);
    *out = t;
    if (!t && !required)
        return INGOT_OK;
    if (!t)
        return fail(b->err, INGOT_ERR_FORMAT,
                    "%s: tensor '%s' is missing, which a model of architecture '%s' must have",
                    gguf_name(b->gguf), name, b->row->name);
    if (!has_shape(t, d0, d1, d2))
        return fail(b->err, INGOT_ERR_FORMAT,
                    "%s: tensor '%s' has shape [%llu, %llu, %llu, %llu], expected [%lld, %lld, %lld, 1] by "
                    "the metadata",
                    gguf_name(b->gguf), name, (unsigned long long)t->shape[0],
                    (unsigned long long)t->shape[1], (unsigned long long)t->shape[2],
                    (unsigned long long)t->shape[3], (long long)d0, (long long)d1, (long long)d2);
    b->claimed[t - ingot_gguf_tensor_at(b->gguf, 0)] = true;
    return INGOT_OK;
}

static ingot_status add_weight(binder *b, const weight_desc *desc, plan_source source, uint64_t bytes,
                               backend_weight **out) {
    plan *p = b->plan;
    const size_t n = (size_t)p->n_weights + 1;
    if (!mem_reserve(b->mem, &p->weights, &b->weights_capacity, n, sizeof *p->weights) ||
        !mem_reserve(b->mem, &p->sources, &b->sources_capacity, n, sizeof *p->sources))
        return fail_memory(b->err, sizeof *p->weights, "the list of weights");
    ingot_status status = b->device->ops->weight_new(b->device, desc, out, b->err);
    if (status != INGOT_OK)
        return fail_prefix(b->err, status, "%s", gguf_name(b->gguf));
    p->sources[p->n_weights] = source;
    p->weights[p->n_weights++] = *out;
    p->n_params += (uint64_t)desc->width * (uint64_t)desc->rows * (uint64_t)desc->mats;
    p->weight_bytes += bytes;
    return INGOT_OK;
}

// Rows [first, first + rows) of each of the tensor's matrices (all of them, if it has several).
static ingot_status add_rows(binder *b, const char *name, const ingot_gguf_tensor *t, int64_t first,
                             int64_t rows, backend_weight **out) {
    uint64_t row_bytes = t->bytes / (t->shape[1] * t->shape[2]);
    weight_desc desc = {
        .name = name,
        .data = (const uint8_t *)t->data + (uint64_t)first * row_bytes,
        .type = t->type,
        .width = (int64_t)t->shape[0],
        .rows = rows,
        .mats = (int64_t)t->shape[2],
    };
    const plan_source source = {t, first, rows, false};
    return add_weight(b, &desc, source, (uint64_t)rows * t->shape[2] * row_bytes, out);
}

// Numbers [first, first + n) of the tensor, whatever its shape is.
static ingot_status add_numbers(binder *b, const char *name, const ingot_gguf_tensor *t, int64_t first,
                                int64_t n, backend_weight **out) {
    const quant_type *type = quant_type_get(t->type);
    if (first % type->block_size != 0)
        return fail(b->err, INGOT_ERR_UNSUPPORTED,
                    "%s: tensor '%s' can't be cut at %lld: its type, %s, has blocks of %d",
                    gguf_name(b->gguf), name, (long long)first, type->name, type->block_size);
    uint64_t skipped = (uint64_t)(first / type->block_size) * (uint64_t)type->block_bytes;
    weight_desc desc = {.name = name,
                        .data = (const uint8_t *)t->data + skipped,
                        .type = t->type,
                        .width = n,
                        .rows = 1,
                        .mats = 1,
                        .vector = true};
    const plan_source source = {t, first, n, false};
    return add_weight(b, &desc, source, (uint64_t)(n / type->block_size) * (uint64_t)type->block_bytes, out);
}

ingot_status binder_matrix(binder *b, int32_t layer, const char *part, bool required, int64_t width,
                           int64_t rows, int64_t mats, backend_weight **out) {
    char name[BINDER_NAME];
    const ingot_gguf_tensor *t;
    *out = NULL;
    tensor_name(layer, part, "weight", name);
    TRY(claim(b, name, required, width, rows, mats, &t));
    return t ? add_rows(b, name, t, 0, rows, out) : INGOT_OK;
}

// The weight that came last is the map's.
static void number_map(const binder *b, linear *map) {
    map->number = b->plan->n_weights - 1;
    b->plan->sources[map->number].linear = true;
}

ingot_status binder_linear(binder *b, int32_t layer, const char *part, bool required, int64_t width,
                           int64_t rows, int64_t mats, linear *out) {
    char name[BINDER_NAME];
    const ingot_gguf_tensor *t;
    *out = (linear){0};
    TRY(binder_matrix(b, layer, part, required, width, rows, mats, &out->weight));
    if (!out->weight)
        return INGOT_OK;
    number_map(b, out);
    tensor_name(layer, part, "bias", name);
    TRY(claim(b, name, false, rows, mats, 1, &t));
    return t ? add_numbers(b, name, t, 0, rows * mats, &out->bias) : INGOT_OK;
}

ingot_status binder_linear_rows(binder *b, int32_t layer, const char *part, int64_t width, int64_t total,
                                int64_t first, int64_t rows, linear *out) {
    char name[BINDER_NAME];
    const ingot_gguf_tensor *t;
    *out = (linear){0};
    tensor_name(layer, part, "weight", name);
    TRY(claim(b, name, true, width, total, 1, &t));
    TRY(add_rows(b, name, t, first, rows, &out->weight));
    number_map(b, out);
    tensor_name(layer, part, "bias", name);
    TRY(claim(b, name, false, total, 1, 1, &t));
    return t ? add_numbers(b, name, t, first, rows, &out->bias) : INGOT_OK;
}

ingot_status binder_vector(binder *b, int32_t layer, const char *part, bool required, int64_t n,
                           backend_weight **out) {
    char name[BINDER_NAME];
    const ingot_gguf_tensor *t;
    *out = NULL;
    tensor_name(layer, part, "weight", name);
    TRY(claim(b, name, required, n, 1, 1, &t));
    return t ? add_numbers(b, name, t, 0, n, out) : INGOT_OK;
}

ingot_status binder_norm(binder *b, int32_t layer, const char *part, bool required, int64_t group,
                         int64_t groups, backend_norm *out) {
    char name[BINDER_NAME];
    const ingot_gguf_tensor *t = find(b, layer, part);
    *out = (backend_norm){.kind = b->row->norm, .eps = b->norm_eps};
    // One vector for all groups, or one for each; if that is written as one long vector, the norm is over
    // all.
    bool apart = t && groups > 1 && has_shape(t, group, groups, 1);
    bool whole = t && groups > 1 && has_shape(t, group * groups, 1, 1);
    int64_t width = whole ? group * groups : group, rows = apart ? groups : 1;
    tensor_name(layer, part, "weight", name);
    TRY(claim(b, name, required, width, rows, 1, &t));
    if (!t)
        return INGOT_OK;
    out->group = width;
    backend_weight *numbers;
    TRY(add_numbers(b, name, t, 0, width * rows, &numbers));
    out->weight = numbers;
    if (b->row->norm != NORM_LAYER)
        return INGOT_OK;
    tensor_name(layer, part, "bias", name);
    TRY(claim(b, name, false, width, rows, 1, &t));
    if (!t)
        return INGOT_OK;
    TRY(add_numbers(b, name, t, 0, width * rows, &numbers));
    out->bias = numbers;
    return INGOT_OK;
}

ingot_status binder_floats(binder *b, const char *part, int64_t n, float **out) {
    char name[BINDER_NAME];
    const ingot_gguf_tensor *t;
    *out = NULL;
    tensor_name(NO_LAYER, part, "weight", name);
    TRY(claim(b, name, false, n, 1, 1, &t));
    if (!t)
        return INGOT_OK;
    const quant_type *type = quant_type_get(t->type);
    if (!type || !type->decode)
        return fail(b->err, INGOT_ERR_FORMAT, "%s: tensor '%s' has a type that can't be decoded",
                    gguf_name(b->gguf), name);
    *out = mem_alloc(b->mem, (size_t)n, sizeof **out);
    if (!*out)
        return fail_memory(b->err, (uint64_t)n * sizeof **out, name);
    type->decode(t->data, *out, (uint64_t)n);
    return INGOT_OK;
}

// Tensors that files carry and inference doesn't need: inverse frequencies of old converters, and layers that
// predict further tokens.
static bool is_known_extra(const binder *b, ingot_str name) {
    static const char *const parts[] = {"rotary_emb.inv_freq", "attn_rot_embd", "rope_freqs",
                                        "rope_factors_"};
    char text[BINDER_NAME], layer[BINDER_NAME];
    size_t n = name.size < sizeof text - 1 ? name.size : sizeof text - 1;
    memcpy(text, name.data, n);
    text[n] = '\0';
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (strstr(text, parts[i]))
            return true;
    for (int32_t i = b->plan->n_layer; i < b->n_block; i++) {
        int prefix = snprintf(layer, sizeof layer, "blk.%d.", i);
        if (strncmp(text, layer, (size_t)prefix) == 0)
            return true;
    }
    return false;
}

ingot_status binder_all_claimed(const binder *b) {
    for (uint64_t i = 0; i < ingot_gguf_tensor_count(b->gguf); i++) {
        ingot_str name = ingot_gguf_tensor_at(b->gguf, i)->name;
        if (!b->claimed[i] && !is_known_extra(b, name))
            return fail(
                b->err, INGOT_ERR_UNSUPPORTED,
                "%s: tensor '%.*s' isn't used by architecture '%s' as this version knows it, so the output "
                "would be wrong; --ignore-extra-tensors loads it all the same",
                gguf_name(b->gguf), (int)(name.size < 100 ? name.size : 100), name.data, b->row->name);
    }
    return INGOT_OK;
}
