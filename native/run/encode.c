// Encoding weights with all threads of a runtime.
#include "run/runtime.h"

#include <math.h>

#include "base/checked.h"
#include "quant/quant.h"

typedef struct encode_job {
    const struct kernels *kernels;
    const quant_type *type;
    backend_rows rows;
    uint8_t *dst;
} encode_job;

static void encode_blocks(void *arg, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const encode_job *job = arg;
    backend_isa_encode(job->kernels, job->type->id, &job->rows, begin, end, job->dst);
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
                          uint64_t width, const float *importance, void *dst, ingot_error *err) {
    // Blocks of a piece, a multiple of what every instruction set takes at a time; of small ones more, so
    // that a piece is worth its handing out.
    enum { LEAST = 64, WEIGHTS = 1 << 14 };
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
    TRY(check_importance(importance, width, err));
    encode_job job = {runtime->env.kernels, t, {src, (int64_t)width, importance}, dst};
    const int64_t piece = WEIGHTS / t->block_size > LEAST ? WEIGHTS / t->block_size : LEAST;
    pool_run(runtime->env.threads, (int64_t)n / t->block_size, piece, encode_blocks, &job);
    return INGOT_OK;
}
