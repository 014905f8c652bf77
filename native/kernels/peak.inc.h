// As many products of bytes as the instruction set does, in sums that don't wait for each other.

static int64_t peak(int64_t rounds, int32_t *sum) {
    enum { SUMS = 12 };
    int32_t lanes[VEC_LANES];
    ivec sums[SUMS], codes = veci_set1((*sum & 0x3f3f3f3f) | 0x01010101), x = veci_set1(0x02020202);
    for (int i = 0; i < SUMS; i++)
        sums[i] = veci_set1(i);
    for (int64_t round = 0; round < rounds; round++)
        for (int i = 0; i < SUMS; i++)
            sums[i] = veci_dot_unsigned(sums[i], codes, x);
    for (int i = 1; i < SUMS; i++)
        sums[0] = veci_add(sums[0], sums[i]);
    veci_store(lanes, sums[0]);
    for (int i = 0; i < VEC_LANES; i++)
        *sum = (int32_t)((uint32_t)*sum + (uint32_t)lanes[i]);
    return rounds * SUMS * VEC_LANES * 8;
}
