#include "run/prompt_rows.h"

#include <math.h>
#include <string.h>

bool prompt_rows_any(const ingot_request *r) {
    return r->rows.logits || r->rows.logprobs || r->rows.n_top > 0;
}

ingot_status prompt_rows_check(const ingot_request *r, int32_t n_vocab, ingot_error *err) {
    const ingot_prompt_rows *rows = &r->rows;
    if (rows->n_top < 0 || rows->n_top > n_vocab)
        return fail(err, INGOT_ERR_INVALID, "rows.n_top is %d, expected 0 to %d", rows->n_top, n_vocab);
    if (rows->n_top > 0 && (!rows->top_tokens || !rows->top_logprobs))
        return fail(err, INGOT_ERR_INVALID, "rows.n_top is %d, but top_tokens or top_logprobs is NULL",
                    rows->n_top);
    if (prompt_rows_any(r) && (rows->first < 0 || (size_t)rows->first >= r->n_tokens))
        return fail(err, INGOT_ERR_INVALID, "rows.first is %d, expected 0 to %zu", rows->first,
                    r->n_tokens - 1);
    return INGOT_OK;
}

bool prompt_rows_want(const ingot_request *r, int32_t position) {
    return prompt_rows_any(r) && position >= r->rows.first && (size_t)position < r->n_tokens;
}

// The logarithm of the sum of exp(logits).
static double log_sum(const float *logits, int32_t n) {
    float max = logits[0];
    double sum = 0.0;
    for (int32_t i = 1; i < n; i++)
        max = logits[i] > max ? logits[i] : max;
    for (int32_t i = 0; i < n; i++)
        sum += exp((double)(logits[i] - max));
    return (double)max + log(sum);
}

// Whether token a comes after token b in the order of probability.
static bool after(const float *logits, int32_t a, int32_t b) {
    return logits[a] < logits[b] || (logits[a] == logits[b] && a > b);
}

// Restores a heap of tokens, the last in order on top, whose entry `i` alone may be too small.
static void sift_down(const float *logits, int32_t *heap, int32_t n, int32_t i) {
    for (;;) {
        int32_t child = 2 * i + 1;
        if (child >= n)
            return;
        if (child + 1 < n && after(logits, heap[child + 1], heap[child]))
            child++;
        if (!after(logits, heap[child], heap[i]))
            return;
        int32_t moved = heap[i];
        heap[i] = heap[child];
        heap[child] = moved;
        i = child;
    }
}

// The n_top most probable tokens, first ones first: O(n_vocab log n_top).
static void select_top(const float *logits, int32_t n_vocab, int32_t n_top, int32_t *out) {
    for (int32_t i = 0; i < n_top; i++)
        out[i] = i;
    for (int32_t i = n_top / 2; i-- > 0;)
        sift_down(logits, out, n_top, i);
    for (int32_t token = n_top; token < n_vocab; token++) {
        if (after(logits, token, out[0]))
            continue;
        out[0] = token;
        sift_down(logits, out, n_top, 0);
    }
    for (int32_t n = n_top - 1; n > 0; n--) {
        int32_t last = out[0];
        out[0] = out[n];
        out[n] = last;
        sift_down(logits, out, n, 0);
    }
}

void prompt_rows_take(const ingot_request *r, int32_t position, const float *logits, int32_t n_vocab) {
    const ingot_prompt_rows *rows = &r->rows;
    const size_t row = (size_t)(position - rows->first), n_top = (size_t)rows->n_top;
    if (rows->logits)
        memcpy(rows->logits + row * (size_t)n_vocab, logits, (size_t)n_vocab * sizeof *logits);
    if (!rows->logprobs && n_top == 0)
        return;
    const double total = log_sum(logits, n_vocab);
    if (rows->logprobs && (size_t)position + 1 < r->n_tokens)
        rows->logprobs[row] = (float)((double)logits[r->tokens[position + 1]] - total);
    if (n_top == 0)
        return;
    int32_t *top = rows->top_tokens + row * n_top;
    select_top(logits, n_vocab, rows->n_top, top);
    for (size_t i = 0; i < n_top; i++)
        rows->top_logprobs[row * n_top + i] = (float)((double)logits[top[i]] - total);
}
