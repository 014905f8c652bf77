// Products of weights with activations: integer ones from quantised columns where the weight's type has them,
// else float ones from decoded rows.
#include "backend/cpu/cpu.h"

#include <string.h>

// A type and width that an instruction set's integer products can take.
const kernels_product *cpu_product(const cpu_backend *cpu, const quant_type *type, int64_t width) {
    const kernels_product *p = type->id < KERNELS_TYPES ? cpu->k->products[type->id] : NULL;
    return p && width % (p->columns == COLUMNS_32 ? 32 : 256) == 0 ? p : NULL;
}

// ------------------------------------------------------------------------------------------------- columns

// The quantised columns of `n` tokens: full tiles, then one for the rest.
typedef struct quantize_job {
    cpu_backend *cpu;
    const backend_buffer *x;
    int64_t n_tokens;
    bool kinds[COLUMNS_256 + 1];
} quantize_job;

static void quantize_tokens(void *arg, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const quantize_job *job = arg;
    for (int64_t t = begin; t < end; t++) {
        for (int kind = COLUMNS_32; kind <= COLUMNS_256; kind++) {
            if (!job->kinds[kind])
                continue;
            int64_t first = t / KERNELS_TILE * KERNELS_TILE;
            cpu_tile tile = cpu_tile_at(job->x->columns[kind], (columns_kind)kind, job->x->width, first,
                                        job->n_tokens - first);
            job->cpu->k->quantize((columns_kind)kind, job->x->data + t * job->x->width, job->x->width,
                                  (int)(t - first), tile.width, tile.data);
        }
    }
}

// Quantises x in the ways that the products need.
static void quantize_columns(cpu_backend *cpu, const backend_buffer *x, int64_t n_tokens,
                             const backend_product *products, int32_t n_products) {
    quantize_job job = {.cpu = cpu, .x = x, .n_tokens = n_tokens};
    bool any = false;
    for (int32_t i = 0; i < n_products; i++) {
        if (!products[i].weight->product)
            continue;
        job.kinds[products[i].weight->product->columns] = any = true;
    }
    if (any)
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

void cpu_panel_out(const kernels_result *result, int64_t rows, int64_t columns, const float *bias, float *out,
                   int64_t stride) {
    for (int64_t c = 0; c < columns; c++)
        for (int64_t r = 0; r < rows; r++)
            out[c * stride + r] = result->at[c][r] + (bias ? bias[r] : 0.0f);
}

const uint8_t *cpu_panel_rows(const cpu_backend *cpu, const backend_weight *w, int64_t first, int64_t rows,
                              void *scratch) {
    const uint8_t *data = w->data + (uint64_t)first * w->row_bytes;
    if (rows == cpu->k->rows)
        return data;
    memset(scratch, 0, (size_t)cpu->k->rows * w->row_bytes);
    memcpy(scratch, data, (size_t)rows * w->row_bytes);
    return scratch;
}

// Rows [first, first + rows) of `p`, as many as the instruction set takes or fewer at the end; all tokens.
static void multiply_panel(const multiply_job *job, const backend_product *p, int64_t first, int64_t rows,
                           float *scratch) {
    const backend_weight *w = p->weight;
    const kernels_product *f = w->product;
    const float *bias = p->bias ? p->bias->vector + first : NULL;
    const uint8_t *data = cpu_panel_rows(job->cpu, w, first, rows, scratch);
    kernels_result result;
    const bool few = job->n_tokens <= KERNELS_FEW;
    void *panel = scratch + cpu_padding(job->cpu, w);
    if (!few)
        f->pack(data, (int64_t)w->row_bytes, w->width, panel);
    for (int64_t t = 0; t < job->n_tokens; t += KERNELS_TILE) {
        int64_t columns = job->n_tokens - t < KERNELS_TILE ? job->n_tokens - t : KERNELS_TILE;
        cpu_tile tile = cpu_tile_at(job->x->columns[f->columns], f->columns, w->width, t, columns);
        if (few)
            f->few(data, (int64_t)w->row_bytes, w->width, tile.data, tile.width, result.at[0],
                   KERNELS_MAX_ROWS);
        else
            f->many(panel, w->width, tile.data, tile.width, result.at[0], KERNELS_MAX_ROWS);
        cpu_panel_out(&result, rows, columns, bias, p->out->data + t * p->out->width + first, p->out->width);
    }
}

// The same for float weights, from rows that are decoded to `scratch`.
static void multiply_decoded(const multiply_job *job, const backend_product *p, int64_t first, int64_t rows,
                             float *scratch) {
    const backend_weight *w = p->weight;
    cpu_decode_rows(w, first, rows, scratch);
    // Few tokens at a time, so that they stay in the first cache while the rows pass over them.
    enum { COLUMNS = 4 };
    for (int64_t t = 0; t < job->n_tokens; t += COLUMNS) {
        int64_t columns = job->n_tokens - t < COLUMNS ? job->n_tokens - t : COLUMNS;
        for (int64_t r = 0; r < rows; r++) {
            float *out = p->out->data + t * p->out->width + first + r;
            job->cpu->k->dots(scratch + r * w->width, job->x->data + t * job->x->width, job->x->width,
                              columns, w->width, out, p->out->width);
            if (p->bias)
                for (int64_t c = 0; c < columns; c++)
                    out[c * p->out->width] += p->bias->vector[first + r];
        }
    }
}

static void multiply_pieces(void *arg, int64_t begin, int64_t end, int worker) {
    const multiply_job *job = arg;
    for (int64_t i = begin; i < end; i++) {
        int64_t piece = i, first, n;
        const backend_product *p = cpu_find_piece(job->products, &piece, &first, &n);
        const int64_t step = p->weight->product ? job->cpu->k->rows : CPU_DECODED_ROWS;
        for (int64_t row = first; row < first + n; row += step) {
            int64_t rows = first + n - row < step ? first + n - row : step;
            if (p->weight->product)
                multiply_panel(job, p, row, rows, job->cpu->scratch[worker]);
            else
                multiply_decoded(job, p, row, rows, job->cpu->scratch[worker]);
        }
    }
}

void cpu_multiply(backend *b, const backend_buffer *x, int64_t n_tokens, const backend_product *products,
                  int32_t n_products) {
    multiply_job job = {cpu_of(b), x, n_tokens, products};
    int64_t pieces = 0;
    for (int32_t i = 0; i < n_products; i++)
        pieces += cpu_pieces(products[i].weight);
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
