#include "run/layout.h"

#include "run/pages.h"

// `name` is what the type is of: "k" or "v". Heads are rows of the type's blocks.
static ingot_status check_type(const ingot_model *m, const char *name, int32_t id, int32_t dim,
                               ingot_error *err) {
    static const int32_t types[] = {QUANT_F16, QUANT_BF16, QUANT_F32, QUANT_Q8_0, QUANT_Q4_0};
    const quant_type *type = quant_type_get(id);
    bool known = false;
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        known = known || types[i] == id;
    if (!known)
        return fail(err, INGOT_ERR_INVALID,
                    "%s_type is %d (%s), expected 1 (F16), 30 (BF16), 0 (F32), 8 (Q8_0) or 2 (Q4_0)", name,
                    id, type ? type->name : "no tensor type");
    if (dim % type->block_size != 0)
        return fail(
            err, INGOT_ERR_INVALID,
            "%s_type is %d (%s), whose blocks hold %d numbers, but in %s a head's %s have %d; use F16, "
            "BF16 or F32",
            name, id, type->name, type->block_size, gguf_name(m->file), name[0] == 'k' ? "keys" : "values",
            dim);
    return INGOT_OK;
}

ingot_status layout_choose(const ingot_model *m, const ingot_engine_params *params, kv_layout *out,
                           ingot_error *err) {
    const plan *p = &m->plan;
    TRY(check_type(m, "k", params->k_type, p->k_dim, err));
    TRY(check_type(m, "v", params->v_type, p->v_dim, err));
    *out = (kv_layout){.n_layers = p->n_layer,
                       .n_head = p->n_head,
                       .n_head_kv = p->n_head_kv,
                       .k_dim = p->k_dim,
                       .v_dim = p->v_dim,
                       .k_type = params->k_type,
                       .v_type = params->v_type,
                       .page_tokens = PAGE_TOKENS};
    return INGOT_OK;
}

uint64_t layout_token_bytes(const kv_layout *layout) {
    return (uint64_t)layout->n_layers * (uint64_t)layout->n_head_kv *
           (quant_bytes(quant_type_get(layout->k_type), (uint64_t)layout->k_dim) +
            quant_bytes(quant_type_get(layout->v_type), (uint64_t)layout->v_dim));
}

int32_t layout_rotation(const kv_layout *layout) {
    return quant_type_get(layout->k_type)->block_size > 1 ? layout->k_dim & -layout->k_dim : 0;
}
