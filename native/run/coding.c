// Encoding and decoding weights with all threads of a runtime.
#include "run/feedback.h"
#include "run/runtime.h"

#include <math.h>

#include "base/checked.h"
#include "quant/quant.h"

// Blocks of a piece, a multiple of what every instruction set takes at a time; of small ones more, so that a
// piece is worth its handing out. Codebooks are prepared anew for each piece.
static int64_t blocks_of_piece(const quant_type *t) {
    enum { LEAST = 64, WITH_CODEBOOK = 256, WEIGHTS = 1 << 14 };
    const int64_t least = t->can_encode && !t->has_feedback ? WITH_CODEBOOK : LEAST;
    return WEIGHTS / t->block_size > least ? WEIGHTS / t->block_size : least;
}

typedef struct decode_job {
    const quant_type *type;
    const uint8_t *src;
    float *dst;
} decode_job;

static void decode_blocks(void *arg, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const decode_job *job = arg;
    const quant_type *t = job->type;
    t->decode(job->src + begin * t->block_bytes, job->dst + begin * t->block_size,
              (uint64_t)((end - begin) * t->block_size));
}

ingot_status ingot_decode(ingot_runtime *runtime, int32_t type, const void *src, uint64_t n, float *dst,
                          ingot_error *err) {
    TRY(runtime_check(runtime, err));
    const quant_type *t = quant_type_get(type);
    if (!t)
        return fail(err, INGOT_ERR_NOT_FOUND, "there is no tensor type %d", type);
    if (!t->decode)
        return fail(err, INGOT_ERR_UNSUPPORTED, "tensor type %s can't be decoded", t->name);
    if (n % (uint64_t)t->block_size != 0 || n > INT64_MAX)
        return fail(err, INGOT_ERR_INVALID,
                    "%llu weights of type %s: expected a multiple of its block size, %d",
                    (unsigned long long)n, t->name, t->block_size);
    decode_job job = {t, src, dst};
    pool_run(runtime->env.threads, (int64_t)n / t->block_size, blocks_of_piece(t), decode_blocks, &job);
    return INGOT_OK;
}

typedef struct encode_job {
    const struct kernels *kernels;
    const quant_type *type;
    backend_rows rows;
    int64_t n_rows;
    const ingot_feedback *feedback;
    uint8_t *dst;
} encode_job;

enum { ROWS = 64 }; // of a window, a piece of work

static void encode_blocks(void *arg, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const encode_job *job = arg;
    backend_isa_encode(job->kernels, job->type->id, &job->rows, begin, end, job->dst);
}

static void encode_windows(void *arg, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const encode_job *job = arg;
    const int64_t pieces = (job->n_rows + ROWS - 1) / ROWS;
    for (int64_t i = begin; i < end; i++) {
        const int64_t window = i / pieces, row = i % pieces * ROWS, left = job->n_rows - row;
        const quant_feedback f = feedback_window(job->feedback, window);
        backend_isa_encode_window(job->kernels, job->type->id, &job->rows, row,
                                  row + (left < ROWS ? left : ROWS), window * QUANT_WINDOW, &f, job->dst);
    }
}

static ingot_status check_importance(const float *importance, uint64_t width, ingot_error *err) {
    for (uint64_t i = 0; importance && i < width; i++)
        if (!isfinite(importance[i]) || importance[i] < 0.0f)
            return fail(err, INGOT_ERR_INVALID,
                        "importance of column %llu is %g, expected a finite number >= 0",
                        (unsigned long long)i, (double)importance[i]);
    return INGOT_OK;
}

ingot_status ingot_encode(ingot_runtime *runtime, int32_t type, const float *src, uint64_t rows,
                          uint64_t width, const float *importance, const ingot_feedback *feedback, void *dst,
                          ingot_error *err) {
    uint64_t n;
    TRY(runtime_check(runtime, err));
    const quant_type *t = quant_type_get(type);
    if (!t)
        return fail(err, INGOT_ERR_NOT_FOUND, "there is no tensor type %d", type);
    if (!t->can_encode)
        return fail(err, INGOT_ERR_UNSUPPORTED, "tensor type %s can't be encoded", t->name);
    if (width % (uint64_t)t->block_size != 0)
        return fail(err, INGOT_ERR_INVALID,
                    "rows of %llu weights of type %s: expected a multiple of its block size, %d",
                    (unsigned long long)width, t->name, t->block_size);
    if (!checked_mul(rows, width, &n) || n > INT64_MAX)
        return fail(err, INGOT_ERR_LIMIT, "%llu rows of %llu weights are too many", (unsigned long long)rows,
                    (unsigned long long)width);
    if (feedback && feedback->width != width)
        return fail(err, INGOT_ERR_INVALID, "feedback of rows of %llu weights for rows of %llu",
                    (unsigned long long)feedback->width, (unsigned long long)width);
    TRY(check_importance(importance, width, err));
    encode_job job = {runtime->env.kernels, t,        {src, (int64_t)width, importance},
                      (int64_t)rows,        feedback, dst};
    if (feedback && t->has_feedback) {
        pool_run(runtime->env.threads, feedback->n_windows * ((job.n_rows + ROWS - 1) / ROWS), 1,
                 encode_windows, &job);
        return INGOT_OK;
    }
    pool_run(runtime->env.threads, (int64_t)n / t->block_size, blocks_of_piece(t), encode_blocks, &job);
    return INGOT_OK;
}
