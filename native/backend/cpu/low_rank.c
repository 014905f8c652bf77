// Adapters of low rank: few numbers of each token's input, then their share of each result. The second
// matrix's rows are short, so they always go through panels: a lane is a row, and nothing is summed across.
#include "backend/cpu/cpu.h"

enum {
    TOKENS_PER_PIECE = 4 * KERNELS_TILE,
    ROWS_PER_PIECE = 4 * KERNELS_MAX_ROWS,
    MANY_COLUMNS = KERNELS_FEW + 1,
};

ingot_status cpu_low_rank_new(backend *b, const weight_desc *down, const weight_desc *up,
                              backend_low_rank **out, ingot_error *err) {
    cpu_backend *cpu = cpu_of(b);
    const int64_t width = down->width > up->width ? down->width : up->width;
    // Workers' scratch memory may be in use just now: what it is too small for has to stay away.
    if (cpu_scratch_floats(cpu, width) > (int64_t)cpu->scratch_floats)
        return fail(err, INGOT_ERR_LIMIT,
                    "tensor '%s' and '%s' have rows of up to %lld weights, which is more than any matrix of "
                    "the model has",
                    down->name, up->name, (long long)width);
    backend_low_rank *pair = mem_alloc(cpu->mem, 1, sizeof *pair);
    if (!pair)
        return fail_memory(err, sizeof *pair, down->name);
    ingot_status status = cpu_weight_make(cpu, down, &pair->down, err);
    if (status == INGOT_OK)
        status = cpu_weight_make(cpu, up, &pair->up, err);
    if (status == INGOT_OK)
        *out = pair;
    else
        cpu_low_rank_free(b, pair);
    return status;
}

void cpu_low_rank_free(backend *b, backend_low_rank *pair) {
    if (!pair)
        return;
    cpu_weight_free(b, pair->down);
    cpu_weight_free(b, pair->up);
    mem_free(cpu_of(b)->mem, pair);
}

typedef struct addition_job {
    cpu_backend *cpu;
    const backend_buffer *x;
    const int32_t *ids;
    const backend_addition *additions;
    int32_t n_additions;
    const backend_buffer *work;
} addition_job;

static int64_t parts(int64_t n, int64_t size) {
    return (n + size - 1) / size;
}

static cpu_panel panel_at(const cpu_backend *cpu, const backend_weight *w, int64_t first) {
    const int64_t left = w->rows - first, rows = left < cpu->k->rows ? left : cpu->k->rows;
    return (cpu_panel){.weight = w,
                       .data = w->data + first * (int64_t)w->row_bytes,
                       .first = first,
                       .step = 1,
                       .rows = rows};
}

// Where a worker has room for a tile, behind what an operand of this weight takes.
static float *tile_room(const cpu_backend *cpu, const backend_weight *w, float *scratch) {
    return scratch + parts(cpu_padding(cpu, w) + parts(w->product->panel_bytes(w->width), 4), 16) * 16;
}

// ------------------------------------------------------------------------------------------------- down

static int64_t rank_of(const backend_addition *a) {
    return a->pair->up->width;
}

static int64_t down_panels(const addition_job *job, const backend_addition *a) {
    return job->x ? parts(rank_of(a), job->cpu->k->rows) : 1;
}

static int64_t down_pieces(const addition_job *job, const backend_addition *a) {
    return down_panels(job, a) * parts(a->n_tokens, TOKENS_PER_PIECE);
}

// Some tokens of an addition: [from, end); its first one has row `at` of the work memory.
typedef struct some_tokens {
    const backend_addition *a;
    int64_t at, from, end;
} some_tokens;

static float *low_of(const addition_job *job, some_tokens t, int64_t token) {
    return job->work->data + (t.at + token) * job->work->width;
}

// What stands for the tokens' inputs, in an embedding's adapter.
static void look_up(const addition_job *job, some_tokens t) {
    const backend_weight *w = t.a->pair->down;
    for (int64_t i = t.from; i < t.end; i++) {
        float *low = low_of(job, t, i);
        const int64_t row = job->ids[t.a->tokens[i]];
        w->type->decode(w->data + row * (int64_t)w->row_bytes, low, (uint64_t)w->width);
        for (int64_t r = 0; r < w->width; r++)
            low[r] *= t.a->factor * t.a->scales[i];
    }
}

static void multiply_down(const addition_job *job, some_tokens t, int64_t first, float *scratch) {
    const cpu_backend *cpu = job->cpu;
    const backend_weight *w = t.a->pair->down;
    const columns_kind kind = w->product->columns;
    const int64_t total = t.end - t.from;
    const cpu_panel panel = panel_at(cpu, w, first);
    const cpu_operand operand = cpu_operand_of(cpu, panel, panel, total, scratch);
    kernels_result result;
    for (int64_t from = t.from; from < t.end; from += KERNELS_TILE) {
        const int64_t n = t.end - from < KERNELS_TILE ? t.end - from : KERNELS_TILE;
        const cpu_tile tile = {tile_room(cpu, w, scratch), kernels_tile_width(n, total)};
        for (int64_t c = 0; c < n; c++)
            cpu->k->quantize(kind, job->x->data + t.a->tokens[from + c] * job->x->width, w->width, (int)c,
                             tile.width, tile.data);
        cpu_multiply_tile(&operand, tile, &result);
        for (int64_t c = 0; c < n; c++)
            for (int64_t r = 0; r < panel.rows; r++)
                low_of(job, t, from + c)[first + r] = result.at[c][r] * (t.a->factor * t.a->scales[from + c]);
    }
}

static void run_down(void *arg, int64_t begin, int64_t end, int worker) {
    const addition_job *job = arg;
    for (int64_t i = begin; i < end; i++) {
        int64_t piece = i;
        some_tokens t = {job->additions, 0, 0, 0};
        while (piece >= down_pieces(job, t.a)) {
            piece -= down_pieces(job, t.a);
            t.at += t.a++->n_tokens;
        }
        t.from = piece / down_panels(job, t.a) * TOKENS_PER_PIECE;
        t.end = t.a->n_tokens - t.from < TOKENS_PER_PIECE ? t.a->n_tokens : t.from + TOKENS_PER_PIECE;
        if (job->x)
            multiply_down(job, t, piece % down_panels(job, t.a) * job->cpu->k->rows,
                          job->cpu->scratch[worker]);
        else
            look_up(job, t);
    }
}

// --------------------------------------------------------------------------------------------------- up

static int64_t up_pieces(const backend_addition *a) {
    return parts(a->pair->up->rows, ROWS_PER_PIECE);
}

// Whether an addition is the first one to its buffer.
static bool is_first(const addition_job *job, const backend_addition *a) {
    return a == job->additions || a[-1].out != a->out;
}

// Adds rows [first, end) of the results.
static void multiply_up(const addition_job *job, some_tokens t, int64_t first, int64_t end, float *scratch) {
    const cpu_backend *cpu = job->cpu;
    const backend_weight *w = t.a->pair->up;
    kernels_result result;
    for (int64_t from = 0; from < t.a->n_tokens; from += KERNELS_TILE) {
        const int64_t left = t.a->n_tokens - from, n = left < KERNELS_TILE ? left : KERNELS_TILE;
        const cpu_tile tile = {tile_room(cpu, w, scratch), kernels_tile_width(n, MANY_COLUMNS)};
        for (int64_t c = 0; c < n; c++)
            cpu->k->quantize(w->product->columns, low_of(job, t, from + c), w->width, (int)c, tile.width,
                             tile.data);
        for (int64_t row = first; row < end; row += cpu->k->rows) {
            const cpu_panel panel = panel_at(cpu, w, row);
            const cpu_operand operand = cpu_operand_of(cpu, panel, panel, MANY_COLUMNS, scratch);
            cpu_multiply_tile(&operand, tile, &result);
            for (int64_t c = 0; c < n; c++) {
                float *out = t.a->out->data + t.a->tokens[from + c] * t.a->out->width + row;
                for (int64_t r = 0; r < panel.rows; r++)
                    out[r] += result.at[c][r];
            }
        }
    }
}

// A piece is some rows of a buffer: everything that is added to them.
static void run_up(void *arg, int64_t begin, int64_t end, int worker) {
    const addition_job *job = arg;
    const backend_addition *behind = job->additions + job->n_additions;
    for (int64_t i = begin; i < end; i++) {
        int64_t piece = i;
        some_tokens t = {job->additions, 0, 0, 0};
        for (; !is_first(job, t.a) || piece >= up_pieces(t.a); t.at += t.a++->n_tokens)
            piece -= is_first(job, t.a) ? up_pieces(t.a) : 0;
        const backend_buffer *out = t.a->out;
        const int64_t first = piece * ROWS_PER_PIECE, left = t.a->pair->up->rows - first;
        for (; t.a < behind && t.a->out == out; t.at += t.a++->n_tokens)
            multiply_up(job, t, first, first + (left < ROWS_PER_PIECE ? left : ROWS_PER_PIECE),
                        job->cpu->scratch[worker]);
    }
}

void cpu_add_low_rank(backend *b, const backend_buffer *x, const int32_t *ids,
                      const backend_addition *additions, int32_t n_additions, backend_buffer *work) {
    addition_job job = {cpu_of(b), x, ids, additions, n_additions, work};
    int64_t down = 0, up = 0;
    for (const backend_addition *a = additions; a < additions + n_additions; a++) {
        down += down_pieces(&job, a);
        up += is_first(&job, a) ? up_pieces(a) : 0;
    }
    pool_run(job.cpu->threads, down, 1, run_down, &job);
    pool_run(job.cpu->threads, up, 1, run_up, &job);
}
