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

// The eight weights of an entry in the lower (0) or upper (1) half of a word; `values` are OF_TWO_BITS.
INLINE void eight_codes(ivec entries, int half, ivec values, ivec codes[2]) {
    codes[0] = veci_lookup(values, two_bit_codes(entries, 2 * half));
    codes[1] = veci_lookup(values, two_bit_codes(entries, 2 * half + 1));
}

// Those of four entries.
INLINE void look_up_32(const uint16_t *table, int bits, const entry_indices at[2], ivec values,
                       ivec codes[8]) {
    for (int i = 0; i < 2; i++) {
        ivec entries = veci_entries(table, bits, at[i]);
        eight_codes(entries, 0, values, codes + 2 * i);
        eight_codes(entries, 1, values, codes + 2 * i + 4);
    }
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

// Gives eight words of magnitudes their signs: bit 4 i + j is that of byte j of word i. They are veci_signed
// already, which adds 0 or 128 to bytes: the negative of either is that of the number.
INLINE void put_signs(ivec signs, ivec codes[8]) {
    for (int i = 0; i < 8; i++)
        codes[i] = veci_negate_where(veci_bits(signs, i), codes[i]);
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

static const int8_t iq2_values[16] = OF_TWO_BITS(8, 25, 43, 0);

INLINE void iq2_xxs_codes(const uint8_t *p, int64_t stride, int chunk, const head_256 *h, ivec codes[16]) {
    (void)p, (void)stride;
    for (int i = 0; i < 2; i++) {
        look_up_32(codebook_iq2_xxs_packed, 8, h->at + 4 * chunk + 2 * i, veci_signed(veci_table(iq2_values)),
                   codes + 8 * i);
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
    for (int i = 0; i < 4; i++) {
        ivec entries = veci_entries(codebook_iq2_xs_packed, 9, h->at[4 * chunk + i]);
        eight_codes(entries, 0, veci_signed(veci_table(iq2_values)), codes + 4 * i);
        eight_codes(entries, 1, veci_signed(veci_table(iq2_values)), codes + 4 * i + 2);
    }
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
        look_up_32(codebook_iq2_s_packed, 10, h->at + 4 * chunk + 2 * i, veci_signed(veci_table(iq2_values)),
                   codes + 8 * i);
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
    static const int8_t values[16] = {4, 12, 20, 28, 36, 44, 52, 62};
    (void)p, (void)stride;
    for (int i = 0; i < 4; i++)
        look_up_16(codebook_iq3_xxs_packed, 8, h->at + 8 * chunk + 2 * i, veci_signed(veci_table(values)),
                   codes + 4 * i);
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
    static const int8_t values[16] = {1, 3, 5, 7, 9, 11, 13, 15};
    (void)p, (void)stride;
    for (int i = 0; i < 4; i++)
        look_up_16(codebook_iq3_s_packed, 9, h->at + 8 * chunk + 2 * i, veci_signed(veci_table(values)),
                   codes + 4 * i);
    put_signs(h->extra[2 + 2 * chunk], codes);
    put_signs(h->extra[3 + 2 * chunk], codes + 8);
}

// ------------------------------------------------------------------------- IQ1_S, IQ1_M

// Weights of the grid in eighths, with an offset of 16 and a shift of 1.
static const int8_t iq1_values[16] = OF_TWO_BITS(9, 17, 25, 0);

// What a shift of -1 takes off, where bit `bit` of a word is set.
INLINE ivec shift_down(ivec word, int bit) {
    return veci_and(veci_sar(veci_shl(word, 31 - bit), 31), veci_set1(0x02020202));
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
        ivec shift = shift_down(h->extra[chunk], 16 * i + 15);
        look_up_32(codebook_iq1_packed, 11, h->at + 4 * chunk + 2 * i, veci_table(iq1_values), codes + 8 * i);
        for (int j = 8 * i; j < 8 * i + 8; j++)
            codes[j] = veci_sub(codes[j], shift);
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
        look_up_32(codebook_iq1_packed, 11, h->at + 4 * chunk + 2 * i, veci_table(iq1_values), codes + 8 * i);
        for (int j = 8 * i; j < 8 * i + 8; j++)
            codes[j] = veci_sub(codes[j], shift_down(h->extra[chunk], 4 * (j / 2) + 3));
    }
}

MANY_256(many_signed_256_16, CODES_SIGNED, 0, 16)
MANY_256(many_offset4_256_16, CODES_OFFSET, 4, 16)
MANY_256(many_offset4_256_32, CODES_OFFSET, 4, 32)

PRODUCT_256(iq2_xxs, CODES_SIGNED, 0, 32, IN_ORDER, many_signed_256_32)
PRODUCT_256(iq2_xs, CODES_SIGNED, 0, 16, IN_ORDER, many_signed_256_16)
PRODUCT_256(iq2_s, CODES_SIGNED, 0, 16, IN_ORDER, many_signed_256_16)
PRODUCT_256(iq3_xxs, CODES_SIGNED, 0, 32, IN_ORDER, many_signed_256_32)
PRODUCT_256(iq3_s, CODES_SIGNED, 0, 32, IN_ORDER, many_signed_256_32)
PRODUCT_256(iq1_s, CODES_OFFSET, 4, 32, IN_ORDER, many_offset4_256_32)
PRODUCT_256(iq1_m, CODES_OFFSET, 4, 16, IN_ORDER, many_offset4_256_16)
