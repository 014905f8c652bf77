// What is found out before hours of work rather than after them.
#include <inttypes.h>
#include <string.h>

#include "base/file.h"
#include "gguf/gguf.h"
#include "gguf/split.h"
#include "quantize/plan.h"

uint32_t quantize_plan_file_count(const plan *p) {
    return p->options->keep_split ? (uint32_t)ingot_gguf_split_count(p->input) : 1;
}

ingot_status quantize_plan_file_name(const plan *p, uint32_t i, char **out, ingot_error *err) {
    const char *output = p->options->output;
    size_t size = strlen(output) + 1;
    if (p->options->keep_split)
        return split_name_new(NULL, output, size - 1, i + 1, quantize_plan_file_count(p), out, err);
    *out = mem_alloc(NULL, size, 1);
    if (!*out)
        return fail_memory(err, size, "a file's name");
    memcpy(*out, output, size);
    return INGOT_OK;
}

// `name` is the output's, or that of the file that grows beside it.
static ingot_status check_not_input(const plan *p, const char *name, ingot_error *err) {
    for (int32_t i = 0; i < ingot_gguf_split_count(p->input); i++)
        if (file_same(name, gguf_file_name(p->input, i)))
            return fail(err, INGOT_ERR_INVALID,
                        "%s would be written over %s, which is read: name another output", name,
                        gguf_file_name(p->input, i));
    return INGOT_OK;
}

static ingot_status check_file(const plan *p, uint32_t i, ingot_error *err) {
    static const char suffix[] = ".part";
    char *name;
    TRY(quantize_plan_file_name(p, i, &name, err));
    ingot_status status = check_not_input(p, name, err);
    size_t n = strlen(name);
    char *part = mem_resize(NULL, name, n + sizeof suffix, 1);
    if (part && status == INGOT_OK) {
        memcpy(part + n, suffix, sizeof suffix);
        status = check_not_input(p, part, err);
    } else if (!part) {
        status = fail_memory(err, n, "a file's name");
    }
    mem_free(NULL, part ? part : name);
    return status;
}

static ingot_status check_space(const plan *p, ingot_error *err) {
    uint64_t space;
    if (!file_space(p->options->output, &space) || space >= p->bytes)
        return INGOT_OK;
    return fail(err, INGOT_ERR_IO, "%s needs %.1f MB, but only %.1f MB are free there", p->options->output,
                (double)p->bytes / 1e6, (double)space / 1e6);
}

static ingot_status check_tensor(const plan *p, const recipe_tensor *t, const plan_tensor *d,
                                 ingot_error *err) {
    if (t->to == t->from)
        return INGOT_OK;
    const quant_type *from = quant_type_get(t->from), *to = quant_type_get(t->to);
    ingot_type_info info;
    TRY(ingot_type_get(t->to, &info, err));
    if (!info.can_encode)
        return fail(err, INGOT_ERR_UNSUPPORTED,
                    "tensor '%s' would be of type %s, which this build can't encode: choose another type, or "
                    "another for it with --tensor-type",
                    t->name, to->name);
    if (from->block_size > 1 && !p->options->allow_requantize)
        return fail(err, INGOT_ERR_INVALID,
                    "tensor '%s' is quantised already (%s): take a file in F32, F16 or BF16, or say "
                    "--allow-requantize",
                    t->name, from->name);
    if (!t->needs_importance || d->importance)
        return INGOT_OK;
    if (p->imatrix.n == 0)
        return fail(
            err, INGOT_ERR_INVALID,
            "tensor '%s' would be of type %s, which is useless without an importance matrix: give one "
            "with --imatrix",
            t->name, to->name);
    return fail(
        err, INGOT_ERR_INVALID,
        "tensor '%s' would be of type %s, which is useless without importance, and %s has no entry for it: "
        "choose another type for it with --tensor-type",
        t->name, to->name, p->options->imatrix);
}

ingot_status quantize_plan_check(const plan *p, ingot_error *err) {
    for (uint32_t i = 0; i < quantize_plan_file_count(p); i++)
        TRY(check_file(p, i, err));
    for (size_t i = 0; i < p->n; i++)
        TRY(check_tensor(p, &p->tensors[i], &p->details[i], err));
    return check_space(p, err);
}
