// Types with blocks of 32, 64 or 128 weights: how their bytes become words of codes, a row in each lane.

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

INLINE void q4_0_head(const uint8_t *p, int64_t stride, head_32 *h) {
    h->d[0] = veci_half(veci_load1(p, stride));
}

INLINE void q4_0_part(const uint8_t *p, int64_t stride, int part, const head_32 *h, ivec codes[8]) {
    (void)part, (void)h;
    nibbles_32(p + 2, stride, codes);
}

INLINE void q4_1_head(const uint8_t *p, int64_t stride, head_32 *h) {
    ivec head = veci_load1(p, stride);
    h->d[0] = veci_half(head);
    h->e = veci_half(veci_shr(head, 16));
}

INLINE void q4_1_part(const uint8_t *p, int64_t stride, int part, const head_32 *h, ivec codes[8]) {
    (void)part, (void)h;
    nibbles_32(p + 4, stride, codes);
}

INLINE void q5_0_head(const uint8_t *p, int64_t stride, head_32 *h) {
    ivec w[2];
    veci_load2(p, stride, w);
    h->d[0] = veci_half(w[0]);
    h->extra[0] = veci_or(veci_shr(w[0], 16), veci_shl(w[1], 16));
}

// The fifth bits of codes 4 i to 4 i + 3.
INLINE void add_fifth_bits(ivec bits, ivec codes[8]) {
    for (int i = 0; i < 8; i++)
        codes[i] = veci_or_where(veci_bits(bits, i), codes[i], veci_set1(0x10101010));
}

INLINE void q5_0_part(const uint8_t *p, int64_t stride, int part, const head_32 *h, ivec codes[8]) {
    (void)part;
    nibbles_32(p + 6, stride, codes);
    add_fifth_bits(h->extra[0], codes);
}

INLINE void q5_1_head(const uint8_t *p, int64_t stride, head_32 *h) {
    ivec w[2];
    veci_load2(p, stride, w);
    h->d[0] = veci_half(w[0]);
    h->e = veci_half(veci_shr(w[0], 16));
    h->extra[0] = w[1];
}

INLINE void q5_1_part(const uint8_t *p, int64_t stride, int part, const head_32 *h, ivec codes[8]) {
    (void)part;
    nibbles_32(p + 8, stride, codes);
    add_fifth_bits(h->extra[0], codes);
}

INLINE void q8_0_part(const uint8_t *p, int64_t stride, int part, const head_32 *h, ivec codes[8]) {
    (void)part, (void)h;
    veci_load8(p + 2, stride, codes);
    for (int i = 0; i < 8; i++)
        codes[i] = veci_signed(codes[i]);
}

// Nibbles that are indices into a table.
INLINE void look_up_nibbles(const uint8_t *p, int64_t stride, ivec table, ivec codes[8]) {
    nibbles_32(p, stride, codes);
    for (int i = 0; i < 8; i++)
        codes[i] = veci_lookup(table, codes[i]);
}

INLINE void iq4_nl_part(const uint8_t *p, int64_t stride, int part, const head_32 *h, ivec codes[8]) {
    (void)part, (void)h;
    look_up_nibbles(p + 2, stride, veci_signed(veci_table(codebook_iq4)), codes);
}

// codebook_e2m1 with 16 added.
INLINE ivec e2m1_table(void) {
    static const int8_t codes[16] = {16, 17, 18, 19, 20, 22, 24, 28, 16, 15, 14, 13, 12, 10, 8, 4};
    return veci_table(codes);
}

// The scale is 2^(e - 128) (the codebook holds twice the values); those below 2^-126 count as none.
INLINE void mxfp4_head(const uint8_t *p, int64_t stride, head_32 *h) {
    ivec exponent = veci_and(veci_load1(p, stride), veci_set1(255));
    exponent = veci_max(veci_sub(exponent, veci_set1(1)), veci_zero());
    h->d[0] = veci_as_float(veci_shl(exponent, 23));
}

INLINE void mxfp4_part(const uint8_t *p, int64_t stride, int part, const head_32 *h, ivec codes[8]) {
    (void)part, (void)h;
    look_up_nibbles(p + 1, stride, e2m1_table(), codes);
}

// ------------------------------------------------------------------------- blocks of several times 32

// Half the value of a byte's unsigned float of 4 exponent and 3 mantissa bits; 127 counts as 0, but 255,
// whose top bit is ignored, does not.
INLINE vec small_float(ivec bits) {
    ivec magnitude = veci_and(bits, veci_set1(127));
    vec number = veci_to_float(magnitude), byte = veci_to_float(veci_and(bits, veci_set1(255)));
    vec normal = veci_as_float(veci_add(veci_shl(magnitude, 20), veci_set1(119 << 23)));
    vec some = vec_where_less(number, vec_set1(8.0f), vec_mul(number, vec_set1(0x1p-10f)), normal);
    vec below = vec_where_less(number, vec_set1(127.0f), some, vec_set1(0.0f));
    return vec_where_less(byte, vec_set1(128.0f), below, some);
}

INLINE void nvfp4_head(const uint8_t *p, int64_t stride, head_32 *h) {
    ivec scales = veci_load1(p, stride);
    for (int i = 0; i < 4; i++)
        h->d[i] = small_float(veci_shr(scales, 8 * i));
}

INLINE void nvfp4_part(const uint8_t *p, int64_t stride, int part, const head_32 *h, ivec codes[8]) {
    const ivec table = e2m1_table(), mask = veci_set1(LOW_NIBBLES);
    ivec bytes[4];
    (void)h;
    veci_load4(p + 4 + 16 * part, stride, bytes);
    for (int i = 0; i < 4; i++) {
        codes[i / 2 * 4 + i % 2] = veci_lookup(table, veci_and(bytes[i], mask));
        codes[i / 2 * 4 + i % 2 + 2] = veci_lookup(table, veci_and(veci_shr(bytes[i], 4), mask));
    }
}

// One scale for all parts.
#define Q1_0_PARTS 4
#define Q2_0_PARTS 2

INLINE void q1_0_head(const uint8_t *p, int64_t stride, head_32 *h) {
    vec d = veci_half(veci_load1(p, stride));
    for (int i = 0; i < Q1_0_PARTS; i++)
        h->d[i] = d;
    veci_load4(p + 2, stride, h->extra);
}

// Codes of 0 and 2.
INLINE void q1_0_part(const uint8_t *p, int64_t stride, int part, const head_32 *h, ivec codes[8]) {
    (void)p, (void)stride;
    for (int i = 0; i < 8; i++)
        codes[i] = veci_or_where(veci_bits(h->extra[part], i), veci_zero(), veci_set1(0x02020202));
}

INLINE void q2_0_head(const uint8_t *p, int64_t stride, head_32 *h) {
    vec d = veci_half(veci_load1(p, stride));
    for (int i = 0; i < Q2_0_PARTS; i++)
        h->d[i] = d;
    veci_load4(p + 2, stride, h->extra);
}

// A byte of a word, of four codes of two bits: a code in each byte, still two bits up in every other one.
INLINE ivec two_bit_codes(ivec word, int i) {
    ivec bytes = veci_bytes(word, i, i, i, i);
    return veci_or(veci_and(bytes, veci_set1(0x00000c03)),
                   veci_and(veci_shr(bytes, 4), veci_set1(0x0c030000)));
}

// What is looked up by them.
#define OF_TWO_BITS(a, b, c, d)                                                                              \
    { a, b, c, d, b, 0, 0, 0, c, 0, 0, 0, d, 0, 0, 0 }

INLINE void q2_0_part(const uint8_t *p, int64_t stride, int part, const head_32 *h, ivec codes[8]) {
    static const int8_t values[16] = OF_TWO_BITS(0, 1, 2, 3);
    (void)p, (void)stride;
    for (int i = 0; i < 8; i++)
        codes[i] = veci_lookup(veci_table(values), two_bit_codes(h->extra[2 * part + i / 4], i % 4));
}

#define q8_0_head   q4_0_head
#define iq4_nl_head q4_0_head

MANY_32(many_offset0_32, CODES_OFFSET, 0, 32)
MANY_32(many_offset3_32, CODES_OFFSET, 3, 32)
MANY_32(many_offset4_32, CODES_OFFSET, 4, 32)
MANY_32(many_offset4_32_16, CODES_OFFSET, 4, 16)
MANY_32(many_minimum_32, CODES_MINIMUM, 0, 32)
MANY_32(many_signed_32, CODES_SIGNED, 0, 32)

PRODUCT_32(q4_0, 1, CODES_OFFSET, 3, 32, many_offset3_32)
PRODUCT_32(q4_1, 1, CODES_MINIMUM, 0, 32, many_minimum_32)
PRODUCT_32(q5_0, 1, CODES_OFFSET, 4, 32, many_offset4_32)
PRODUCT_32(q5_1, 1, CODES_MINIMUM, 0, 32, many_minimum_32)
PRODUCT_32(q8_0, 1, CODES_SIGNED, 0, 32, many_signed_32)
PRODUCT_32(iq4_nl, 1, CODES_SIGNED, 0, 32, many_signed_32)
PRODUCT_32(mxfp4, 1, CODES_OFFSET, 4, 32, many_offset4_32)
PRODUCT_32(nvfp4, 2, CODES_OFFSET, 4, 16, many_offset4_32_16)
PRODUCT_32(q1_0, Q1_0_PARTS, CODES_OFFSET, 0, 32, many_offset0_32)
PRODUCT_32(q2_0, Q2_0_PARTS, CODES_OFFSET, 0, 32, many_offset0_32)
