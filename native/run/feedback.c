#include "run/feedback.h"

#include <math.h>

#include "run/runtime.h"

// What is known of an input is of some text, and of another one it is another: the mean square is added to
// all squares, times this. Without it what is measured fits its own text better, and others less.
static const double DAMPING = 0.1;

enum { SHARES = QUANT_WINDOW * QUANT_WINDOW };

quant_feedback feedback_window(const ingot_feedback *f, int64_t window) {
    const uint64_t left = f->width - (uint64_t)window * QUANT_WINDOW;
    const float *shares = f->shares + window * 2 * SHARES;
    return (quant_feedback){left < QUANT_WINDOW ? (int32_t)left : QUANT_WINDOW, shares, shares + SHARES};
}

typedef struct feedback_job {
    const float *moments;
    ingot_feedback *feedback;
    double *work;     // [workers][SHARES]
    bool *impossible; // [windows]
} feedback_job;

// The error of a product is e' H e, for errors e of a row's weights and damped moments H. With H = M' D M, M
// lower triangular with ones on its diagonal and D diagonal, that is the sum of D_j (e_j + sum over i < j of
// M_ji e_i)^2: what remains when the columns behind j make up for all they can. M is found from the last
// column to the first. False if a D_j is far below what was added, which it can't be for moments of numbers,
// also rounded ones.
static bool factorise(double *h, int n, double least, float *first) {
    for (int j = n - 1; j >= 0; j--) {
        const double *row = h + j * QUANT_WINDOW;
        const double d = row[j];
        if (!(d > 0.1 * least))
            return false;
        for (int i = 0; i < j; i++)
            first[j * QUANT_WINDOW + i] = (float)(row[i] / d);
        for (int i = 0; i < j; i++) {
            const double share = row[i] / d;
            for (int k = 0; k <= i; k++)
                h[i * QUANT_WINDOW + k] -= share * row[k];
        }
    }
    return true;
}

static void make_window(const feedback_job *job, int64_t window, double *h) {
    const quant_feedback f = feedback_window(job->feedback, window);
    float *first = job->feedback->shares + window * 2 * SHARES, *next = first + SHARES;
    const float *moments = job->moments + window * SHARES;
    double mean = 0.0;
    for (int j = 0; j < f.columns; j++)
        mean += (double)moments[j * QUANT_WINDOW + j] / f.columns;
    const double least = mean > 0.0 ? DAMPING * mean : 1.0;
    for (int j = 0; j < f.columns; j++) {
        const double square = (double)moments[j * QUANT_WINDOW + j] + least;
        for (int i = 0; i < f.columns; i++) {
            const double moment = moments[j * QUANT_WINDOW + i];
            h[j * QUANT_WINDOW + i] = i == j ? square : moment;
            next[j * QUANT_WINDOW + i] = i == j ? 0.0f : (float)(moment / square);
        }
    }
    job->impossible[window] = !factorise(h, f.columns, least, first);
}

static void make_windows(void *arg, int64_t begin, int64_t end, int worker) {
    const feedback_job *job = arg;
    for (int64_t i = begin; i < end; i++)
        make_window(job, i, job->work + (int64_t)worker * SHARES);
}

static ingot_status check_moments(const float *moments, uint64_t width, ingot_error *err) {
    for (uint64_t i = 0; i < width; i++) {
        const uint64_t j = i % QUANT_WINDOW, left = width - (i - j);
        const float *row = moments + i * QUANT_WINDOW;
        for (uint64_t k = 0; k < left && k < QUANT_WINDOW; k++)
            if (!isfinite(row[k]) || (k == j && row[k] < 0.0f))
                return fail(err, INGOT_ERR_INVALID, "the moment of columns %llu and %llu is %g, expected %s",
                            (unsigned long long)i, (unsigned long long)(i - j + k), (double)row[k],
                            k == j ? "a finite number >= 0" : "a finite number");
    }
    return INGOT_OK;
}

static ingot_status check_possible(const feedback_job *job, ingot_error *err) {
    for (int64_t i = 0; i < job->feedback->n_windows; i++)
        if (job->impossible[i])
            return fail(err, INGOT_ERR_INVALID,
                        "columns from %lld on go together more than columns can: the moments are damaged, "
                        "or made wrongly",
                        (long long)i * QUANT_WINDOW);
    return INGOT_OK;
}

ingot_status ingot_feedback_new(ingot_runtime *runtime, const float *moments, uint64_t width,
                                ingot_feedback **out, ingot_error *err) {
    TRY(runtime_check(runtime, err));
    if (width > INT64_MAX / (4 * QUANT_WINDOW * sizeof(float)))
        return fail(err, INGOT_ERR_LIMIT, "feedback of rows of %llu weights, which are too many",
                    (unsigned long long)width);
    if (width == 0 || width % 32 != 0)
        return fail(err, INGOT_ERR_INVALID, "feedback of rows of %llu weights: expected a multiple of 32",
                    (unsigned long long)width);
    TRY(check_moments(moments, width, err));
    const ingot_allocator *mem = runtime->env.mem;
    const int workers = pool_threads(runtime->env.threads);
    const size_t n_windows = (size_t)((width + QUANT_WINDOW - 1) / QUANT_WINDOW);
    ingot_feedback *f = mem_alloc(mem, 1, sizeof *f);
    float *shares = mem_alloc(mem, n_windows * 2 * SHARES, sizeof *shares);
    feedback_job job = {moments, f, mem_alloc(mem, (size_t)workers * SHARES, sizeof *job.work),
                        mem_alloc(mem, n_windows, sizeof *job.impossible)};
    ingot_status status = INGOT_OK;
    if (f && shares && job.work && job.impossible) {
        *f = (ingot_feedback){width, (int64_t)n_windows, shares};
        pool_run(runtime->env.threads, f->n_windows, 1, make_windows, &job);
        status = check_possible(&job, err);
    } else {
        status = fail_memory(err, n_windows * 2 * SHARES * sizeof *shares, "feedback of errors");
    }
    mem_free(mem, job.work);
    mem_free(mem, job.impossible);
    if (status == INGOT_OK) {
        *out = f;
    } else {
        mem_free(mem, shares);
        mem_free(mem, f);
    }
    return status;
}

void ingot_feedback_free(ingot_runtime *runtime, ingot_feedback *feedback) {
    if (!feedback)
        return;
    mem_free(runtime->env.mem, feedback->shares);
    mem_free(runtime->env.mem, feedback);
}
