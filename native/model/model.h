// A model: file, vocabulary, and a plan with its weights on a device.
#ifndef INGOT_MODEL_MODEL_H
#define INGOT_MODEL_MODEL_H

#include <stdatomic.h>

#include "gguf/gguf.h"
#include "model/plan.h"
#include "text/vocab.h"

struct ingot_model {
    ingot_gguf *file;
    vocab *text;     // NULL: the file has no vocabulary
    backend *device; // NULL with vocab_only
    plan plan;
    backend_params env;
    ingot_runtime *runtime;
    ingot_model_info info;
    bool collects;               // sums of what matrices are multiplied with
    _Atomic uint64_t n_adapters; // loaded so far: their serial numbers
};

// As ingot_model_open. `env` is copied; what it points to must outlive the model.
ingot_status model_open(const backend_params *env, const char *path, const ingot_model_params *params,
                        ingot_progress_fn progress, void *user, ingot_model **out, ingot_error *err);
void model_close(ingot_model *m);

// The vocabulary, or the error that there is none.
ingot_status model_vocab(const ingot_model *m, const vocab **out, ingot_error *err);

#endif
