#include "quantize/run.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/thread.h"
#include "gguf/gguf.h"
#include "quantize/feedback.h"

enum {
    PIECE_WEIGHTS = 1 << 20, // enough for many threads, little enough to stop soon
    PIECE_BYTES = 1 << 23,   // of what is copied
    SAMPLED_ROWS = 1024,     // of a tensor, whose error is measured
};

typedef struct worker {
    const plan *plan;
    ingot_runtime *runtime;
    ingot_gguf_writer *writer;
    stop_fn stop;
    result *result;
    progress progress;
    file_in *file; // the input's file `split`
    int32_t split;
    ingot_feedback *feedback; // of the current matrix, or NULL
    uint8_t *raw;             // buffers for a piece, and for a row that is decoded again
    float *floats;
    uint8_t *encoded;
    float *again;
} worker;

// How the rows of the current tensor are taken.
typedef struct shape {
    size_t tensor;
    uint64_t width, rows;
    uint64_t rows_per_matrix;
    uint64_t from_bytes, to_bytes; // of a row
    uint64_t piece;                // rows at a time
    uint64_t stride;               // between rows whose error is measured
} shape;

static ingot_status check_stop(const worker *w, ingot_error *err) {
    return w->stop() ? fail(err, INGOT_ERR_CANCELLED, "interrupted; nothing was written") : INGOT_OK;
}

static ingot_status read_rows(worker *w, const ingot_gguf_tensor *t, uint64_t at, void *data, uint64_t bytes,
                              ingot_error *err) {
    if (!w->file || w->split != t->split) {
        file_in_close(w->file);
        w->file = NULL;
        TRY(file_in_open(gguf_file_name(w->plan->input, t->split), NULL, &w->file, err));
        w->split = t->split;
    }
    return file_in_read(w->file, t->offset + at, data, bytes, err);
}

static ingot_status copy_tensor(worker *w, size_t i, ingot_error *err) {
    const ingot_gguf_tensor *t = w->plan->details[i].source;
    uint64_t most = w->plan->options->max_memory < PIECE_BYTES ? w->plan->options->max_memory : PIECE_BYTES;
    uint8_t *buffer = mem_resize(NULL, w->raw, (size_t)most, 1);
    if (!buffer)
        return fail_memory(err, most, "a piece of a tensor");
    w->raw = buffer;
    for (uint64_t at = 0; at < t->bytes;) {
        uint64_t n = t->bytes - at < most ? t->bytes - at : most;
        TRY(check_stop(w, err));
        TRY(read_rows(w, t, at, w->raw, n, err));
        TRY(ingot_gguf_writer_data(w->writer, w->raw, n, err));
        at += n;
        progress_step(&w->progress, w->plan, i, n);
    }
    return INGOT_OK;
}

static shape shape_of(const plan *p, size_t i) {
    const recipe_tensor *t = &p->tensors[i];
    shape s = {.tensor = i, .width = t->shape[0], .rows_per_matrix = t->shape[1]};
    s.rows = t->shape[1] * t->shape[2] * t->shape[3];
    s.from_bytes = quant_bytes(quant_type_get(t->from), s.width);
    s.to_bytes = quant_bytes(quant_type_get(t->to), s.width);
    uint64_t row = s.from_bytes + s.to_bytes + s.width * sizeof(float);
    uint64_t by_memory = p->options->max_memory / row, by_weights = PIECE_WEIGHTS / s.width;
    s.piece = by_memory < by_weights ? by_memory : by_weights;
    s.piece = s.piece < s.rows ? s.piece : s.rows;
    s.piece = s.piece > 0 ? s.piece : 1;
    s.stride = s.rows > SAMPLED_ROWS ? s.rows / SAMPLED_ROWS : 1;
    return s;
}

static bool grow(void *buffer, uint64_t bytes) {
    void **block = buffer;
    mem_free(NULL, *block);
    *block = mem_alloc(NULL, (size_t)bytes, 1);
    return *block != NULL;
}

// The bits of the largest magnitude, which order like numbers; infinity and NaN are above all others.
static uint32_t largest(const float *x, uint64_t n) {
    uint32_t most = 0;
    for (uint64_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, &x[i], sizeof bits);
        bits &= UINT32_C(0x7fffffff);
        most = bits > most ? bits : most;
    }
    return most;
}

// Weights must be numbers, and for F16 small enough: anything else would spoil the model in silence.
static ingot_status check_weights(const worker *w, const shape *s, uint64_t row, uint64_t n,
                                  ingot_error *err) {
    const uint32_t infinity = 0x7f800000, above_f16 = 0x477ff000; // 65520 rounds to infinity
    const recipe_tensor *t = &w->plan->tensors[s->tensor];
    uint32_t limit = t->to == QUANT_F16 ? above_f16 : infinity;
    uint64_t i = 0;
    if (largest(w->floats, n * s->width) < limit)
        return INGOT_OK;
    while (largest(&w->floats[i], 1) < limit)
        i++;
    float x = w->floats[i];
    if (isfinite(x))
        return fail(err, INGOT_ERR_FORMAT,
                    "weight %" PRIu64 " of row %" PRIu64
                    " of tensor '%s' is %g, which F16 can't hold: choose BF16",
                    i % s->width, row + i / s->width, t->name, (double)x);
    return fail(err, INGOT_ERR_FORMAT,
                "%s: weight %" PRIu64 " of row %" PRIu64
                " of tensor '%s' is %g: the file is damaged, or was made "
                "wrongly",
                w->plan->options->input, i % s->width, row + i / s->width, t->name, (double)x);
}

// Reads rows and decodes them.
static ingot_status take_rows(worker *w, const shape *s, uint64_t row, uint64_t n, ingot_error *err) {
    const ingot_gguf_tensor *t = w->plan->details[s->tensor].source;
    bool plain = t->type == QUANT_F32;
    void *to = plain ? (void *)w->floats : w->raw;
    TRY(read_rows(w, t, row * s->from_bytes, to, n * s->from_bytes, err));
    if (!plain)
        TRY(ingot_decode(w->runtime, t->type, w->raw, n * s->width, w->floats, err));
    return check_weights(w, s, row, n, err);
}

static ingot_status measure(worker *w, const shape *s, uint64_t row, uint64_t n, ingot_error *err) {
    int32_t type = w->plan->tensors[s->tensor].to;
    type_error *sum = &w->result->types[type];
    for (uint64_t i = (s->stride - row % s->stride) % s->stride; i < n; i += s->stride) {
        const float *x = w->floats + i * s->width;
        double error = 0, squares = 0;
        TRY(ingot_decode(w->runtime, type, w->encoded + i * s->to_bytes, s->width, w->again, err));
        for (uint64_t k = 0; k < s->width; k++) {
            double difference = (double)x[k] - (double)w->again[k];
            error += difference * difference;
            squares += (double)x[k] * (double)x[k];
        }
        sum->error += error;
        sum->squares += squares;
    }
    return INGOT_OK;
}

static ingot_status take_feedback(worker *w, const shape *s, uint64_t matrix, ingot_error *err) {
    const plan_tensor *details = &w->plan->details[s->tensor];
    ingot_feedback_free(w->runtime, w->feedback);
    w->feedback = NULL;
    return details->feedback ? feedback_read(w->runtime, w->plan->options->imatrix, details->importance,
                                             matrix, s->width, &w->feedback, err)
                             : INGOT_OK;
}

static ingot_status encode_tensor(worker *w, size_t i, ingot_error *err) {
    const recipe_tensor *t = &w->plan->tensors[i];
    const imatrix_entry *importance = w->plan->details[i].importance;
    shape s = shape_of(w->plan, i);
    if (!grow(&w->raw, s.piece * s.from_bytes) || !grow(&w->floats, s.piece * s.width * sizeof(float)) ||
        !grow(&w->encoded, s.piece * s.to_bytes) || !grow(&w->again, s.width * sizeof(float)))
        return fail_memory(err, s.piece * (s.from_bytes + s.to_bytes + s.width * sizeof(float)),
                           "a piece of a tensor");
    for (uint64_t row = 0; row < s.rows;) {
        uint64_t n = s.rows - row < s.piece ? s.rows - row : s.piece;
        const float *columns = NULL;
        uint64_t matrix = row / s.rows_per_matrix, of_matrix = row % s.rows_per_matrix;
        if (of_matrix == 0)
            TRY(take_feedback(w, &s, matrix, err));
        if (importance) { // each matrix has its own
            n = n < s.rows_per_matrix - of_matrix ? n : s.rows_per_matrix - of_matrix;
            columns = importance->values + matrix * s.width;
        }
        TRY(check_stop(w, err));
        TRY(take_rows(w, &s, row, n, err));
        TRY(ingot_encode(w->runtime, t->to, w->floats, n, s.width, columns, w->feedback, w->encoded, err));
        TRY(ingot_gguf_writer_data(w->writer, w->encoded, n * s.to_bytes, err));
        TRY(measure(w, &s, row, n, err));
        progress_step(&w->progress, w->plan, i, n * s.from_bytes);
        row += n;
    }
    return INGOT_OK;
}

static ingot_status declare(worker *w, ingot_error *err) {
    const plan *p = w->plan;
    TRY(metadata_write(p, w->writer, err));
    int32_t begun = 0;
    for (size_t i = 0; i < p->n; i++) {
        const ingot_gguf_tensor *t = p->details[i].source;
        for (; p->options->keep_split && begun <= t->split; begun++)
            gguf_writer_next_file(w->writer);
        TRY(ingot_gguf_writer_tensor(w->writer, p->tensors[i].name, p->tensors[i].to,
                                     t->n_dims > 0 ? t->n_dims : 1, t->shape, err));
    }
    for (; p->options->keep_split && begun < ingot_gguf_split_count(p->input); begun++)
        gguf_writer_next_file(w->writer); // whose layers were left out
    return INGOT_OK;
}

static ingot_status write_all(worker *w, ingot_error *err) {
    const plan *p = w->plan;
    TRY(declare(w, err));
    for (size_t i = 0; i < p->n; i++) {
        bool same = p->tensors[i].from == p->tensors[i].to;
        TRY((same ? copy_tensor : encode_tensor)(w, i, err));
    }
    return check_stop(w, err);
}

ingot_status run_plan(const plan *p, ingot_runtime *runtime, stop_fn stop, result *out, ingot_error *err) {
    double begin = clock_seconds();
    *out = (result){0};
    worker w = {.plan = p, .runtime = runtime, .stop = stop, .result = out, .progress = progress_begin(p)};
    ingot_status status = ingot_gguf_writer_new(runtime, p->options->output, NULL, &w.writer, err);
    if (status == INGOT_OK)
        status = write_all(&w, err);
    progress_end(&w.progress);
    if (status == INGOT_OK) {
        status = ingot_gguf_writer_finish(w.writer, err);
    } else {
        ingot_gguf_writer_abort(w.writer);
    }
    ingot_feedback_free(runtime, w.feedback);
    file_in_close(w.file);
    mem_free(NULL, w.raw);
    mem_free(NULL, w.floats);
    mem_free(NULL, w.encoded);
    mem_free(NULL, w.again);
    out->seconds = clock_seconds() - begin;
    return status;
}
