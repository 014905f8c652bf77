#include "quantize/feedback.h"

#include <inttypes.h>
#include <math.h>

#include "base/file.h"
#include "quant/quant.h"

static ingot_status read_halves(const char *file, uint64_t at, void *halves, uint64_t bytes,
                                ingot_error *err) {
    file_in *in;
    TRY(file_in_open(file, NULL, &in, err));
    ingot_status status = file_in_read(in, at, halves, bytes, err);
    file_in_close(in);
    return status;
}

// Correlations become moments: those of columns i and j are the correlation times the roots of their squares.
// What few tokens say is taken for less: of n of them n / (n + INGOT_WINDOW).
static ingot_status scale(const char *file, const imatrix_entry *e, uint64_t matrix, uint64_t width,
                          float *moments, ingot_error *err) {
    const float *squares = e->values + matrix * width, count = e->counts[matrix];
    const float trust = count > 0.0f ? count / (count + INGOT_WINDOW) : 0.0f;
    for (uint64_t i = 0; i < width; i++)
        for (uint64_t j = i / INGOT_WINDOW * INGOT_WINDOW, k = 0; k < INGOT_WINDOW && j < width; j++, k++) {
            float *m = &moments[i * INGOT_WINDOW + k];
            if (!(fabsf(*m) <= 1.001f))
                return fail(err, INGOT_ERR_FORMAT,
                            "%s: the correlation of columns %" PRIu64 " and %" PRIu64
                            " of '%s' is %g, expected -1 to 1: make the matrix again",
                            file, i, j, e->name, (double)*m);
            *m = i == j ? squares[i] : trust * *m * sqrtf(squares[i]) * sqrtf(squares[j]);
        }
    return INGOT_OK;
}

ingot_status feedback_read(ingot_runtime *runtime, const char *file, const imatrix_entry *e, uint64_t matrix,
                           uint64_t width, ingot_feedback **out, ingot_error *err) {
    const uint64_t n = width * INGOT_WINDOW, bytes = n * sizeof(uint16_t);
    uint16_t *halves = mem_alloc(NULL, (size_t)n, sizeof *halves);
    float *moments = mem_alloc(NULL, (size_t)n, sizeof *moments);
    ingot_status status = halves && moments
                              ? read_halves(file, e->correlations + matrix * bytes, halves, bytes, err)
                              : fail_memory(err, n * (sizeof *halves + sizeof *moments), "correlations");
    if (status == INGOT_OK)
        status = ingot_decode(runtime, QUANT_F16, halves, n, moments, err);
    mem_free(NULL, halves);
    if (status == INGOT_OK)
        status = scale(file, e, matrix, width, moments, err);
    if (status == INGOT_OK && ingot_feedback_new(runtime, moments, width, out, err) != INGOT_OK)
        status = fail_prefix(err, err->status, "%s: '%s'", file, e->name);
    mem_free(NULL, moments);
    return status;
}
