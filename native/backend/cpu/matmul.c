// Products of weights with activations: by the type's own kernels, or, where it has none for this width, by
// those of F32 from decoded rows.
#include "backend/cpu/cpu.h"

#include <string.h>

const kernels_product *cpu_product(const cpu_backend *cpu, const quant_type *type, int64_t width) {
    const kernels_product *p = type->id < KERNELS_TYPES ? cpu->k->products[type->id] : NULL;
    return p && width % kernels_columns_multiple(p->columns) == 0 ? p : NULL;
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
    int64_t pieces;
} multiply_job;

cpu_operand cpu_operand_of(const cpu_backend *cpu, cpu_panel panel, cpu_panel next, int64_t columns,
                           float *scratch) {
    const backend_weight *w = panel.weight;
    const int64_t step = panel.step * (int64_t)w->row_bytes;
    cpu_operand o = {.product = w->product, .width = w->width};
    o.rows = (kernels_rows){panel.data, step, next.data, next.step * (int64_t)next.weight->row_bytes};
    if (w->decoded || panel.ids || panel.rows < cpu->k->rows) {
        uint8_t *copy = (uint8_t *)scratch;
        o.rows.data = copy;
        o.rows.step = w->decoded ? w->width * (int64_t)sizeof(float) : (int64_t)w->row_bytes;
        memset(copy + panel.rows * o.rows.step, 0, (size_t)((cpu->k->rows - panel.rows) * o.rows.step));
        for (int64_t r = 0; r < panel.rows; r++) {
            const uint8_t *row = panel.data + (panel.ids ? panel.ids[r] * (int64_t)w->row_bytes : r * step);
            if (w->decoded)
                w->type->decode(row, scratch + r * w->width, (uint64_t)w->width);
            else
                memcpy(copy + r * o.rows.step, row, (size_t)o.rows.step);
        }
    }
    if (columns > KERNELS_FEW) {
        float *packed = scratch + cpu_padding(cpu, w);
        o.product->pack(o.rows, o.width, packed);
        o.packed = packed;
    }
    return o;
}

void cpu_multiply_tile(const cpu_operand *o, cpu_tile tile, kernels_result *result) {
    if (o->packed)
        o->product->many(o->packed, o->width, tile.data, tile.width, result->at[0], KERNELS_MAX_ROWS);
    else
        o->product->few(o->rows, o->width, tile.data, tile.width, result->at[0], KERNELS_MAX_ROWS);
}

void cpu_put_column(const kernels_result *result, int64_t column, cpu_panel panel, const float *bias,
                    float *out) {
    for (int64_t r = 0; r < panel.rows; r++) {
        const int64_t row = panel.first + r * panel.step;
        out[row] = result->at[column][r] + (bias ? bias[panel.ids ? panel.ids[r] : row] : 0.0f);
    }
}

// A panel's rows; all tokens.
static void multiply_panel(const multiply_job *job, const backend_product *p, cpu_panel panel, cpu_panel next,
                           float *scratch) {
    const columns_kind kind = panel.weight->product->columns;
    const cpu_operand operand = cpu_operand_of(job->cpu, panel, next, job->n_tokens, scratch);
    kernels_result result;
    for (int64_t t = 0; t < job->n_tokens; t += KERNELS_TILE) {
        cpu_multiply_tile(&operand,
                          cpu_tile_at(job->x->columns[kind], kind, panel.weight->width, t, job->n_tokens),
                          &result);
        for (int64_t c = 0; c < job->n_tokens - t && c < KERNELS_TILE; c++)
            cpu_put_column(&result, c, panel, p->bias ? p->bias->vector : NULL,
                           p->out->data + (t + c) * p->out->width);
    }
}

static void multiply_pieces(void *arg, int64_t begin, int64_t end, int worker) {
    const multiply_job *job = arg;
    for (int64_t i = begin; i < end; i++) {
        const cpu_piece piece = cpu_piece_at(job->cpu, job->products, i);
        const cpu_piece next =
            i + 1 < job->pieces ? cpu_piece_at(job->cpu, job->products, i + 1) : (cpu_piece){0};
        for (int64_t j = 0; j < cpu_panels(job->cpu, piece); j++)
            multiply_panel(job, piece.product, cpu_panel_at(job->cpu, piece, j),
                           cpu_panel_after(job->cpu, piece, j, next), job->cpu->scratch[worker]);
    }
}

void cpu_multiply(backend *b, const backend_buffer *x, int64_t n_tokens, const backend_product *products,
                  int32_t n_products) {
    multiply_job job = {cpu_of(b), x, n_tokens, products, 0};
    for (int32_t i = 0; i < n_products; i++)
        job.pieces += cpu_pieces(job.cpu, products[i].weight);
    quantize_columns(job.cpu, x, n_tokens, products, n_products);
    pool_run(job.cpu->threads, job.pieces, 1, multiply_pieces, &job);
}

typedef struct rows_job {
    cpu_backend *cpu;
    const backend_product *product;
    cpu_tile column;
    const int32_t *rows;
    int64_t n_rows;
    float *out;
} rows_job;

static void multiply_chosen(void *arg, int64_t begin, int64_t end, int worker) {
    const rows_job *job = arg;
    const backend_weight *w = job->product->weight;
    const int64_t lanes = job->cpu->k->rows;
    kernels_result result;
    for (int64_t first = begin * lanes; first < end * lanes && first < job->n_rows; first += lanes) {
        const int64_t left = job->n_rows - first;
        const cpu_panel panel = {w, w->data, first, 1, left < lanes ? left : lanes, job->rows + first};
        const cpu_operand operand = cpu_operand_of(job->cpu, panel, panel, 1, job->cpu->scratch[worker]);
        cpu_multiply_tile(&operand, job->column, &result);
        cpu_put_column(&result, 0, panel, job->product->bias ? job->product->bias->vector : NULL, job->out);
    }
}

void cpu_multiply_rows(backend *b, const backend_buffer *x, int64_t token, const backend_product *product,
                       const int32_t *rows, int64_t n_rows) {
    cpu_backend *cpu = cpu_of(b);
    const columns_kind kind = product->weight->product->columns;
    const cpu_tile column = cpu_tile_at(x->columns[kind], kind, x->width, 0, 1);
    rows_job job = {cpu, product, column, rows, n_rows, product->out->data + token * product->out->width};
    cpu->k->quantize(kind, x->data + token * x->width, x->width, 0, column.width, column.data);
    pool_run(cpu->threads, (n_rows + cpu->k->rows - 1) / cpu->k->rows, 1, multiply_chosen, &job);
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
