#include "run/pace.h"

// A step may always take so long: nobody reads faster.
static const double UNNOTICED = 0.01;
// Where nothing was measured yet: so much more a step takes with each token. Less than it will, so that it is
// tried.
static const double GUESSED_SLOPE = 0.03;
enum { FIRST_ROOM = 32, LEAST_ROOM = 4 };

// A step may have been interrupted.
static void add(double *average, double x) {
    const double most = 2.0 * *average;
    *average = *average > 0.0 ? *average + ((x < most ? x : most) - *average) / 8.0 : x;
}

void pace_note(pace *p, int32_t n_tokens, int32_t n_prompt, int32_t n_rows, double seconds) {
    const int32_t n_answers = n_tokens - n_prompt;
    if (n_prompt > 0) {
        const double without = n_answers > 0 ? pace_expected(p, n_answers) : 0.0;
        if (n_answers == 0 || (without > 0.0 && seconds > without))
            add(&p->prompt_token, (seconds - without) / n_prompt);
    } else if (n_tokens >= PACE_STEPS) {
        add(&p->steps[0], seconds / n_tokens);
    } else if (n_rows == n_tokens) {
        add(&p->steps[n_tokens], seconds);
    }
}

double pace_measured(const pace *p, int32_t n) {
    return n < PACE_STEPS ? p->steps[n] : n * p->steps[0];
}

double pace_expected(const pace *p, int32_t n) {
    int32_t below = n, above = n;
    while (below > 0 && pace_measured(p, below) <= 0.0)
        below--;
    while (above < PACE_STEPS && pace_measured(p, above) <= 0.0)
        above++;
    const double less = pace_measured(p, below), more = pace_measured(p, above);
    if (below == n || below == 0)
        return below == n ? less : 0.0;
    if (more <= less)
        return less * (1.0 + GUESSED_SLOPE * (n - below));
    return less + (more - less) * (n - below) / (above - below);
}

int32_t pace_tried(const pace *p) {
    int32_t n = PACE_STEPS - 1;
    while (n > 0 && p->steps[n] <= 0.0)
        n--;
    return 2 * n;
}

// What a step of `n` answers will take: where so many were never measured, each takes what a prompt's token
// does.
static double usual(const pace *p, int32_t n) {
    int32_t most = n < PACE_STEPS ? n : PACE_STEPS - 1;
    while (most > 0 && p->steps[most] <= 0.0)
        most--;
    const double expected = pace_expected(p, n), by_tokens = p->steps[most] + p->prompt_token * (n - most);
    return most == 0 || pace_tried(p) / 2 >= n || expected > by_tokens ? expected : by_tokens;
}

int32_t pace_room(const pace *p, int32_t n_answers, int32_t n_active, double step_seconds) {
    const double without = pace_expected(p, n_answers);
    if (p->prompt_token <= 0.0 || without <= 0.0)
        return FIRST_ROOM;
    double most = step_seconds > 0.0 ? step_seconds
                                     : PACE_PATIENCE * usual(p, n_active > n_answers ? n_active : n_answers);
    most = most > UNNOTICED ? most : UNNOTICED;
    const double room = (most - without) / p->prompt_token;
    return room < LEAST_ROOM ? LEAST_ROOM : room > INT32_MAX / 2 ? INT32_MAX / 2 : (int32_t)room;
}
