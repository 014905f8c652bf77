// File types and recipes, against what llama-quantize chooses: tests/golden/recipes/*.txt, or the files named
// on the command line. Their form stands in tests/golden/make_recipes.py.
#include <stdlib.h>
#include <strings.h>

#include "check.h"
#include "quantize/recipe.h"
#include "quantize/roles.h"

enum { MAX_TENSORS = 2048, MAX_TYPES = 64 };

typedef struct table {
    const char *path;
    char arch[32];
    recipe_model model;
    recipe_tensor tensors[MAX_TENSORS]; // as the file orders them
    size_t n_tensors;
    int32_t types[MAX_TYPES];
    size_t n_types;
    int n_mixes;
} table;

static int32_t type_id(const char *name) {
    const quant_type *type = quant_type_find(name);
    CHECK(type != NULL);
    return type ? type->id : 0;
}

static void read_tensor(table *t, char *line) {
    recipe_tensor *tensor = &t->tensors[t->n_tensors++];
    *tensor = (recipe_tensor){.shape = {1, 1, 1, 1}};
    tensor->name = strdup(strtok(line, " "));
    tensor->from = type_id(strtok(NULL, " "));
    char *shape = strtok(NULL, " ");
    for (int i = 0; i < 4 && shape && *shape; i++) {
        tensor->shape[i] = strtoull(shape, &shape, 10);
        shape += *shape == 'x';
    }
}

static int by_name(const void *a, const void *b) {
    return recipe_compare((*(const recipe_tensor *const *)a)->name, (*(const recipe_tensor *const *)b)->name);
}

// Compares the types that the recipe chooses with a line's.
static void check_mix(table *t, char *line) {
    static recipe_tensor *order[MAX_TENSORS];
    static recipe_tensor sorted[MAX_TENSORS];
    char *mix = strtok(line, " "), *imatrix = strchr(mix, '+');
    if (imatrix)
        *imatrix = '\0';
    const filetype *target = filetype_find(mix);
    CHECK(target != NULL);
    if (!target)
        return;
    recipe_options options = {.target = target,
                              .imatrix = imatrix != NULL,
                              .output_type = RECIPE_NO_TYPE,
                              .embedding_type = RECIPE_NO_TYPE};
    for (size_t i = 0; i < t->n_tensors; i++)
        order[i] = &t->tensors[i];
    qsort(order, t->n_tensors, sizeof *order, by_name);
    for (size_t i = 0; i < t->n_tensors; i++)
        sorted[i] = *order[i];
    ingot_error err = {0};
    ingot_status status = recipe_apply(&t->model, &options, sorted, t->n_tensors, &err);
    t->n_mixes++;
    char *run = strtok(NULL, " ");
    if (strcmp(run, "error") == 0) {
        CHECK(status == INGOT_ERR_INVALID);
        return;
    }
    CHECK(status == INGOT_OK);
    for (size_t i = 0; i < t->n_tensors; i++)
        order[i]->to = sorted[i].to;
    size_t at = 0;
    for (; run; run = strtok(NULL, " ")) {
        size_t type = strtoul(run, &run, 10);
        for (size_t n = strtoul(run + 1, NULL, 10); n > 0; n--, at++) {
            const recipe_tensor *found = &t->tensors[at];
            CHECK(found->to == t->types[type]);
            if (found->to != t->types[type])
                fprintf(stderr, "%s: %s%s: %s is %s, expected %s\n", t->path, mix, imatrix ? "+imatrix" : "",
                        found->name, quant_type_get(found->to)->name, quant_type_get(t->types[type])->name);
        }
    }
    CHECK(at == t->n_tensors);
}

static void check_file(const char *path) {
    static table t;
    t = (table){.path = path};
    FILE *f = fopen(path, "r");
    CHECK(f != NULL);
    if (!f)
        return;
    static char line[1 << 16];
    while (fgets(line, sizeof line, f)) {
        line[strcspn(line, "\n")] = '\0';
        char *rest = strchr(line, ' ') + 1;
        if (strncmp(line, "model ", 6) == 0) {
            CHECK(sscanf(rest, "%31s %u %u %u %u", t.arch, &t.model.n_layer, &t.model.n_head,
                         &t.model.n_head_kv, &t.model.n_expert) == 5);
            t.model.arch = t.arch;
        } else if (strncmp(line, "tensor ", 7) == 0) {
            read_tensor(&t, rest);
        } else if (strncmp(line, "types ", 6) == 0) {
            for (char *name = strtok(rest, " "); name; name = strtok(NULL, " "))
                t.types[t.n_types++] = type_id(name);
        } else {
            check_mix(&t, rest);
        }
    }
    fclose(f);
    CHECK(t.n_mixes >= 50);
    for (size_t i = 0; i < t.n_tensors; i++)
        free((char *)(uintptr_t)t.tensors[i].name);
}

static void test_names(void) {
    CHECK(filetype_find("q4_k_m")->id == 15);
    CHECK(filetype_find("Q4_K") == filetype_find("15"));
    CHECK(filetype_find("q3_k")->id == FILETYPE_Q3_K_M && filetype_find("Q5_k")->id == FILETYPE_Q5_K_M);
    CHECK(filetype_find("0")->id == FILETYPE_F32);
    CHECK(filetype_find("copy")->id == FILETYPE_COPY);
    static const char *const wrong[] = {"", "Q4_2", "4", "-1", "Q4_K_XL", "15x", "99999999999"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        CHECK(filetype_find(wrong[i]) == NULL);
    for (int32_t i = 0; filetype_at(i); i++) {
        CHECK(filetype_find(filetype_at(i)->name) == filetype_at(i));
        CHECK(quant_type_get(filetype_at(i)->base) != NULL);
    }
    CHECK(filetype_of_tensor_type(QUANT_Q4_K) == FILETYPE_Q4_K_M);
    CHECK(filetype_of_tensor_type(QUANT_IQ2_XS) == FILETYPE_IQ2_XS);
    CHECK(filetype_of_tensor_type(QUANT_I32) == FILETYPE_F32);
}

static void test_order(void) {
    CHECK(recipe_compare("token_embd.weight", "blk.0.attn_k.weight") < 0);
    CHECK(recipe_compare("blk.10.attn_k.weight", "blk.9.attn_k.weight") > 0);
    CHECK(recipe_compare("blk.9.attn_k.weight", "blk.9.attn_q.weight") < 0);
    CHECK(role_layer("blk.12.x") == 12 && role_layer("blk.x") == -1 && role_layer("dec.blk.1.x") == -1);
}

static int32_t wish_for_values(void *user, const char *name) {
    (void)user;
    return strstr(name, "attn_v") ? QUANT_Q5_1 : RECIPE_NO_TYPE;
}

// What options change, on a model of one layer.
static void test_options(void) {
    enum { EMBD, OUTPUT, NORM, ROUTER, VALUES, DOWN, COUNT };
    recipe_tensor t[COUNT] = {{"token_embd.weight", {256, 64, 1, 1}, QUANT_F16, 0, 0, false},
                              {"output.weight", {256, 64, 1, 1}, QUANT_F16, 0, 0, false},
                              {"blk.0.attn_norm.weight", {256, 1, 1, 1}, QUANT_F32, 0, 0, false},
                              {"blk.0.ffn_gate_inp.weight", {256, 8, 1, 1}, QUANT_F32, 0, 0, false},
                              {"blk.0.attn_v.weight", {256, 256, 1, 1}, QUANT_F16, 0, 0, false},
                              {"blk.0.ffn_down.weight", {250, 256, 1, 1}, QUANT_F16, 0, 0, false}};
    recipe_model model = {"llama", 1, 0, 4, 4, 0};
    recipe_options o = {.target = filetype_find("Q4_K_M"),
                        .output_type = QUANT_Q8_0,
                        .embedding_type = QUANT_Q4_0,
                        .wish = wish_for_values};
    ingot_error err = {0};
    CHECK(recipe_apply(&model, &o, t, COUNT, &err) == INGOT_OK);
    CHECK(t[EMBD].to == QUANT_Q4_0 && t[OUTPUT].to == QUANT_Q8_0 && t[VALUES].to == QUANT_Q5_1);
    CHECK(t[NORM].to == QUANT_F32 && t[ROUTER].to == QUANT_F32);
    CHECK(t[DOWN].wanted == QUANT_Q6_K && t[DOWN].to == QUANT_F16); // 32 doesn't divide 250 either

    o = (recipe_options){.target = filetype_find("Q2_K_S"), .output_type = -1, .embedding_type = -1};
    CHECK(recipe_apply(&model, &o, t, COUNT, &err) == INGOT_OK);
    CHECK(t[VALUES].to == QUANT_Q2_K && t[VALUES].needs_importance && !t[EMBD].needs_importance);
    o.pure = o.leave_output = true;
    CHECK(recipe_apply(&model, &o, t, COUNT, &err) == INGOT_OK);
    CHECK(t[EMBD].to == QUANT_Q2_K && t[OUTPUT].to == QUANT_F16);
    o.target = filetype_find("COPY");
    CHECK(recipe_apply(&model, &o, t, COUNT, &err) == INGOT_OK);
    for (int i = 0; i < COUNT; i++)
        CHECK(t[i].to == t[i].from && !t[i].needs_importance);
    o.target = filetype_find("Q1_0");
    CHECK(recipe_apply(&model, &o, t, COUNT, &err) == INGOT_ERR_INVALID);
    CHECK_CONTAINS(err.message, "blk.0.ffn_down.weight");
    CHECK_CONTAINS(err.message, "--tensor-type");
}

// Whatever its shape, a model's matrices keep what the rules say of names.
static void test_kept(void) {
    static const uint64_t matrix[4] = {256, 256, 1, 1}, vector[4] = {256, 1, 1, 1};
    CHECK(role_quantizable("llama", "blk.0.ffn_up.weight", matrix));
    CHECK(!role_quantizable("llama", "blk.0.ffn_up.weight", vector));
    CHECK(!role_quantizable("llama", "blk.0.ffn_up.bias", matrix));
    CHECK(!role_quantizable("gpt2", "position_embd.weight", matrix));
    CHECK(!role_quantizable("mamba", "blk.0.ssm_conv1d.weight", matrix));
    CHECK(role_quantizable("deepseek2", "blk.0.attn_k_b.weight", matrix));
    CHECK(!role_quantizable("glm5-next", "blk.0.attn_k_b.weight", matrix));
}

int main(int argc, char **argv) {
    static const char *const own[] = {"tests/golden/recipes/llama_odd_320_352_9L.txt",
                                      "tests/golden/recipes/llama_tied_20L_gqa2.txt",
                                      "tests/golden/recipes/mixtral_8x_16L_gqa4.txt"};
    test_names();
    test_order();
    test_options();
    test_kept();
    for (size_t i = 0; argc == 1 && i < sizeof own / sizeof *own; i++)
        check_file(own[i]);
    for (int i = 1; i < argc; i++)
        check_file(argv[i]);
    return check_report();
}
