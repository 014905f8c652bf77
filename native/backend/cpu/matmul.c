// Products of weights with activations: by the type's own kernels, or, where it has none for this width, by
// those of F32 from decoded rows.
#include "backend/cpu/cpu.h"

#include <string.h>

const kernels_product *cpu_product(const cpu_backend *cpu, const quant_type *type, int64_t width) {
    static const int64_t multiples[COLUMNS_KINDS] = {
        [COLUMNS_FLOAT] = 8, [COLUMNS_32] = 32, [COLUMNS_256] = 256};
    const kernels_product *p = type->id < KERNELS_TYPES ? cpu->k->products[type->id] : NULL;
    if (p && (type->id == QUANT_F32 || width % multiples[p->columns] == 0))
        return p;
    return NULL;
}

// ------------------------------------------------------------------------------------------------- columns

// The quantised columns of `n` tokens: full tiles, then one for the rest.
typedef struct quantize_job {
    cpu_backend *cpu;
    const backend_buffer *x;
    int64_t n_tokens;
    bool kinds[COLUMNS_KINDS];
} quantize_job;

static void quantize_tokens(void *arg, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const quantize_job *job = arg;
    for (int64_t t = begin; t < end; t++) {
        for (int kind = 0; kind < COLUMNS_KINDS; kind++) {
            if (!job->kinds[kind])
                continue;
            int64_t first = t / KERNELS_TILE * KERNELS_TILE;
            cpu_tile tile =
                cpu_tile_at(job->x->columns[kind], (columns_kind)kind, job->x->width, first, job->n_tokens);
            job->cpu->k->quantize((columns_kind)kind, job->x->data + t * job->x->width, job->x->width,
                                  (int)(t - first), tile.width, tile.data);
        }
    }
}

// Quantises x in the ways that the products need.
static void quantize_columns(cpu_backend *cpu, const backend_buffer *x, int64_t n_tokens,
                             const backend_product *products, int32_t n_products) {
    quantize_job job = {.cpu = cpu, .x = x, .n_tokens = n_tokens};
    for (int32_t i = 0; i < n_products; i++)
        job.kinds[products[i].weight->product->columns] = true;
    pool_run(cpu->threads, n_tokens, 4, quantize_tokens, &job);
}

// ------------------------------------------------------------------------------------------------- products

// The products of one multiply, seen as one list of pieces so that the threads share them in one go.
typedef struct multiply_job {
    cpu_backend *cpu;
    const backend_buffer *x;
    int64_t n_tokens;
    const backend_product *products;
} multiply_job;

void cpu_panel_out(const kernels_result *result, cpu_panel panel, int64_t columns, const float *bias,
                   float *out, int64_t stride) {
    for (int64_t c = 0; c < columns; c++) {
        for (int64_t r = 0; r < panel.rows; r++) {
            const int64_t row = panel.first + r * panel.step;
            out[c * stride + row] = result->at[c][r] + (bias ? bias[row] : 0.0f);
        }
    }
}

cpu_rows cpu_panel_rows(const cpu_backend *cpu, const backend_weight *w, int64_t base, cpu_panel panel,
                        void *scratch) {
    const int64_t file_bytes = (int64_t)w->row_bytes, step_bytes = panel.step * file_bytes;
    const uint8_t *data = w->data + (base + panel.first) * file_bytes;
    if (!w->decoded && panel.rows == cpu->k->rows)
        return (cpu_rows){data, step_bytes};
    const int64_t row_bytes = w->decoded ? w->width * (int64_t)sizeof(float) : file_bytes;
    memset((char *)scratch + panel.rows * row_bytes, 0, (size_t)((cpu->k->rows - panel.rows) * row_bytes));
    for (int64_t r = 0; r < panel.rows; r++) {
        char *row = (char *)scratch + r * row_bytes;
        if (w->decoded)
            w->type->decode(data + r * step_bytes, (float *)(void *)row, (uint64_t)w->width);
        else
            memcpy(row, data + r * step_bytes, (size_t)row_bytes);
    }
    return (cpu_rows){scratch, row_bytes};
}

// A panel's rows; all tokens.
static void multiply_panel(const multiply_job *job, const backend_product *p, cpu_panel panel,
                           float *scratch) {
    const backend_weight *w = p->weight;
    const kernels_product *f = w->product;
    const cpu_rows from = cpu_panel_rows(job->cpu, w, 0, panel, scratch);
    kernels_result result;
    const bool few = job->n_tokens <= KERNELS_FEW;
    void *packed = scratch + cpu_padding(job->cpu, w);
    if (!few)
        f->pack(from.data, from.row_bytes, w->width, packed);
    for (int64_t t = 0; t < job->n_tokens; t += KERNELS_TILE) {
        int64_t columns = job->n_tokens - t < KERNELS_TILE ? job->n_tokens - t : KERNELS_TILE;
        cpu_tile tile = cpu_tile_at(job->x->columns[f->columns], f->columns, w->width, t, job->n_tokens);
        if (few)
            f->few(from.data, from.row_bytes, w->width, tile.data, tile.width, result.at[0],
                   KERNELS_MAX_ROWS);
        else
            f->many(packed, w->width, tile.data, tile.width, result.at[0], KERNELS_MAX_ROWS);
        cpu_panel_out(&result, panel, columns, p->bias ? p->bias->vector : NULL,
                      p->out->data + t * p->out->width, p->out->width);
    }
}

static void multiply_pieces(void *arg, int64_t begin, int64_t end, int worker) {
    const multiply_job *job = arg;
    for (int64_t i = begin; i < end; i++) {
        int64_t first, n;
        const backend_product *p = cpu_find_piece(job->cpu, job->products, i, &first, &n);
        for (int64_t panel = 0; panel < cpu_panels(job->cpu, n); panel++)
            multiply_panel(job, p, cpu_panel_at(job->cpu, first, n, panel), job->cpu->scratch[worker]);
    }
}

void cpu_multiply(backend *b, const backend_buffer *x, int64_t n_tokens, const backend_product *products,
                  int32_t n_products) {
    multiply_job job = {cpu_of(b), x, n_tokens, products};
    int64_t pieces = 0;
    for (int32_t i = 0; i < n_products; i++)
        pieces += cpu_pieces(job.cpu, products[i].weight);
    quantize_columns(job.cpu, x, n_tokens, products, n_products);
    pool_run(job.cpu->threads, pieces, 1, multiply_pieces, &job);
}

typedef struct embed_job {
    const backend_weight *table;
    const int32_t *ids;
    backend_buffer *out;
} embed_job;

static void embed_rows(void *arg, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const embed_job *job = arg;
    for (int64_t t = begin; t < end; t++) {
        uint64_t id = job->ids ? (uint64_t)job->ids[t] : 0;
        job->table->type->decode(job->table->data + id * job->table->row_bytes,
                                 job->out->data + t * job->out->width, (uint64_t)job->table->width);
    }
}

void cpu_embed(backend *b, const backend_weight *table, const int32_t *ids, int64_t n_tokens,
               backend_buffer *out) {
    embed_job job = {table, ids, out};
    pool_run(cpu_of(b)->threads, n_tokens, 8, embed_rows, &job);
}
