// Encoders of types with large codebooks: entries of eight weights of three levels or of four weights of
// eight. All entries are looked at: what each level costs each weight is summed up for halves of entries
// first, and of the second halves that go with a first one the best is found by one minimum each, since their
// numbers stand in the lowest bits of their costs. Pairs of second halves that go with several first ones are
// compared once for all of them, and pairs of such pairs. quant/<type>.inc.h describes the layouts.

enum {
    CODEBOOK_MAX = 2048,
    CODEBOOK_HALVES = 81,
    CODEBOOK_PAIRS = 128,
    CODEBOOK_SETS = CODEBOOK_HALVES + CODEBOOK_PAIRS,
    HALF_BITS = 7,
};

// Entries as numbers of the levels of their halves' weights, the first weight's level counting least.
typedef struct encode_codebook {
    int weights, levels;
    int halves; // combinations of a half's levels
    float level[8];
    float half[CODEBOOK_HALVES][4]; // the levels of each half's weights
    int pairs;
    uint8_t pair[CODEBOOK_PAIRS][2]; // sets of second halves: number CODEBOOK_HALVES + i is what both of pair
                                     // i hold; smaller numbers are halves
    // Second halves of entries whose first is h, as sets: from second[start[h]] on, up to start[h + 1].
    uint16_t start[CODEBOOK_HALVES + 1];
    uint8_t second[CODEBOOK_MAX];
    uint16_t entry[CODEBOOK_HALVES << HALF_BITS]; // by first half << HALF_BITS | second half
} encode_codebook;

// The number of a half whose weights are these bytes, where level k is about first + k * step.
INLINE int half_of(const encode_codebook *c, uint64_t bytes, int first, int step) {
    int number = 0;
    for (int i = c->weights / 2 - 1; i >= 0; i--) {
        const int k = ((int)(bytes >> 8 * i & 255) - first) / step;
        number = number * c->levels + (k < c->levels ? k : c->levels - 1);
    }
    return number;
}

enum { SET_WORDS = (CODEBOOK_SETS + 63) / 64 };

// Which sets of second halves go with each first one, as bits, and with how many of them each two go.
typedef struct encode_sets {
    uint64_t with[CODEBOOK_HALVES][SET_WORDS];
    uint8_t together[CODEBOOK_SETS][CODEBOOK_SETS];
} encode_sets;

static bool has_set(const uint64_t *with, int a) {
    return with[a / 64] >> (a % 64) & 1;
}

// Lets set `a` go with a first half, or no longer.
static void turn_set(encode_sets *s, uint64_t *with, int a) {
    const int by = has_set(with, a) ? -1 : 1;
    with[a / 64] ^= UINT64_C(1) << (a % 64);
    for (int word = 0; word < SET_WORDS; word++)
        for (uint64_t left = with[word]; left; left &= left - 1) {
            const int b = 64 * word + __builtin_ctzll(left);
            if (b != a)
                s->together[a][b] = s->together[b][a] = (uint8_t)(s->together[a][b] + by);
        }
}

// The two sets that go together most often; returns how often.
static int find_pair(const encode_sets *s, int n, uint8_t pair[2]) {
    uint8_t most = 0;
    for (int a = 0; a < n; a++) {
        uint8_t most_here = 0;
        for (int b = 0; b < CODEBOOK_SETS; b++)
            most_here = s->together[a][b] > most_here ? s->together[a][b] : most_here;
        if (most_here > most) {
            most = most_here;
            pair[0] = (uint8_t)a;
        }
    }
    for (int b = 0; b < n; b++)
        if (s->together[pair[0]][b] == most)
            pair[1] = (uint8_t)b;
    return most;
}

// Makes sets of pairs as long as that saves comparisons.
static void make_pairs(encode_codebook *c, encode_sets *s) {
    while (c->pairs < CODEBOOK_PAIRS) {
        const int n = CODEBOOK_HALVES + c->pairs;
        uint8_t *pair = c->pair[c->pairs];
        if (find_pair(s, n, pair) < 3)
            return;
        c->pairs++;
        for (int h = 0; h < c->halves; h++)
            if (has_set(s->with[h], pair[0]) && has_set(s->with[h], pair[1])) {
                turn_set(s, s->with[h], pair[0]);
                turn_set(s, s->with[h], pair[1]);
                turn_set(s, s->with[h], n);
            }
    }
}

// `n` entries of eight bytes (`wide`) or of four, in which level k is about first + k * step.
static NOINLINE void make_codebook(encode_codebook *c, int n, const uint64_t *wide, const uint32_t *narrow,
                                   int first, int step, const float *level) {
    encode_sets s;
    memset(c, 0, sizeof *c);
    memset(&s, 0, sizeof s);
    c->weights = wide ? 8 : 4;
    c->levels = wide ? 3 : 8;
    c->halves = wide ? 81 : 64;
    memcpy(c->level, level, (size_t)c->levels * sizeof *level);
    for (int h = 0; h < c->halves; h++)
        for (int i = 0, left = h; i < c->weights / 2; i++, left /= c->levels)
            c->half[h][i] = level[left % c->levels];
    for (int e = 0; e < n; e++) {
        const uint64_t bytes = wide ? wide[e] : narrow[e];
        const int a = half_of(c, bytes, first, step), b = half_of(c, bytes >> 4 * c->weights, first, step);
        c->entry[a << HALF_BITS | b] = (uint16_t)e;
        if (!has_set(s.with[a], b))
            turn_set(&s, s.with[a], b);
    }
    make_pairs(c, &s);
    for (int h = 0, at = 0; h < c->halves; h++) {
        c->start[h] = (uint16_t)at;
        for (int b = 0; b < CODEBOOK_SETS; b++)
            if (has_set(s.with[h], b))
                c->second[at++] = (uint8_t)b;
        c->start[h + 1] = (uint16_t)at;
    }
}

// What an entry may become: its cost, its number, and the sums that a scale follows from.
typedef struct encode_entry {
    vec cost, number;
    fit_sums fit;
} encode_entry;

// Sums of costs of all combinations of levels of `n` weights.
INLINE void half_costs(const encode_codebook *c, const vec (*cost)[8], int n, vec out[CODEBOOK_HALVES]) {
    int have = c->levels;
    for (int k = 0; k < c->levels; k++)
        out[k] = cost[0][k];
    for (int i = 1; i < n; i++) {
        for (int k = c->levels - 1; k >= 0; k--)
            for (int j = 0; j < have; j++)
                out[k * have + j] = vec_add(out[j], cost[i][k]);
        have *= c->levels;
    }
}

// The entry that is nearest to `x` / scale + `shift`, weighed.
INLINE encode_entry nearest_entry(const encode_codebook *c, const vec *x, const vec *w, vec inverse,
                                  float shift) {
    vec cost[8][8], firsts[CODEBOOK_HALVES], seconds[CODEBOOK_SETS];
    const int n = c->weights / 2;
    for (int i = 0; i < c->weights; i++) {
        const vec a = vec_mul(x[i], inverse);
        for (int k = 0; k < c->levels; k++) {
            const vec e = vec_sub(a, vec_set1(c->level[k] + shift));
            cost[i][k] = vec_mul(vec_mul(w[i], e), e);
        }
    }
    half_costs(c, cost, n, firsts);
    half_costs(c, cost + n, n, seconds);
    for (int k = 0; k < c->halves; k++)
        seconds[k] = veci_as_float(
            veci_or(veci_and(veci_as_int(seconds[k]), veci_set1(-(1 << HALF_BITS))), veci_set1(k)));
    for (int i = 0; i < c->pairs; i++)
        seconds[CODEBOOK_HALVES + i] = vec_min(seconds[c->pair[i][0]], seconds[c->pair[i][1]]);
    // Something is chosen even where nothing is less than anything else.
    vec first = vec_set1(0.0f), second = seconds[c->second[0]], least = vec_set1(INFINITY);
    for (int h = 0; h < c->halves; h++) {
        if (c->start[h] == c->start[h + 1])
            continue;
        vec least_here = seconds[c->second[c->start[h]]];
        for (int e = c->start[h] + 1; e < c->start[h + 1]; e++)
            least_here = vec_min(least_here, seconds[c->second[e]]);
        const vec sum = vec_add(firsts[h], least_here);
        first = vec_where_less(sum, least, vec_set1((float)h), first);
        second = vec_where_less(sum, least, least_here, second);
        least = vec_min(sum, least);
    }
    const ivec number = veci_or(veci_shl(vec_round(first), HALF_BITS),
                                veci_and(veci_as_int(second), veci_set1((1 << HALF_BITS) - 1)));
    return (encode_entry){.cost = least, .number = veci_to_float(number)};
}

// Values of the entries that lanes chose: x . value and value . value, weighed.
INLINE fit_sums fit_entry(const encode_codebook *c, const vec *x, const vec *w, vec number, float shift) {
    float lane[VEC_LANES], value[8][VEC_LANES];
    fit_sums s = {vec_set1(0.0f), vec_set1(0.0f)};
    vec_store(lane, number);
    for (int l = 0; l < VEC_LANES; l++)
        for (int h = 0; h < 2; h++) {
            const int half = h ? (int)lane[l] & ((1 << HALF_BITS) - 1) : (int)lane[l] >> HALF_BITS;
            for (int i = 0; i < c->weights / 2; i++)
                value[h * c->weights / 2 + i][l] = c->half[half][i];
        }
    for (int i = 0; i < c->weights; i++) {
        const vec v = vec_add(vec_load(value[i]), vec_set1(shift)), wv = vec_mul(w[i], v);
        s.wxq = vec_fma(wv, x[i], s.wxq);
        s.wqq = vec_fma(wv, v, s.wqq);
    }
    return s;
}

// Blocks of groups with scales of d * (2 n + 1).
typedef struct encode_coded {
    const encode_codebook *book;
    int n, size;  // groups, weights of each
    int of_shift; // weights that share a shift (of IQ1), 0: none
    float most;   // the largest scale's number
    // The scale of the least error is too small for what a model does: the larger the error, the more it
    // takes off the weights themselves. Found by divergences of a model's logits.
    float stretch;
    vec x[ENCODE_MAX]; // weights with their signs taken off
    vec scale[16];     // numbers
    vec entry[64];     // halves
    vec down[32];      // whether weights that share a shift are shifted down, 1 or 0
    vec d;
} encode_coded;

// Chooses entries of the weights that share a shift: with `shifts` of 2 the better of both, of 1 none.
INLINE encode_entry choose_part(const encode_coded *c, const vec *w, int from, int size, int shifts,
                                vec inverse, vec *entries, vec *down) {
    const encode_codebook *book = c->book;
    encode_entry sum[2];
    vec number[2][8];
    const int parts = size / book->weights;
    for (int side = 0; side < shifts; side++) {
        const float shift = shifts == 1 ? 0.0f : side ? -0.125f : 0.125f;
        sum[side] = (encode_entry){vec_set1(0.0f), vec_set1(0.0f), {vec_set1(0.0f), vec_set1(0.0f)}};
        for (int p = 0; p < parts; p++) {
            const int at = from + p * book->weights;
            const encode_entry e = nearest_entry(book, c->x + at, w + at, inverse, shift);
            const fit_sums s = fit_entry(book, c->x + at, w + at, e.number, shift);
            number[side][p] = e.number;
            sum[side].cost = vec_add(sum[side].cost, e.cost);
            sum[side].fit.wxq = vec_add(sum[side].fit.wxq, s.wxq);
            sum[side].fit.wqq = vec_add(sum[side].fit.wqq, s.wqq);
        }
    }
    *down = vec_set1(0.0f);
    for (int p = 0; p < parts; p++)
        entries[p] = number[0][p];
    if (shifts == 1)
        return sum[0];
    const vec first = sum[0].cost, second = sum[1].cost;
    *down = vec_where_less(second, first, vec_set1(1.0f), *down);
    for (int p = 0; p < parts; p++)
        entries[p] = vec_where_less(second, first, number[1][p], entries[p]);
    return (encode_entry){vec_min(first, second),
                          vec_set1(0.0f),
                          {vec_where_less(second, first, sum[1].fit.wxq, sum[0].fit.wxq),
                           vec_where_less(second, first, sum[1].fit.wqq, sum[0].fit.wqq)}};
}

// Chooses a group's entries for a scale; its cost is in units of the scale.
INLINE encode_entry choose_group(const encode_coded *c, const vec *w, int group, int shifts, vec scale,
                                 vec *entries, vec *down) {
    const int part = c->of_shift ? c->of_shift : c->size, per_part = part / c->book->weights;
    const vec inverse = vec_ratio(vec_set1(1.0f), scale);
    encode_entry all = {vec_set1(0.0f), vec_set1(0.0f), {vec_set1(0.0f), vec_set1(0.0f)}};
    for (int i = 0; i < c->size / part; i++) {
        const encode_entry e = choose_part(c, w, group * c->size + i * part, part, shifts, inverse,
                                           entries + i * per_part, down + i);
        all.cost = vec_add(all.cost, e.cost);
        all.fit.wxq = vec_add(all.fit.wxq, e.fit.wxq);
        all.fit.wqq = vec_add(all.fit.wqq, e.fit.wqq);
    }
    return all;
}

// The scale of a group, from one that puts its largest magnitude beyond the highest level to one far below;
// shifts don't matter yet.
INLINE vec search_coded(const encode_coded *c, const vec *w, int group) {
    const int tries = c->of_shift ? 5 : 8;
    const float high = c->book->level[c->book->levels - 1];
    best_scale best = {vec_set1(0.0f), vec_set1(0.0f)};
    vec most = vec_set1(0.0f), entries[8], down[4];
    for (int i = 0; i < c->size; i++)
        most = vec_max(most, vec_abs(c->x[group * c->size + i]));
    for (int t = 0; t <= tries; t++) {
        const float part = c->of_shift ? 0.4f + 0.12f * (float)t : 0.55f + 0.07f * (float)t;
        const vec scale = t < tries ? vec_mul(most, vec_set1(part / high)) : best.d;
        const fit_sums s = choose_group(c, w, group, 1, scale, entries, down).fit;
        const vec d = vec_ratio(s.wxq, s.wqq), gain = vec_mul(d, s.wxq);
        best.d = vec_where_less(best.gain, gain, d, best.d);
        best.gain = vec_max(best.gain, gain);
    }
    return vec_max(best.d, vec_set1(0.0f));
}

// Chooses group `k`'s entries for its scale's number or, where no shifts are tried too, one next to it,
// whatever is best.
INLINE fit_sums settle_group(encode_coded *c, const vec *w, int k) {
    const int per_group = c->size / c->book->weights, shifts = c->of_shift ? c->size / c->of_shift : 1;
    const vec now = c->scale[k];
    vec least = vec_set1(INFINITY), *entry = c->entry + k * per_group, *down = c->down + k * shifts;
    fit_sums fit = {vec_set1(0.0f), vec_set1(0.0f)};
    const int reach = c->of_shift ? 0 : 1;
    for (int step = -reach; step <= reach; step++) {
        vec entries[8], downs[4];
        const vec number = vec_clamp(vec_add(now, vec_set1((float)step)), 0.0f, c->most);
        const vec odd = vec_fma(number, vec_set1(2.0f), vec_set1(1.0f)), scale = vec_mul(c->d, odd);
        const encode_entry e = choose_group(c, w, k, c->of_shift ? 2 : 1, scale, entries, downs);
        const vec cost = vec_mul(vec_mul(e.cost, scale), scale);
        for (int i = 0; i < per_group; i++)
            entry[i] = vec_where_less(cost, least, entries[i], entry[i]);
        for (int i = 0; i < shifts; i++)
            down[i] = vec_where_less(cost, least, downs[i], down[i]);
        c->scale[k] = vec_where_less(cost, least, number, c->scale[k]);
        fit.wxq = vec_where_less(cost, least, vec_mul(e.fit.wxq, odd), fit.wxq);
        fit.wqq = vec_where_less(cost, least, vec_mul(vec_mul(e.fit.wqq, odd), odd), fit.wqq);
        least = vec_min(cost, least);
    }
    return fit;
}

// All of a block: c->x is given; `unit` is what a half scale is multiplied by. Sets d, as a half.
INLINE void encode_coded_block(encode_coded *c, const vec *w, float unit) {
    vec scale[16], most = vec_set1(0.0f), sxa = most, saa = most;
    for (int k = 0; k < c->n; k++) {
        scale[k] = search_coded(c, w, k);
        most = vec_max(most, scale[k]);
    }
    c->d = vec_mul(vec_as_half(vec_mul(most, vec_set1(1.0f / (unit * (2.0f * c->most + 1.0f))))),
                   vec_set1(unit));
    const vec inverse = vec_ratio(vec_set1(1.0f), c->d);
    for (int i = 0; i < 64; i++)
        c->entry[i] = vec_set1(0.0f);
    for (int i = 0; i < 32; i++)
        c->down[i] = vec_set1(0.0f);
    for (int k = 0; k < c->n; k++) {
        const vec number = vec_mul(vec_sub(vec_mul(scale[k], inverse), vec_set1(1.0f)), vec_set1(0.5f));
        c->scale[k] = vec_clamp(vec_nearest(number), 0.0f, c->most);
        const fit_sums s = settle_group(c, w, k);
        sxa = vec_add(sxa, s.wxq);
        saa = vec_add(saa, s.wqq);
    }
    c->d = vec_as_half(vec_mul(vec_ratio(sxa, saa), vec_set1(c->stretch / unit)));
}

// ------------------------------------------------------------------------------------------------- signs

// Takes the signs off each eight weights and gives their bits. Where seven are stored the number of negative
// ones is even: if it isn't, the weight that matters least gets the wrong one.
INLINE void take_signs(const encode_lanes *b, bool even, vec *x, ivec signs[32]) {
    for (int g = 0; g < 32; g++) {
        vec count = vec_set1(0.0f), least = vec_set1(INFINITY), which = count;
        signs[g] = veci_zero();
        for (int i = 0; i < 8; i++) {
            const vec v = b->x[8 * g + i], cost = vec_mul(vec_mul(v, v), b->w[8 * g + i]);
            const vec negative = vec_where_less(v, vec_set1(0.0f), vec_set1(1.0f), vec_set1(0.0f));
            x[8 * g + i] = vec_abs(v);
            signs[g] = veci_or(signs[g], veci_shl(vec_round(negative), i));
            count = vec_add(count, negative);
            which = vec_where_less(cost, least, vec_set1((float)i), which);
            least = vec_min(cost, least);
        }
        if (!even)
            continue;
        const vec half = vec_mul(count, vec_set1(0.5f));
        const vec odd = vec_abs(vec_sub(half, vec_nearest(half))); // 0 or 1/2
        for (int i = 0; i < 8; i++) {
            const vec here = vec_abs(vec_sub(which, vec_set1((float)i)));
            const vec turn =
                vec_where_less(vec_add(here, vec_set1(0.25f)), odd, vec_set1(1.0f), vec_set1(0.0f));
            x[8 * g + i] = vec_where_less(vec_set1(0.0f), turn, vec_negate(x[8 * g + i]), x[8 * g + i]);
            signs[g] = veci_xor(signs[g], veci_shl(vec_round(turn), i));
        }
        signs[g] = veci_and(signs[g], veci_set1(127));
    }
}

// Eight numbers below 16 as a word.
INLINE ivec word_of_nibbles(const ivec *n) {
    ivec word = veci_zero();
    for (int i = 0; i < 8; i++)
        word = veci_or(word, veci_shl(n[i], 4 * i));
    return word;
}

INLINE void whole_numbers(const vec *from, int n, ivec *to) {
    for (int i = 0; i < n; i++)
        to[i] = vec_round(from[i]);
}

// The numbers of entries in the codebook.
INLINE void entry_numbers(const encode_coded *c, int n, ivec *to) {
    for (int i = 0; i < n; i++) {
        int32_t lane[VEC_LANES];
        veci_store(lane, vec_round(c->entry[i]));
        for (int l = 0; l < VEC_LANES; l++)
            lane[l] = c->book->entry[lane[l]];
        to[i] = veci_load(lane);
    }
}

// All of a block but what it is stored as: its entries, and the numbers of its groups' scales.
INLINE void coded_numbers(encode_coded *c, const vec *w, float unit, ivec *entry, ivec *scale) {
    encode_coded_block(c, w, unit);
    entry_numbers(c, 256 / c->book->weights, entry);
    whole_numbers(c->scale, c->n, scale);
}

INLINE void put_low_bytes(const encode_out *out, int64_t at, const ivec *entry, int n) {
    ivec low[64];
    for (int i = 0; i < n; i++)
        low[i] = veci_and(entry[i], veci_set1(255));
    put_bytes(out, at, low, n);
}

// What is above the low bytes of `n` entries, `bits` for each.
INLINE ivec high_bits(const ivec *entry, int n, int bits) {
    ivec word = veci_zero();
    for (int i = 0; i < n; i++)
        word = veci_or(word, veci_shl(veci_shr(entry[i], 8), bits * i));
    return word;
}

// Four times seven signs below a scale's four bits.
INLINE ivec signs_and_scale(const ivec *signs, ivec scale) {
    ivec word = veci_shl(scale, 28);
    for (int i = 0; i < 4; i++)
        word = veci_or(word, veci_shl(signs[i], 7 * i));
    return word;
}

// ------------------------------------------------------------------------------------------------- IQ2

// Bytes of tables have 64 added.
INLINE void iq2_codebook(encode_codebook *c, const uint64_t *bytes, int n) {
    static const float level[3] = {8.0f, 25.0f, 43.0f};
    make_codebook(c, n, bytes, NULL, 64 + 8, 17, level);
}

INLINE void iq2_xxs_encode_lanes(const encode_codebook *book, const encode_lanes *b, const encode_out *out) {
    encode_coded c = {.book = book, .n = 8, .size = 32, .most = 15.0f, .stretch = 1.07f};
    ivec signs[32], entry[32], scale[8];
    take_signs(b, true, c.x, signs);
    coded_numbers(&c, b->w, 0.125f, entry, scale);
    put_halves(out, 0, bits_of_half(c.d));
    for (int k = 0; k < 8; k++) {
        put_bytes(out, 2 + 8 * k, entry + 4 * k, 4);
        put_words(out, 6 + 8 * k, signs_and_scale(signs + 4 * k, scale[k]));
    }
}

INLINE void iq2_xs_encode_lanes(const encode_codebook *book, const encode_lanes *b, const encode_out *out) {
    encode_coded c = {.book = book, .n = 16, .size = 16, .most = 15.0f, .stretch = 1.065f};
    ivec signs[32], entry[32], scale[16];
    take_signs(b, true, c.x, signs);
    coded_numbers(&c, b->w, 0.125f, entry, scale);
    put_halves(out, 0, bits_of_half(c.d));
    for (int i = 0; i < 32; i++)
        put_halves(out, 2 + 2 * i, veci_or(entry[i], veci_shl(signs[i], 9)));
    put_words(out, 66, word_of_nibbles(scale));
    put_words(out, 70, word_of_nibbles(scale + 8));
}

INLINE void iq2_s_encode_lanes(const encode_codebook *book, const encode_lanes *b, const encode_out *out) {
    encode_coded c = {.book = book, .n = 16, .size = 16, .most = 15.0f, .stretch = 1.04f};
    ivec signs[32], entry[32], scale[16], high[8];
    take_signs(b, false, c.x, signs);
    coded_numbers(&c, b->w, 0.125f, entry, scale);
    for (int i = 0; i < 8; i++)
        high[i] = high_bits(entry + 4 * i, 4, 2);
    put_halves(out, 0, bits_of_half(c.d));
    put_low_bytes(out, 2, entry, 32);
    put_bytes(out, 34, signs, 32);
    put_bytes(out, 66, high, 8);
    put_words(out, 74, word_of_nibbles(scale));
    put_words(out, 78, word_of_nibbles(scale + 8));
}

// ------------------------------------------------------------------------------------------------- IQ3

INLINE void iq3_codebook(encode_codebook *c, const uint32_t *bytes, int n, int first, int step, float last) {
    float level[8];
    for (int i = 0; i < 8; i++)
        level[i] = i == 7 ? last : (float)(first + step * i);
    make_codebook(c, n, NULL, bytes, 64 + first, step, level);
}

INLINE void iq3_xxs_encode_lanes(const encode_codebook *book, const encode_lanes *b, const encode_out *out) {
    encode_coded c = {.book = book, .n = 8, .size = 32, .most = 15.0f, .stretch = 1.02f};
    ivec signs[32], entry[64], scale[8];
    take_signs(b, true, c.x, signs);
    coded_numbers(&c, b->w, 0.25f, entry, scale);
    put_halves(out, 0, bits_of_half(c.d));
    put_bytes(out, 2, entry, 64);
    for (int k = 0; k < 8; k++)
        put_words(out, 66 + 4 * k, signs_and_scale(signs + 4 * k, scale[k]));
}

INLINE void iq3_s_encode_lanes(const encode_codebook *book, const encode_lanes *b, const encode_out *out) {
    encode_coded c = {.book = book, .n = 8, .size = 32, .most = 15.0f, .stretch = 1.01f};
    ivec signs[32], entry[64], scale[8], high[8];
    take_signs(b, false, c.x, signs);
    coded_numbers(&c, b->w, 1.0f, entry, scale);
    for (int i = 0; i < 8; i++)
        high[i] = high_bits(entry + 8 * i, 8, 1);
    put_halves(out, 0, bits_of_half(c.d));
    put_low_bytes(out, 2, entry, 64);
    put_bytes(out, 66, high, 8);
    put_bytes(out, 74, signs, 32);
    put_words(out, 106, word_of_nibbles(scale));
}

// ------------------------------------------------------------------------------------------------- IQ1

INLINE void iq1_codebook(encode_codebook *c) {
    static const float level[3] = {-1.0f, 0.0f, 1.0f};
    make_codebook(c, 2048, codebook_iq1, NULL, 9, 8, level);
}

INLINE void iq1_s_encode_lanes(const encode_codebook *book, const encode_lanes *b, const encode_out *out) {
    encode_coded c = {.book = book, .n = 8, .size = 32, .of_shift = 32, .most = 7.0f, .stretch = 1.09f};
    ivec entry[32], scale[8], down[8];
    memcpy(c.x, b->x, sizeof c.x);
    coded_numbers(&c, b->w, 1.0f, entry, scale);
    whole_numbers(c.down, 8, down);
    put_halves(out, 0, bits_of_half(c.d));
    put_low_bytes(out, 2, entry, 32);
    for (int k = 0; k < 8; k++) {
        const ivec above = veci_or(veci_shl(scale[k], 12), veci_shl(down[k], 15));
        put_halves(out, 34 + 2 * k, veci_or(above, high_bits(entry + 4 * k, 4, 3)));
    }
}

INLINE void iq1_m_encode_lanes(const encode_codebook *book, const encode_lanes *b, const encode_out *out) {
    encode_coded c = {.book = book, .n = 16, .size = 16, .of_shift = 8, .most = 7.0f, .stretch = 1.07f};
    ivec entry[32], scale[16], down[32], high[16];
    memcpy(c.x, b->x, sizeof c.x);
    coded_numbers(&c, b->w, 1.0f, entry, scale);
    whole_numbers(c.down, 32, down);
    for (int i = 0; i < 16; i++) {
        const ivec shifts = veci_or(veci_shl(down[2 * i], 3), veci_shl(down[2 * i + 1], 7));
        high[i] = veci_or(high_bits(entry + 2 * i, 2, 4), shifts);
    }
    put_low_bytes(out, 0, entry, 32);
    put_bytes(out, 32, high, 16);
    const ivec d = bits_of_half(c.d);
    for (int k = 0; k < 4; k++) {
        ivec word = veci_shl(veci_and(veci_shr(d, 4 * k), veci_set1(15)), 12);
        for (int i = 0; i < 4; i++)
            word = veci_or(word, veci_shl(scale[4 * k + i], 3 * i));
        put_halves(out, 48 + 2 * k, word);
    }
}

// As ENCODER, with a codebook that `make` fills.
#define ENCODER_CODED(type, make)                                                                            \
    ENCODE_BLOCKS(type, WEIGH_MORE, encode_codebook book; make, type##_encode_lanes(&book, &lanes, &out))

ENCODER_CODED(iq2_xxs, iq2_codebook(&book, codebook_iq2_xxs, 256))
ENCODER_CODED(iq2_xs, iq2_codebook(&book, codebook_iq2_xs, 512))
ENCODER_CODED(iq2_s, iq2_codebook(&book, codebook_iq2_s, 1024))
ENCODER_CODED(iq3_xxs, iq3_codebook(&book, codebook_iq3_xxs, 256, 4, 8, 62.0f))
ENCODER_CODED(iq3_s, iq3_codebook(&book, codebook_iq3_s, 512, 1, 2, 15.0f))
ENCODER_CODED(iq1_s, iq1_codebook(&book))
ENCODER_CODED(iq1_m, iq1_codebook(&book))
