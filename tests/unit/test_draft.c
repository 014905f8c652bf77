// Drafts from the text itself: what they find, what they learn, and texts that were made to hurt.
#include "check.h"

#include <stdint.h>

#include "run/draft.h"

enum { ROOM = 4096, MOST = 32 };

static int32_t text[ROOM];
static uint32_t state;

static int32_t random_below(uint32_t n) {
    state = state * 1664525u + 1013904223u;
    return (int32_t)((state >> 8) % n);
}

static draft_index index_for(int32_t n_ctx) {
    draft_index d;
    CHECK(draft_index_init(&d, n_ctx, NULL) == INGOT_OK);
    return d;
}

// What is drafted follows a place before whose past agrees; returns how many tokens there are.
static int32_t check_draft(const draft_index *d, int32_t n) {
    int32_t out[MOST];
    const int32_t k = draft_index_propose(d, text, MOST, out);
    if (k == 0)
        return 0;
    CHECK(k == MOST && d->at >= DRAFT_GRAM && d->at < n);
    // Behind a replaced token nothing need agree yet.
    const bool resumed = d->length >= DRAFT_LONG - 1 && d->length < DRAFT_LONG - 1 + DRAFT_GRAM;
    for (int32_t i = 1; i <= DRAFT_GRAM && !resumed; i++)
        CHECK(text[d->at - i] == text[n - i]);
    for (int32_t i = 0; i < k; i++)
        CHECK(out[i] == (d->at + i < n ? text[d->at + i] : out[i - (n - d->at)]));
    return k;
}

static void test_copies(void) {
    draft_index d = index_for(ROOM);
    for (int32_t i = 0; i < 500; i++) // no three tokens twice
        text[i] = i % 3 == 0 ? 1000 + i : random_below(50);
    draft_index_feed(&d, text, 500, 500);
    CHECK(check_draft(&d, 500) == 0);
    for (int32_t i = 500; i < 700; i++) {
        text[i] = text[i - 400];
        draft_index_feed(&d, text, i + 1, 500);
        const int32_t k = check_draft(&d, i + 1);
        CHECK((k > 0) == (i >= 502));
        CHECK(k == 0 || d.at == i + 1 - 400);
    }
    CHECK(draft_index_chance(&d, 0) > 0.9);
    // All at once, as a prompt: the last tokens are looked for, and nothing is learnt.
    draft_index_reset(&d);
    const double before = draft_index_chance(&d, MOST);
    draft_index_feed(&d, text, 700, 700);
    CHECK(d.at == 300 && d.length == DRAFT_LENGTH && draft_index_chance(&d, 0) == before);
    draft_index_free(&d);
}

// Of several places the one whose past agrees longest.
static void test_longest(void) {
    static const int32_t tokens[] = {9, 5, 1, 2, 3, 70, 8, 1, 2, 3, 71, 6, 5, 1, 2, 3};
    draft_index d = index_for(64);
    memcpy(text, tokens, sizeof tokens);
    draft_index_feed(&d, text, 16, 0);
    int32_t out[2];
    CHECK(draft_index_propose(&d, text, 2, out) == 2);
    // The place was found behind "1 2 3" where the last four tokens stand too.
    CHECK(d.at == 5 && d.length == 4 && out[0] == 70 && out[1] == 8);
    draft_index_free(&d);
}

// A copy with a word replaced goes on behind it.
static void test_replaced(void) {
    draft_index d = index_for(400);
    for (int32_t i = 0; i < 200; i++)
        text[i] = i < 100 ? i : i - 100;
    text[150] = 1000;
    draft_index_feed(&d, text, 151, 100);
    int32_t out[2];
    CHECK(draft_index_propose(&d, text, 2, out) == 2 && out[0] == 51 && out[1] == 52);
    text[151] = 1001; // and not a second time
    draft_index_feed(&d, text, 152, 100);
    CHECK(draft_index_propose(&d, text, 2, out) == 0);
    draft_index_free(&d);
}

static void test_periods(void) {
    for (int32_t period = 1; period < 9; period++) {
        draft_index d = index_for(200);
        int32_t out[MOST];
        for (int32_t i = 0; i < 200; i++)
            text[i] = i % period;
        draft_index_feed(&d, text, 100, 0);
        CHECK(draft_index_propose(&d, text, MOST, out) == MOST);
        for (int32_t i = 0; i < MOST; i++)
            CHECK(out[i] == text[100 + i]);
        draft_index_free(&d);
    }
}

// Learns that a text without order can't be guessed, soon.
static void test_noise(void) {
    draft_index d = index_for(ROOM);
    state = 1;
    int32_t n_matches = 0;
    for (int32_t i = 0; i < ROOM; i++) {
        text[i] = random_below(6);
        draft_index_feed(&d, text, i + 1, 0);
        n_matches += check_draft(&d, i + 1) > 0;
    }
    CHECK(n_matches > 1000 && draft_index_chance(&d, 0) < 0.5);
    draft_index_free(&d);
}

// Tokens are taken back and others come, in texts with few grams and many places for each.
static void test_rewinds(void) {
    for (uint32_t kinds = 1; kinds < 5; kinds++) {
        draft_index d = index_for(300);
        int32_t n = 0;
        state = kinds;
        for (int step = 0; step < 5000; step++) {
            if (random_below(4) == 0 || n > 296)
                n = random_below((uint32_t)n + 1);
            else
                for (int32_t more = random_below(4); more >= 0; more--)
                    text[n++] = random_below(kinds) * (INT32_MAX / 4);
            draft_index_feed(&d, text, n, n / 2);
            CHECK(d.n == n);
            check_draft(&d, n);
        }
        draft_index_free(&d);
    }
}

// The whole context, and the smallest ones.
static void test_bounds(void) {
    for (int32_t n_ctx = 1; n_ctx < 70; n_ctx += n_ctx < 5 ? 1 : 32) {
        draft_index d = index_for(n_ctx);
        for (int round = 0; round < 2; round++) {
            for (int32_t i = 0; i < n_ctx; i++)
                text[i] = 7;
            for (int32_t i = 0; i <= n_ctx; i++)
                draft_index_feed(&d, text, i, 0);
            CHECK((check_draft(&d, n_ctx) > 0) == (n_ctx > DRAFT_GRAM));
            draft_index_reset(&d);
            CHECK(check_draft(&d, 0) == 0);
        }
        draft_index_free(&d);
    }
}

int main(void) {
    test_copies();
    test_longest();
    test_replaced();
    test_periods();
    test_noise();
    test_rewinds();
    test_bounds();
    return check_report();
}
