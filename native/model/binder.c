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
    if (t->shape[0] != (uint64_t)d0 || t->shape[1] != (uint64_t)d1 || t->shape[2] != (uint64_t)d2 ||
        t->shape[3] != 1)
        return fail(b->err, INGOT_ERR_FORMAT,
                    "%s: tensor '%s' has shape [%llu, %llu, %llu, %llu], expected [%lld, %lld, %lld, 1] by "
                    "the metadata",
                    gguf_name(b->gguf), name, (unsigned long long)t->shape[0],
                    (unsigned long long)t->shape[1], (unsigned long long)t->shape[2],
                    (unsigned long long)t->shape[3], (long long)d0, (long long)d1, (long long)d2);
    b->claimed[t - ingot_gguf_tensor_at(b->gguf, 0)] = true;
    return INGOT_OK;
}

static ingot_status bind_weight(binder *b, const char *name, const ingot_gguf_tensor *t, bool vector,
                                backend_weight **out) {
    weight_desc desc = {
        .name = name,
        .data = t->data,
        .type = t->type,
        .width = (int64_t)t->shape[0],
        .rows = (int64_t)t->shape[1],
        .mats = (int64_t)t->shape[2],
        .vector = vector,
    };
    plan *p = b->plan;
    backend_weight **grown =
        mem_resize(b->mem, p->weights, (size_t)p->n_weights + 1, sizeof(backend_weight *));
    if (!grown)
        return fail_memory(b->err, sizeof(backend_weight *), "the list of weights");
    p->weights = grown;
    ingot_status status = b->device->ops->weight_new(b->device, &desc, out, b->err);
    if (status != INGOT_OK)
        return fail_prefix(b->err, status, "%s", gguf_name(b->gguf));
    p->weights[p->n_weights++] = *out;
    p->n_params += t->shape[0] * t->shape[1] * t->shape[2];
    p->weight_bytes += t->bytes;
    return INGOT_OK;
}

ingot_status binder_matrix(binder *b, const char *name, bool required, int64_t width, int64_t rows,
                           int64_t mats, backend_weight **out) {
    const ingot_gguf_tensor *t;
    *out = NULL;
    TRY(claim(b, name, required, width, rows, mats, &t));
    return t ? bind_weight(b, name, t, false, out) : INGOT_OK;
}

ingot_status binder_vector(binder *b, const char *name, bool required, int64_t n, backend_weight **out) {
    const ingot_gguf_tensor *t;
    *out = NULL;
    TRY(claim(b, name, required, n, 1, 1, &t));
    return t ? bind_weight(b, name, t, true, out) : INGOT_OK;
}

ingot_status binder_linear(binder *b, int32_t layer, const char *part, bool required, int64_t width,
                           int64_t rows, linear *out) {
    char name[BINDER_NAME];
    snprintf(name, sizeof name, "blk.%d.%s.weight", layer, part);
    TRY(binder_matrix(b, name, required, width, rows, 1, &out->weight));
    snprintf(name, sizeof name, "blk.%d.%s.bias", layer, part);
    return out->weight ? binder_vector(b, name, false, rows, &out->bias) : INGOT_OK;
}

ingot_status binder_layer_vector(binder *b, int32_t layer, const char *part, bool required, int64_t n,
                                 backend_weight **out) {
    char name[BINDER_NAME];
    snprintf(name, sizeof name, "blk.%d.%s.weight", layer, part);
    return binder_vector(b, name, required, n, out);
}

ingot_status binder_experts(binder *b, int32_t layer, const char *part, int64_t width, int64_t rows,
                            int64_t mats, backend_weight **out) {
    char name[BINDER_NAME];
    snprintf(name, sizeof name, "blk.%d.%s.weight", layer, part);
    return binder_matrix(b, name, true, width, rows, mats, out);
}

ingot_status binder_floats(binder *b, const char *name, int64_t n, float **out) {
    const ingot_gguf_tensor *t;
    *out = NULL;
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

bool binder_has(const binder *b, const char *name) {
    return ingot_gguf_find_tensor(b->gguf, name) != NULL;
}

bool binder_has_layer(const binder *b, int32_t layer, const char *part) {
    char name[BINDER_NAME];
    snprintf(name, sizeof name, "blk.%d.%s.weight", layer, part);
    return binder_has(b, name);
}

// Tensors that files carry and inference doesn't need: inverse frequencies of old converters, and heads that
// predict further tokens.
static bool is_known_extra(ingot_str name) {
    static const char *const parts[] = {"rotary_emb.inv_freq", "attn_rot_embd", "rope_freqs", "rope_factors_",
                                        ".nextn."};
    char text[BINDER_NAME];
    size_t n = name.size < sizeof text - 1 ? name.size : sizeof text - 1;
    memcpy(text, name.data, n);
    text[n] = '\0';
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (strstr(text, parts[i]))
            return true;
    return false;
}

ingot_status binder_all_claimed(const binder *b) {
    for (uint64_t i = 0; i < ingot_gguf_tensor_count(b->gguf); i++) {
        ingot_str name = ingot_gguf_tensor_at(b->gguf, i)->name;
        if (!b->claimed[i] && !is_known_extra(name))
            return fail(
                b->err, INGOT_ERR_UNSUPPORTED,
                "%s: tensor '%.*s' isn't used by architecture '%s' as this version knows it, so the output "
                "would be wrong; --ignore-extra-tensors loads it all the same",
                gguf_name(b->gguf), (int)(name.size < 100 ? name.size : 100), name.data, b->row->name);
    }
    return INGOT_OK;
}
