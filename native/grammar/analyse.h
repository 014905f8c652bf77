// What is known of a grammar's nodes before it is compiled.
#ifndef INGOT_GRAMMAR_ANALYSE_H
#define INGOT_GRAMMAR_ANALYSE_H

#include "grammar/ir.h"
#include "grammar/members.h"
#include "grammar/rx.h"

#define ANALYSE_NONE UINT32_MAX

typedef struct analysis {
    const ir *g;
    const ingot_allocator *mem;
    bool *reached;       // of each node: whether the root needs it
    bool *regular;       // neither recursive nor made of tokens, tags, sets
    rx *terms;           // of regular nodes; else ANALYSE_NONE
    table classes;       // nodes of kind IR_CLASS that have a term
    set_member *members; // room for those of one set
    uint32_t *shortest;  // bytes, or tokens, of the shortest text; RX_INF: there is none
} analysis;

// Looks at everything that can be reached from `root`. INGOT_ERR_INVALID names undefined rules, and
// intersections and complements of what isn't regular.
ingot_status analyse(const ir *g, uint32_t root, rx_pool *pool, analysis *out, ingot_error *err);
void analysis_free(analysis *a);

// The i-th node below a node, a rule's body being below its references; ANALYSE_NONE past the last.
uint32_t node_child(const ir *g, const ir_node *node, uint32_t i);

// Sets reached[i] for every node at or below `root`; the others must be false. False when memory is
// exhausted.
bool analyse_reach(const ir *g, uint32_t root, bool *reached);

#endif
