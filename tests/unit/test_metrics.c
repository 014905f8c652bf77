// What an engine counts and measures: histograms, and how long steps take.
#include <math.h>

#include "check.h"
#include "run/metrics.h"
#include "run/pace.h"

static void test_histogram(void) {
    ingot_histogram h = {0};
    for (int32_t i = 1; i < INGOT_BUCKETS; i++)
        CHECK(ingot_histogram_bound(i) > ingot_histogram_bound(i - 1));
    CHECK(fabs(ingot_histogram_bound(0) - 0.001) < 1e-12 && fabs(ingot_histogram_bound(4) - 0.02) < 1e-12);
    CHECK(isinf(ingot_histogram_bound(INGOT_BUCKETS - 1)) && ingot_histogram_bound(-1) == 0.0);
    histogram_add(&h, 0.0);
    histogram_add(&h, ingot_histogram_bound(3)); // a bound is of its bucket
    histogram_add(&h, nextafter(ingot_histogram_bound(3), 1.0));
    histogram_add(&h, 1e9);
    CHECK(h.counts[0] == 1 && h.counts[3] == 1 && h.counts[4] == 1 && h.counts[INGOT_BUCKETS - 1] == 1);
    CHECK(h.n == 4 && h.seconds > 1e9);
}

// Steps that take a second for the first token, and a tenth for each further one.
static double seconds_of(int32_t n) {
    return 1.0 + 0.1 * (n - 1);
}

static bool near(double x, double y) {
    return fabs(x - y) < 1e-9 * fabs(y);
}

static void test_steps(void) {
    pace p = {0};
    CHECK(pace_expected(&p, 1) == 0.0 && pace_tried(&p) == 0);
    pace_note(&p, 2, 0, 2, seconds_of(2));
    CHECK(near(pace_measured(&p, 2), seconds_of(2)) && pace_measured(&p, 3) == 0.0);
    CHECK(pace_expected(&p, 1) == 0.0); // fewer than were ever measured
    CHECK(pace_expected(&p, 4) > seconds_of(2) && pace_expected(&p, 4) < seconds_of(4));
    CHECK(pace_tried(&p) == 4);
    pace_note(&p, 6, 0, 6, seconds_of(6));
    CHECK(near(pace_expected(&p, 4), seconds_of(4)));
    pace_note(&p, 5, 0, 1, 100.0); // a grammar's forced tokens need few logits: less is computed
    CHECK(near(pace_expected(&p, 5), seconds_of(5)));
    pace_note(&p, 100, 0, 100, 10.0);
    CHECK(near(pace_measured(&p, 200), 20.0));
    for (int i = 0; i < 100; i++)
        pace_note(&p, 2, 0, 2, 3.0);
    CHECK(fabs(pace_measured(&p, 2) - 3.0) < 1e-3);
    pace_note(&p, 2, 0, 2, 1000.0); // interrupted
    CHECK(pace_measured(&p, 2) < 3.5);
}

static void test_room(void) {
    pace p = {0};
    CHECK(pace_room(&p, 1, 1, 0.0) == 32); // nothing is known yet
    pace_note(&p, 64, 64, 0, 3.2);
    CHECK(near(p.prompt_token, 0.05));
    pace_note(&p, 4, 0, 4, 1.0);
    pace_note(&p, 8, 0, 8, 2.0);
    CHECK(pace_room(&p, 4, 4, 0.0) == 20 && pace_room(&p, 8, 4, 0.0) == 40);
    CHECK(pace_room(&p, 4, 6, 0.0) == 40 && pace_room(&p, 4, 8, 0.0) == 60);
    CHECK(pace_room(&p, 4, 4, 1.5) == 10);
    CHECK(pace_room(&p, 4, 4, 0.5) == 4); // a prompt never stands still
    for (int i = 0; i < 200; i++)
        pace_note(&p, 14, 10, 4, 2.0);
    CHECK(fabs(p.prompt_token - 0.1) < 1e-3 && near(pace_measured(&p, 4), 1.0));
    const int32_t room = pace_room(&p, 4, 10, 0.0); // as if two more of a prompt's tokens came
    CHECK(room >= 33 && room <= 35);
    pace_note(&p, 14, 10, 4, 0.9); // less than without: the clock says nothing
    CHECK(fabs(p.prompt_token - 0.1) < 1e-3);
    pace fast = {.steps = {[1] = 1e-4}, .prompt_token = 1e-5};
    CHECK(pace_room(&fast, 1, 1, 0.0) == 990); // nobody reads faster than a hundred steps a second
}

int main(void) {
    test_histogram();
    test_steps();
    test_room();
    return check_report();
}
