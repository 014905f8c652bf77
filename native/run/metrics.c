#include "run/metrics.h"

#include <math.h>

// A step may always take so long: nobody reads faster.
static const double UNNOTICED = 0.01;
enum { FIRST_ROOM = 32, LEAST_ROOM = 4 };

double ingot_histogram_bound(int32_t i) {
    static const double leading[] = {1.0, 2.0, 5.0};
    if (i < 0 || i >= INGOT_BUCKETS - 1)
        return i < 0 ? 0.0 : (double)INFINITY;
    double bound = 0.001 * leading[i % 3];
    for (int32_t k = 0; k < i / 3; k++)
        bound *= 10.0;
    return bound;
}

void histogram_add(ingot_histogram *h, double seconds) {
    int32_t i = 0;
    while (seconds > ingot_histogram_bound(i))
        i++;
    h->counts[i]++;
    h->n++;
    h->seconds += seconds;
}

static void mean(double *running, double value) {
    *running = *running > 0.0 ? *running + 0.25 * (value - *running) : value;
}

void pace_note(pace *p, int32_t n_prompt_tokens, bool answers, double seconds) {
    if (n_prompt_tokens == 0)
        mean(&p->answer_seconds, seconds);
    else if (!answers)
        mean(&p->token_seconds, seconds / n_prompt_tokens);
    else if (p->answer_seconds > 0.0 && seconds > p->answer_seconds)
        mean(&p->token_seconds, (seconds - p->answer_seconds) / n_prompt_tokens);
}

int32_t pace_room(const pace *p, double step_seconds) {
    if (p->token_seconds <= 0.0 || p->answer_seconds <= 0.0)
        return FIRST_ROOM;
    double most = step_seconds > 0.0 ? step_seconds : 2.0 * p->answer_seconds;
    most = most > UNNOTICED ? most : UNNOTICED;
    const double room = (most - p->answer_seconds) / p->token_seconds;
    return room < LEAST_ROOM ? LEAST_ROOM : room > INT32_MAX / 2 ? INT32_MAX / 2 : (int32_t)room;
}
