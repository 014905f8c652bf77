#include "run/prompt_rows.h"

#include <string.h>

#include "run/logprobs.h"

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

void prompt_rows_take(const ingot_request *r, int32_t position, const float *logits, int32_t n_vocab,
                      candidates *list) {
    const ingot_prompt_rows *rows = &r->rows;
    const size_t row = (size_t)(position - rows->first), n_top = (size_t)rows->n_top;
    if (rows->logits)
        memcpy(rows->logits + row * (size_t)n_vocab, logits, (size_t)n_vocab * sizeof *logits);
    if (!rows->logprobs && n_top == 0)
        return;
    const double subtract = logprobs_begin(list, logits, n_vocab);
    if (rows->logprobs && (size_t)position + 1 < r->n_tokens)
        rows->logprobs[row] = (float)((double)logits[r->tokens[position + 1]] - subtract);
    if (n_top > 0)
        logprobs_top(list, subtract, rows->n_top, rows->top_tokens + row * n_top,
                     rows->top_logprobs + row * n_top);
}
