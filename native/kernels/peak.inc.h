// As many products of bytes as the instruction set does, in sums that don't wait for each other. A sum's next
// products are with itself: nothing can be computed once for all rounds.

#ifdef VEC_DOT_PAIRS
enum { PEAK_SUMS = 6, PEAK_WORDS = 8 };
#else
enum { PEAK_SUMS = 12, PEAK_WORDS = 1 };
#endif

INLINE ivec peak_dot(const ivec codes[PEAK_WORDS], ivec sum) {
#ifdef VEC_DOT_PAIRS
    ivec pairs = veci_pairs(codes[0], sum);
    for (int i = 1; i < PEAK_WORDS; i++)
        pairs = veci_add16(pairs, veci_pairs(codes[i], sum));
    return veci_add_pairs(sum, pairs);
#else
    return veci_dot_unsigned(sum, codes[0], sum);
#endif
}

static int64_t peak(int64_t rounds, int32_t *sum) {
    int32_t lanes[VEC_LANES];
    ivec sums[PEAK_SUMS], codes[PEAK_WORDS];
    for (int i = 0; i < PEAK_WORDS; i++)
        codes[i] = veci_set1(((*sum + i) & 0x0f0f0f0f) | 0x01010101);
    for (int i = 0; i < PEAK_SUMS; i++)
        sums[i] = veci_set1(i);
    for (int64_t round = 0; round < rounds; round++)
        for (int i = 0; i < PEAK_SUMS; i++)
            sums[i] = peak_dot(codes, sums[i]);
    for (int i = 1; i < PEAK_SUMS; i++)
        sums[0] = veci_add(sums[0], sums[i]);
    veci_store(lanes, sums[0]);
    for (int i = 0; i < VEC_LANES; i++)
        *sum = (int32_t)((uint32_t)*sum + (uint32_t)lanes[i]);
    return rounds * PEAK_SUMS * PEAK_WORDS * VEC_LANES * 8;
}
