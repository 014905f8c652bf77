// Regular expressions that search short texts such as names, with the operating system's matcher behind them
// (text/regex.h splits texts and has no search).
//
// Syntax is that of ECMAScript as far as POSIX can say the same: alternation, groups (...) (?:...), `.`, ^,
// $, classes, \d \D \w \W \s \S, quantifiers * + ? {n} {m,n} {m,}, greedy or not. Look-around and back
// references are errors. Letters match in both cases.
#ifndef INGOT_BASE_PATTERN_H
#define INGOT_BASE_PATTERN_H

#include "base/mem.h"
#include "base/status.h"

typedef struct pattern pattern;

// Compiles `text`; INGOT_ERR_INVALID says what is wrong with it.
ingot_status pattern_new(const char *text, const ingot_allocator *mem, pattern **out, ingot_error *err);

// NULL is allowed.
void pattern_free(pattern *p);

// Whether the pattern matches somewhere in `text`.
bool pattern_found(const pattern *p, const char *text);

#endif
