/* SPDX-License-Identifier: Apache-2.0 */
/* Operations of our own for MXNet's engine on the CPU; see kernels.py. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "kernels.h"

int object2vec_isas_passed_over = 0, object2vec_refused = 0;

int object2vec_isa_of_cpu(void) {
    int best = NO_ISA;
#ifdef HAS_ISAS
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) best = AVX2;
    if (best == AVX2 && __builtin_cpu_supports("avx512f")) best = AVX512;
#endif
    const int allowed = AVX512 - object2vec_isas_passed_over;
    return best < allowed ? best : allowed;
}

typedef struct {
    float *weight, *mean, *variance;
} AdamElements; /* of the NDArrays in Arrays */

typedef struct {
    AdamElements elements;
    const float *gradient;
    int64_t size;
    float decay;
} Update;

typedef struct {
    Table table; /* with copies of its lists */
    AdamElements elements;
    const float *gradients[MOST_GRADIENTS];
} TableUpdate;

/* What is queued begins with the arrays that it holds; see `push`. */

typedef struct {
    Held held; /* of each parameter its arrays and its gradient, of each table likewise */
    AdamConstants constants;
    int64_t count, tables;
    Update *updates;
    TableUpdate *table_updates;
} Step;

typedef struct {
    Held held; /* weight, mean, variance */
    float epsilon;
    int64_t width, count;
    const int32_t *rows;  /* count */
    const float *factors; /* four times count: see deferred_adam.py */
} CatchUp;

typedef struct {
    const float *table;
    float *output;
    int64_t width, count;
    const int64_t *starts; /* count + 1 */
    const int32_t *tokens;
} Lookup;

typedef struct {
    Held held; /* table, output */
    Lookup lookup;
} QueuedLookup;

typedef struct {
    void (*move)(AdamElements elements, int64_t start, const float *gradient, int64_t count,
                 AdamConstants c, float decay);
    void (*catch_up_row)(AdamElements elements, int64_t start, int64_t count, float epsilon,
                         float total, float shrinking, float first, float second);
    void (*add_vectors)(float *sum, const TableUpdate *u, int64_t first, int64_t count,
                        int32_t start, int32_t end);
    void (*mean_of_rows)(const float *table, int64_t width, const int32_t *tokens, int64_t count,
                         int64_t left, float *mean);
} RowKernels;

#define ASK_FOR(elements, count, to_write)             \
    for (int64_t at = 0; at < (count); at += 16) {     \
        __builtin_prefetch((elements) + at, to_write); \
    }

#define FOR_EACH_ISA "rows.h"
#include "isa.h"

static void move_parameter(const RowKernels *simd, const Update *u, AdamConstants c) {
    const int64_t blocks = (u->size + BLOCK - 1) / BLOCK;
#pragma omp parallel for schedule(static) if (blocks > 1)
    for (int64_t block = 0; block < blocks; block++) {
        const int64_t start = block * BLOCK;
        const int64_t count = u->size - start < BLOCK ? u->size - start : BLOCK;
        simd->move(u->elements, start, u->gradient + start, count, c, u->decay);
    }
}

static void move_table(const RowKernels *simd, const TableUpdate *u, AdamConstants c) {
    const Table *t = &u->table;
    /* some rows are part of many vectors, most of one */
#pragma omp parallel for schedule(dynamic, 64) if (t->count * t->width > BLOCK)
    for (int64_t k = 0; k < t->count; k++) {
        float gradient[PART];
        const int64_t row = t->rows[k] * t->width;
        if (k + 1 < t->count) {
            const int64_t next = t->rows[k + 1] * t->width;
            ASK_FOR(u->elements.weight + next, t->width, 1);
            ASK_FOR(u->elements.mean + next, t->width, 1);
            ASK_FOR(u->elements.variance + next, t->width, 1);
        }
        for (int64_t first = 0; first < t->width; first += PART) {
            const int64_t count = t->width - first < PART ? t->width - first : PART;
            simd->add_vectors(gradient, u, first, count, t->starts[k], t->starts[k + 1]);
            simd->move(u->elements, row + first, gradient, count, c, t->decay);
        }
    }
}

/* Weight, mean and variance, the first of which is array `first`; 0 if one is refused. */
static int find(const Held *held, int64_t first, AdamElements *elements) {
    elements->weight = data_of(held, first);
    elements->mean = data_of(held, first + 1);
    elements->variance = data_of(held, first + 2);
    return elements->weight != NULL && elements->mean != NULL && elements->variance != NULL;
}

/* Find the elements of all arrays; 0 if one is refused. */
static int find_all(Step *step) {
    int64_t next = 0;
    for (int64_t k = 0; k < step->count; k++, next += 4) {
        Update *u = &step->updates[k];
        u->gradient = data_of(&step->held, next + 3);
        if (u->gradient == NULL || !find(&step->held, next, &u->elements)) return 0;
    }
    for (int64_t k = 0; k < step->tables; k++) {
        TableUpdate *u = &step->table_updates[k];
        if (!find(&step->held, next, &u->elements)) return 0;
        next += 3;
        for (int g = 0; g < MOST_GRADIENTS; g++) {
            if (u->table.sizes[g] == 0) continue;
            if ((u->gradients[g] = data_of(&step->held, next++)) == NULL) return 0;
        }
    }
    return 1;
}

static void run_step(void *context, void *argument) {
    (void)context;
    Step *step = argument;
    if (!find_all(step)) return;
    const RowKernels *simd = FOR_THIS_CPU(&kernels);
    for (int64_t k = 0; k < step->count; k++)
        move_parameter(simd, &step->updates[k], step->constants);
    for (int64_t k = 0; k < step->tables; k++)
        move_table(simd, &step->table_updates[k], step->constants);
}

static void run_catch_up(void *context, void *argument) {
    (void)context;
    CatchUp *late = argument;
    AdamElements elements;
    if (!find(&late->held, 0, &elements)) return;
    const RowKernels *simd = FOR_THIS_CPU(&kernels);
    const int64_t n = late->count, width = late->width;
    const float *total = late->factors, *shrinking = total + n, *first = total + 2 * n,
                *second = total + 3 * n;
#pragma omp parallel for schedule(static) if (n * width > BLOCK)
    for (int64_t k = 0; k < n; k++) {
        simd->catch_up_row(elements, late->rows[k] * width, width, late->epsilon, total[k],
                           shrinking[k], first[k], second[k]);
    }
}

static void look_up(const Lookup *lookup) {
    const RowKernels *simd = FOR_THIS_CPU(&kernels);
    const int64_t *starts = lookup->starts, total = starts[lookup->count], width = lookup->width;
    /* a thread that was asleep comes later, and then takes less */
#pragma omp parallel for schedule(guided, 16) if (total * width > BLOCK)
    for (int64_t k = 0; k < lookup->count; k++) {
        const int64_t start = starts[k], count = starts[k + 1] - start;
        simd->mean_of_rows(lookup->table, width, lookup->tokens + start, count, total - start,
                           lookup->output + k * width);
    }
}

static void run_lookup(void *context, void *argument) {
    (void)context;
    QueuedLookup *queued = argument;
    queued->lookup.table = data_of(&queued->held, 0);
    queued->lookup.output = data_of(&queued->held, 1);
    if (queued->lookup.table != NULL && queued->lookup.output != NULL) look_up(&queued->lookup);
}

/* Memory for what is queued: `size` bytes, the arrays that it holds, and `more` bytes for copies,
   which `end` then points to; NULL if there is none left. */
static void *allocate(const Api *api, int64_t size, int64_t arrays, int64_t more, char **end) {
    const int64_t start = (size + 7) & ~7;
    char *memory = malloc(start + arrays * sizeof(void *) + more);
    if (memory == NULL) return NULL;
    *(Held *)memory = (Held){api, 0, (void **)(memory + start)};
    *end = (char *)(((Held *)memory)->arrays + arrays);
    return memory;
}

static void discard(void *queued) {
    release(queued);
    free(queued);
}

/* Queue an operation on the arrays that `queued` holds, after which the engine owns it; `code` says
   whether what came before went well. */
static int push(int code, void (*run)(void *, void *), void *queued, const void *context,
                void **read, int reads, void **written, int writes, const char *name) {
    if (code != 0) {
        discard(queued);
        return code;
    }
    const Api *api = ((Held *)queued)->api;
    return api->push(run, queued, discard, context, read, reads, written, writes, NULL, 0, name);
}

static int hold_three(Held *held, const Arrays *arrays) {
    int code = hold(held, arrays->weight);
    if (code == 0) code = hold(held, arrays->mean);
    return code != 0 ? code : hold(held, arrays->variance);
}

static int64_t bytes_of_lists(const Table *t) {
    int64_t vectors = 0;
    for (int k = 0; k < MOST_GRADIENTS; k++) vectors += t->sizes[k];
    return 4 * (2 * t->count + 1 + t->positions + vectors) + 4 * 8;
}

static int prepare_table(Held *held, const Table *t, TableUpdate *u, char **end) {
    u->table = *t;
    u->table.rows = copy(end, t->rows, 4 * t->count);
    u->table.starts = copy(end, t->starts, 4 * (t->count + 1));
    u->table.vectors = copy(end, t->vectors, 4 * t->positions);
    u->table.mean_weights = copy(end, t->mean_weights, 4 * (t->sizes[0] + t->sizes[1]));
    int code = hold_three(held, &t->arrays);
    for (int k = 0; k < MOST_GRADIENTS && code == 0; k++)
        if (t->sizes[k] > 0) code = hold(held, t->gradients[k]);
    return code;
}

static int prepare_parameter(Held *held, const Parameter *p, Update *u) {
    u->size = p->size;
    u->decay = p->decay;
    const int code = hold_three(held, &p->arrays);
    return code != 0 ? code : hold(held, p->gradient);
}

/* Queue one step of adam for all parameters of a device, the tables' lists being copied; MXNet's
   code, or NO_MEMORY. */
int object2vec_adam_step(const Api *api, const void *context, const Parameter *parameters,
                         int64_t count, const Table *tables, int64_t table_count,
                         AdamConstants constants) {
    const int64_t most = 4 * count + (3 + MOST_GRADIENTS) * table_count;
    int64_t bytes = count * sizeof(Update) + table_count * sizeof(TableUpdate);
    for (int64_t k = 0; k < table_count; k++) bytes += bytes_of_lists(&tables[k]);
    char *end;
    Step *step = allocate(api, sizeof(Step), most, bytes, &end);
    void **arrays = malloc(most * sizeof(void *) + 1);
    if (step == NULL || arrays == NULL) {
        free(step);
        free(arrays);
        return NO_MEMORY;
    }
    step->constants = constants;
    step->count = count;
    step->tables = table_count;
    step->table_updates = (TableUpdate *)end;
    step->updates = (Update *)(step->table_updates + table_count);
    end = (char *)(step->updates + count);
    Arrays *written = (Arrays *)arrays;
    void **read = (void **)(written + count + table_count);
    int reads = 0, code = 0;
    for (int64_t k = 0; k < count && code == 0; k++) {
        written[k] = parameters[k].arrays;
        read[reads++] = parameters[k].gradient;
        code = prepare_parameter(&step->held, &parameters[k], &step->updates[k]);
    }
    for (int64_t k = 0; k < table_count && code == 0; k++) {
        written[count + k] = tables[k].arrays;
        for (int g = 0; g < MOST_GRADIENTS; g++)
            if (tables[k].sizes[g] > 0) read[reads++] = tables[k].gradients[g];
        code = prepare_table(&step->held, &tables[k], &step->table_updates[k], &end);
    }
    code = push(code, run_step, step, context, read, reads, arrays,
                (int)(3 * (count + table_count)), "object2vec_adam");
    free(arrays);
    return code;
}

#define DIGIT_BITS 11
#define DIGITS (1 << DIGIT_BITS)

/* Order the positions of tokens by token, equal ones as they come: radix sort, lowest digit first.
   `order` and `other` have room for `count` elements; returns the one that holds the output. */
static int32_t *sort_positions(const int32_t *tokens, int64_t count, int32_t *order,
                               int32_t *other) {
    int32_t largest = 0;
    for (int64_t k = 0; k < count; k++) {
        order[k] = (int32_t)k;
        largest = tokens[k] > largest ? tokens[k] : largest;
    }
    for (int shift = 0; shift < 31 && largest >> shift > 0; shift += DIGIT_BITS) {
        int32_t starts[DIGITS + 1] = {0};
        for (int64_t k = 0; k < count; k++) starts[(tokens[k] >> shift) % DIGITS + 1]++;
        for (int digit = 0; digit < DIGITS; digit++) starts[digit + 1] += starts[digit];
        for (int64_t k = 0; k < count; k++)
            other[starts[(tokens[order[k]] >> shift) % DIGITS]++] = order[k];
        int32_t *sorted = other;
        other = order;
        order = sorted;
    }
    return order;
}

/* Find the different tokens, in ascending order, and the positions of each: `rows` and `positions`
   have room for `count` elements, `starts` for one more. Returns how many there are, -1 without
   memory. */
int64_t object2vec_group_tokens(const int32_t *tokens, int64_t count, int32_t *rows,
                                int32_t *starts, int32_t *positions) {
    int32_t *other = malloc(4 * count + 1), groups = 0;
    if (other == NULL) return -1;
    const int32_t *order = sort_positions(tokens, count, positions, other);
    for (int64_t k = 0; k < count; k++) {
        const int32_t token = tokens[order[k]];
        if (k > 0 && token == rows[groups - 1]) continue;
        rows[groups] = token;
        starts[groups++] = (int32_t)k;
    }
    starts[groups] = (int32_t)count;
    if (order != positions) memcpy(positions, order, 4 * count);
    free(other);
    return groups;
}

/* Queue `catch_up` for some rows of a table; both lists are copied. */
int object2vec_catch_up(const Api *api, const void *context, Arrays arrays, int64_t width,
                        int64_t count, const int32_t *rows, const float *factors, float epsilon) {
    char *end;
    CatchUp *late = allocate(api, sizeof(CatchUp), 3, 5 * 4 * count + 2 * 8, &end);
    if (late == NULL) return NO_MEMORY;
    late->factors = copy(&end, factors, 4 * 4 * count);
    late->rows = copy(&end, rows, 4 * count);
    late->width = width;
    late->count = count;
    late->epsilon = epsilon;
    return push(hold_three(&late->held, &arrays), run_catch_up, late, context, NULL, 0,
                (void **)&arrays, 3, "object2vec_catch_up");
}

/* Means of rows of a table, an NDArray, over lists of tokens. */
int object2vec_mean_of_rows(const Api *api, void *table, float *output, int64_t width,
                            int64_t count, const int64_t *starts, const int32_t *tokens) {
    Lookup lookup = {NULL, output, width, count, starts, tokens};
    const int code = wait_for(api, table, &lookup.table);
    if (code == 0) look_up(&lookup);
    return code;
}

/* Queue the same, with an output that is an NDArray too; both arrays of elements are copied. */
int object2vec_queue_mean_of_rows(const Api *api, const void *context, void *table, void *output,
                                  int64_t width, int64_t count, const int64_t *starts,
                                  const int32_t *tokens) {
    const int64_t token_bytes = 4 * starts[count];
    char *end;
    QueuedLookup *queued =
        allocate(api, sizeof(QueuedLookup), 2, 8 * (count + 1) + token_bytes + 8, &end);
    if (queued == NULL) return NO_MEMORY;
    Lookup *lookup = &queued->lookup;
    lookup->starts = copy(&end, starts, 8 * (count + 1));
    lookup->tokens = copy(&end, tokens, token_bytes);
    lookup->width = width;
    lookup->count = count;
    void *read[] = {table}, *written[] = {output};
    int code = hold(&queued->held, table);
    if (code == 0) code = hold(&queued->held, output);
    return push(code, run_lookup, queued, context, read, 1, written, 1, "object2vec_mean_of_rows");
}

/* Python finds and loads the library as a module; ctypes then calls the functions above. */
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, .m_name = "_kernels", .m_size = 0};

PyMODINIT_FUNC PyInit__kernels(void) { return PyModule_Create(&module); }
