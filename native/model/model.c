#include "model/model.h"

#include <stdio.h>
#include <string.h>

static ingot_status open_vocab(ingot_model *m, const char *pre, ingot_error *err) {
    ingot_str kind = {0};
    TRY(gguf_get_str(m->file, "tokenizer.ggml.model", false, &kind, err));
    if (kind.size == 0 || (kind.size == 4 && memcmp(kind.data, "none", 4) == 0))
        return INGOT_OK;
    return vocab_new(m->file, pre, m->env.mem, &m->text, err);
}

static ingot_status open_weights(ingot_model *m, const ingot_model_params *params, ingot_error *err) {
    if (ingot_gguf_tensor_count(m->file) == 0)
        return fail(err, INGOT_ERR_UNSUPPORTED,
                    "%s: the file has no tensors, so it can tokenise (vocab_only) but not be run",
                    gguf_name(m->file));
    if (params->profile && params->collect)
        return fail(err, INGOT_ERR_INVALID, "%s: profile and collect can't go together", gguf_name(m->file));
    if (params->moments && !params->collect)
        return fail(err, INGOT_ERR_INVALID, "%s: moments need collect", gguf_name(m->file));
    m->collects = params->collect;
    if (params->collect)
        TRY(backend_open_collect(&m->env, 0, params->moments, &m->device, err));
    else
        TRY((params->profile ? backend_open_profile : backend_open)(&m->env, 0, &m->device, err));
    return plan_bind(m->file, m->device, m->env.mem, m->text ? vocab_size(m->text) : 0,
                     params->ignore_extra_tensors, &m->plan, err);
}

static void fill_info(ingot_model *m) {
    const plan *p = &m->plan;
    ingot_str name = {0};
    gguf_get_str(m->file, "general.architecture", false, &name, NULL);
    snprintf(m->info.architecture, sizeof m->info.architecture, "%.*s",
             (int)(name.size < 31 ? name.size : 31), name.data ? name.data : "");
    m->info.n_vocab = m->device ? p->n_vocab : m->text ? vocab_size(m->text) : 0;
    m->info.n_ctx_train = p->n_ctx_train;
    m->info.n_layer = p->n_layer;
    m->info.n_embd = p->n_embd;
    m->info.n_head = p->n_head;
    m->info.n_head_kv = p->n_head_kv;
    m->info.n_params = p->n_params;
    m->info.weight_bytes = p->weight_bytes;
    m->info.kv_bytes_per_token_f16 =
        2u * (uint64_t)p->n_layer * (uint64_t)p->n_head_kv * (uint64_t)(p->k_dim + p->v_dim);
    m->info.generates = p->head.weight && p->causal;
    m->info.pooling = p->pooling;
    m->info.n_label = p->n_label;
}

ingot_status model_open(const backend_params *env, const char *path, const ingot_model_params *params,
                        ingot_progress_fn progress, void *user, ingot_model **out, ingot_error *err) {
    ingot_model *m = mem_alloc(env->mem, 1, sizeof *m);
    if (!m)
        return fail_memory(err, sizeof *m, "the model");
    m->env = *env;
    ingot_gguf_params file = params->file;
    file.no_data = file.no_data || params->vocab_only;
    ingot_status status = gguf_open(env->mem, path, &file, progress, user, &m->file, err);
    if (status == INGOT_OK && file.no_data && !params->vocab_only)
        status = fail(err, INGOT_ERR_INVALID, "%s: opening without data needs vocab_only", path);
    if (status == INGOT_OK)
        status = open_vocab(m, params->pre, err);
    if (status == INGOT_OK && !params->vocab_only)
        status = open_weights(m, params, err);
    if (status == INGOT_OK)
        status = ingot_gguf_check(m->file, err);
    if (status == INGOT_OK && progress && !progress(user, 1.0))
        status = fail(err, INGOT_ERR_CANCELLED, "opening %s was cancelled", path);
    if (status != INGOT_OK) {
        model_close(m);
        return status;
    }
    fill_info(m);
    *out = m;
    return INGOT_OK;
}

void model_close(ingot_model *m) {
    if (!m)
        return;
    if (m->device) {
        plan_free(&m->plan, m->device, m->env.mem);
        m->device->ops->close(m->device);
    }
    vocab_free(m->text);
    ingot_gguf_close(m->file);
    mem_free(m->env.mem, m);
}

ingot_status model_vocab(const ingot_model *m, const vocab **out, ingot_error *err) {
    *out = m->text;
    return m->text ? INGOT_OK
                   : fail(err, INGOT_ERR_UNSUPPORTED,
                          "%s: the file has no vocabulary (key 'tokenizer.ggml.model')", gguf_name(m->file));
}
