#include "run/candidates.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "backend/backend.h"

enum { BINS = 1 << 11, FEW = 128 };

ingot_status candidates_init(candidates *c, const struct kernels *k, int32_t room, const ingot_allocator *mem,
                             ingot_error *err) {
    const size_t n = (size_t)room, n_blocks = (size_t)backend_row_blocks(room);
    *c = (candidates){.mem = mem, .k = k, .room = room};
    c->tokens = mem_resize(mem, NULL, n + 1, sizeof *c->tokens);
    c->own = mem_resize(mem, NULL, n + 1, sizeof *c->own);
    c->weights = mem_resize(mem, NULL, n, sizeof *c->weights);
    c->keys = mem_resize(mem, NULL, n, sizeof *c->keys);
    c->subset = mem_resize(mem, NULL, n + 1, sizeof *c->subset);
    c->block_max = mem_resize(mem, NULL, n_blocks, sizeof *c->block_max);
    c->block_sum = mem_resize(mem, NULL, n_blocks, sizeof *c->block_sum);
    c->bins = mem_resize(mem, NULL, n, sizeof *c->bins);
    c->in_bin = mem_resize(mem, NULL, n + 1, sizeof *c->in_bin);
    c->histogram = mem_resize(mem, NULL, BINS, sizeof *c->histogram);
    if (c->tokens && c->own && c->weights && c->keys && c->subset && c->block_max && c->block_sum &&
        c->bins && c->in_bin && c->histogram)
        return INGOT_OK;
    candidates_free(c);
    return fail_memory(err, n * 7 * sizeof(float), "a sampler");
}

void candidates_free(candidates *c) {
    void *blocks[] = {c->tokens,    c->own,       c->weights, c->keys,   c->subset,
                      c->block_max, c->block_sum, c->bins,    c->in_bin, c->histogram};
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++)
        mem_free(c->mem, blocks[i]);
    *c = (candidates){.mem = c->mem};
}

// ------------------------------------------------------------------------------------------------- the list

void candidates_view(candidates *c, const float *logits, int32_t n) {
    c->n = n;
    c->whole = true;
    c->logits = (float *)logits; // nothing that changes them is called
    c->max = backend_row_max(c->k, logits, n, c->block_max, &c->odd);
}

bool candidates_take_all(candidates *c, float *logits, int32_t n) {
    bool nan = false;
    candidates_view(c, logits, n);
    for (int32_t i = 0; c->odd && i < n; i++) {
        nan = nan || isnan(logits[i]);
        logits[i] = logits[i] > -INFINITY ? fminf(logits[i], FLT_MAX) : -INFINITY;
    }
    c->max = fminf(c->max, FLT_MAX);
    for (int32_t b = 0; c->odd && b < backend_row_blocks(n); b++)
        c->block_max[b] = fminf(c->block_max[b], FLT_MAX);
    return nan;
}

bool candidates_take(candidates *c, const float *logits, const int32_t *tokens, int32_t n) {
    bool nan = false;
    c->n = 0;
    c->whole = false;
    c->logits = c->own;
    for (int32_t i = 0; i < n; i++) {
        const float x = logits[tokens[i]];
        nan = nan || isnan(x);
        if (!(x > -INFINITY))
            continue;
        c->tokens[c->n] = tokens[i];
        c->own[c->n++] = fminf(x, FLT_MAX);
    }
    candidates_changed(c);
    return nan;
}

void candidates_changed(candidates *c) {
    c->max = backend_row_max(c->k, c->logits, c->n, c->block_max, &c->odd);
}

void candidates_divide(candidates *c, float from, float by) {
    if (from == 0.0f && by == 1.0f)
        return;
    backend_row_divide(c->k, c->logits, c->n, from, by);
    for (int32_t b = 0; b < backend_row_blocks(c->n); b++)
        c->block_max[b] = (c->block_max[b] - from) / by;
    c->max = (c->max - from) / by;
    c->odd = c->odd || by < 1.0f || from != 0.0f; // what is far enough becomes infinite
}

int32_t candidates_count(const candidates *c) {
    int32_t n = 0;
    for (int32_t i = 0; i < c->n && c->odd; i++)
        n += c->logits[i] > -INFINITY;
    return c->odd ? n : c->n;
}

int32_t candidates_best(const candidates *c) {
    int32_t b = 0;
    while (c->block_max[b] < c->max)
        b++;
    int32_t i = b * BACKEND_ROW_BLOCK;
    while (c->logits[i] < c->max)
        i++;
    return i;
}

void candidates_weigh(candidates *c) {
    c->total = backend_row_weigh(c->k, c->logits, c->n, c->max, c->weights, c->block_sum);
}

double candidates_mean(const candidates *c) {
    return backend_row_mean(c->k, c->logits, c->n, c->max, c->weights) / c->total;
}

int32_t candidates_draw(const candidates *c, double u) {
    const double target = u * c->total;
    double sum = 0.0;
    int32_t b = 0;
    while (b + 1 < backend_row_blocks(c->n) && sum + c->block_sum[b] <= target)
        sum += c->block_sum[b++];
    // Rounding may end a block, or all of them, a little too early.
    int32_t last = -1;
    for (int32_t i = b * BACKEND_ROW_BLOCK; i < c->n; i++) {
        if (!(c->weights[i] > 0.0f))
            continue;
        last = i;
        sum += (double)c->weights[i];
        if (target < sum)
            return i;
    }
    return last >= 0 ? last : candidates_best(c);
}

// ------------------------------------------------------------------------------------------------- ranks

// The first candidates in an order: those whose keys are larger, and the first `ties` of those with this one.
typedef struct boundary {
    uint32_t key;
    int32_t ties;
} boundary;

// Numbers in the order of floats.
static inline uint32_t ordered(float x) {
    uint32_t bits;
    x += 0.0f; // one zero
    memcpy(&bits, &x, sizeof bits);
    return bits >> 31 ? ~bits : bits | 0x80000000u;
}

static inline int32_t at(const int32_t *subset, int32_t i) {
    return subset ? subset[i] : i;
}

// What a boundary is looked for in: `n` indices of `subset`, ascending (NULL: the first n candidates), in the
// order of their keys, the largest of which is at most `top`; with these weights (NULL: 1 each).
typedef struct ranking {
    const float *keys;
    float top;
    const int32_t *subset;
    int32_t n;
    const float *weights;
} ranking;

static inline double weight_at(const ranking *r, int32_t index) {
    return r->weights ? (double)r->weights[index] : 1.0;
}

// Whether a sum is enough: it reaches the target, or goes beyond it with `beyond`.
static inline bool enough(double sum, double target, bool beyond) {
    return sum > target || (sum >= target && !beyond);
}

// The first of `n` bins of the histogram (from the last one down, with `down`) with which *sum is enough, or
// the last one with anything in it. *sum becomes what lies before it.
static uint32_t find_bin(const candidates *c, uint32_t n, bool down, double target, bool beyond,
                         double *sum) {
    uint32_t found = 0;
    double before = *sum, now = *sum;
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t bin = down ? n - 1 - i : i;
        if (c->histogram[bin] == 0.0)
            continue;
        found = bin;
        before = now;
        now += c->histogram[bin];
        if (enough(now, target, beyond))
            break;
    }
    *sum = before;
    return found;
}

// Bins by the distance from the top, wide enough for what matters: the rest is in the last one.
static void fill_bins(candidates *c, const ranking *r) {
    const float scale = 64.0f, last = BINS - 1, top = r->top, *keys = r->keys;
    int16_t *bins = c->bins;
    for (int32_t i = 0; i < r->n; i++) {
        const float bin = (top - keys[at(r->subset, i)]) * scale;
        bins[i] = (int16_t)(int32_t)(bin < last ? bin : last);
    }
    memset(c->histogram, 0, BINS * sizeof *c->histogram);
    for (int32_t i = 0; i < r->n; i++)
        c->histogram[bins[i]] += weight_at(r, at(r->subset, i));
}

// Keys in the order of numbers, a digit at a time, largest first; `sum` of weights comes before them.
static boundary find_exactly(candidates *c, const ranking *r, double sum, double target, bool beyond) {
    static const int shifts[] = {21, 10, 0}, sizes[] = {BINS, BINS, BINS / 2};
    boundary b = {0, 0};
    uint32_t mask = 0;
    for (int pass = 0; pass < 3; pass++) {
        const uint32_t digit = (uint32_t)sizes[pass] - 1;
        memset(c->histogram, 0, BINS * sizeof *c->histogram);
        for (int32_t i = 0; i < r->n; i++) {
            const uint32_t key = ordered(r->keys[at(r->subset, i)]);
            if ((key & mask) == b.key)
                c->histogram[key >> shifts[pass] & digit] += weight_at(r, at(r->subset, i));
        }
        b.key |= find_bin(c, digit + 1, true, target, beyond, &sum) << shifts[pass];
        mask |= digit << shifts[pass];
    }
    for (int32_t i = 0; i < r->n; i++) {
        if (ordered(r->keys[at(r->subset, i)]) != b.key)
            continue;
        b.ties++;
        sum += weight_at(r, at(r->subset, i));
        if (enough(sum, target, beyond))
            break;
    }
    return b;
}

// The fewest candidates, in their order, whose weights are enough; all where they never are. Takes others out
// of the ranking where that is easy, which may use c->subset.
static boundary find_boundary(candidates *c, ranking *r, double target, bool beyond) {
    double sum = 0.0;
    if (r->n < FEW)
        return find_exactly(c, r, sum, target, beyond);
    fill_bins(c, r);
    const int16_t found = (int16_t)find_bin(c, BINS, false, target, beyond, &sum);
    int32_t n = 0, n_found = 0;
    for (int32_t i = 0; i < r->n; i++) {
        const int32_t index = at(r->subset, i);
        c->in_bin[n_found] = index;
        n_found += c->bins[i] == found;
        c->subset[n] = index;
        n += c->bins[i] <= found;
    }
    const ranking bin = {r->keys, r->top, c->in_bin, n_found, r->weights};
    r->subset = c->subset;
    r->n = n;
    return find_exactly(c, &bin, sum, target, beyond);
}

// Keeps the candidates up to a boundary.
static void keep(candidates *c, const ranking *r, boundary b) {
    int32_t kept = 0;
    for (int32_t i = 0; i < r->n; i++) {
        const int32_t index = at(r->subset, i);
        const uint32_t key = ordered(r->keys[index]);
        const float logit = c->logits[index];
        bool kept_too = key > b.key;
        if (key == b.key)
            kept_too = b.ties-- > 0;
        c->tokens[kept] = candidate_token(c, index);
        c->own[kept] = logit;
        kept += kept_too & (logit > -INFINITY);
    }
    c->n = kept;
    c->whole = false;
    c->logits = c->own;
    candidates_changed(c);
}

// The likeliest first; those that `subset` has.
static ranking by_logit(const candidates *c, const int32_t *subset, int32_t n, const float *weights) {
    return (ranking){c->logits, c->max, subset, n, weights};
}

int32_t candidates_above(candidates *c, double least) {
    int32_t n = 0;
    for (int32_t block = 0; block < backend_row_blocks(c->n); block++) {
        if (!((double)c->block_max[block] >= least))
            continue;
        const int32_t begin = block * BACKEND_ROW_BLOCK;
        const int32_t end = c->n - begin < BACKEND_ROW_BLOCK ? c->n : begin + BACKEND_ROW_BLOCK;
        for (int32_t i = begin; i < end; i++) { // without a branch that nobody could predict
            c->subset[n] = i;
            n += (double)c->logits[i] >= least;
        }
    }
    return n;
}

// Some candidates among which the `k` likeliest are; few, where that is easy.
static ranking likeliest(candidates *c, int32_t k) {
    const int32_t n_blocks = backend_row_blocks(c->n);
    if (k >= n_blocks / 2)
        return by_logit(c, NULL, c->n, NULL);
    // The k largest maxima of blocks are of k candidates that are as likely at least.
    ranking blocks = {c->block_max, c->max, NULL, n_blocks, NULL};
    const boundary b = find_boundary(c, &blocks, k, false);
    const uint32_t bits = b.key >> 31 ? b.key & 0x7fffffffu : ~b.key;
    float least;
    memcpy(&least, &bits, sizeof least);
    return by_logit(c, c->subset, candidates_above(c, (double)least), NULL);
}

void candidates_keep_count(candidates *c, int32_t k) {
    if (k >= c->n)
        return;
    ranking r = likeliest(c, k);
    const boundary b = find_boundary(c, &r, k, false);
    keep(c, &r, b);
}

void candidates_keep_above(candidates *c, double least, int32_t min) {
    const int32_t n = candidates_above(c, least);
    const ranking r = by_logit(c, c->subset, n, NULL);
    if (n == c->n && least > -INFINITY) // nothing is dropped
        return;
    if (n < min)
        candidates_keep_count(c, min);
    else
        keep(c, &r, (boundary){.key = 0});
}

// Keeps those whose weights are enough, or `min` of them if that is more.
static void keep_enough(candidates *c, const ranking *from, double target, bool beyond, int32_t min) {
    ranking r = *from;
    boundary b = find_boundary(c, &r, target, beyond);
    if (min > 1) { // counted anew
        double sum = 0.0;
        r = (ranking){from->keys, from->top, NULL, c->n, NULL};
        const boundary least = find_exactly(c, &r, sum, min, false);
        if (least.key < b.key || (least.key == b.key && least.ties > b.ties))
            b = least;
    }
    keep(c, &r, b);
}

// All tokens less likely than (1 - share) / n have less than 1 - share together: those with at least this
// logit suffice.
static double least_needed(const candidates *c, double share) {
    const double spare = (1.0 - share) * c->total / c->n;
    return spare > 0.0 ? (double)c->max + fmin(log(spare), 0.0) : -INFINITY;
}

void candidates_keep_mass(candidates *c, double share, int32_t min) {
    candidates_weigh(c);
    const int32_t n = candidates_above(c, least_needed(c, share));
    const ranking r = by_logit(c, c->subset, n, c->weights);
    keep_enough(c, &r, share * c->total, false, min);
}

// What has the mass isn't farther from the center than the largest logit, or than the smallest one that is
// needed for that mass: logits below the center by more than both aren't needed.
void candidates_keep_closest(candidates *c, double center, double share, int32_t min) {
    const double needed = least_needed(c, share);
    const double most = fmax((double)c->max - center, center - needed);
    const double radius = most + 1e-3 + 1e-5 * (fabs(center) + most); // whatever is rounded below
    const int32_t n = candidates_above(c, min > 1 ? -INFINITY : center - radius);
    for (int32_t i = 0; i < n; i++)
        c->keys[c->subset[i]] = -fabsf(c->logits[c->subset[i]] - (float)center);
    const ranking r = {c->keys, 0.0f, c->subset, n, c->weights};
    keep_enough(c, &r, share * c->total, true, min);
}

void candidates_drop(candidates *c, const int32_t *indices, int32_t n) {
    int32_t kept = 0;
    for (int32_t i = 0; i < n && c->whole; i++)
        c->logits[indices[i]] = -INFINITY;
    for (int32_t i = 0; i < c->n && !c->whole; i++) {
        if (n > 0 && *indices == i) {
            indices++;
            n--;
            continue;
        }
        c->tokens[kept] = c->tokens[i];
        c->own[kept++] = c->own[i];
    }
    if (!c->whole)
        c->n = kept;
    candidates_changed(c);
}

// Whether candidate a comes after candidate b.
static bool after(const candidates *c, int32_t a, int32_t b) {
    return c->logits[a] < c->logits[b] || (c->logits[a] == c->logits[b] && a > b);
}

// Restores a heap with the last in order on top, of which entry `i` alone may be out of place.
static void sift_down(const candidates *c, int32_t *heap, int32_t n, int32_t i) {
    for (int32_t child; (child = 2 * i + 1) < n; i = child) {
        if (child + 1 < n && after(c, heap[child + 1], heap[child]))
            child++;
        if (!after(c, heap[child], heap[i]))
            return;
        const int32_t moved = heap[i];
        heap[i] = heap[child];
        heap[child] = moved;
    }
}

const int32_t *candidates_top(candidates *c, int32_t k) {
    ranking r = likeliest(c, k);
    boundary b = find_boundary(c, &r, k, false);
    int32_t kept = 0, *top = c->subset;
    for (int32_t i = 0; i < r.n; i++) {
        const int32_t index = at(r.subset, i);
        const uint32_t key = ordered(c->logits[index]);
        if (key > b.key || (key == b.key && b.ties-- > 0))
            top[kept++] = index;
    }
    for (int32_t i = kept / 2; i-- > 0;)
        sift_down(c, top, kept, i);
    for (int32_t end = kept - 1; end > 0; end--) {
        const int32_t last = top[0];
        top[0] = top[end];
        top[end] = last;
        sift_down(c, top, end, 0);
    }
    return top;
}
