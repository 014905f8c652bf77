// Types with blocks of 256 weights: how their bytes become words of codes, a row in each lane.
// quant/<type>.inc.h describes the layouts.

#define IN_ORDER(chunk, q) (4 * (chunk) + (q))

INLINE ivec byte_of(ivec word, int i) {
    return veci_and(veci_shr(word, 8 * i), veci_set1(255));
}

INLINE void load_16_words(const uint8_t *p, int64_t stride, ivec out[16]) {
    veci_load8(p, stride, out);
    veci_load8(p + 32, stride, out + 8);
}

// The bytes of two words as eight numbers.
INLINE void spread_bytes(ivec low, ivec high, ivec out[8]) {
    for (int i = 0; i < 4; i++) {
        out[i] = byte_of(low, i);
        out[4 + i] = byte_of(high, i);
    }
}

// The bytes of a word as two pairs of 16 bits.
INLINE void spread_pairs(ivec word, ivec out[2]) {
    ivec even = veci_and(word, veci_set1(0x00ff00ff)),
         odd = veci_and(veci_shr(word, 8), veci_set1(0x00ff00ff));
    // even: bytes 0 and 2, odd: bytes 1 and 3
    out[0] = veci_or(veci_and(even, veci_set1(0xffff)), veci_shl(odd, 16));
    out[1] = veci_or(veci_shr(even, 16), veci_and(odd, veci_set1((int32_t)0xffff0000)));
}

// ------------------------------------------------------------------------- Q4_K and Q5_K

INLINE void q4_k_head(const uint8_t *p, int64_t stride, head_256 *h) {
    const ivec six = veci_set1(0x3f3f3f3f), four = veci_set1(LOW_NIBBLES), two = veci_set1(0x30303030);
    ivec w[4];
    veci_load4(p, stride, w);
    h->d = veci_half(w[0]);
    h->e = veci_half(veci_shr(w[0], 16));
    ivec scale_low = veci_and(w[1], six), minimum_low = veci_and(w[2], six);
    ivec scale_high = veci_or(veci_and(w[3], four), veci_and(veci_shr(w[1], 2), two));
    ivec minimum_high = veci_or(veci_and(veci_shr(w[3], 4), four), veci_and(veci_shr(w[2], 2), two));
    spread_bytes(scale_low, scale_high, h->scale);
    spread_pairs(minimum_low, h->minimum);
    spread_pairs(minimum_high, h->minimum + 2);
}

// A run of 32 bytes: low nibbles, then high ones.
INLINE void nibble_run(const uint8_t *p, int64_t stride, ivec codes[16]) {
    const ivec mask = veci_set1(LOW_NIBBLES);
    ivec bytes[8];
    veci_load8(p, stride, bytes);
    for (int i = 0; i < 8; i++) {
        codes[i] = veci_and(bytes[i], mask);
        codes[8 + i] = veci_and(veci_shr(bytes[i], 4), mask);
    }
}

INLINE void q4_k_codes(const uint8_t *p, int64_t stride, int chunk, const head_256 *h, ivec codes[16]) {
    (void)h;
    nibble_run(p + 16 + 32 * chunk, stride, codes);
}

INLINE void q5_k_head(const uint8_t *p, int64_t stride, head_256 *h) {
    q4_k_head(p, stride, h);
    veci_load8(p + 16, stride, h->extra);
}

// Bit `bit` of every byte as bit `to`.
INLINE ivec bit_of_bytes(ivec bytes, int bit, int to) {
    ivec mask = veci_set1((int32_t)(UINT32_C(0x01010101) << to));
    return veci_and(bit > to ? veci_shr(bytes, bit - to) : veci_shl(bytes, to - bit), mask);
}

INLINE void q5_k_codes(const uint8_t *p, int64_t stride, int chunk, const head_256 *h, ivec codes[16]) {
    nibble_run(p + 48 + 32 * chunk, stride, codes);
    for (int i = 0; i < 8; i++) {
        codes[i] = veci_or(codes[i], bit_of_bytes(h->extra[i], 2 * chunk, 4));
        codes[8 + i] = veci_or(codes[8 + i], bit_of_bytes(h->extra[i], 2 * chunk + 1, 4));
    }
}

// ------------------------------------------------------------------------- Q6_K

// A chunk takes both nibbles of 32 low bytes: groups 2u, 2u + 4, 2u + 1 and 2u + 5 of half the block.
#define Q6_K_GROUP(chunk, q) (8 * ((chunk) / 2) + 2 * ((chunk) % 2) + (q) / 2 + 4 * ((q) % 2))

INLINE ivec signed_byte_of(ivec word, int i) {
    return veci_sar(veci_shl(word, 24 - 8 * i), 24);
}

INLINE void q6_k_head(const uint8_t *p, int64_t stride, head_256 *h) {
    ivec w[4];
    veci_load4(p + 192, stride, w);
    for (int i = 0; i < 16; i++)
        h->scale[i] = signed_byte_of(w[i / 4], i % 4);
    h->d = veci_half(veci_shr(veci_load1(p + 206, stride), 16));
    load_16_words(p + 128, stride, h->extra);
}

INLINE void q6_k_codes(const uint8_t *p, int64_t stride, int chunk, const head_256 *h, ivec codes[16]) {
    const ivec four = veci_set1(LOW_NIBBLES), two = veci_set1(0x30303030);
    const int half = chunk / 2, u = chunk % 2;
    const ivec *high = h->extra + 8 * half;
    ivec low[8];
    veci_load8(p + 64 * half + 32 * u, stride, low);
    for (int i = 0; i < 8; i++) {
        // Group 2u + i / 4 has bits 2u of the high bytes, the one four further on bits 2u + 4.
        ivec *to = codes + i + i / 4 * 4;
        to[0] = veci_or(veci_and(low[i], four), veci_and(veci_shl(high[i], u == 0 ? 4 : 2), two));
        to[4] = veci_or(veci_and(veci_shr(low[i], 4), four),
                        veci_and(u == 0 ? high[i] : veci_shr(high[i], 2), two));
    }
}

// ------------------------------------------------------------------------- Q2_K and Q3_K

// Two bits of 32 bytes at two shifts: four groups of 16. A chunk takes those of one half of 64 bytes.
INLINE void two_bits(const ivec all[16], int chunk, ivec codes[16]) {
    const ivec mask = veci_set1(0x03030303), *bytes = all + 8 * (chunk / 2);
    const int u = chunk % 2;
    for (int i = 0; i < 8; i++) {
        codes[i] = veci_and(u == 0 ? bytes[i] : veci_shr(bytes[i], 4), mask);
        codes[8 + i] = veci_and(veci_shr(bytes[i], 4 * u + 2), mask);
    }
}

INLINE void q2_k_head(const uint8_t *p, int64_t stride, head_256 *h) {
    const ivec mask = veci_set1(LOW_NIBBLES);
    ivec w[4], d = veci_load1(p + 80, stride);
    veci_load4(p, stride, w);
    for (int i = 0; i < 16; i++)
        h->scale[i] = veci_and(veci_shr(w[i / 4], 8 * (i % 4)), veci_set1(15));
    for (int i = 0; i < 4; i++)
        spread_pairs(veci_and(veci_shr(w[i], 4), mask), h->minimum + 2 * i);
    h->d = veci_half(d);
    h->e = veci_half(veci_shr(d, 16));
    load_16_words(p + 16, stride, h->extra);
}

INLINE void q2_k_codes(const uint8_t *p, int64_t stride, int chunk, const head_256 *h, ivec codes[16]) {
    (void)p, (void)stride;
    two_bits(h->extra, chunk, codes);
}

INLINE void q3_k_head(const uint8_t *p, int64_t stride, head_256 *h) {
    const ivec four = veci_set1(LOW_NIBBLES), two = veci_set1(0x30303030);
    ivec w[4], all[4];
    veci_load8(p, stride, h->extra);
    load_16_words(p + 32, stride, h->extra + 8);
    veci_load4(p + 94, stride, w); // two bytes of codes, twelve of scales, two of d
    ivec low = veci_or(veci_shr(w[0], 16), veci_shl(w[1], 16));
    ivec next = veci_or(veci_shr(w[1], 16), veci_shl(w[2], 16));
    ivec high = veci_or(veci_shr(w[2], 16), veci_shl(w[3], 16));
    h->d = veci_half(veci_shr(w[3], 16));
    all[0] = veci_or(veci_and(low, four), veci_and(veci_shl(high, 4), two));
    all[1] = veci_or(veci_and(next, four), veci_and(veci_shl(high, 2), two));
    all[2] = veci_or(veci_and(veci_shr(low, 4), four), veci_and(high, two));
    all[3] = veci_or(veci_and(veci_shr(next, 4), four), veci_and(veci_shr(high, 2), two));
    for (int i = 0; i < 16; i++)
        h->scale[i] = veci_sub(byte_of(all[i / 4], i % 4), veci_set1(32));
}

INLINE void q3_k_codes(const uint8_t *p, int64_t stride, int chunk, const head_256 *h, ivec codes[16]) {
    (void)p, (void)stride;
    two_bits(h->extra + 8, chunk, codes);
    for (int i = 0; i < 8; i++) {
        codes[i] = veci_or(codes[i], bit_of_bytes(h->extra[i], 2 * chunk, 2));
        codes[8 + i] = veci_or(codes[8 + i], bit_of_bytes(h->extra[i], 2 * chunk + 1, 2));
    }
}

// ------------------------------------------------------------------------- IQ4_XS

INLINE void iq4_xs_head(const uint8_t *p, int64_t stride, head_256 *h) {
    ivec w[4];
    veci_load4(p, stride, w);
    h->d = veci_half(w[0]);
    for (int i = 0; i < 8; i++) {
        ivec low = veci_and(veci_shr(w[1], 4 * i), veci_set1(15));
        ivec high = veci_and(veci_shr(w[0], 16 + 2 * i), veci_set1(3));
        h->scale[i] = veci_sub(veci_or(low, veci_shl(high, 4)), veci_set1(32));
    }
}

INLINE void iq4_xs_codes(const uint8_t *p, int64_t stride, int chunk, const head_256 *h, ivec codes[16]) {
    const ivec table = veci_signed(veci_table(codebook_iq4));
    (void)h;
    look_up_nibbles(p + 8 + 32 * chunk, stride, table, codes);
    look_up_nibbles(p + 24 + 32 * chunk, stride, table, codes + 8);
}

// ------------------------------------------------------------------------- TQ2_0 and TQ1_0

// Groups have no scales of their own.
INLINE void no_scales(head_256 *h) {
    for (int i = 0; i < 8; i++)
        h->scale[i] = veci_set1(1);
}

INLINE void tq2_0_head(const uint8_t *p, int64_t stride, head_256 *h) {
    no_scales(h);
    h->d = veci_half(veci_shr(veci_load1(p + 62, stride), 16));
    load_16_words(p, stride, h->extra);
}

INLINE void tq2_0_codes(const uint8_t *p, int64_t stride, int chunk, const head_256 *h, ivec codes[16]) {
    (void)p, (void)stride;
    two_bits(h->extra, chunk, codes);
}

INLINE void tq1_0_head(const uint8_t *p, int64_t stride, head_256 *h) {
    no_scales(h);
    ivec end[4];
    veci_load8(p, stride, h->extra);
    veci_load4(p + 32, stride, h->extra + 8);
    veci_load4(p + 38, stride, end); // the last six bytes of those before, four of the rest, two of d
    h->extra[12] = veci_or(veci_shr(end[2], 16), veci_shl(end[3], 16));
    h->d = veci_half(veci_shr(end[3], 16));
}

// Digits of bytes 0 to 31 come first, then those of bytes 32 to 47, then those of the rest.
INLINE void tq1_0_codes(const uint8_t *p, int64_t stride, int chunk, head_256 *h, ivec codes[16]) {
    (void)p, (void)stride;
    for (int i = 0; i < 16; i++) {
        int at = 16 * chunk + i;
        codes[i] = veci_next_digit(h->extra + (at < 40 ? at % 8 : at < 60 ? 8 + at % 4 : 12));
    }
}

MANY_256(many_offset0_256_32, CODES_OFFSET, 0, 32)
MANY_256(many_minimum_256_32, CODES_MINIMUM, 0, 32)
MANY_256(many_minimum_256_16, CODES_MINIMUM, 0, 16)
MANY_256(many_offset5_256_16, CODES_OFFSET, 5, 16)
MANY_256(many_offset2_256_16, CODES_OFFSET, 2, 16)
MANY_256(many_signed_256_32, CODES_SIGNED, 0, 32)

PRODUCT_256(q4_k, CODES_MINIMUM, 0, 32, IN_ORDER, many_minimum_256_32)
PRODUCT_256(q5_k, CODES_MINIMUM, 0, 32, IN_ORDER, many_minimum_256_32)
PRODUCT_256(q6_k, CODES_OFFSET, 5, 16, Q6_K_GROUP, many_offset5_256_16)
PRODUCT_256(q2_k, CODES_MINIMUM, 0, 16, IN_ORDER, many_minimum_256_16)
PRODUCT_256(q3_k, CODES_OFFSET, 2, 16, IN_ORDER, many_offset2_256_16)
PRODUCT_256(iq4_xs, CODES_SIGNED, 0, 32, IN_ORDER, many_signed_256_32)
PRODUCT_256(tq2_0, CODES_OFFSET, 0, 32, IN_ORDER, many_offset0_256_32)
PRODUCT_256(tq1_0, CODES_OFFSET, 0, 32, IN_ORDER, many_offset0_256_32)
