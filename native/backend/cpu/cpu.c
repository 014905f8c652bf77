#include "backend/cpu/cpu.h"

#include <stdio.h>
#include <string.h>

#include "base/checked.h"
#include "base/thread.h"

// Virtual memory: aligned to pages, so that panels don't straddle cache lines, and touched only if used.
ingot_status cpu_scratch_reserve(cpu_backend *cpu, size_t floats, ingot_error *err) {
    if (floats <= cpu->scratch_floats)
        return INGOT_OK;
    for (int i = 0; i < pool_threads(cpu->threads); i++) {
        float *larger = vm_reserve(floats * sizeof(float));
        if (!larger)
            return fail_memory(err, floats * sizeof(float), "a worker's scratch memory");
        vm_release(cpu->scratch[i], cpu->scratch_bytes[i]);
        cpu->scratch[i] = larger;
        cpu->scratch_bytes[i] = floats * sizeof(float);
    }
    cpu->scratch_floats = floats;
    return INGOT_OK;
}

static int32_t cpu_device_count(void) {
    return 1;
}

static ingot_status cpu_describe(const backend_params *params, int32_t device, ingot_device *out,
                                 ingot_error *err) {
    if (device != 0)
        return fail(err, INGOT_ERR_NOT_FOUND, "the CPU backend has device 0 only, not %d", device);
    char model[80];
    cpu_model_name(model, sizeof model);
    *out = (ingot_device){.name = "cpu"};
    snprintf(out->description, sizeof out->description, "%s, %s, %d of %d cores", model,
             params->kernels->name, pool_threads(params->threads), cpu_core_count());
    cpu_memory(&out->memory_total, &out->memory_free);
    return INGOT_OK;
}

static void cpu_close(backend *b) {
    if (!b)
        return;
    cpu_backend *cpu = cpu_of(b);
    for (int i = 0; cpu->scratch && cpu->scratch_bytes && i < pool_threads(cpu->threads); i++)
        vm_release(cpu->scratch[i], cpu->scratch_bytes[i]);
    mem_free(cpu->mem, cpu->scratch);
    mem_free(cpu->mem, cpu->scratch_bytes);
    mem_free(cpu->mem, cpu);
}

static ingot_status cpu_open(const backend_params *params, int32_t device, backend **out, ingot_error *err) {
    if (params->version != BACKEND_VERSION || device != 0)
        return fail(err, INGOT_ERR_INVALID, "the CPU backend is of version %d and has device 0 only",
                    BACKEND_VERSION);
    cpu_backend *cpu = mem_alloc(params->mem, 1, sizeof *cpu);
    if (!cpu)
        return fail_memory(err, sizeof *cpu, "the CPU backend");
    cpu->head.ops = &backend_cpu;
    cpu->threads = params->threads;
    cpu->k = params->kernels;
    cpu->mem = params->mem;
    cpu->scratch = mem_alloc(params->mem, (size_t)pool_threads(params->threads), sizeof *cpu->scratch);
    cpu->scratch_bytes =
        mem_alloc(params->mem, (size_t)pool_threads(params->threads), sizeof *cpu->scratch_bytes);
    if (!cpu->scratch || !cpu->scratch_bytes) {
        cpu_close(&cpu->head);
        return fail_memory(err, sizeof *cpu->scratch, "scratch memory");
    }
    *out = &cpu->head;
    return INGOT_OK;
}

void cpu_weight_free(backend *b, backend_weight *w) {
    if (!w)
        return;
    mem_free(cpu_of(b)->mem, w->vector);
    mem_free(cpu_of(b)->mem, w);
}

// Rows that are decoded to floats, a panel of them, and a tile.
int64_t cpu_scratch_floats(const cpu_backend *cpu, int64_t width) {
    const kernels_product *p = cpu->k->products[QUANT_F32];
    const int64_t rows = (width * cpu->k->rows + 15) / 16 * 16;
    return rows + (p->panel_bytes(width) + kernels_tile_bytes(COLUMNS_FLOAT, width, KERNELS_TILE)) / 4;
}

// Scratch for what a product with this weight needs, in each worker, and one of low rank with the same input.
static ingot_status reserve_for(cpu_backend *cpu, const backend_weight *w, ingot_error *err) {
    const int64_t floats = cpu_padding(cpu, w) + w->product->panel_bytes(w->width) / 4;
    const int64_t most = cpu_scratch_floats(cpu, w->width);
    cpu->max_width = w->width > cpu->max_width ? w->width : cpu->max_width;
    return cpu_scratch_reserve(cpu, (size_t)(floats > most ? floats : most), err);
}

ingot_status cpu_weight_make(cpu_backend *cpu, const weight_desc *desc, backend_weight **out,
                             ingot_error *err) {
    const quant_type *type = quant_type_get(desc->type);
    if (!type || !type->decode || desc->width % type->block_size != 0)
        return fail(err, INGOT_ERR_UNSUPPORTED,
                    "tensor '%s' has type %s, which can't hold rows of %lld weights", desc->name,
                    type ? type->name : "unknown", (long long)desc->width);
    backend_weight *w = mem_alloc(cpu->mem, 1, sizeof *w);
    if (!w)
        return fail_memory(err, sizeof *w, desc->name);
    *w = (backend_weight){
        .type = type,
        .data = desc->data,
        .width = desc->width,
        .rows = desc->rows,
        .mats = desc->mats,
        .row_bytes = (uint64_t)(desc->width / type->block_size) * (uint64_t)type->block_bytes,
        .product = desc->vector ? NULL : cpu_product(cpu, type, desc->width),
    };
    if (!desc->vector && !w->product) {
        w->product = cpu->k->products[QUANT_F32];
        w->decoded = true;
    }
    if (desc->vector) {
        w->vector = mem_alloc(cpu->mem, (size_t)desc->width, sizeof(float));
        if (!w->vector) {
            cpu_weight_free(&cpu->head, w);
            return fail_memory(err, (uint64_t)desc->width * sizeof(float), desc->name);
        }
        type->decode(desc->data, w->vector, (uint64_t)desc->width);
    }
    *out = w;
    return INGOT_OK;
}

static ingot_status cpu_weight_new(backend *b, const weight_desc *desc, backend_weight **out,
                                   ingot_error *err) {
    backend_weight *w = NULL;
    TRY(cpu_weight_make(cpu_of(b), desc, &w, err));
    const ingot_status status = desc->vector ? INGOT_OK : reserve_for(cpu_of(b), w, err);
    if (status == INGOT_OK)
        *out = w;
    else
        cpu_weight_free(b, w);
    return status;
}

static void cpu_buffer_free(backend *b, backend_buffer *buffer) {
    if (!buffer)
        return;
    for (int kind = 0; kind < COLUMNS_KINDS; kind++)
        vm_release(buffer->columns[kind],
                   cpu_columns_bytes((columns_kind)kind, buffer->width, buffer->max_tokens));
    mem_free(cpu_of(b)->mem, buffer->data);
    mem_free(cpu_of(b)->mem, buffer);
}

static ingot_status cpu_buffer_new(backend *b, int64_t width, int64_t max_tokens, backend_buffer **out,
                                   ingot_error *err) {
    cpu_backend *cpu = cpu_of(b);
    uint64_t floats;
    if (width <= 0 || max_tokens <= 0 || !checked_mul((uint64_t)width, (uint64_t)max_tokens, &floats))
        return fail(err, INGOT_ERR_LIMIT, "activations of %lld by %lld are too large", (long long)max_tokens,
                    (long long)width);
    backend_buffer *buffer = mem_alloc(cpu->mem, 1, sizeof *buffer);
    if (!buffer)
        return fail_memory(err, sizeof *buffer, "activations");
    // Not cleared: what no token uses is never touched.
    *buffer = (backend_buffer){
        .data = mem_resize(cpu->mem, NULL, (size_t)floats, sizeof(float)),
        .width = width,
        .max_tokens = max_tokens,
    };
    bool columns = true;
    for (int kind = 0; kind < COLUMNS_KINDS; kind++) {
        if (width % kernels_columns_multiple((columns_kind)kind) != 0)
            continue;
        buffer->columns[kind] = vm_reserve(cpu_columns_bytes((columns_kind)kind, width, max_tokens));
        columns = columns && buffer->columns[kind];
    }
    if (!buffer->data || !columns) {
        cpu_buffer_free(b, buffer);
        return fail_memory(err, floats * sizeof(float), "activations");
    }
    *out = buffer;
    return INGOT_OK;
}

// Everything has run when an operation returns.
static ingot_status cpu_sync(backend *b, ingot_error *err) {
    (void)b;
    (void)err;
    return INGOT_OK;
}

static ingot_status cpu_read(backend *b, const backend_buffer *buffer, int64_t first, int64_t n, float *out,
                             ingot_error *err) {
    (void)b;
    (void)err;
    memcpy(out, buffer->data + first * buffer->width, (size_t)(n * buffer->width) * sizeof *out);
    return INGOT_OK;
}

const backend_ops backend_cpu = {
    .version = BACKEND_VERSION,
    .name = "cpu",
    .device_count = cpu_device_count,
    .describe = cpu_describe,
    .open = cpu_open,
    .close = cpu_close,
    .weight_new = cpu_weight_new,
    .weight_free = cpu_weight_free,
    .buffer_new = cpu_buffer_new,
    .buffer_free = cpu_buffer_free,
    .kv_new = cpu_kv_new,
    .kv_free = cpu_kv_free,
    .kv_copy = cpu_kv_copy,
    .kv_read = cpu_kv_read,
    .kv_write = cpu_kv_write,
    .low_rank_new = cpu_low_rank_new,
    .low_rank_free = cpu_low_rank_free,
    .routing_new = cpu_routing_new,
    .routing_free = cpu_routing_free,
    .squares_new = cpu_squares_new,
    .squares_free = cpu_squares_free,
    .squares_clear = cpu_squares_clear,
    .squares_read = cpu_squares_read,
    .moments_read = cpu_moments_read,
    .sync = cpu_sync,
    .read = cpu_read,
    .embed = cpu_embed,
    .gather = cpu_gather,
    .norm = cpu_norm,
    .multiply = cpu_multiply,
    .multiply_rows = cpu_multiply_rows,
    .add_low_rank = cpu_add_low_rank,
    .clear = cpu_clear,
    .add = cpu_add,
    .scale = cpu_scale,
    .soft_cap = cpu_soft_cap,
    .clamp = cpu_clamp,
    .activate = cpu_activate,
    .rope_table = cpu_rope_table,
    .rope = cpu_rope,
    .rotate = cpu_rotate,
    .kv_store = cpu_kv_store,
    .attend = cpu_attend,
    .route = cpu_route,
    .multiply_experts = cpu_multiply_experts,
    .weigh_experts = cpu_weigh_experts,
    .add_experts = cpu_add_experts,
    .gate = cpu_gate,
    .add_squares = cpu_add_squares,
    .add_squares_experts = cpu_add_squares_experts,
};
