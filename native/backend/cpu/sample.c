// One product by itself, for its speed to be measured.
#include "backend/cpu/cpu.h"
#include "base/thread.h"

enum { MOST_WIDTH = 1 << 20 };

static ingot_status check_sample(const ingot_product_sample *s, const quant_type *type, ingot_error *err) {
    if (!type)
        return fail(err, INGOT_ERR_NOT_FOUND, "type is %d, which is no tensor type", s->type);
    if (!s->rows)
        return fail(err, INGOT_ERR_INVALID, "rows is NULL, expected weights");
    if (s->n_rows <= 0 || s->n_rows % KERNELS_MAX_ROWS != 0)
        return fail(err, INGOT_ERR_INVALID, "n_rows is %lld, expected a multiple of %d", (long long)s->n_rows,
                    KERNELS_MAX_ROWS);
    if (s->width <= 0 || s->width > MOST_WIDTH || s->width % type->block_size != 0)
        return fail(err, INGOT_ERR_INVALID,
                    "width is %lld, expected a multiple of %d (a block of %s) up to %d", (long long)s->width,
                    type->block_size, type->name, MOST_WIDTH);
    const int32_t n = s->columns;
    if (n != 0 && n != 1 && n != 2 && n != 4 && n != 8 && n != KERNELS_TILE)
        return fail(err, INGOT_ERR_INVALID, "columns is %d, expected 0, 1, 2, 4, 8 or %d", n, KERNELS_TILE);
    return INGOT_OK;
}

// Numbers that are spread evenly between -1 and 1.
static void fill_tile(const kernels *k, const kernels_product *p, int64_t width, int columns, float *numbers,
                      void *tile) {
    for (int c = 0; c < columns; c++) {
        for (int64_t i = 0; i < width; i++)
            numbers[i] = (float)((i * 7919 + c * 104729) % 2001 - 1000) / 1000.0f;
        k->quantize(p->columns, numbers, width, c, columns, tile);
    }
}

static void run_rounds(const kernels *k, const kernels_product *p, const ingot_product_sample *s,
                       int64_t row_bytes, int64_t rounds, const void *tile, void *panel) {
    const uint8_t *data = s->rows;
    kernels_rows rows = {data, row_bytes, data, row_bytes};
    kernels_result result;
    p->pack(rows, s->width, panel);
    for (int64_t round = 0; round < rounds; round++) {
        for (int64_t r = 0; r < s->n_rows; r += k->rows) {
            rows.data = data + r * row_bytes;
            rows.next = data + (r + k->rows < s->n_rows ? r + k->rows : 0) * row_bytes;
            if (s->columns == 0)
                p->pack(rows, s->width, panel);
            else if (s->columns <= KERNELS_FEW)
                p->few(rows, s->width, tile, s->columns, result.at[0], KERNELS_MAX_ROWS);
            else // the same panel each time: in use it meets many tiles
                p->many(panel, s->width, tile, s->columns, result.at[0], KERNELS_MAX_ROWS);
        }
    }
}

ingot_status backend_isa_product(const struct kernels *chosen, const ingot_product_sample *sample,
                                 int64_t rounds, ingot_error *err) {
    const quant_type *type = quant_type_get(sample->type);
    TRY(check_sample(sample, type, err));
    const kernels_product *p = cpu_product(&(cpu_backend){.k = chosen}, type, sample->width);
    if (!p)
        return fail(err, INGOT_ERR_NOT_FOUND, "%s has no product for rows of %lld weights of type %s",
                    chosen->name, (long long)sample->width, type->name);
    const int64_t row_bytes = (int64_t)quant_bytes(type, (uint64_t)sample->width);
    const uint64_t panel_bytes = (uint64_t)p->panel_bytes(sample->width);
    const uint64_t tile_bytes = (uint64_t)kernels_tile_bytes(p->columns, sample->width, KERNELS_TILE);
    const uint64_t number_bytes = (uint64_t)sample->width * sizeof(float);
    void *panel = vm_reserve(panel_bytes), *tile = vm_reserve(tile_bytes);
    float *numbers = vm_reserve(number_bytes);
    const bool made = panel && tile && numbers;
    if (made) {
        fill_tile(chosen, p, sample->width, sample->columns, numbers, tile);
        run_rounds(chosen, p, sample, row_bytes, rounds, tile, panel);
    }
    vm_release(numbers, number_bytes);
    vm_release(tile, tile_bytes);
    vm_release(panel, panel_bytes);
    return made ? INGOT_OK : fail_memory(err, panel_bytes + tile_bytes + number_bytes, "a product");
}
