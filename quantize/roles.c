#include "quantize/roles.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

// Parts of names, the first that is found decides.
static const struct {
    const char *part;
    tensor_role role;
} parts[] = {
    {"attn_qkv.weight", ROLE_ATTN_V}, {"attn_kv_b.weight", ROLE_ATTN_V},
    {"attn_v.weight", ROLE_ATTN_V},   {"attn_k.weight", ROLE_ATTN_K},
    {"attn_q.weight", ROLE_ATTN_Q},   {"attn_output.weight", ROLE_ATTN_OUT},
    {"ffn_up", ROLE_FFN_UP},          {"ffn_gate", ROLE_FFN_GATE},
    {"ffn_down", ROLE_FFN_DOWN},
};

// Matrices whose names contain one of these stay as they are.
static const char *const kept[] = {
    "_norm.weight",
    // routers
    "ffn_gate_inp.weight",
    "ffn_gate_tid2eid.weight",
    // small matrices of Gemma 3n
    "altup",
    "laurel",
    "per_layer_model_proj",
    // convolutions over a few tokens
    "ssm_conv1d",
    "shortconv.conv.weight",
    // the indexers of sparse attention
    "indexer.k_proj.weight",
    "indexer.q_proj.weight",
    // RWKV: vectors, and matrices of low rank
    "time_mix_first.weight",
    "time_mix_w0.weight",
    "time_mix_w1.weight",
    "time_mix_w2.weight",
    "time_mix_v0.weight",
    "time_mix_v1.weight",
    "time_mix_v2.weight",
    "time_mix_a0.weight",
    "time_mix_a1.weight",
    "time_mix_a2.weight",
    "time_mix_g1.weight",
    "time_mix_g2.weight",
    "time_mix_decay_w1.weight",
    "time_mix_decay_w2.weight",
    "time_mix_lerp_fused.weight",
    // relative positions of T5
    "attn_rel_b.weight",
    // images and sounds
    ".position_embd",
    "sam.pos_embd",
    "sam.neck.",
    "sam.net_",
    ".rel_pos",
    ".patch_embd",
    ".patch_merger",
    "a.rvq.codebook",
    "mm.a.code_embd",
};

// Positions and kinds of text, by whole names.
static const char *const kept_names[] = {"position_embd.weight", "token_types.weight"};

static const char GLM5_NEXT[] = "glm5-next";

// Kept in GLM5_NEXT alone: hyper-connections, the indexer, low-rank parts of its linear attention and MLA.
static const char *const kept_glm5_next[] = {
    "hc_",
    "indexer.attn_q_b",
    "indexer.attn_k",
    "indexer.proj",
    "ssm_f_a.weight",
    "indexer_compressor_gate",
    "indexer_compressor_ape",
    "ssm_f_b.weight",
    "ssm_g_a.weight",
    "ssm_g_b.weight",
    "ssm_beta.weight",
    "attn_kv_a_mqa.weight",
    "attn_k_b.weight",
    "attn_v_b.weight",
};

static const char *const sensitive_glm5_next[] = {"attn_q_a", "attn_q_b", "nextn.eh_proj"};

#define COUNT(list) (sizeof(list) / sizeof *(list))

static bool contains_one(const char *name, const char *const *list, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (strstr(name, list[i]))
            return true;
    return false;
}

tensor_role role_of(const char *name) {
    if (strcmp(name, "output.weight") == 0)
        return ROLE_OUTPUT;
    if (strcmp(name, "token_embd.weight") == 0 || strcmp(name, "per_layer_token_embd.weight") == 0)
        return ROLE_TOKEN_EMBD;
    for (size_t i = 0; i < COUNT(parts); i++)
        if (strstr(name, parts[i].part))
            return parts[i].role;
    return ROLE_OTHER;
}

bool role_quantizable(const char *arch, const char *name, const uint64_t *shape) {
    static const char suffix[] = "weight";
    size_t size = strlen(name), n = sizeof suffix - 1;
    if (shape[1] * shape[2] * shape[3] <= 1) // a vector
        return false;
    if (size < n || strcmp(name + size - n, suffix) != 0)
        return false;
    for (size_t i = 0; i < COUNT(kept_names); i++)
        if (strcmp(name, kept_names[i]) == 0)
            return false;
    if (strcmp(arch, GLM5_NEXT) == 0 && contains_one(name, kept_glm5_next, COUNT(kept_glm5_next)))
        return false;
    return !contains_one(name, kept, COUNT(kept));
}

bool role_sensitive(const char *arch, const char *name) {
    return strcmp(arch, GLM5_NEXT) == 0 &&
           contains_one(name, sensitive_glm5_next, COUNT(sensitive_glm5_next));
}

int32_t role_layer(const char *name) {
    char *end;
    if (strncmp(name, "blk.", 4) != 0)
        return -1;
    long layer = strtol(name + 4, &end, 10);
    return end != name + 4 && *end == '.' && layer >= 0 && layer <= INT32_MAX ? (int32_t)layer : -1;
}
