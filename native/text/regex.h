// Regular expressions that split a text, in time linear in the text whatever the expression.
//
// Syntax: alternation, groups (...) (?:...) (?i:...), look-ahead (?=...) (?!...), `.`, `$` (end of the
// piece), classes with ranges, negation and intersection [a&&[^b]], \p{L} \P{L} and every other general
// category, \p{Han}, \s \S \d \D \r \n \t, quantifiers * + ? {n} {m,n} {m,}, and the possessive *+ ++ ?+ of a
// single class. (?i:...) folds ASCII letters. Not there: captures, back references, lazy quantifiers,
// repetition of what may be empty.
//
// How: the expression becomes a small program of a backtracking matcher, but nothing is ever tried in vain.
// A first pass runs right to left through a finite automaton whose state at a position is the set of program
// steps from which a match can be completed there (look-ahead is part of the same set). The second pass walks
// left to right and at every choice takes the first branch that is in the set: the match that backtracking
// would find, without going back. The automaton is built when the expression is compiled, so a regex is
// constant afterwards and may be shared by threads.
#ifndef INGOT_TEXT_REGEX_H
#define INGOT_TEXT_REGEX_H

#include "base/mem.h"
#include "base/status.h"

typedef struct regex regex;

// Compiles the NUL-terminated `pattern` (UTF-8). INGOT_ERR_FORMAT names what is wrong and where,
// INGOT_ERR_LIMIT says that the automaton became too big.
ingot_status regex_new(const char *pattern, const ingot_allocator *mem, regex **out, ingot_error *err);
void regex_free(regex *r, const ingot_allocator *mem);

// Memory that regex_split works in: `classes` of `size` bytes and `states` of `size + 1` items, not kept.
typedef struct regex_scratch {
    uint8_t *classes;
    uint16_t *states;
} regex_scratch;

// Splits every piece of `text` (`size` bytes) at the matches of `r`: the pieces become the matches and what
// lies between them. cuts[i] is 1 where a piece begins and 0 elsewhere, [size] items; cuts[0] must be set.
// Bytes that aren't UTF-8 count as one U+FFFD each.
void regex_split(const regex *r, const char *text, size_t size, uint8_t *cuts, const regex_scratch *scratch);

#endif
