// Properties of code points (Unicode 15.1), in the few forms that tokenizers need.
#ifndef INGOT_TEXT_UNICODE_H
#define INGOT_TEXT_UNICODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// General categories, in the order of unicode/make_tables.py.
typedef enum unicode_category {
    UNICODE_CN = 0,
    UNICODE_CC,
    UNICODE_CF,
    UNICODE_CO,
    UNICODE_CS,
    UNICODE_LL,
    UNICODE_LM,
    UNICODE_LO,
    UNICODE_LT,
    UNICODE_LU,
    UNICODE_MC,
    UNICODE_ME,
    UNICODE_MN,
    UNICODE_ND,
    UNICODE_NL,
    UNICODE_NO,
    UNICODE_PC,
    UNICODE_PD,
    UNICODE_PE,
    UNICODE_PF,
    UNICODE_PI,
    UNICODE_PO,
    UNICODE_PS,
    UNICODE_SC,
    UNICODE_SK,
    UNICODE_SM,
    UNICODE_SO,
    UNICODE_ZL,
    UNICODE_ZP,
    UNICODE_ZS,
    UNICODE_CATEGORIES,
} unicode_category;

#define UNICODE_MAX 0x10FFFFu

// Sets of categories as bits 1 << category.
#define UNICODE_BITS_C 0x0000001Fu // other, unassigned code points among them
#define UNICODE_BITS_L 0x000003E0u // letters
#define UNICODE_BITS_M 0x00001C00u // combining marks
#define UNICODE_BITS_N 0x0000E000u // numbers
#define UNICODE_BITS_P 0x007F0000u // punctuation
#define UNICODE_BITS_S 0x07800000u // symbols
#define UNICODE_BITS_Z 0x38000000u // separators

// A run of code points, both ends included.
typedef struct unicode_range {
    uint32_t first;
    uint32_t last;
} unicode_range;

// Code points past UNICODE_MAX count as unassigned.
unicode_category unicode_category_of(uint32_t cp);

// White_Space: what \s means in the tokenizers' expressions.
bool unicode_is_space(uint32_t cp);

// The i-th run of code points of one category: every code point is in exactly one run, in ascending order.
// False past the last.
bool unicode_category_run(size_t i, unicode_range *run, unicode_category *category);

// The runs of white space, and those of Han characters as tokenizers count them (ideograph blocks).
extern const unicode_range unicode_spaces[];
extern const size_t unicode_spaces_count;
extern const unicode_range unicode_han[];
extern const size_t unicode_han_count;

// The first code point of the lower case of `cp`, without regard to context.
uint32_t unicode_lower(uint32_t cp);

// The first code point of the canonical decomposition of `cp`.
uint32_t unicode_base(uint32_t cp);

#endif
