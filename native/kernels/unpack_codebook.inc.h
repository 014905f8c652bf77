// Types with blocks of 256 weights whose codes are looked up in large codebooks: how their bytes become words
// of codes, a row in each lane. quant/<type>.inc.h describes the layouts.

// Bits `from` to `from` + n - 1 of a word, from bit `to` on.
INLINE ivec bits_at(ivec word, int from, int n, int to) {
    ivec moved = from > to ? veci_shr(word, from - to) : veci_shl(word, to - from);
    return veci_and(moved, veci_set1(((1 << n) - 1) << to));
}

// Indices of four entries: their low bytes are those of a word, and `n` bits of another one stand above, for
// entry i from bit `from` + i * `step` on. at[0] gets the first and the third, at[1] the others.
INLINE void put_indices(ivec low, ivec high, int from, int step, int n, entry_indices at[2]) {
    for (int i = 0; i < 2; i++) {
        ivec pair = veci_and(veci_shr(low, 8 * i), veci_set1(0x00ff00ff));
        if (n > 0) {
            pair = veci_or(pair, bits_at(high, from + i * step, n, 8));
            pair = veci_or(pair, bits_at(high, from + (i + 2) * step, n, 24));
        }
        veci_store(at[i], pair);
    }
}

// The weights of four entries of eight.
INLINE void look_up_32(const uint64_t *table, const entry_indices at[2], ivec codes[8]) {
    veci_entries8(table, at[0], at[1], codes);
    veci_entries8(table, at[0] + 1, at[1] + 1, codes + 4);
}

// Four entries of four weights of four bits.
INLINE void look_up_16(const uint16_t *table, int bits, const entry_indices at[2], ivec values,
                       ivec codes[4]) {
    ivec entries[2] = {veci_entries(table, bits, at[0]), veci_entries(table, bits, at[1])};
    for (int i = 0; i < 4; i++) {
        ivec bytes = i < 2 ? veci_bytes(entries[i % 2], 0, 0, 1, 1) : veci_bytes(entries[i % 2], 2, 2, 3, 3);
        codes[i] = veci_lookup(values, veci_or(veci_and(bytes, veci_set1(0x000f000f)),
                                               veci_and(veci_shr(bytes, 4), veci_set1(0x0f000f00))));
    }
}

// Gives eight words of magnitudes, with 64 added, their signs: bit 4 i + j is that of byte j of word i.
INLINE void put_signs(ivec signs, ivec codes[8]) {
    for (int i = 0; i < 8; i++)
        codes[i] = veci_mirror_where(veci_bits(signs, i), codes[i]);
}

// Of bytes of seven signs, the eighth: the number of negative ones is even.
INLINE ivec eighth_signs(ivec sevens) {
    static const int8_t odd[16] = {0, -128, -128, 0, -128, 0, 0, -128, -128, 0, 0, -128, 0, -128, -128, 0};
    ivec nibbles = veci_and(veci_xor(sevens, veci_shr(sevens, 4)), veci_set1(LOW_NIBBLES));
    return veci_or(sevens, veci_lookup(veci_table(odd), nibbles));
}

// Four times seven bits, from the lowest on.
INLINE ivec packed_signs(ivec word) {
    ivec pairs =
        veci_or(veci_and(word, veci_set1(0x00003fff)), veci_and(veci_shl(word, 2), veci_set1(0x3fff0000)));
    return eighth_signs(
        veci_or(veci_and(pairs, veci_set1(0x007f007f)), veci_and(veci_shl(pairs, 1), veci_set1(0x7f007f00))));
}

// Scales of 2 n + 1.
INLINE ivec odd_scale(ivec n) {
    return veci_or(veci_shl(n, 1), veci_set1(1));
}

// The half bytes of a word as such scales.
INLINE void odd_scales(ivec word, ivec scale[8]) {
    for (int i = 0; i < 8; i++)
        scale[i] = odd_scale(veci_and(veci_shr(word, 4 * i), veci_set1(15)));
}

// ------------------------------------------------------------------------- IQ2_XXS, IQ2_XS, IQ2_S

INLINE void iq2_xxs_head(const uint8_t *p, int64_t stride, head_256 *h) {
    h->d = vec_mul(veci_half(veci_load1(p, stride)), vec_set1(0.125f));
    for (int i = 0; i < 4; i++)
        veci_load4(p + 2 + 16 * i, stride, h->extra + 4 * i);
    for (int i = 0; i < 8; i++) {
        h->scale[i] = odd_scale(veci_shr(h->extra[2 * i + 1], 28));
        put_indices(h->extra[2 * i], veci_zero(), 0, 0, 0, h->at + 2 * i);
    }
}

INLINE void iq2_xxs_codes(const uint8_t *p, int64_t stride, int chunk, const head_256 *h, ivec codes[16]) {
    (void)p, (void)stride;
    for (int i = 0; i < 2; i++) {
        look_up_32(codebook_iq2_xxs, h->at + 4 * chunk + 2 * i, codes + 8 * i);
        put_signs(packed_signs(h->extra[4 * chunk + 2 * i + 1]), codes + 8 * i);
    }
}

INLINE void iq2_xs_head(const uint8_t *p, int64_t stride, head_256 *h) {
    h->d = vec_mul(veci_half(veci_load1(p, stride)), vec_set1(0.125f));
    ivec w[2];
    veci_load2(p + 66, stride, w);
    odd_scales(w[0], h->scale);
    odd_scales(w[1], h->scale + 8);
    for (int i = 0; i < 4; i++)
        veci_load4(p + 2 + 16 * i, stride, h->extra + 4 * i);
    for (int i = 0; i < 16; i++)
        veci_store(h->at[i], veci_and(h->extra[i], veci_set1(0x01ff01ff)));
}

// Two words of two times seven signs, as bytes.
INLINE ivec high_signs(ivec low, ivec high) {
    ivec two =
        veci_or(veci_and(veci_shr(low, 9), veci_set1(0x7f)), veci_and(veci_shr(low, 17), veci_set1(0x7f00)));
    ivec four = veci_or(veci_and(veci_shl(high, 7), veci_set1(0x7f0000)),
                        veci_and(veci_shr(high, 1), veci_set1(0x7f000000)));
    return eighth_signs(veci_or(two, four));
}

INLINE void iq2_xs_codes(const uint8_t *p, int64_t stride, int chunk, const head_256 *h, ivec codes[16]) {
    const ivec *w = h->extra + 4 * chunk;
    (void)p, (void)stride;
    for (int i = 0; i < 4; i++)
        veci_entries8(codebook_iq2_xs, h->at[4 * chunk + i], h->at[4 * chunk + i] + 1, codes + 4 * i);
    put_signs(high_signs(w[0], w[1]), codes);
    put_signs(high_signs(w[2], w[3]), codes + 8);
}

INLINE void iq2_s_head(const uint8_t *p, int64_t stride, head_256 *h) {
    h->d = vec_mul(veci_half(veci_load1(p, stride)), vec_set1(0.125f));
    veci_load4(p + 66, stride, h->extra); // high bits of indices, scales
    odd_scales(h->extra[2], h->scale);
    odd_scales(h->extra[3], h->scale + 8);
    ivec low[8];
    veci_load8(p + 2, stride, low);
    veci_load8(p + 34, stride, h->extra + 8); // signs
    for (int i = 0; i < 8; i++)
        put_indices(low[i], h->extra[i / 4], 8 * (i % 4), 2, 2, h->at + 2 * i);
}

INLINE void iq2_s_codes(const uint8_t *p, int64_t stride, int chunk, const head_256 *h, ivec codes[16]) {
    (void)p, (void)stride;
    for (int i = 0; i < 2; i++) {
        look_up_32(codebook_iq2_s, h->at + 4 * chunk + 2 * i, codes + 8 * i);
        put_signs(h->extra[8 + 2 * chunk + i], codes + 8 * i);
    }
}

// ------------------------------------------------------------------------- IQ3_XXS, IQ3_S

INLINE void iq3_xxs_head(const uint8_t *p, int64_t stride, head_256 *h) {
    h->d = vec_mul(veci_half(veci_load1(p, stride)), vec_set1(0.25f));
    veci_load8(p + 66, stride, h->extra);
    for (int i = 0; i < 8; i++)
        h->scale[i] = odd_scale(veci_shr(h->extra[i], 28));
    for (int i = 0; i < 2; i++) {
        ivec w[8];
        veci_load8(p + 2 + 32 * i, stride, w);
        for (int j = 0; j < 8; j++)
            put_indices(w[j], veci_zero(), 0, 0, 0, h->at + 16 * i + 2 * j);
    }
}

INLINE void iq3_xxs_codes(const uint8_t *p, int64_t stride, int chunk, const head_256 *h, ivec codes[16]) {
    static const int8_t values[16] = {68, 76, 84, 92, 100, 108, 116, 126};
    (void)p, (void)stride;
    for (int i = 0; i < 4; i++)
        look_up_16(codebook_iq3_xxs_codes, 8, h->at + 8 * chunk + 2 * i, veci_table(values), codes + 4 * i);
    put_signs(packed_signs(h->extra[2 * chunk]), codes);
    put_signs(packed_signs(h->extra[2 * chunk + 1]), codes + 8);
}

INLINE void iq3_s_head(const uint8_t *p, int64_t stride, head_256 *h) {
    ivec end[4];
    h->d = veci_half(veci_load1(p, stride));
    veci_load8(p + 66, stride, h->extra); // two words of indices' high bits, then eight of signs
    veci_load4(p + 94, stride, end);      // the last two words of signs, the scales
    h->extra[8] = end[1];
    h->extra[9] = end[2];
    odd_scales(end[3], h->scale);
    for (int i = 0; i < 2; i++) {
        ivec w[8];
        veci_load8(p + 2 + 32 * i, stride, w);
        for (int j = 0; j < 8; j++)
            put_indices(w[j], h->extra[i], 4 * j, 1, 1, h->at + 16 * i + 2 * j);
    }
}

INLINE void iq3_s_codes(const uint8_t *p, int64_t stride, int chunk, const head_256 *h, ivec codes[16]) {
    static const int8_t values[16] = {65, 67, 69, 71, 73, 75, 77, 79};
    (void)p, (void)stride;
    for (int i = 0; i < 4; i++)
        look_up_16(codebook_iq3_s_codes, 9, h->at + 8 * chunk + 2 * i, veci_table(values), codes + 4 * i);
    put_signs(h->extra[2 + 2 * chunk], codes);
    put_signs(h->extra[3 + 2 * chunk], codes + 8);
}

// ------------------------------------------------------------------------- IQ1_S, IQ1_M

// The weights of the codebook are in eighths, with 16 added and shifted by 1: these are to be shifted by -1
// where bit `bit` of a word is set.
INLINE void shift_down(ivec word, int bit, int n, ivec *codes) {
    const lanemask where = veci_bit(word, bit);
    for (int i = 0; i < n; i++)
        codes[i] = veci_sub_where(where, codes[i], veci_set1(0x02020202));
}

INLINE void iq1_s_head(const uint8_t *p, int64_t stride, head_256 *h) {
    h->d = vec_mul(veci_half(veci_load1(p, stride)), vec_set1(0.125f));
    ivec low[8];
    veci_load8(p + 2, stride, low);
    veci_load4(p + 34, stride, h->extra);
    for (int i = 0; i < 8; i++) {
        h->scale[i] = odd_scale(veci_and(veci_shr(h->extra[i / 2], 16 * (i % 2) + 12), veci_set1(7)));
        put_indices(low[i], h->extra[i / 2], 16 * (i % 2), 3, 3, h->at + 2 * i);
    }
}

INLINE void iq1_s_codes(const uint8_t *p, int64_t stride, int chunk, const head_256 *h, ivec codes[16]) {
    (void)p, (void)stride;
    for (int i = 0; i < 2; i++) {
        look_up_32(codebook_iq1, h->at + 4 * chunk + 2 * i, codes + 8 * i);
        shift_down(h->extra[chunk], 16 * i + 15, 8, codes + 8 * i);
    }
}

INLINE void iq1_m_head(const uint8_t *p, int64_t stride, head_256 *h) {
    ivec low[8], end[4], *w = end + 2;
    veci_load8(p, stride, low);
    veci_load4(p + 32, stride, h->extra);
    veci_load4(p + 40, stride, end); // the last two words of those before, the scales
    for (int i = 0; i < 16; i++)
        h->scale[i] = odd_scale(veci_and(veci_shr(w[i / 8], 16 * (i / 4 % 2) + 3 * (i % 4)), veci_set1(7)));
    for (int i = 0; i < 8; i++)
        put_indices(low[i], h->extra[i / 2], 16 * (i % 2), 4, 3, h->at + 2 * i);
    ivec d_low = veci_or(veci_and(veci_shr(w[0], 12), veci_set1(0x000f)),
                         veci_and(veci_shr(w[0], 24), veci_set1(0x00f0)));
    ivec d_high = veci_or(veci_and(veci_shr(w[1], 4), veci_set1(0x0f00)),
                          veci_and(veci_shr(w[1], 16), veci_set1(0xf000)));
    h->d = vec_mul(veci_half(veci_or(d_low, d_high)), vec_set1(0.125f));
}

INLINE void iq1_m_codes(const uint8_t *p, int64_t stride, int chunk, const head_256 *h, ivec codes[16]) {
    (void)p, (void)stride;
    for (int i = 0; i < 2; i++) {
        look_up_32(codebook_iq1, h->at + 4 * chunk + 2 * i, codes + 8 * i);
        for (int j = 4 * i; j < 4 * i + 4; j++)
            shift_down(h->extra[chunk], 4 * j + 3, 2, codes + 2 * j);
    }
}

MANY_256(many_offset4_256_16, CODES_OFFSET, 4, 16)
MANY_256(many_offset4_256_32, CODES_OFFSET, 4, 32)
MANY_256(many_offset6_256_16, CODES_OFFSET, 6, 16)
MANY_256(many_offset6_256_32, CODES_OFFSET, 6, 32)

PRODUCT_256(iq2_xxs, CODES_OFFSET, 6, 32, IN_ORDER, many_offset6_256_32)
PRODUCT_256(iq2_xs, CODES_OFFSET, 6, 16, IN_ORDER, many_offset6_256_16)
PRODUCT_256(iq2_s, CODES_OFFSET, 6, 16, IN_ORDER, many_offset6_256_16)
PRODUCT_256(iq3_xxs, CODES_OFFSET, 6, 32, IN_ORDER, many_offset6_256_32)
PRODUCT_256(iq3_s, CODES_OFFSET, 6, 32, IN_ORDER, many_offset6_256_32)
PRODUCT_256(iq1_s, CODES_OFFSET, 4, 32, IN_ORDER, many_offset4_256_32)
PRODUCT_256(iq1_m, CODES_OFFSET, 4, 16, IN_ORDER, many_offset4_256_16)
