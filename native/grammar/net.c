#include "grammar/net.h"

#include "text/heap.h"

// A part that is still to be built: what `node` matches leads from one state to another.
typedef struct task {
    uint32_t node, from, to;
    uint32_t rule;
} task;

typedef struct construction {
    const ir *g;
    analysis *a;
    rx_pool *p;
    net *n;
    task *tasks;
    size_t n_tasks, tasks_capacity;
    uint32_t *rule_of; // of each of the grammar's rules: ANALYSE_NONE until it is needed
    bool failed;
} construction;

static uint32_t add_state(construction *c, uint32_t rule) {
    if (!mem_reserve(c->n->mem, &c->n->states, &c->n->states_capacity, c->n->n_states + 2,
                     sizeof *c->n->states)) {
        c->failed = true;
        return 0;
    }
    c->n->states[c->n->n_states] = (net_state){.rule = rule};
    return (uint32_t)c->n->n_states++;
}

static void add_edge(construction *c, edge_kind kind, uint32_t arg, uint32_t from, uint32_t to) {
    if (!mem_reserve(c->n->mem, &c->n->edges, &c->n->edges_capacity, c->n->n_edges + 1,
                     sizeof *c->n->edges)) {
        c->failed = true;
        return;
    }
    c->n->edges[c->n->n_edges++] = (net_edge){(uint8_t)kind, arg, to, from};
}

static void add_lexeme(construction *c, rx x, uint32_t from, uint32_t to) {
    if (x == RX_EMPTY)
        add_edge(c, EDGE_EMPTY, 0, from, to);
    else if (rx_live(c->p, x))
        add_edge(c, EDGE_LEXEME, x, from, to);
}

static void add_task(construction *c, uint32_t node, uint32_t from, uint32_t to, uint32_t rule) {
    if (c->a->shortest[node] == RX_INF && !c->a->regular[node])
        return; // nothing matches it
    if (!mem_reserve(c->n->mem, &c->tasks, &c->tasks_capacity, c->n_tasks + 1, sizeof *c->tasks)) {
        c->failed = true;
        return;
    }
    c->tasks[c->n_tasks++] = (task){node, from, to, rule};
}

// A rule with its first and last states, and the one between rounds.
static uint32_t add_rule(construction *c, net_rule rule) {
    net *n = c->n;
    if (!mem_reserve(n->mem, &n->rules, &n->rules_capacity, n->n_rules + 1, sizeof *n->rules)) {
        c->failed = true;
        return 0;
    }
    uint32_t number = (uint32_t)n->n_rules++;
    rule.start = add_state(c, number);
    rule.end = add_state(c, number);
    rule.round = rule.kind == RULE_PLAIN ? rule.start : add_state(c, number);
    rule.nullable = rule.shortest == 0;
    if (c->failed)
        return 0;
    n->states[rule.end].final = true;
    n->rules[number] = rule;
    return number;
}

static uint32_t rule_for(construction *c, uint32_t name) {
    if (c->rule_of[name] != ANALYSE_NONE)
        return c->rule_of[name];
    uint32_t body = c->g->rules[name].body;
    uint32_t number =
        add_rule(c, (net_rule){.kind = RULE_PLAIN, .name = name, .shortest = c->a->shortest[body]});
    c->rule_of[name] = number;
    if (!c->failed)
        add_task(c, body, c->n->rules[number].start, c->n->rules[number].end, number);
    return number;
}

static void build_sequence(construction *c, const ir_node *x, const task *t) {
    const uint32_t *words = ir_children(c->g, x);
    uint32_t from = t->from;
    for (uint32_t i = 0; i < x->n && !c->failed;) {
        rx x_term = RX_EMPTY;
        uint32_t end = i;
        while (end < x->n && c->a->regular[words[end]])
            end++;
        if (end == i) {
            end = i + 1;
        } else {
            for (uint32_t k = end; k-- > i;)
                x_term = rx_cat(c->p, c->a->terms[words[k]], x_term);
        }
        bool term = c->a->regular[words[i]];
        if (term && x_term == RX_EMPTY && (i > 0 || end < x->n)) {
            i = end;
            if (i == x->n)
                add_edge(c, EDGE_EMPTY, 0, from, t->to);
            continue;
        }
        uint32_t to = end == x->n ? t->to : add_state(c, t->rule);
        if (term)
            add_lexeme(c, x_term, from, to);
        else
            add_task(c, words[i], from, to, t->rule);
        from = to;
        i = end;
    }
    if (x->n == 0)
        add_edge(c, EDGE_EMPTY, 0, t->from, t->to);
}

static void build_choice(construction *c, const ir_node *x, const task *t) {
    const uint32_t *words = ir_children(c->g, x);
    size_t base = c->p->n_scratch;
    for (uint32_t i = 0; i < x->n; i++) {
        if (c->a->regular[words[i]])
            rx_push(c->p, c->a->terms[words[i]]);
        else
            add_task(c, words[i], t->from, t->to, t->rule);
    }
    add_lexeme(c, rx_or_at(c->p, base), t->from, t->to);
}

static void build_count(construction *c, uint32_t child, uint32_t min, const ir_node *x, const task *t) {
    uint32_t each = c->a->shortest[child];
    uint32_t number = add_rule(c, (net_rule){.kind = RULE_COUNT,
                                             .min = min,
                                             .max = x->max,
                                             .each = each,
                                             .shortest = min == 0 ? 0 : c->a->shortest[t->node],
                                             .name = c->n->rules[t->rule].name});
    uint32_t begin = add_state(c, number), end = add_state(c, number);
    if (c->failed)
        return;
    net_rule rule = c->n->rules[number];
    add_edge(c, EDGE_EMPTY, 0, rule.start, rule.round);
    add_edge(c, EDGE_ROUND, 0, rule.round, begin);
    if (each == 0) { // empty rounds would all be counted at once
        uint32_t some = add_rule(c, (net_rule){.kind = RULE_PLAIN, .name = rule.name});
        add_edge(c, EDGE_SOME, some, begin, end);
        add_task(c, child, c->n->rules[some].start, c->n->rules[some].end, some);
    } else {
        add_task(c, child, begin, end, number);
    }
    add_edge(c, EDGE_COUNT, 0, end, rule.round);
    add_edge(c, EDGE_ENOUGH, 0, rule.round, rule.end);
    add_edge(c, EDGE_CALL, number, t->from, t->to);
}

static void build_repeat(construction *c, const ir_node *x, const task *t) {
    uint32_t child = ir_children(c->g, x)[0];
    uint32_t min = c->a->shortest[child] == 0 ? 0 : x->min; // rounds may be empty
    if (x->max == 0 || c->a->shortest[child] == RX_INF) {
        add_edge(c, EDGE_EMPTY, 0, t->from, t->to);
    } else if (x->max == 1) {
        if (min == 0)
            add_edge(c, EDGE_EMPTY, 0, t->from, t->to);
        add_task(c, child, t->from, t->to, t->rule);
    } else if (x->max == IR_UNBOUNDED && min <= 1) {
        // With at least one round the end is reached from behind a round alone.
        uint32_t loop = add_state(c, t->rule), end = min == 0 ? loop : add_state(c, t->rule);
        add_edge(c, EDGE_EMPTY, 0, t->from, loop);
        add_task(c, child, loop, end, t->rule);
        if (end != loop)
            add_edge(c, EDGE_EMPTY, 0, end, loop);
        add_edge(c, EDGE_EMPTY, 0, end, t->to);
    } else {
        build_count(c, child, min, x, t);
    }
}

// Copies what matchers need to know of a set; returns its number.
static uint32_t copy_set(construction *c, const ir_node *x) {
    net *n = c->n;
    const uint32_t *words = ir_children(c->g, x);
    if (!mem_reserve(n->mem, &n->sets, &n->sets_capacity, n->n_sets + 1, sizeof *n->sets) ||
        !mem_reserve(n->mem, &n->members, &n->members_capacity, n->n_members + x->n, sizeof *n->members)) {
        c->failed = true;
        return 0;
    }
    for (uint32_t i = 0; i < x->n; i++)
        n->members[n->n_members + i] = (set_member){words[2 + 2 * i], c->a->shortest[words[1 + 2 * i]]};
    n->n_members += x->n;
    n->sets[n->n_sets] = members_of(NULL, x, c->a->shortest[words[0]]);
    return (uint32_t)n->n_sets++;
}

static void build_set(construction *c, const ir_node *x, const task *t) {
    const uint32_t *words = ir_children(c->g, x);
    uint32_t set = copy_set(c, x);
    uint32_t number = add_rule(c, (net_rule){.kind = RULE_SET,
                                             .set = set,
                                             .shortest = c->a->shortest[t->node],
                                             .name = c->n->rules[t->rule].name});
    uint32_t next = add_state(c, number), choose = add_state(c, number);
    if (c->failed)
        return;
    net_rule rule = c->n->rules[number];
    add_edge(c, EDGE_EMPTY, 0, rule.start, rule.round);
    add_edge(c, EDGE_DONE, 0, rule.round, rule.end);
    add_edge(c, EDGE_FIRST, 0, rule.round, choose);
    add_edge(c, EDGE_NEXT, 0, rule.round, next);
    c->n->rules[number].choose = choose;
    if (c->a->regular[words[0]]) {
        add_task(c, words[0], next, choose, number);
    } else if (c->a->shortest[words[0]] !=
               RX_INF) { // a rule, so that no state of the set's own lies inside of it
        uint32_t between = add_rule(c, (net_rule){.name = rule.name, .shortest = c->a->shortest[words[0]]});
        add_edge(c, EDGE_CALL, between, next, choose);
        add_task(c, words[0], c->n->rules[between].start, c->n->rules[between].end, between);
    }
    for (uint32_t i = 0; i < x->n && !c->failed; i++) {
        if (c->a->shortest[words[1 + 2 * i]] == RX_INF)
            continue;
        uint32_t begin = add_state(c, number);
        add_edge(c, EDGE_TAKE, i, choose, begin);
        add_task(c, words[1 + 2 * i], begin, rule.round, number);
    }
    add_edge(c, EDGE_CALL, number, t->from, t->to);
}

static void build_tag(construction *c, const ir_node *x, const task *t) {
    uint32_t begin = add_state(c, t->rule), end = add_state(c, t->rule);
    add_edge(c, EDGE_ENTER, x->min, t->from, begin);
    add_task(c, ir_children(c->g, x)[0], begin, end, t->rule);
    add_edge(c, EDGE_LEAVE, x->min, end, t->to);
    c->n->tagged = true;
}

static void build_tokens(construction *c, const ir_node *x, const task *t) {
    net *n = c->n;
    if (!mem_reserve(n->mem, &n->token_sets, &n->token_sets_capacity, n->n_token_sets + 1,
                     sizeof *n->token_sets) ||
        !mem_reserve(n->mem, &n->words, &n->words_capacity, n->n_words + 2 * x->n, sizeof *n->words)) {
        c->failed = true;
        return;
    }
    if (x->n > 0)
        memcpy(n->words + n->n_words, ir_children(c->g, x), 2 * x->n * sizeof *n->words);
    n->token_sets[n->n_token_sets] = (token_set){(uint32_t)n->n_words, x->n, x->negated};
    n->n_words += 2 * x->n;
    add_edge(c, EDGE_TOKENS, (uint32_t)n->n_token_sets++, t->from, t->to);
}

static void build_one(construction *c, task t) {
    const ir_node *x = &c->g->nodes[t.node];
    if (c->a->regular[t.node]) {
        add_lexeme(c, c->a->terms[t.node], t.from, t.to);
        return;
    }
    switch (x->kind) {
    case IR_SEQUENCE:
        build_sequence(c, x, &t);
        break;
    case IR_CHOICE:
        build_choice(c, x, &t);
        break;
    case IR_REPEAT:
        build_repeat(c, x, &t);
        break;
    case IR_RULE:
        add_edge(c, EDGE_CALL, rule_for(c, x->first), t.from, t.to);
        break;
    case IR_TAG:
        build_tag(c, x, &t);
        break;
    case IR_SET:
        build_set(c, x, &t);
        break;
    default: // IR_TOKENS: others are regular, or refused
        build_tokens(c, x, &t);
        break;
    }
}

// Puts the edges of each state together.
static bool sort_edges(net *n) {
    net_edge *sorted = mem_alloc(n->mem, n->n_edges + 1, sizeof *sorted);
    if (!sorted)
        return false;
    n->states[n->n_states] = (net_state){0};
    for (size_t i = 0; i < n->n_edges; i++)
        n->states[n->edges[i].state + 1].first_edge++;
    for (size_t i = 1; i <= n->n_states; i++)
        n->states[i].first_edge += n->states[i - 1].first_edge;
    for (size_t i = n->n_edges; i-- > 0;) {
        net_state *after = &n->states[n->edges[i].state + 1];
        sorted[--after->first_edge] = n->edges[i];
    }
    // Every count slid to its state's first edge, one state too high.
    for (size_t i = 0; i < n->n_states; i++)
        n->states[i].first_edge = n->states[i + 1].first_edge;
    n->states[n->n_states].first_edge = (uint32_t)n->n_edges;
    mem_free(n->mem, n->edges);
    n->edges = sorted;
    return true;
}

static uint32_t edge_length(const net *n, rx_pool *p, const net_edge *e) {
    return e->kind == EDGE_LEXEME   ? rx_shortest(p, e->arg)
           : e->kind == EDGE_CALL   ? n->rules[e->arg].shortest
           : e->kind == EDGE_SOME   ? 1
           : e->kind == EDGE_TOKENS ? 1
                                    : 0;
}

// The shortest way from each state to its rule's end, from the ends back (Dijkstra), and which states lead
// there without a choice.
static bool find_rests(net *n, rx_pool *p) {
    heap queue = {NULL, 0, 0};
    uint32_t *first = mem_alloc(n->mem, n->n_states + 2, sizeof *first);
    uint32_t *back = mem_alloc(n->mem, n->n_edges + 1, sizeof *back);
    bool room = first && back;
    for (size_t i = 0; i < n->n_edges && room; i++)
        first[n->edges[i].target + 2]++;
    for (size_t i = 2; i < n->n_states + 2 && room; i++)
        first[i] += first[i - 1];
    for (size_t i = 0; i < n->n_edges && room; i++)
        back[first[n->edges[i].target + 1]++] = (uint32_t)i;
    for (uint32_t i = 0; i < n->n_states && room; i++) {
        n->states[i].rest = RX_INF;
        n->states[i].tail = n->states[i].final;
        if (n->states[i].final)
            room = heap_push(&queue, n->mem, i);
    }
    while (room && queue.n > 0) {
        uint64_t top = heap_pop(&queue);
        uint32_t state = (uint32_t)top;
        if (n->states[state].rest != RX_INF)
            continue;
        n->states[state].rest = (uint32_t)(top >> 32);
        for (uint32_t i = first[state]; i < first[state + 1] && room; i++) {
            const net_edge *e = &n->edges[back[i]];
            net_state *from = &n->states[e->state];
            bool only = from[1].first_edge == from->first_edge + 1 && e->kind == EDGE_EMPTY;
            from->tail = from->tail || (only && n->states[state].tail);
            uint64_t length = (top >> 32) + edge_length(n, p, e);
            if (from->rest == RX_INF && length < RX_INF)
                room = heap_push(&queue, n->mem, length << 32 | e->state);
        }
    }
    mem_free(n->mem, first);
    mem_free(n->mem, back);
    mem_free(n->mem, queue.items);
    return room;
}

// Members have their place now; names are copied, since the builder may go.
static bool finish(const ir *g, net *n) {
    size_t at = 0;
    for (size_t i = 0; i < n->n_sets; i++) {
        n->sets[i].members = n->members + at;
        at += n->sets[i].n;
    }
    n->name = mem_alloc(n->mem, g->n_rules + 1, sizeof *n->name);
    size_t size = 0;
    for (size_t i = 0; i < g->n_rules; i++)
        size += g->rules[i].name_size;
    n->names = mem_alloc(n->mem, size, 1);
    if (!n->name || !n->names)
        return false;
    uint32_t end = 0;
    for (size_t i = 0; i < g->n_rules; i++) {
        memcpy(n->names + end, g->bytes + g->rules[i].name, g->rules[i].name_size);
        end += g->rules[i].name_size;
        n->name[i + 1] = end;
    }
    return true;
}

uint32_t net_rest(const net *n, uint32_t state, uint32_t data, const uint32_t *taken) {
    const net_state *s = &n->states[state];
    const net_rule *rule = &n->rules[s->rule];
    uint64_t rest = s->rest, more = 0;
    if (rule->kind == RULE_PLAIN || s->final)
        return s->rest;
    if (rule->kind == RULE_COUNT) {
        uint32_t done = state == rule->round || state == rule->start ? data : data + 1;
        more = done < rule->min ? (uint64_t)(rule->min - done) * rule->each : 0;
    } else {
        more = members_shortest(&n->sets[rule->set], taken, state == rule->choose);
        rest = state == rule->choose ? 0 : rest;
    }
    return rest + more >= RX_INF ? RX_INF - 1 : (uint32_t)(rest + more);
}

ingot_str net_rule_name(const net *n, uint32_t rule) {
    uint32_t name = n->rules[rule].name;
    if (name == ANALYSE_NONE)
        return (ingot_str){"(root)", 6};
    return (ingot_str){n->names + n->name[name], n->name[name + 1] - n->name[name]};
}

bool net_has_token(const net *n, uint32_t set, int32_t token, bool ends) {
    const token_set *s = &n->token_sets[set];
    const uint32_t *words = n->words + s->first;
    uint32_t low = 0, high = s->n; // the first range that doesn't end before the token
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        if (words[2 * middle + 1] < (uint32_t)token)
            low = middle + 1;
        else
            high = middle;
    }
    const bool found = low < s->n && words[2 * low] <= (uint32_t)token;
    return s->negated ? !found && !ends : found;
}

void net_free(net *n) {
    mem_free(n->mem, n->edges);
    mem_free(n->mem, n->states);
    mem_free(n->mem, n->rules);
    mem_free(n->mem, n->sets);
    mem_free(n->mem, n->members);
    mem_free(n->mem, n->token_sets);
    mem_free(n->mem, n->words);
    mem_free(n->mem, n->names);
    mem_free(n->mem, n->name);
    *n = (net){.mem = n->mem};
}

ingot_status net_build(const ir *g, uint32_t root, analysis *a, rx_pool *pool, net *out, ingot_error *err) {
    *out = (net){.mem = g->mem};
    construction c = {.g = g, .a = a, .p = pool, .n = out};
    c.rule_of = mem_alloc(g->mem, g->n_rules, sizeof *c.rule_of);
    c.failed = c.rule_of == NULL;
    if (!c.failed) {
        memset(c.rule_of, 0xff, g->n_rules * sizeof *c.rule_of);
        uint32_t number =
            add_rule(&c, (net_rule){.kind = RULE_PLAIN, .name = ANALYSE_NONE, .shortest = a->shortest[root]});
        if (!c.failed)
            add_task(&c, root, out->rules[number].start, out->rules[number].end, number);
    }
    while (c.n_tasks > 0 && !c.failed && pool->status == INGOT_OK)
        build_one(&c, c.tasks[--c.n_tasks]);
    bool done =
        !c.failed && pool->status == INGOT_OK && sort_edges(out) && find_rests(out, pool) && finish(g, out);
    mem_free(g->mem, c.tasks);
    mem_free(g->mem, c.rule_of);
    if (pool->status == INGOT_ERR_LIMIT)
        return fail(err, INGOT_ERR_LIMIT, "the grammar's regular parts have more than %zu states",
                    pool->max_nodes);
    return done ? INGOT_OK : fail_memory(err, out->n_edges * sizeof *out->edges, "a grammar's network");
}
