// What each layer's attention sees, and which layers rotate.
#include "model/binder.h"

#include <math.h>
#include <string.h>

// Which layers are local: the file's list or period, else the row's.
static ingot_status find_local(binder *b, bool *local) {
    const int32_t n_layer = b->plan->n_layer;
    char key[BINDER_NAME];
    int32_t period = b->row->period;
    const ingot_gguf_value *pattern =
        ingot_gguf_find(b->gguf, binder_key(b, "attention.sliding_window_pattern", key));
    if (pattern && pattern->type == INGOT_GGUF_ARRAY) {
        TRY(gguf_get_array(b->gguf, key, true, INGOT_GGUF_BOOL, &pattern, b->err));
        if (pattern->count != (uint64_t)n_layer && pattern->count != (uint64_t)b->n_block)
            return fail(b->err, INGOT_ERR_FORMAT, "%s: key '%s' has %llu items for %d layers",
                        gguf_name(b->gguf), key, (unsigned long long)pattern->count, n_layer);
        memcpy(local, pattern->data, (size_t)n_layer * sizeof *local);
        return INGOT_OK;
    }
    TRY(binder_u32(b, "attention.sliding_window_pattern", false, 0, 512, &period));
    for (int32_t i = 0; i < n_layer; i++)
        local[i] = period == 0 || (b->row->global_first ? i % period != 0 : (i + 1) % period != 0);
    return INGOT_OK;
}

// See `chunk` of the row. The models of 128 experts do without the norm.
static void bind_chunks(const binder *b, bool chunked) {
    const arch *row = b->row;
    for (int32_t i = 0; i < b->plan->n_layer; i++) {
        plan_layer *layer = &b->plan->layers[i];
        attend_args *a = &layer->attend;
        layer->rope = chunked && (i + 1) % row->nope_period == 0 ? -1 : 0;
        if (layer->rope < 0) {
            a->temperature = row->chunk_temperature;
            a->temperature_length = row->chunk;
            a->temperature_offset = 1;
            continue;
        }
        a->window_kind = chunked ? WINDOW_CHUNK : WINDOW_NONE;
        a->window = chunked ? row->chunk : 0;
        if (b->plan->n_expert != 128)
            layer->qk_unit = (backend_norm){.kind = NORM_RMS, .eps = b->norm_eps, .group = b->plan->k_dim};
    }
}

// Scores of far queries may be sharpened: Nakanishi 2025, "Scalable-Softmax", as Llama 4 uses it.
static ingot_status bind_temperature(binder *b, plan_layer *layer) {
    attend_args *a = &layer->attend;
    TRY(binder_option(b, "attention.temperature_scale", &a->temperature));
    if (a->temperature == 0.0f)
        return INGOT_OK;
    a->temperature_length = b->plan->n_ctx_train;
    TRY(binder_u32(b, "rope.scaling.original_context_length", false, 1, 1u << 30, &a->temperature_length));
    return binder_u32(b, "attention.temperature_length", false, 1, 1u << 30, &a->temperature_length);
}

ingot_status binder_windows(binder *b) {
    plan *p = b->plan;
    const arch *row = b->row;
    int32_t window = row->chunk > 0 ? row->chunk : row->window;
    TRY(binder_u32(b, "attention.sliding_window", false, 0, INT32_MAX, &window));
    if (row->chunk > 0) {
        bind_chunks(b, window > 0);
        return INGOT_OK;
    }
    bool *local = mem_alloc(b->mem, (size_t)p->n_layer, sizeof *local);
    if (!local)
        return fail_memory(b->err, (uint64_t)p->n_layer, "the list of layers with a window");
    ingot_status status = window > 0 ? find_local(b, local) : INGOT_OK;
    for (int32_t i = 0; status == INGOT_OK && i < p->n_layer; i++) {
        plan_layer *layer = &p->layers[i];
        layer->attend.window_kind = local[i] ? WINDOW_SLIDING : WINDOW_NONE;
        layer->attend.window = local[i] ? window : 0;
        bool nope = (row->nope_period > 0 && (i + 1) % row->nope_period == 0) ||
                    (row->global_nope && window > 0 && !local[i]);
        layer->rope = p->rope_kind == ROPE_NONE || nope ? -1 : local[i] && p->ropes[1].freqs ? 1 : 0;
        status = bind_temperature(b, layer);
    }
    mem_free(b->mem, local);
    return status;
}
