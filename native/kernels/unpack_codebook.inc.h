// Types with blocks of 256 weights whose codes are looked up in large codebooks: how their bytes become words
// of codes, a row in each lane. quant/<type>.inc.h describes the layouts.

// Entries of eight weights; index i is shifted and masked out of the words by the caller. One by one: no
// gather of today's processors is faster.
INLINE void look_up_8(const uint64_t *table, ivec index, ivec codes[2]) {
    uint32_t at[VEC_LANES];
    uint64_t entries[VEC_LANES];
    veci_store(at, index);
    for (int r = 0; r < VEC_LANES; r++)
        entries[r] = table[at[r]];
    veci_load_pairs(entries, &codes[0], &codes[1]);
}

// Entries of four weights.
INLINE ivec look_up_4(const uint32_t *table, ivec index) {
    uint32_t at[VEC_LANES];
    veci_store(at, index);
    for (int r = 0; r < VEC_LANES; r++)
        at[r] = table[at[r]];
    return veci_load(at);
}

// Gives eight words of magnitudes their signs: bit 4 i + j is that of byte j of word i.
INLINE void put_signs(ivec signs, ivec codes[8]) {
    for (int i = 0; i < 8; i++)
        codes[i] = veci_signed(veci_negate_where(veci_bits(signs, i), codes[i]));
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
    h->d = vec_mul(veci_half(load_word(p, stride)), vec_set1(0.125f));
    for (int i = 0; i < 4; i++)
        veci_load4(p + 2 + 16 * i, stride, h->extra + 4 * i);
    for (int i = 0; i < 8; i++)
        h->scale[i] = odd_scale(veci_shr(h->extra[2 * i + 1], 28));
}

INLINE void iq2_xxs_codes(const uint8_t *p, int64_t stride, int chunk, const head_256 *h, ivec codes[16]) {
    (void)p, (void)stride;
    const ivec *words = h->extra + 4 * chunk;
    for (int i = 0; i < 8; i++)
        look_up_8(codebook_iq2_xxs, byte_of(words[i / 4 * 2], i % 4), codes + 2 * i);
    put_signs(packed_signs(words[1]), codes);
    put_signs(packed_signs(words[3]), codes + 8);
}

INLINE void iq2_xs_head(const uint8_t *p, int64_t stride, head_256 *h) {
    h->d = vec_mul(veci_half(load_word(p, stride)), vec_set1(0.125f));
    odd_scales(load_word(p + 66, stride), h->scale);
    odd_scales(load_word(p + 70, stride), h->scale + 8);
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
    ivec w[4];
    (void)h;
    veci_load4(p + 2 + 16 * chunk, stride, w);
    for (int i = 0; i < 8; i++)
        look_up_8(codebook_iq2_xs, veci_and(veci_shr(w[i / 2], 16 * (i % 2)), veci_set1(511)), codes + 2 * i);
    put_signs(high_signs(w[0], w[1]), codes);
    put_signs(high_signs(w[2], w[3]), codes + 8);
}

INLINE void iq2_s_head(const uint8_t *p, int64_t stride, head_256 *h) {
    h->d = vec_mul(veci_half(load_word(p, stride)), vec_set1(0.125f));
    veci_load4(p + 66, stride, h->extra); // high bits of indices, scales
    odd_scales(h->extra[2], h->scale);
    odd_scales(h->extra[3], h->scale + 8);
    veci_load4(p + 2, stride, h->extra + 8);
    veci_load4(p + 18, stride, h->extra + 12);
}

// `n` bits of a word from bit `from` on, as bits 8 and up.
INLINE ivec above_byte(ivec word, int from, int n) {
    ivec moved = from > 8 ? veci_shr(word, from - 8) : veci_shl(word, 8 - from);
    return veci_and(moved, veci_set1(((1 << n) - 1) << 8));
}

INLINE void iq2_s_codes(const uint8_t *p, int64_t stride, int chunk, const head_256 *h, ivec codes[16]) {
    for (int i = 0; i < 8; i++) {
        int n = 8 * chunk + i;
        ivec high = above_byte(h->extra[n / 16], 2 * (n % 16), 2);
        look_up_8(codebook_iq2_s, veci_or(byte_of(h->extra[8 + n / 4], n % 4), high), codes + 2 * i);
    }
    put_signs(load_word(p + 34 + 8 * chunk, stride), codes);
    put_signs(load_word(p + 38 + 8 * chunk, stride), codes + 8);
}

// ------------------------------------------------------------------------- IQ3_XXS, IQ3_S

INLINE void iq3_xxs_head(const uint8_t *p, int64_t stride, head_256 *h) {
    h->d = vec_mul(veci_half(load_word(p, stride)), vec_set1(0.25f));
    veci_load4(p + 66, stride, h->extra);
    veci_load4(p + 82, stride, h->extra + 4);
    for (int i = 0; i < 8; i++)
        h->scale[i] = odd_scale(veci_shr(h->extra[i], 28));
}

INLINE void iq3_xxs_codes(const uint8_t *p, int64_t stride, int chunk, const head_256 *h, ivec codes[16]) {
    ivec w[4];
    veci_load4(p + 2 + 16 * chunk, stride, w);
    for (int i = 0; i < 16; i++)
        codes[i] = look_up_4(codebook_iq3_xxs, byte_of(w[i / 4], i % 4));
    put_signs(packed_signs(h->extra[2 * chunk]), codes);
    put_signs(packed_signs(h->extra[2 * chunk + 1]), codes + 8);
}

INLINE void iq3_s_head(const uint8_t *p, int64_t stride, head_256 *h) {
    ivec end[4];
    h->d = veci_half(load_word(p, stride));
    veci_load4(p + 66, stride, h->extra); // two words of indices' high bits, then eight of signs
    veci_load4(p + 82, stride, h->extra + 4);
    veci_load4(p + 94, stride, end); // the last two words of signs, the scales
    h->extra[8] = end[1];
    h->extra[9] = end[2];
    odd_scales(end[3], h->scale);
}

INLINE void iq3_s_codes(const uint8_t *p, int64_t stride, int chunk, const head_256 *h, ivec codes[16]) {
    ivec w[4];
    veci_load4(p + 2 + 16 * chunk, stride, w);
    for (int i = 0; i < 16; i++) {
        ivec high = above_byte(h->extra[chunk / 2], chunk % 2 * 16 + i, 1);
        codes[i] = look_up_4(codebook_iq3_s, veci_or(byte_of(w[i / 4], i % 4), high));
    }
    put_signs(h->extra[2 + 2 * chunk], codes);
    put_signs(h->extra[3 + 2 * chunk], codes + 8);
}

// ------------------------------------------------------------------------- IQ1_S, IQ1_M

// Eight weights of the grid in eighths, with their shift and an offset of 16. `minus` is all ones where the
// shift is -1.
INLINE void eighths(ivec index, ivec minus, ivec codes[2]) {
    // Of 0, 1 and -1 (as two bits), with the shift of 1.
    static const int8_t offset[16] = {17, 25, 0, 9};
    const ivec table = veci_table(offset), mask = veci_set1(0x03030303);
    ivec shift = veci_and(minus, veci_set1(0x02020202));
    look_up_8(codebook_iq1, index, codes);
    for (int i = 0; i < 2; i++)
        codes[i] = veci_sub(veci_lookup(table, veci_and(codes[i], mask)), shift);
}

INLINE void iq1_s_head(const uint8_t *p, int64_t stride, head_256 *h) {
    h->d = vec_mul(veci_half(load_word(p, stride)), vec_set1(0.125f));
    veci_load4(p + 2, stride, h->extra);
    veci_load4(p + 18, stride, h->extra + 4);
    veci_load4(p + 34, stride, h->extra + 8);
    for (int i = 0; i < 8; i++)
        h->scale[i] = odd_scale(veci_and(veci_shr(h->extra[8 + i / 2], 16 * (i % 2) + 12), veci_set1(7)));
}

INLINE void iq1_s_codes(const uint8_t *p, int64_t stride, int chunk, const head_256 *h, ivec codes[16]) {
    (void)p, (void)stride;
    const ivec word = h->extra[8 + chunk];
    for (int i = 0; i < 8; i++) {
        ivec high = above_byte(word, 16 * (i / 4) + 3 * (i % 4), 3);
        ivec minus = veci_sar(i < 4 ? veci_shl(word, 16) : word, 31);
        eighths(veci_or(byte_of(h->extra[2 * chunk + i / 4], i % 4), high), minus, codes + 2 * i);
    }
}

INLINE void iq1_m_head(const uint8_t *p, int64_t stride, head_256 *h) {
    ivec end[4], *w = end + 2;
    veci_load4(p, stride, h->extra);
    veci_load4(p + 16, stride, h->extra + 4);
    veci_load4(p + 32, stride, h->extra + 8);
    veci_load4(p + 40, stride, end); // the last two words of those before, the scales
    for (int i = 0; i < 16; i++)
        h->scale[i] = odd_scale(veci_and(veci_shr(w[i / 8], 16 * (i / 4 % 2) + 3 * (i % 4)), veci_set1(7)));
    ivec low = veci_or(veci_and(veci_shr(w[0], 12), veci_set1(0x000f)),
                       veci_and(veci_shr(w[0], 24), veci_set1(0x00f0)));
    ivec high = veci_or(veci_and(veci_shr(w[1], 4), veci_set1(0x0f00)),
                        veci_and(veci_shr(w[1], 16), veci_set1(0xf000)));
    h->d = vec_mul(veci_half(veci_or(low, high)), vec_set1(0.125f));
}

INLINE void iq1_m_codes(const uint8_t *p, int64_t stride, int chunk, const head_256 *h, ivec codes[16]) {
    (void)p, (void)stride;
    const ivec word = h->extra[8 + chunk];
    for (int i = 0; i < 8; i++) {
        ivec minus = veci_sar(veci_shl(word, 28 - 4 * i), 31);
        eighths(veci_or(byte_of(h->extra[2 * chunk + i / 4], i % 4), above_byte(word, 4 * i, 3)), minus,
                codes + 2 * i);
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
