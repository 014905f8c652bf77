// The public API: glue between ingot.h and the folders. Calls that need no glue are defined where their work
// is done (ingot_gguf_* in gguf/, ingot_runtime_* and ingot_engine_* in run/).
#include <string.h>

#include "grammar/ir.h"
#include "grammar/token_trie.h"
#include "model/adapter.h"
#include "model/arch.h"
#include "model/model.h"
#include "quant/quant.h"
#include "run/runtime.h"

// ------------------------------------------------------------------------------------------------- status

const char *ingot_status_name(ingot_status status) {
    static const char *const names[] = {"ok",        "invalid",     "memory",    "io",
                                        "format",    "unsupported", "not_found", "limit",
                                        "cancelled", "state",       "internal",  "busy"};
    return (size_t)status < sizeof names / sizeof *names ? names[status] : "unknown";
}

const char *ingot_version(void) {
    return INGOT_VERSION;
}

// ------------------------------------------------------------------------------------------------- tensor
// types

static void fill_type(const quant_type *type, ingot_type_info *out) {
    *out = (ingot_type_info){type->id,         type->block_size,   type->block_bytes,
                             type->can_encode, type->has_feedback, ""};
    size_t n = strlen(type->name);
    memcpy(out->name, type->name, n < sizeof out->name ? n : sizeof out->name - 1);
}

static ingot_status get_type(int32_t id, const quant_type **out, ingot_error *err) {
    *out = quant_type_get(id);
    return *out ? INGOT_OK : fail(err, INGOT_ERR_NOT_FOUND, "there is no tensor type %d", id);
}

ingot_status ingot_type_get(int32_t id, ingot_type_info *out, ingot_error *err) {
    const quant_type *type;
    TRY(get_type(id, &type, err));
    fill_type(type, out);
    return INGOT_OK;
}

ingot_status ingot_type_find(const char *name, ingot_type_info *out, ingot_error *err) {
    const quant_type *type = quant_type_find(name);
    if (!type)
        return fail(err, INGOT_ERR_NOT_FOUND, "there is no tensor type '%.40s'", name);
    fill_type(type, out);
    return INGOT_OK;
}

// ------------------------------------------------------------------------------------------------- files

ingot_status ingot_gguf_open(ingot_runtime *runtime, const char *path, const ingot_gguf_params *params,
                             ingot_progress_fn progress, void *user, ingot_gguf **out, ingot_error *err) {
    return gguf_open(runtime->env.mem, path, params, progress, user, out, err);
}

ingot_status ingot_gguf_writer_new(ingot_runtime *runtime, const char *path,
                                   const ingot_gguf_writer_params *params, ingot_gguf_writer **out,
                                   ingot_error *err) {
    return gguf_writer_new(runtime->env.mem, path, params, out, err);
}

// ------------------------------------------------------------------------------------------------- models

ingot_model_params ingot_model_default_params(void) {
    return (ingot_model_params){0};
}

ingot_status ingot_model_open(ingot_runtime *runtime, const char *path, const ingot_model_params *params,
                              ingot_progress_fn progress, void *user, ingot_model **out, ingot_error *err) {
    ingot_model_params p = params ? *params : ingot_model_default_params();
    TRY(runtime_check(runtime, err));
    TRY(model_open(&runtime->env, path, &p, progress, user, out, err));
    (*out)->runtime = runtime;
    return INGOT_OK;
}

void ingot_model_close(ingot_model *model) {
    model_close(model);
}

const ingot_gguf *ingot_model_gguf(const ingot_model *model) {
    return model->file;
}

void ingot_model_get_info(const ingot_model *model, ingot_model_info *out) {
    *out = model->info;
}

// The device that a model computes on.
static ingot_status model_device(const ingot_model *model, backend **out, ingot_error *err) {
    *out = model->device;
    return model->device ? INGOT_OK
                         : fail(err, INGOT_ERR_STATE, "%s was opened with vocab_only: it computes nothing",
                                gguf_name(model->file));
}

ingot_status ingot_model_stage(const ingot_model *model, int32_t i, ingot_stage *out, ingot_error *err) {
    backend *device;
    TRY(model_device(model, &device, err));
    return backend_stage(device, i, out, err);
}

ingot_status ingot_model_collected(const ingot_model *model, int32_t i, ingot_collected *out,
                                   ingot_error *err) {
    backend *device;
    TRY(model_device(model, &device, err));
    return backend_collected(device, i, out, err);
}

ingot_status ingot_model_collected_read(const ingot_model *model, int32_t i, double *sums, uint64_t *counts,
                                        ingot_error *err) {
    backend *device;
    TRY(model_device(model, &device, err));
    return backend_collected_read(device, i, sums, counts, err);
}

ingot_status ingot_model_collected_moments(const ingot_model *model, int32_t i, float *moments,
                                           ingot_error *err) {
    backend *device;
    TRY(model_device(model, &device, err));
    return backend_collected_moments(device, i, moments, err);
}

ingot_status ingot_model_collected_clear(ingot_model *model, ingot_error *err) {
    backend *device;
    TRY(model_device(model, &device, err));
    return backend_collected_clear(device, err);
}

const char *ingot_arch_name(int32_t i) {
    const arch *row = arch_at(i);
    return row ? row->name : NULL;
}

// ------------------------------------------------------------------------------------------------- adapters

ingot_status ingot_adapter_load(ingot_model *model, const char *path, ingot_progress_fn progress, void *user,
                                ingot_adapter **out, ingot_error *err) {
    TRY(runtime_check(model->runtime, err));
    return adapter_load(model, path, progress, user, out, err);
}

void ingot_adapter_free(ingot_adapter *adapter) {
    adapter_release(adapter);
}

void ingot_adapter_get_info(const ingot_adapter *adapter, ingot_adapter_info *out) {
    *out = adapter->info;
}

// ------------------------------------------------------------------------------------------------- text

ingot_status ingot_tokenize(const ingot_model *model, const char *text, size_t size, bool add_special,
                            bool parse_special, int32_t *tokens, size_t capacity, size_t *n,
                            ingot_error *err) {
    const vocab *v;
    TRY(model_vocab(model, &v, err));
    TRY(vocab_tokenize(v, text, size, add_special, parse_special, tokens, capacity, n, err));
    return ingot_gguf_check(model->file, err); // the vocabulary's strings lie in the file
}

ingot_status ingot_detokenize(const ingot_model *model, const int32_t *tokens, size_t n, bool special,
                              char *text, size_t capacity, size_t *size, ingot_error *err) {
    const vocab *v;
    TRY(model_vocab(model, &v, err));
    TRY(vocab_detokenize(v, tokens, n, special, text, capacity, size, err));
    return ingot_gguf_check(model->file, err);
}

ingot_status ingot_token_get(const ingot_model *model, int32_t token, ingot_token_info *out,
                             ingot_error *err) {
    const vocab *v;
    TRY(model_vocab(model, &v, err));
    return vocab_token(v, token, out, err);
}

ingot_status ingot_token_piece(const ingot_model *model, int32_t token, bool special, char *text,
                               size_t capacity, size_t *size, ingot_error *err) {
    const vocab *v;
    ingot_token_info info;
    TRY(model_vocab(model, &v, err));
    TRY(vocab_token(v, token, &info, err)); // which says what numbers there are
    *size = vocab_piece(v, token, special, text, capacity);
    TRY(ingot_gguf_check(model->file, err));
    return *size <= capacity
               ? INGOT_OK
               : fail(err, INGOT_ERR_LIMIT, "%zu bytes of text: there is room for %zu", *size, capacity);
}

void ingot_model_specials(const ingot_model *model, ingot_special_tokens *out) {
    if (model->text)
        vocab_specials(model->text, out);
    else
        *out = (ingot_special_tokens){-1, -1, -1, -1, -1, -1, -1, -1, false, false, false};
}

// ------------------------------------------------------------------------------------------------- grammars

ingot_status ingot_token_trie_new(ingot_runtime *runtime, const ingot_str *texts, const uint8_t *roles,
                                  int32_t n, ingot_token_trie **out, ingot_error *err) {
    return token_trie_new(runtime->env.mem, texts, roles, n, out, err);
}

// Fills `texts` and `roles` [n]; the texts lie in `bytes` or in the vocabulary. Without `bytes` it stores how
// many are needed.
static size_t token_texts(const vocab *v, ingot_str *texts, uint8_t *roles, char *bytes) {
    size_t at = 0;
    for (int32_t i = 0; i < vocab_size(v); i++) {
        ingot_token_info info;
        if (vocab_token(v, i, &info, NULL) != INGOT_OK)
            continue;
        bool text = info.kind == INGOT_TOKEN_NORMAL || info.kind == INGOT_TOKEN_USER_DEFINED ||
                    info.kind == INGOT_TOKEN_BYTE;
        size_t size = text ? vocab_piece(v, i, false, NULL, 0) : 0;
        if (bytes) {
            roles[i] = info.ends_generation ? INGOT_ROLE_END : text ? INGOT_ROLE_TEXT : INGOT_ROLE_CONTROL;
            texts[i] = roles[i] == INGOT_ROLE_TEXT ? (ingot_str){bytes + at, size} : info.text;
            vocab_piece(v, i, false, bytes + at, size);
        }
        at += size;
    }
    return at;
}

ingot_status ingot_token_trie_of_model(const ingot_model *model, ingot_token_trie **out, ingot_error *err) {
    const vocab *v;
    TRY(model_vocab(model, &v, err));
    const ingot_allocator *mem = model->env.mem;
    const size_t n = (size_t)vocab_size(v);
    size_t size = token_texts(v, NULL, NULL, NULL);
    ingot_str *texts = mem_alloc(mem, n, sizeof *texts);
    uint8_t *roles = mem_alloc(mem, n, 1);
    char *bytes = mem_alloc(mem, size, 1);
    ingot_status status = INGOT_OK;
    if (!texts || !roles || !bytes) {
        status = fail_memory(err, size + n * (sizeof *texts + 1), "a vocabulary's texts");
    } else {
        token_texts(v, texts, roles, bytes);
        status = token_trie_new(mem, texts, roles, (int32_t)n, out, err);
    }
    mem_free(mem, texts);
    mem_free(mem, roles);
    mem_free(mem, bytes);
    TRY(status);
    (*out)->source = v;
    status = ingot_gguf_check(model->file, err); // the vocabulary's strings lie in the file
    if (status != INGOT_OK)
        ingot_token_trie_free(*out);
    return status;
}

ingot_status ingot_grammar_builder_new(ingot_runtime *runtime, const ingot_token_trie *trie,
                                       ingot_grammar_builder **out, ingot_error *err) {
    return ir_new(runtime->env.mem, trie, out, err);
}
