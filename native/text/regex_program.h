// What a compiled expression consists of: shared by regex_parse.c (pattern to program) and regex.c.
#ifndef INGOT_TEXT_REGEX_PROGRAM_H
#define INGOT_TEXT_REGEX_PROGRAM_H

#include "text/regex.h"
#include "text/unicode.h"

#define REGEX_MAX_STEPS  2048 // jais-2 needs half of them for its runs of 512 spaces
#define REGEX_MAX_SETS   48   // character sets of an expression: bits of a uint64_t
#define REGEX_MAX_RANGES 512

typedef enum regex_op {
    REGEX_SET,      // takes a character of set `x`, goes on with the next step
    REGEX_FORK,     // tries `x`, then `y`
    REGEX_JUMP,     // goes on with `x`
    REGEX_LOOK,     // goes on with `y` if `x` matches from here
    REGEX_LOOK_NOT, // goes on with `y` unless `x` matches from here
    REGEX_END,      // goes on with the next step at the end of the piece
    REGEX_MATCH,
} regex_op;

typedef struct regex_step {
    regex_op op;
    uint16_t x;
    uint16_t y;
} regex_step;

// Characters of one of the categories or ranges, or all others if `negated`; and, if `both` >= 0, only those
// that are in that set too.
typedef struct regex_set {
    uint32_t categories; // bits 1 << unicode_category
    uint16_t first_range;
    uint16_t n_ranges;
    bool negated;
    int both;
} regex_set;

// The program starts at step 0.
typedef struct regex_program {
    regex_step steps[REGEX_MAX_STEPS];
    uint16_t n_steps;
    regex_set sets[REGEX_MAX_SETS];
    int n_sets;
    unicode_range ranges[REGEX_MAX_RANGES];
    int n_ranges;
} regex_program;

// Fills `program` (zeroed by the caller) from `pattern`.
ingot_status regex_parse(const char *pattern, regex_program *program, ingot_error *err);

// Whether `set` has `cp`, whose category is given.
bool regex_set_has(const regex_program *program, const regex_set *set, uint32_t cp,
                   unicode_category category);

#endif
