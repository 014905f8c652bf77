#include "quantize/plan.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "gguf/format.h"
#include "gguf/gguf.h"
#include "quantize/roles.h"

// ARCH.`name` as a number, `fallback` if it is missing; of a list the first. Options override files.
static ingot_status number_get(const plan *p, const char *name, uint32_t fallback, uint32_t *out,
                               ingot_error *err) {
    char key[256];
    *out = fallback;
    snprintf(key, sizeof key, "%s.%s", p->model.arch, name);
    for (size_t i = 0; i < p->options->n_overrides; i++)
        if (strcmp(p->options->overrides[i].key, key) == 0 &&
            p->options->overrides[i].value.type == INGOT_GGUF_U32) {
            *out = (uint32_t)p->options->overrides[i].number;
            return INGOT_OK;
        }
    const ingot_gguf_value *value = ingot_gguf_find(p->input, key);
    bool list = value && value->type == INGOT_GGUF_ARRAY && value->count > 0;
    if (!list)
        return gguf_get_u32(p->input, key, false, 0, UINT32_MAX, out, err);
    if (value->item_type != INGOT_GGUF_U32 && value->item_type != INGOT_GGUF_I32)
        return INGOT_OK; // what a model makes of it is not the recipe's affair
    memcpy(out, value->data, sizeof *out);
    return INGOT_OK;
}

static ingot_status read_model(plan *p, ingot_error *err) {
    recipe_model *m = &p->model;
    ingot_str arch = {"", 0};
    TRY(gguf_get_str(p->input, "general.architecture", false, &arch, err));
    char *name = store_alloc(&p->store, NULL, arch.size + 1, 1);
    if (!name)
        return fail_memory(err, arch.size, "a name");
    memcpy(name, arch.data, arch.size);
    name[arch.size] = '\0';
    m->arch = name;
    TRY(number_get(p, "block_count", 0, &m->n_layer, err));
    TRY(number_get(p, "nextn_predict_layers", 0, &m->n_layer_mtp, err));
    TRY(number_get(p, "attention.head_count", 0, &m->n_head, err));
    TRY(number_get(p, "attention.head_count_kv", m->n_head, &m->n_head_kv, err));
    return number_get(p, "expert_count", 0, &m->n_expert, err);
}

static bool any_correlations(const imatrix *m) {
    for (size_t i = 0; i < m->n; i++)
        if (m->entries[i].correlations)
            return true;
    return false;
}

static ingot_status read_imatrix(plan *p, ingot_error *err) {
    const options *o = p->options;
    if (!o->imatrix)
        return INGOT_OK;
    TRY(imatrix_open(o->imatrix, &p->imatrix, err));
    if (o->high_effort && !any_correlations(&p->imatrix))
        return fail(
            err, INGOT_ERR_INVALID,
            "%s has no correlations, which --effort high needs: make it with `ingot imatrix --moments`",
            o->imatrix);
    if (o->n_weights == 0)
        return INGOT_OK;
    imatrix_filter(&p->imatrix, o->weights, o->n_weights, o->weights_included);
    return p->imatrix.n > 0
               ? INGOT_OK
               : fail(err, INGOT_ERR_INVALID, "%s: --%s-weights leaves no entry of the importance matrix",
                      o->imatrix, o->weights_included ? "include" : "exclude");
}

// How many layers before `layer` are left out; *gone says whether it is one of them.
static int32_t pruned_before(const options *o, int32_t layer, bool *gone) {
    int32_t before = 0;
    *gone = false;
    for (size_t i = 0; i < o->n_pruned; i++) {
        bool again = i > 0 && o->pruned[i] == o->pruned[i - 1];
        before += !again && o->pruned[i] < layer;
        *gone = *gone || o->pruned[i] == layer;
    }
    return before;
}

// The name that a tensor has in the output; *out is NULL if its layer is left out.
static ingot_status output_name(plan *p, ingot_str name, const char **out, ingot_error *err) {
    enum { MAX = GGUF_MAX_NAME_BYTES + 1 };
    char text[MAX];
    snprintf(text, sizeof text, "%.*s", (int)name.size, name.data);
    const char *block = strstr(text, "blk.");
    int32_t layer = block ? role_layer(block) : -1;
    bool gone = false;
    int32_t before = layer >= 0 ? pruned_before(p->options, layer, &gone) : 0;
    *out = NULL;
    if (gone)
        return INGOT_OK;
    char *copy = store_alloc(&p->store, NULL, MAX, 1);
    if (!copy)
        return fail_memory(err, MAX, "a tensor's name");
    if (before == 0)
        memcpy(copy, text, MAX);
    else
        snprintf(copy, MAX, "%.*sblk.%d%s", (int)(block - text), text, layer - before,
                 strchr(block + 4, '.'));
    *out = copy;
    return INGOT_OK;
}

static ingot_status check_pruned(const plan *p, ingot_error *err) {
    const options *o = p->options;
    if (o->n_pruned == 0 || (uint32_t)o->pruned[o->n_pruned - 1] < p->model.n_layer)
        return INGOT_OK;
    return fail(err, INGOT_ERR_INVALID, "--prune-layers: there is no layer %d, %s has 0 to %" PRIu32,
                o->pruned[o->n_pruned - 1], o->input, p->model.n_layer - 1);
}

// A tensor on its way into the plan's order.
typedef struct candidate {
    const char *name;
    const ingot_gguf_tensor *source;
} candidate;

static int by_name(const void *a, const void *b) {
    return recipe_compare(((const candidate *)a)->name, ((const candidate *)b)->name);
}

static ingot_status collect(plan *p, candidate *list, ingot_error *err) {
    const ingot_gguf_tensor *t;
    for (uint64_t i = 0; (t = ingot_gguf_tensor_at(p->input, i)); i++) {
        candidate c = {.source = t};
        TRY(output_name(p, t->name, &c.name, err));
        if (c.name)
            list[p->n++] = c;
    }
    if (!p->options->keep_split) // whose order is the files'
        qsort(list, p->n, sizeof *list, by_name);
    p->tensors = mem_alloc(NULL, p->n, sizeof *p->tensors);
    p->details = mem_alloc(NULL, p->n, sizeof *p->details);
    if (!p->tensors || !p->details)
        return fail_memory(err, p->n * sizeof *p->tensors, "a plan");
    for (size_t i = 0; i < p->n; i++) {
        p->details[i].source = list[i].source;
        p->tensors[i].name = list[i].name;
        p->tensors[i].from = list[i].source->type;
        memcpy(p->tensors[i].shape, list[i].source->shape, sizeof p->tensors[i].shape);
    }
    return INGOT_OK;
}

static ingot_status read_tensors(plan *p, ingot_error *err) {
    uint64_t count = ingot_gguf_tensor_count(p->input);
    candidate *list = mem_alloc(NULL, (size_t)count, sizeof *list);
    ingot_status status = list ? collect(p, list, err) : fail_memory(err, count * sizeof *list, "a plan");
    mem_free(NULL, list);
    return status;
}

// Looks up the importance of a tensor that will be quantised.
static ingot_status find_importance(plan *p, size_t i, ingot_error *err) {
    const recipe_tensor *t = &p->tensors[i];
    if (p->imatrix.n == 0 || t->to == t->from || quant_type_get(t->to)->block_size == 1)
        return INGOT_OK;
    char name[GGUF_MAX_NAME_BYTES + 1]; // as the input has it
    const ingot_gguf_tensor *source = p->details[i].source;
    snprintf(name, sizeof name, "%.*s", (int)source->name.size, source->name.data);
    const imatrix_entry *e = imatrix_find(&p->imatrix, name);
    uint64_t expected = t->shape[0] * t->shape[2] * t->shape[3];
    if (e && e->n != expected && role_of(t->name) == ROLE_TOKEN_EMBD)
        e = NULL; // these are looked up, not multiplied
    if (e && e->n != expected)
        return fail(err, INGOT_ERR_INVALID,
                    "%s: the entry '%s' has %" PRIu64 " numbers, but the tensor has %" PRIu64
                    " columns: the matrix was made for another model",
                    p->options->imatrix, e->name, e->n, expected);
    if (e && e->correlations && e->columns != t->shape[0])
        return fail(err, INGOT_ERR_INVALID,
                    "%s: the correlations of '%s' are of %" PRIu64 " columns, but the tensor has %" PRIu64
                    ": the matrix was made for another model",
                    p->options->imatrix, e->name, e->columns, t->shape[0]);
    p->details[i].importance = e;
    p->details[i].feedback =
        p->options->high_effort && e && e->correlations && quant_type_get(t->to)->has_feedback;
    if (p->options->high_effort && e && !p->details[i].feedback && t->to != QUANT_Q8_0)
        (*(quant_type_get(t->to)->has_feedback ? &p->n_uncorrelated : &p->n_apart))++;
    p->n_unimportant += e == NULL;
    return INGOT_OK;
}

// The file type of what is copied: what the file says, else what most of its tensors are.
static ingot_status copied_file_type(plan *p, ingot_error *err) {
    uint32_t said;
    int32_t best = QUANT_F32;
    size_t best_count = 0;
    if (ingot_gguf_find(p->input, RECIPE_KEY_FILE_TYPE)) {
        TRY(gguf_get_u32(p->input, RECIPE_KEY_FILE_TYPE, true, 0, INT32_MAX, &said, err));
        p->file_type = (int32_t)said;
        return INGOT_OK;
    }
    for (int32_t k = 0; quant_type_at(k); k++) {
        size_t count = 0;
        for (size_t i = 0; i < p->n; i++)
            count += p->tensors[i].to == quant_type_at(k)->id && p->tensors[i].shape[1] > 1;
        if (count > best_count) {
            best = quant_type_at(k)->id;
            best_count = count;
        }
    }
    p->file_type = filetype_of_tensor_type(best);
    return INGOT_OK;
}

static ingot_status decide(plan *p, ingot_error *err) {
    const options *o = p->options;
    recipe_options recipe = {.target = o->target,
                             .imatrix = p->imatrix.n > 0,
                             .pure = o->pure,
                             .leave_output = o->leave_output,
                             .output_type = o->output_type,
                             .embedding_type = o->embedding_type,
                             .wish = o->n_wishes > 0 ? options_wish : NULL,
                             .user = (void *)(uintptr_t)o};
    TRY(recipe_apply(&p->model, &recipe, p->tensors, p->n, err));
    for (size_t i = 0; i < p->n; i++) {
        recipe_tensor *t = &p->tensors[i];
        plan_tensor *d = &p->details[i];
        uint64_t weights = t->shape[0] * t->shape[1] * t->shape[2] * t->shape[3];
        TRY(find_importance(p, i, err));
        TRY(gguf_tensor_bytes(t->to, 4, t->shape, &d->bytes, err));
        p->n_fallbacks += t->to != t->wanted;
        p->weights += weights;
        p->bytes += d->bytes;
        p->bytes_before += d->source->bytes;
    }
    p->file_type = o->target->id;
    return o->target->id == FILETYPE_COPY ? copied_file_type(p, err) : INGOT_OK;
}

static ingot_status fill(plan *p, ingot_runtime *runtime, ingot_error *err) {
    ingot_gguf_params params = {.no_data = true};
    TRY(ingot_gguf_open(runtime, p->options->input, &params, NULL, NULL, &p->input, err));
    if (read_model(p, err) != INGOT_OK || check_pruned(p, err) != INGOT_OK)
        return err->status;
    TRY(read_imatrix(p, err));
    TRY(read_tensors(p, err));
    if (p->n == 0)
        return fail(err, INGOT_ERR_INVALID, "%s: there are no tensors to write", p->options->input);
    return decide(p, err);
}

ingot_status quantize_plan_make(const options *o, ingot_runtime *runtime, plan *p, ingot_error *err) {
    *p = (plan){.options = o, .imatrix = {.dataset = ""}};
    ingot_status status = fill(p, runtime, err);
    if (status != INGOT_OK)
        quantize_plan_free(p);
    return status;
}

void quantize_plan_free(plan *p) {
    mem_free(NULL, p->details);
    mem_free(NULL, p->tensors);
    imatrix_free(&p->imatrix);
    ingot_gguf_close(p->input);
    store_free(&p->store, NULL);
    *p = (plan){0};
}
