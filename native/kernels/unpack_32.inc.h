// Types with blocks of 32 weights: how their bytes become words of codes, a row in each lane.

#define LOW_NIBBLES 0x0f0f0f0f

// Sixteen bytes of nibbles: the low ones are weights 0 to 15, the high ones 16 to 31.
INLINE void nibbles_32(const uint8_t *p, int64_t stride, ivec codes[8]) {
    const ivec mask = veci_set1(LOW_NIBBLES);
    ivec bytes[4];
    veci_load4(p, stride, bytes);
    for (int i = 0; i < 4; i++) {
        codes[i] = veci_and(bytes[i], mask);
        codes[4 + i] = veci_and(veci_shr(bytes[i], 4), mask);
    }
}

// A word of each row.
INLINE ivec load_word(const uint8_t *p, int64_t stride) {
    int32_t words[VEC_LANES];
    for (int r = 0; r < VEC_LANES; r++)
        memcpy(&words[r], p + r * stride, 4);
    return veci_load(words);
}

// Bits 4 * i to 4 * i + 3 of a word as bit 4 of four bytes.
INLINE ivec fifth_bits(ivec word, int i) {
    ivec four = veci_and(veci_shr(word, 4 * i), veci_set1(15));
    return veci_shl(veci_and(veci_mul(four, veci_set1(0x00204081)), veci_set1(0x01010101)), 4);
}

INLINE void q4_0_unpack(const uint8_t *p, int64_t stride, vec *d, vec *e, ivec codes[8]) {
    (void)e;
    *d = veci_half(load_word(p, stride));
    nibbles_32(p + 2, stride, codes);
}

INLINE void q4_1_unpack(const uint8_t *p, int64_t stride, vec *d, vec *e, ivec codes[8]) {
    ivec head = load_word(p, stride);
    *d = veci_half(head);
    *e = veci_half(veci_shr(head, 16));
    nibbles_32(p + 4, stride, codes);
}

INLINE void q5_0_unpack(const uint8_t *p, int64_t stride, vec *d, vec *e, ivec codes[8]) {
    (void)e;
    *d = veci_half(load_word(p, stride));
    ivec high = load_word(p + 2, stride);
    nibbles_32(p + 6, stride, codes);
    for (int i = 0; i < 8; i++)
        codes[i] = veci_or(codes[i], fifth_bits(high, i));
}

INLINE void q5_1_unpack(const uint8_t *p, int64_t stride, vec *d, vec *e, ivec codes[8]) {
    ivec head = load_word(p, stride), high = load_word(p + 4, stride);
    *d = veci_half(head);
    *e = veci_half(veci_shr(head, 16));
    nibbles_32(p + 8, stride, codes);
    for (int i = 0; i < 8; i++)
        codes[i] = veci_or(codes[i], fifth_bits(high, i));
}

INLINE void q8_0_unpack(const uint8_t *p, int64_t stride, vec *d, vec *e, ivec codes[8]) {
    (void)e;
    *d = veci_half(load_word(p, stride));
    veci_load4(p + 2, stride, codes);
    veci_load4(p + 18, stride, codes + 4);
    for (int i = 0; i < 8; i++)
        codes[i] = veci_signed(codes[i]);
}

// Nibbles that are indices into a codebook of signed bytes.
INLINE void codebook_32(const uint8_t *p, int64_t stride, const int8_t codebook[16], ivec codes[8]) {
    const ivec table = veci_signed(veci_table(codebook));
    nibbles_32(p, stride, codes);
    for (int i = 0; i < 8; i++)
        codes[i] = veci_lookup(table, codes[i]);
}

INLINE void iq4_nl_unpack(const uint8_t *p, int64_t stride, vec *d, vec *e, ivec codes[8]) {
    (void)e;
    *d = veci_half(load_word(p, stride));
    codebook_32(p + 2, stride, codebook_iq4, codes);
}

// The scale is 2^(e - 128) (the codebook holds twice the values); those below 2^-126 count as none.
INLINE void mxfp4_unpack(const uint8_t *p, int64_t stride, vec *d, vec *e, ivec codes[8]) {
    (void)e;
    ivec exponent = veci_and(load_word(p, stride), veci_set1(255));
    exponent = veci_max(veci_sub(exponent, veci_set1(1)), veci_zero());
    *d = veci_as_float(veci_shl(exponent, 23));
    codebook_32(p + 1, stride, codebook_e2m1, codes);
}

MANY_32(many_offset3_32, CODES_OFFSET, 3)
MANY_32(many_offset4_32, CODES_OFFSET, 4)
MANY_32(many_minimum_32, CODES_MINIMUM, 0)
MANY_32(many_signed_32, CODES_SIGNED, 0)

PRODUCT_32(q4_0, CODES_OFFSET, 3, many_offset3_32)
PRODUCT_32(q4_1, CODES_MINIMUM, 0, many_minimum_32)
PRODUCT_32(q5_0, CODES_OFFSET, 4, many_offset4_32)
PRODUCT_32(q5_1, CODES_MINIMUM, 0, many_minimum_32)
PRODUCT_32(q8_0, CODES_SIGNED, 0, many_signed_32)
PRODUCT_32(iq4_nl, CODES_SIGNED, 0, many_signed_32)
PRODUCT_32(mxfp4, CODES_SIGNED, 0, many_signed_32)
