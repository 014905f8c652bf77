// Sampling of code between two texts, as llama.cpp's infill does it: a token that begins like another one
// counts for it too, and where nothing is likely the answer ends rather than rambles on.
#include <math.h>
#include <string.h>

#include "run/stages.h"

enum { JOINED = 256 }; // likeliest tokens that are looked at

// A candidate's probability, which others may have been added to.
typedef struct joined {
    double p;
    const char *text;
    size_t size;
    bool ends;
} joined;

// The texts of tokens one behind the other in s->text.
static ingot_status read_texts(sample_work *s, const vocab *v, joined *all, ingot_error *err) {
    const candidates *c = &s->list;
    size_t used = 0;
    for (int32_t i = 0; i < c->n; i++) {
        all[i].size = vocab_piece(v, candidate_token(c, i), false, NULL, 0);
        used += all[i].size;
    }
    if (!mem_reserve(s->mem, &s->text, &s->text_capacity, used, 1))
        return fail_memory(err, used, "tokens' texts");
    used = 0;
    for (int32_t i = 0; i < c->n; i++) {
        vocab_piece(v, candidate_token(c, i), false, s->text + used, all[i].size);
        all[i].text = s->text + used;
        used += all[i].size;
    }
    return INGOT_OK;
}

// Joins tokens of which one begins the other into the likelier of the two, likeliest first.
static void join(joined *all, const int32_t *order, int32_t n) {
    for (int32_t a = 0; a < n; a++) {
        joined *first = &all[order[a]];
        for (int32_t b = 0; b < n && first->p > 0.0; b++) {
            joined *other = &all[order[b]];
            if (a == b || !(other->p > 0.0) || first->size == 0 || first->size > other->size ||
                memcmp(first->text, other->text, first->size) != 0)
                continue;
            joined *to = other->p > first->p ? other : first, *from = to == first ? other : first;
            to->p += from->p;
            from->p = 0.0;
        }
    }
}

// Sets the probabilities of tokens to 0 that are less likely than `least`, but of those that end the answer;
// the sum of what is left, and how many of those go on.
static double drop_unlikely(joined *all, int32_t n, double least, int32_t *going_on) {
    double sum = 0.0;
    *going_on = 0;
    for (int32_t i = 0; i < n; i++) {
        if (!all[i].ends && all[i].p < least)
            all[i].p = 0.0;
        *going_on += !all[i].ends && all[i].p > 0.0;
        sum += all[i].p;
    }
    return sum;
}

static bool allows(const sample_input *in, int32_t token) {
    bool allowed = token >= 0 && token < in->n_vocab && in->logits[token] > -INFINITY;
    for (int k = 0; k < 2; k++)
        allowed = allowed && (!in->allowed[k] || in->allowed[k][token / 32] >> (token % 32) & 1);
    return allowed;
}

// Leaves the token that ends the answer, also where others had dropped it; where it may not come, the
// likeliest.
static void end_now(candidates *c, const sample_input *in) {
    ingot_special_tokens specials;
    vocab_specials(in->text, &specials);
    const int32_t end = specials.eot >= 0 ? specials.eot : specials.eos;
    candidates_keep_count(c, 1);
    if (!allows(in, end))
        return;
    c->tokens[0] = end;
    c->n = 1;
}

// Drops those whose p is 0.
static void keep_joined(candidates *c, const joined *all, const sample_input *in) {
    int32_t n = 0, dropped[JOINED];
    for (int32_t i = 0; i < c->n; i++)
        if (!(all[i].p > 0.0))
            dropped[n++] = i;
    if (n == c->n)
        end_now(c, in);
    else
        candidates_drop(c, dropped, n);
}

ingot_status stage_infill(sample_work *s, const sample_settings *set, const sample_input *in,
                          ingot_error *err) {
    (void)set;
    candidates *c = &s->list;
    joined all[JOINED];
    double goes_on = 0.0, ends = 0.0;
    candidates_keep_count(c, JOINED);
    candidates_keep_above(c, -INFINITY, 1); // a vocabulary as small as that: those that aren't banned
    candidates_weigh(c);
    for (int32_t i = 0; i < c->n; i++) {
        all[i] = (joined){.p = (double)c->weights[i] / c->total,
                          .ends = vocab_ends_generation(in->text, candidate_token(c, i))};
        *(all[i].ends ? &ends : &goes_on) += all[i].p;
    }
    int32_t going_on;
    if (3.0 * ends * c->n > goes_on) {
        drop_unlikely(all, c->n, INFINITY, &going_on);
        keep_joined(c, all, in);
        return INGOT_OK;
    }
    TRY(read_texts(s, in->text, all, err));
    join(all, candidates_top(c, c->n), c->n);
    const double sum = drop_unlikely(all, c->n, 0.2, &going_on);
    if (going_on == 0)
        end_now(c, in);
    else {
        drop_unlikely(all, c->n, sum / (going_on + 1), &going_on);
        keep_joined(c, all, in);
    }
    return INGOT_OK;
}
