#include "quantize/recipe.h"

#include <inttypes.h>
#include <stddef.h>
#include <string.h>

#include "quantize/roles.h"

// Conditions of rules; bits.
enum {
    GQA4 = 1 << 0,     // 4 or more heads share keys and values
    EXPERTS4 = 1 << 1, // 4 or more experts
    EXPERTS8 = 1 << 2, // 8 experts: the first mixtures, which were tuned by hand
    IMATRIX = 1 << 3,
    NO_IMATRIX = 1 << 4,
    FALCON = 1 << 5,
    NOT_FALCON = 1 << 6,
    UNEVEN = 1 << 7,        // rows aren't whole blocks of the base type
    EXPERT_MATRIX = 1 << 8, // the matrices of all experts in one tensor
    FIRST_2 = 1 << 9,       // among tensors of the same role
    FIRST_4 = 1 << 10,
    FIRST_8TH = 1 << 11, // of the layers
    FIRST_16TH = 1 << 12,
    COUNT_8TH = 1 << 13, // FIRST_8TH where tensors are counted for layers, also if a layer has several
    MIDDLE = 1 << 14,    // neither in the first nor in the last eighth of the layers
    MORE_BITS = 1 << 15,
};

#define M(name) (UINT64_C(1) << FILETYPE_##name)
#define TINY    (M(IQ1_S) | M(IQ1_M) | M(IQ2_XXS) | M(IQ2_XS) | M(IQ2_S) | M(IQ2_M))
#define ALL     UINT64_MAX

enum { ROLE_ANY = ROLE_COUNT, QUANT_BASE = -1 };

typedef struct rule {
    int role;
    uint64_t filetypes;
    uint32_t conditions;
    int32_t type; // QUANT_BASE: the file type's
} rule;

static const rule rules[] = {
#define RULE(role, filetypes, conditions, type) {ROLE_##role, filetypes, conditions, QUANT_##type},
#include "quantize/recipe.def"
#undef RULE
};

// What takes the place of a type whose blocks don't fit into a row.
static const struct {
    int32_t wide, narrow;
} narrower[] = {
    {QUANT_IQ1_S, QUANT_IQ4_NL},  {QUANT_IQ1_M, QUANT_IQ4_NL},  {QUANT_IQ2_XXS, QUANT_IQ4_NL},
    {QUANT_IQ2_XS, QUANT_IQ4_NL}, {QUANT_IQ2_S, QUANT_IQ4_NL},  {QUANT_IQ3_XXS, QUANT_IQ4_NL},
    {QUANT_IQ3_S, QUANT_IQ4_NL},  {QUANT_IQ4_XS, QUANT_IQ4_NL}, {QUANT_Q2_0, QUANT_Q4_0},
    {QUANT_Q2_K, QUANT_Q4_0},     {QUANT_Q3_K, QUANT_Q4_0},     {QUANT_TQ1_0, QUANT_Q4_0},
    {QUANT_TQ2_0, QUANT_Q4_0},    {QUANT_Q4_K, QUANT_Q5_0},     {QUANT_Q5_K, QUANT_Q5_1},
    {QUANT_Q6_K, QUANT_Q8_0},
};

// A recipe at work. `seen` counts the tensors of a role that the rules were asked about.
typedef struct state {
    const recipe_model *model;
    const recipe_options *options;
    bool tied; // the embeddings serve as head
    int64_t n_values;
    int64_t seen[ROLE_COUNT];
} state;

int recipe_compare(const char *a, const char *b) {
    int32_t x = role_layer(a), y = role_layer(b);
    return x != y ? (x < y ? -1 : 1) : strcmp(a, b);
}

static bool fits(int32_t type, uint64_t width) {
    return width % (uint64_t)quant_type_get(type)->block_size == 0;
}

static bool more_bits(int64_t i, int64_t n) {
    return i < n / 8 || i >= 7 * n / 8 || (i - n / 8) % 3 == 2;
}

// Llama's 70B shape and its kin, in which a value tensor is an eighth of the queries' and worth more bits.
static bool is_70b(const recipe_model *m) {
    static const struct {
        const char *arch;
        uint32_t n_layer;
    } others[] = {{"deci", 80}, {"olmo", 80}, {"qwen2", 80}, {"jais2", 68}};
    uint32_t n = m->n_layer - m->n_layer_mtp;
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (strcmp(m->arch, others[i].arch) == 0)
            return n == others[i].n_layer;
    bool llama = strcmp(m->arch, "llama") == 0 || strcmp(m->arch, "llama-embed") == 0;
    return llama && n == 80 && m->n_expert != 8 && m->n_head != m->n_head_kv;
}

// The matrices of experts; MLA has other tensors of three dimensions.
static bool is_expert_matrix(const recipe_model *m, const recipe_tensor *t, tensor_role role) {
    bool ffn = role == ROLE_FFN_UP || role == ROLE_FFN_GATE || role == ROLE_FFN_DOWN;
    return t->shape[2] > 1 && (ffn || strcmp(m->arch, "bailingmoe3") != 0);
}

// Conditions that depend on where in the model a tensor stands.
static uint32_t place(const state *s, const recipe_tensor *t, tensor_role role) {
    int64_t seen = s->seen[role], n_layer = s->model->n_layer;
    int64_t i = seen, n = n_layer;
    if (role == ROLE_ATTN_V)
        n = s->n_values;
    else if (s->model->n_expert > 1 && role_layer(t->name) >= 0)
        i = role_layer(t->name); // a layer may have several tensors of this role
    uint32_t holds = 0;
    holds |= seen < 2 ? FIRST_2 : 0;
    holds |= seen < 4 ? FIRST_4 : 0;
    holds |= i < n / 8 ? FIRST_8TH : 0;
    holds |= i < n / 16 ? FIRST_16TH : 0;
    holds |= seen < n_layer / 8 ? COUNT_8TH : 0;
    holds |= i >= n / 8 && i < 7 * n / 8 ? MIDDLE : 0;
    holds |= more_bits(i, n) ? MORE_BITS : 0;
    return holds;
}

static uint32_t conditions(const state *s, const recipe_tensor *t, tensor_role role) {
    const recipe_model *m = s->model;
    uint32_t holds = place(s, t, role);
    holds |= m->n_head_kv > 0 && m->n_head / m->n_head_kv >= 4 ? GQA4 : 0;
    holds |= m->n_expert >= 4 ? EXPERTS4 : 0;
    holds |= m->n_expert == 8 ? EXPERTS8 : 0;
    holds |= s->options->imatrix ? IMATRIX : NO_IMATRIX;
    holds |= strcmp(m->arch, "falcon") == 0 ? FALCON : NOT_FALCON;
    holds |= !fits(s->options->target->base, t->shape[0]) ? UNEVEN : 0;
    holds |= is_expert_matrix(m, t, role) ? EXPERT_MATRIX : 0;
    return holds;
}

static int32_t by_rules(state *s, const recipe_tensor *t, tensor_role role) {
    const filetype *target = s->options->target;
    int32_t type = target->base;
    if (role_sensitive(s->model->arch, t->name))
        return QUANT_Q8_0;
    if (s->tied && role == ROLE_TOKEN_EMBD) {
        role = ROLE_OUTPUT;
        if (s->options->output_type != RECIPE_NO_TYPE)
            return s->options->output_type;
    }
    uint32_t holds = conditions(s, t, role);
    uint64_t bit = UINT64_C(1) << target->id;
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
        const rule *r = &rules[i];
        if ((r->role != (int)role && r->role != ROLE_ANY) || !(r->filetypes & bit) ||
            (r->conditions & holds) != r->conditions)
            continue;
        type = r->type == QUANT_BASE ? type : r->type;
        break;
    }
    s->seen[role]++;
    bool values = role == ROLE_ATTN_V && !(TINY & bit);
    return values && (type == QUANT_Q3_K || type == QUANT_Q4_K) && is_70b(s->model) ? QUANT_Q5_K : type;
}

// What a tensor should get, whether it fits or not.
static int32_t choose(state *s, const recipe_tensor *t) {
    const recipe_options *o = s->options;
    tensor_role role = role_of(t->name);
    bool number = t->from >= QUANT_I8 && t->from <= QUANT_I64; // a table of whole numbers
    if (number || o->target->id == FILETYPE_COPY || !role_quantizable(s->model->arch, t->name, t->shape) ||
        (o->leave_output && role == ROLE_OUTPUT))
        return t->from;
    int32_t wish = o->wish ? o->wish(o->user, t->name) : RECIPE_NO_TYPE;
    // The table of single layers' embeddings is large and may be named apart.
    bool apart = wish != RECIPE_NO_TYPE && strcmp(t->name, "per_layer_token_embd.weight") == 0;
    if (role == ROLE_TOKEN_EMBD && o->embedding_type != RECIPE_NO_TYPE && !apart)
        return o->embedding_type;
    if (role == ROLE_OUTPUT && o->output_type != RECIPE_NO_TYPE)
        return o->output_type;
    if (wish != RECIPE_NO_TYPE)
        return wish;
    bool plain = quant_type_get(o->target->base)->block_size == 1;
    return plain || o->pure ? o->target->base : by_rules(s, t, role);
}

// A type that fits into the tensor's rows, as near to t->wanted as there is one.
static ingot_status fit(recipe_tensor *t, ingot_error *err) {
    t->to = t->wanted;
    if (t->wanted == t->from || fits(t->wanted, t->shape[0]))
        return INGOT_OK;
    const quant_type *wanted = quant_type_get(t->wanted);
    int32_t narrow = RECIPE_NO_TYPE;
    for (size_t i = 0; i < sizeof narrower / sizeof *narrower; i++)
        if (narrower[i].wide == t->wanted)
            narrow = narrower[i].narrow;
    if (narrow == RECIPE_NO_TYPE && wanted->block_size > 32)
        return fail(err, INGOT_ERR_INVALID,
                    "tensor '%s' has rows of %" PRIu64
                    " weights, which blocks of %d (%s) don't divide, and no "
                    "other type takes the place of %s: name one with --tensor-type, or choose another type",
                    t->name, t->shape[0], wanted->block_size, wanted->name, wanted->name);
    t->to = narrow != RECIPE_NO_TYPE && fits(narrow, t->shape[0]) ? narrow : QUANT_F16;
    return INGOT_OK;
}

static bool needs_importance(const recipe_options *o, const recipe_tensor *t) {
    tensor_role role = role_of(t->name);
    if (role == ROLE_TOKEN_EMBD || role == ROLE_OUTPUT || t->to == t->from)
        return false;
    switch (t->to) {
    case QUANT_IQ1_S:
    case QUANT_IQ1_M:
    case QUANT_IQ2_XXS:
    case QUANT_IQ2_XS:
    case QUANT_IQ2_S:
    case QUANT_IQ3_XXS:
        return true;
    default:
        return t->to == QUANT_Q2_K && o->target->id == FILETYPE_Q2_K_S;
    }
}

ingot_status recipe_apply(const recipe_model *model, const recipe_options *options, recipe_tensor *tensors,
                          size_t n, ingot_error *err) {
    state s = {.model = model, .options = options, .tied = true};
    for (size_t i = 0; i < n; i++) {
        tensor_role role = role_of(tensors[i].name);
        s.n_values += role == ROLE_ATTN_V;
        s.tied = s.tied && role != ROLE_OUTPUT;
    }
    for (size_t i = 0; i < n; i++) {
        recipe_tensor *t = &tensors[i];
        t->wanted = choose(&s, t);
        TRY(fit(t, err));
        t->needs_importance = needs_importance(options, t);
    }
    return INGOT_OK;
}
