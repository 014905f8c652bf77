// A sampler by itself, for callers that have logits.
#include <string.h>

#include "model/model.h"
#include "run/runtime.h"
#include "run/sample.h"

struct ingot_sampler {
    const ingot_allocator *mem;
    sample_work work;
    sample_settings settings;
    sample_state state;
    const vocab *text;
    float *logits; // [n_vocab]
    int32_t n_vocab;
    uint64_t n_chosen;
};

static ingot_status check_vocab(const ingot_model *model, int32_t n_vocab, ingot_error *err) {
    if (n_vocab <= 0)
        return fail(err, INGOT_ERR_INVALID, "n_vocab is %d, expected 1 or more", n_vocab);
    if (model && !model->text)
        return fail(err, INGOT_ERR_INVALID, "%s has no vocabulary", gguf_name(model->file));
    if (model && n_vocab < vocab_size(model->text))
        return fail(err, INGOT_ERR_INVALID, "n_vocab is %d, but the vocabulary of %s has %d tokens", n_vocab,
                    gguf_name(model->file), vocab_size(model->text));
    return INGOT_OK;
}

ingot_status ingot_sampler_new(ingot_runtime *runtime, const ingot_model *model, int32_t n_vocab,
                               const ingot_sampling *sampling, ingot_sampler **out, ingot_error *err) {
    const ingot_allocator *mem = runtime->env.mem;
    const ingot_sampling usual = {.values = NULL};
    TRY(check_vocab(model, n_vocab, err));
    ingot_sampler *s = mem_alloc(mem, 1, sizeof *s);
    if (!s)
        return fail_memory(err, sizeof *s, "a sampler");
    s->mem = mem;
    s->text = model ? model->text : NULL;
    s->n_vocab = n_vocab;
    s->settings.mem = s->work.mem = s->work.list.mem = mem;
    ingot_status status = sample_settings_init(&s->settings, sampling ? sampling : &usual, s->text, mem, err);
    if (status == INGOT_OK)
        status = sample_init(&s->work, runtime->env.kernels, n_vocab, mem, err);
    s->logits = mem_alloc(mem, (size_t)n_vocab, sizeof *s->logits);
    if (status == INGOT_OK && !s->logits)
        status = fail_memory(err, (uint64_t)n_vocab * sizeof *s->logits, "a sampler");
    if (status != INGOT_OK) {
        ingot_sampler_free(s);
        return status;
    }
    s->state = sample_state_begin(&s->settings.params);
    *out = s;
    return INGOT_OK;
}

void ingot_sampler_free(ingot_sampler *sampler) {
    if (!sampler)
        return;
    sample_settings_free(&sampler->settings);
    sample_free(&sampler->work);
    mem_free(sampler->mem, sampler->logits);
    mem_free(sampler->mem, sampler);
}

static ingot_status read_input(ingot_sampler *s, const float *logits, const int32_t *recent, size_t n_recent,
                               sample_input *in, ingot_error *err) {
    if (n_recent > INT32_MAX)
        return fail(err, INGOT_ERR_INVALID, "n_recent is %zu, expected up to %d", n_recent, INT32_MAX);
    for (size_t i = 0; i < n_recent; i++)
        if (recent[i] < 0 || recent[i] >= s->n_vocab)
            return fail(err, INGOT_ERR_INVALID, "recent token %zu is %d, expected 0 to %d", i, recent[i],
                        s->n_vocab - 1);
    memcpy(s->logits, logits, (size_t)s->n_vocab * sizeof *logits);
    *in = (sample_input){.logits = s->logits,
                         .n_vocab = s->n_vocab,
                         .recent = recent,
                         .n_recent = (int32_t)n_recent,
                         .index = s->n_chosen,
                         .text = s->text};
    return INGOT_OK;
}

ingot_status ingot_sampler_choose(ingot_sampler *sampler, const float *logits, const int32_t *recent,
                                  size_t n_recent, int32_t *token, ingot_error *err) {
    sample_input in;
    TRY(read_input(sampler, logits, recent, n_recent, &in, err));
    TRY(sample_choose(&sampler->work, &sampler->settings, &sampler->state, &in, token, err));
    sampler->n_chosen++;
    return INGOT_OK;
}

ingot_status ingot_sampler_probabilities(ingot_sampler *sampler, const float *logits, const int32_t *recent,
                                         size_t n_recent, float *probabilities, ingot_error *err) {
    sample_input in;
    TRY(read_input(sampler, logits, recent, n_recent, &in, err));
    TRY(sample_prepare(&sampler->work, &sampler->settings, &sampler->state, &in, err));
    const candidates *c = &sampler->work.list;
    memset(probabilities, 0, (size_t)sampler->n_vocab * sizeof *probabilities);
    for (int32_t i = 0; i < c->n; i++)
        probabilities[candidate_token(c, i)] = (float)((double)c->weights[i] / c->total);
    return INGOT_OK;
}
