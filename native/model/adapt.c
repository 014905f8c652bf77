#include "model/adapt.h"

#include <string.h>

enum { PRODUCTS_MAX = 3 }; // of one input

void adapt_free(adapt *a, backend *device, const ingot_allocator *mem) {
    device->ops->buffer_free(device, a->work);
    mem_free(mem, a->groups);
    mem_free(mem, a->tokens);
    mem_free(mem, a->scales);
    mem_free(mem, a->additions);
    *a = (adapt){0};
}

// The group of an adapter; a new one goes behind those of lower numbers. NULL if memory is exhausted.
static adapt_group *find_group(adapt *a, const ingot_allocator *mem, const ingot_adapter *adapter) {
    int32_t at = 0;
    while (at < a->n_groups && a->groups[at].adapter->info.serial < adapter->info.serial)
        at++;
    if (at < a->n_groups && a->groups[at].adapter == adapter)
        return &a->groups[at];
    if (!mem_reserve(mem, &a->groups, &a->groups_capacity, (size_t)a->n_groups + 1, sizeof *a->groups))
        return NULL;
    memmove(a->groups + at + 1, a->groups + at, (size_t)(a->n_groups++ - at) * sizeof *a->groups);
    a->groups[at] = (adapt_group){.adapter = adapter};
    return &a->groups[at];
}

// Lists the tokens of each group: all of the batch, or, numbered from 0, those of `rows`.
static void list_tokens(adapt *a, const int32_t *rows, int32_t n) {
    for (int32_t g = 0, first = 0; g < a->n_groups; g++) {
        adapt_group *group = &a->groups[g];
        group->first = first;
        group->n = 0;
        for (int32_t i = 0; i < n; i++) {
            const adapter_list list = a->lists[a->seqs[rows ? rows[i] : i]];
            for (int32_t k = 0; k < list.n; k++) {
                if (list.uses[k].adapter != group->adapter)
                    continue;
                a->tokens[first + group->n] = i;
                a->scales[first + group->n++] = list.uses[k].scale;
            }
        }
        first += group->n;
    }
}

// Room for what the products of one input add.
static ingot_status reserve_work(adapt *a, backend *device, int64_t width, int64_t rows, ingot_error *err) {
    if (width <= a->work_width && rows <= a->work_rows)
        return INGOT_OK;
    width = width > a->work_width ? width : a->work_width;
    rows = rows > a->work_rows ? 2 * rows : a->work_rows;
    device->ops->buffer_free(device, a->work);
    a->work = NULL;
    a->work_width = a->work_rows = 0;
    TRY(device->ops->buffer_new(device, width, rows, &a->work, err));
    a->work_width = width;
    a->work_rows = rows;
    return INGOT_OK;
}

ingot_status adapt_batch(adapt *a, backend *device, const ingot_allocator *mem, const backend_batch *batch,
                         const adapter_list *lists, ingot_error *err) {
    int64_t rank = 0;
    size_t n = 0;
    a->n_groups = a->n_additions = 0;
    if (!lists)
        return INGOT_OK;
    a->lists = lists;
    a->seqs = batch->seqs;
    for (int32_t i = 0; i < batch->n_tokens; i++) {
        const adapter_list list = lists[batch->seqs[i]];
        for (int32_t k = 0; k < list.n; k++, n++) {
            const ingot_adapter *adapter = list.uses[k].adapter;
            if (!find_group(a, mem, adapter))
                return fail_memory(err, sizeof *a->groups, "adapters of a batch");
            rank = adapter->info.rank > rank ? adapter->info.rank : rank;
        }
    }
    const size_t n_additions = PRODUCTS_MAX * (size_t)a->n_groups;
    if (!mem_reserve(mem, &a->tokens, &a->tokens_capacity, n, sizeof *a->tokens) ||
        !mem_reserve(mem, &a->scales, &a->scales_capacity, n, sizeof *a->scales) ||
        !mem_reserve(mem, &a->additions, &a->additions_capacity, n_additions, sizeof *a->additions)) {
        a->n_groups = 0;
        return fail_memory(err, n * (sizeof *a->tokens + sizeof *a->scales), "adapters of a batch");
    }
    list_tokens(a, NULL, batch->n_tokens);
    return n > 0 ? reserve_work(a, device, rank, PRODUCTS_MAX * (int64_t)n, err) : INGOT_OK;
}

void adapt_tile(adapt *a, const int32_t *tokens, int32_t n) {
    list_tokens(a, tokens, n);
}

bool adapt_changes(const adapt *a, int32_t number) {
    for (int32_t g = 0; g < a->n_groups; g++)
        if (a->groups[g].n > 0 && a->groups[g].adapter->parts[number].pair)
            return true;
    return false;
}

static void add_part(adapt *a, const adapt_group *group, const adapter_part *part, backend_buffer *out) {
    if (part->pair && group->n > 0)
        a->additions[a->n_additions++] = (backend_addition){
            part->pair, part->factor, out, a->tokens + group->first, a->scales + group->first, group->n};
}

void adapt_add(adapt *a, int32_t number, backend_buffer *out) {
    for (int32_t g = 0; g < a->n_groups; g++)
        add_part(a, &a->groups[g], &a->groups[g].adapter->parts[number], out);
}

void adapt_run(adapt *a, backend *device, const backend_buffer *in) {
    if (a->n_additions > 0)
        device->ops->add_low_rank(device, in, NULL, a->additions, a->n_additions, a->work);
    a->n_additions = 0;
}

void adapt_embedding(adapt *a, backend *device, const int32_t *ids, backend_buffer *out) {
    for (int32_t g = 0; g < a->n_groups; g++)
        add_part(a, &a->groups[g], &a->groups[g].adapter->embedding, out);
    if (a->n_additions > 0)
        device->ops->add_low_rank(device, NULL, ids, a->additions, a->n_additions, a->work);
    a->n_additions = 0;
}

ingot_status adapt_check(const adapt *a, ingot_error *err) {
    for (int32_t g = 0; g < a->n_groups; g++)
        TRY(ingot_gguf_check(a->groups[g].adapter->file, err));
    return INGOT_OK;
}
