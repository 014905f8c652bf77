// What the machine can do at best, for what is measured to be compared with, and what its kernels do of it.
#include "base/mem.h"
#include "base/pool.h"
#include "base/thread.h"
#include "run/runtime.h"

// A piece is what a worker takes at a time. Its lines are a multiple of no page even when eight streams share
// them, so that streams don't compete for the same sets of a cache.
enum { LINE_WORDS = 8, PIECE_LINES = 65000, STREAMS_MAX = 8, ROUNDS = 3 };
#define PIECE_BYTES ((uint64_t)PIECE_LINES * LINE_WORDS * 8)

typedef struct reading {
    const uint64_t *words;
    int streams;
    uint64_t sums[POOL_THREADS_MAX]; // of each worker: what isn't used wouldn't be read
} reading;

// Reads a piece as `streams` runs side by side, a line of each in turn.
static inline uint64_t sum_piece(const uint64_t *words, int64_t streams) {
    uint64_t sums[LINE_WORDS] = {0};
    int64_t stride = PIECE_LINES / streams * LINE_WORDS;
    for (int64_t i = 0; i < stride; i += LINE_WORDS)
        for (int64_t s = 0; s < streams; s++)
            for (int64_t k = 0; k < LINE_WORDS; k++)
                sums[k] += words[s * stride + i + k];
    uint64_t sum = 0;
    for (int k = 0; k < LINE_WORDS; k++)
        sum += sums[k];
    return sum;
}

static void read_pieces(void *job, int64_t begin, int64_t end, int worker) {
    reading *r = job;
    for (int64_t i = begin; i < end; i++) {
        const uint64_t *words = r->words + i * PIECE_LINES * LINE_WORDS;
        switch (r->streams) { // each with a number that the compiler knows
        case 1:
            r->sums[worker] += sum_piece(words, 1);
            break;
        case 2:
            r->sums[worker] += sum_piece(words, 2);
            break;
        case 4:
            r->sums[worker] += sum_piece(words, 4);
            break;
        default:
            r->sums[worker] += sum_piece(words, STREAMS_MAX);
            break;
        }
    }
}

static ingot_status measure(const ingot_runtime *runtime, int64_t pieces, double *out, ingot_error *err) {
    const ingot_allocator *mem = runtime->env.mem;
    uint64_t bytes = (uint64_t)pieces * PIECE_BYTES;
    reading *r = mem_alloc(mem, 1, sizeof *r);
    void *words = r ? mem_alloc(mem, (size_t)pieces, PIECE_BYTES) : NULL;
    ingot_status status = INGOT_OK;
    double best = 0;
    if (!words)
        status = fail_memory(err, bytes, "the memory whose reading is measured");
    for (int run = 0; words && run < ROUNDS; run++) {
        for (int streams = 1; streams <= STREAMS_MAX; streams *= 2) {
            r->words = words;
            r->streams = streams;
            double start = clock_seconds();
            pool_run(runtime->env.threads, pieces, 1, read_pieces, r);
            double seconds = clock_seconds() - start;
            if (seconds > 0 && (double)bytes / seconds > best)
                best = (double)bytes / seconds;
        }
    }
    mem_free(mem, words);
    mem_free(mem, r);
    *out = best;
    return status;
}

ingot_status ingot_measure_read(ingot_runtime *runtime, uint64_t bytes, double *bytes_per_second,
                                ingot_error *err) {
    TRY(runtime_check(runtime, err));
    if (bytes < PIECE_BYTES)
        return fail(err, INGOT_ERR_INVALID,
                    "bytes is %llu; expected at least %llu, and more than all caches of the machine hold",
                    (unsigned long long)bytes, (unsigned long long)PIECE_BYTES);
    return measure(runtime, (int64_t)(bytes / PIECE_BYTES), bytes_per_second, err);
}

// ------------------------------------------------------------------------------------------------- products

typedef struct multiplying {
    const struct kernels *kernels;
    int64_t rounds;
    int64_t ops;                    // of a piece
    int32_t sums[POOL_THREADS_MAX]; // of each worker
} multiplying;

static void multiply_pieces(void *arg, int64_t begin, int64_t end, int worker) {
    multiplying *job = arg;
    for (int64_t i = begin; i < end; i++)
        backend_isa_peak(job->kernels, job->rounds, &job->sums[worker]);
}

ingot_status ingot_measure_int8(ingot_runtime *runtime, double *ops_per_second, ingot_error *err) {
    enum { PIECES = 64 };
    TRY(runtime_check(runtime, err));
    multiplying *job = mem_alloc(runtime->env.mem, 1, sizeof *job);
    if (!job)
        return fail_memory(err, sizeof *job, "the sums of a measurement");
    job->kernels = runtime->env.kernels;
    job->rounds = 1000;
    job->ops = backend_isa_peak(job->kernels, job->rounds, &job->sums[0]);
    *ops_per_second = 0;
    // Ever longer until a tenth of a second is measured; the best of that and what was before it.
    for (double seconds = 0; seconds < 0.1; job->rounds *= 4, job->ops *= 4) {
        double start = clock_seconds();
        pool_run(runtime->env.threads, PIECES, 1, multiply_pieces, job);
        seconds = clock_seconds() - start;
        double rate = (double)job->ops * PIECES / (seconds > 1e-9 ? seconds : 1e-9);
        if (seconds > 1e-3 && rate > *ops_per_second)
            *ops_per_second = rate;
    }
    mem_free(runtime->env.mem, job);
    return INGOT_OK;
}

ingot_status ingot_measure_product(ingot_runtime *runtime, const ingot_product_sample *sample,
                                   double *weights_per_second, ingot_error *err) {
    enum { RUNS = 7 };
    const double shortest = 4e-3;
    TRY(runtime_check(runtime, err));
    double best = 0;
    int64_t rounds = 1;
    for (int run = 0; run < RUNS;) {
        double start = clock_seconds();
        TRY(backend_isa_product(runtime->env.kernels, sample, rounds, err));
        double seconds = clock_seconds() - start;
        if (seconds < shortest) {
            rounds *= 2;
            continue;
        }
        double rate = (double)rounds * (double)sample->n_rows * (double)sample->width / seconds;
        best = rate > best ? rate : best;
        run++;
    }
    *weights_per_second = best;
    return INGOT_OK;
}
