// The architecture table. The binder (bind.c and what includes binder.h) alone turns a row into a plan; the
// name goes no further.
#ifndef INGOT_MODEL_ARCH_H
#define INGOT_MODEL_ARCH_H

#include "backend/backend.h"

// Where a layer has norms.
typedef enum norm_places {
    NORMS_BEFORE = 0, // each block, and the output
    NORMS_AROUND,     // before and after each block, and the output
    NORMS_AFTER,      // after each block, and the output
    NORMS_SUM,        // the stream after each block was added
} norm_places;

// What key `logit_scale` does to logits.
typedef enum logit_scaling {
    LOGITS_AS_THEY_ARE = 0,
    LOGITS_TIMES,
    LOGITS_OVER,
} logit_scaling;

// Defaults are 0. "Key" is one of the file's metadata, without the architecture's name in front.
typedef struct arch {
    const char *name; // of general.architecture
    norm_kind norm;
    norm_places norms;
    bool embedding_norm;       // the first layer may then do without its norm before attention
    rope_kind rope;            // ROPE_NONE: learned positions, unless there is ALiBi
    float alibi;               // default of key attention.max_alibi_bias
    activation activation;     // of feed-forward blocks
    bool ungated;              // feed-forward blocks have no gate
    router_kind router;        // of mixtures of experts
    bool parallel;             // default of key use_parallel_residual
    bool encoder;              // sees the whole text (default of key attention.causal) and gives no logits
    bool mean_classifier;      // cls.* read a mean of vectors, which isn't supported
    bool scaled_embedding;     // times sqrt(n_embd)
    logit_scaling logit_scale; // needs key logit_scale
    // Layers with a window ("local") and without ("global"), where the file has one.
    int32_t period;    // the last of every `period` layers is global; 0: none is
    bool global_first; // the first of every `period` instead
    bool global_nope;  // global layers don't rotate
    float local_base;  // default of key rope.freq_base_swa: local layers have a base of their own
    bool local_plain;  // local layers have the same base, but positions that aren't stretched
    int32_t window;    // default of key attention.sliding_window
    // Layers that don't rotate, whatever they see: the last of every `nope_period`.
    int32_t nope_period;
    // Models of this many layers divide scores by sqrt(n_embd / n_head), not by that of the head's size:
    // their files don't say.
    int32_t wide_scale_layers;
    float score_cap, logit_cap; // defaults of keys attn_logit_softcapping and final_logit_softcapping
    // What Llama 4 does and its files don't say. Layers that rotate see their own chunk of this many
    // positions, and divide queries and keys by their RMS; the others sharpen scores by the chunk; a chosen
    // expert's share multiplies what it reads. Key attention.sliding_window, if it is 0: there are no chunks,
    // and all layers rotate.
    int32_t chunk;
    float chunk_temperature;
} arch;

// The i-th row of archs.def, NULL past the last.
const arch *arch_at(int32_t i);

// The row called `name`; a missing one is INGOT_ERR_UNSUPPORTED with the list of those that exist.
ingot_status arch_find(ingot_str name, const arch **out, ingot_error *err);

#endif
