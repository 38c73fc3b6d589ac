/* SPDX-License-Identifier: Apache-2.0 */
/* Adam and means of rows, as operations for MXNet's engine on the CPU; see kernels.py. */

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
} AdamElements; /* the elements of the NDArrays in Arrays */

typedef struct {
    AdamElements elements;
    const float *gradient;
    int64_t size;
    float decay, decoupled_decay;
} Update;

typedef struct {
    Table table;                          /* with copies of its lists */
    AdamElements elements, token_weights; /* without moments where the table stays as it is */
    const float *gradients[MAX_GRADIENTS];
} TableUpdate;

/* The argument of a queued operation. Each begins with the arrays that it holds, so that `push` can
   treat all of them alike. */

typedef struct {
    Held held; /* arrays and gradient of each parameter, then those of each table: the table's own,
                  those of token weights, gradients */
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
    const float *factors; /* (5, count); see deferred_adam.py */
} CatchUp;

typedef struct {
    const float *table, *token_weights; /* NULL where rows count alike */
    float *output;
    int64_t width, count;
    const int64_t *starts; /* count + 1 */
    const int32_t *tokens;
} Lookup;

typedef struct {
    Held held; /* table, output, and token weights if there are any */
    Lookup lookup;
} QueuedLookup;

typedef struct {
    void (*adam)(AdamElements elements, int64_t start, const float *gradient, int64_t count,
                 AdamConstants c, float decay, float shrinkage);
    void (*catch_up_row)(AdamElements elements, int64_t start, int64_t count, float epsilon,
                         float rate_sum, float variance_scale, float beta1_power, float beta2_power,
                         float shrinkage);
    void (*sum_gradients)(float *sum, const TableUpdate *u, int64_t first, int64_t count,
                          int32_t start, int32_t end);
    float (*weigh_gradient)(float *gradient, const float *row, int64_t count, float weight);
    void (*mean_of_rows)(const float *table, int64_t width, const int32_t *tokens, int64_t count,
                         int64_t remaining, float *mean);
    void (*weighted_mean_of_rows)(const float *table, const float *token_weights, int64_t width,
                                  const int32_t *tokens, int64_t count, int64_t remaining,
                                  float *mean);
} RowKernels;

#define PREFETCH(elements, count, to_write)            \
    for (int64_t at = 0; at < (count); at += 16) {     \
        __builtin_prefetch((elements) + at, to_write); \
    }

#define FOR_EACH_ISA "rows.h"
#include "isa.h"

static void update_parameter(const RowKernels *simd, const Update *u, AdamConstants c) {
    const int64_t blocks = (u->size + ADAM_BLOCK - 1) / ADAM_BLOCK;
#pragma omp parallel for schedule(static) if (blocks > 1)
    for (int64_t block = 0; block < blocks; block++) {
        const int64_t start = block * ADAM_BLOCK;
        const int64_t count = u->size - start < ADAM_BLOCK ? u->size - start : ADAM_BLOCK;
        simd->adam(u->elements, start, u->gradient + start, count, c, u->decay,
                   c.plain_rate * u->decoupled_decay);
    }
}

static void update_table(const RowKernels *simd, const TableUpdate *u, AdamConstants c) {
    const Table *t = &u->table;
    const int moves = u->elements.mean != NULL;
    const float *token_weights = u->token_weights.weight;
    /* dynamic, because rows differ in work: most are part of one vector, some of many */
#pragma omp parallel for schedule(dynamic, 64) if (t->count * t->width > ADAM_BLOCK)
    for (int64_t k = 0; k < t->count; k++) {
        float gradient[GRADIENT_CHUNK];
        const int64_t row = t->rows[k] * t->width;
        if (k + 1 < t->count) {
            const int64_t next = t->rows[k + 1] * t->width;
            PREFETCH(u->elements.weight + next, t->width, 1);
            if (moves) {
                PREFETCH(u->elements.mean + next, t->width, 1);
                PREFETCH(u->elements.variance + next, t->width, 1);
            }
        }
        float of_weight = 0.0f;
        for (int64_t first = 0; first < t->width; first += GRADIENT_CHUNK) {
            const int64_t count =
                t->width - first < GRADIENT_CHUNK ? t->width - first : GRADIENT_CHUNK;
            simd->sum_gradients(gradient, u, first, count, t->starts[k], t->starts[k + 1]);
            if (token_weights != NULL)
                of_weight += simd->weigh_gradient(gradient, u->elements.weight + row + first, count,
                                                  token_weights[t->rows[k]]);
            if (moves)
                simd->adam(u->elements, row + first, gradient, count, c, t->decay,
                           c.plain_rate * t->decoupled_decay);
        }
        if (token_weights != NULL)
            simd->adam(u->token_weights, t->rows[k], &of_weight, 1, c, 0.0f, 0.0f);
    }
}

/* The elements of weight, mean and variance, which are held from array `first` on; returns 0 if
   `data_of` gives none for one of them. */
static int find_elements(const Held *held, int64_t first, AdamElements *elements) {
    elements->weight = data_of(held, first);
    elements->mean = data_of(held, first + 1);
    elements->variance = data_of(held, first + 2);
    return elements->weight != NULL && elements->mean != NULL && elements->variance != NULL;
}

/* The same for all arrays of a step, before any of them is changed. */
static int find_all_elements(Step *step) {
    int64_t next = 0;
    for (int64_t k = 0; k < step->count; k++, next += 4) {
        Update *u = &step->updates[k];
        u->gradient = data_of(&step->held, next + 3);
        if (u->gradient == NULL || !find_elements(&step->held, next, &u->elements)) return 0;
    }
    for (int64_t k = 0; k < step->tables; k++) {
        TableUpdate *u = &step->table_updates[k];
        if (u->table.arrays.mean != NULL) {
            if (!find_elements(&step->held, next, &u->elements)) return 0;
            next += 3;
        } else {
            u->elements = (AdamElements){data_of(&step->held, next++), NULL, NULL};
            if (u->elements.weight == NULL) return 0;
        }
        u->token_weights = (AdamElements){NULL, NULL, NULL};
        if (u->table.token_weights.weight != NULL) {
            if (!find_elements(&step->held, next, &u->token_weights)) return 0;
            next += 3;
        }
        for (int g = 0; g < MAX_GRADIENTS; g++) {
            if (u->table.sizes[g] == 0) continue;
            if ((u->gradients[g] = data_of(&step->held, next++)) == NULL) return 0;
        }
    }
    return 1;
}

static void run_step(void *context, void *argument) {
    (void)context;
    Step *step = argument;
    if (!find_all_elements(step)) return;
    const RowKernels *simd = FOR_THIS_CPU(&kernels);
    for (int64_t k = 0; k < step->count; k++)
        update_parameter(simd, &step->updates[k], step->constants);
    for (int64_t k = 0; k < step->tables; k++)
        update_table(simd, &step->table_updates[k], step->constants);
}

static void run_catch_up(void *context, void *argument) {
    (void)context;
    CatchUp *job = argument;
    AdamElements elements;
    if (!find_elements(&job->held, 0, &elements)) return;
    const RowKernels *simd = FOR_THIS_CPU(&kernels);
    const int64_t n = job->count, width = job->width;
    const float *rate_sum = job->factors, *variance_scale = rate_sum + n,
                *beta1_power = rate_sum + 2 * n, *beta2_power = rate_sum + 3 * n,
                *shrinkage = rate_sum + 4 * n;
#pragma omp parallel for schedule(static) if (n * width > ADAM_BLOCK)
    for (int64_t k = 0; k < n; k++) {
        simd->catch_up_row(elements, job->rows[k] * width, width, job->epsilon, rate_sum[k],
                           variance_scale[k], beta1_power[k], beta2_power[k], shrinkage[k]);
    }
}

static void look_up(const Lookup *lookup) {
    const RowKernels *simd = FOR_THIS_CPU(&kernels);
    const int64_t *starts = lookup->starts, total = starts[lookup->count], width = lookup->width;
    /* guided, because a thread that slept starts late and is then to take fewer lists */
#pragma omp parallel for schedule(guided, 16) if (total * width > ADAM_BLOCK)
    for (int64_t k = 0; k < lookup->count; k++) {
        const int64_t start = starts[k], count = starts[k + 1] - start;
        const int32_t *tokens = lookup->tokens + start;
        float *mean = lookup->output + k * width;
        if (lookup->token_weights == NULL)
            simd->mean_of_rows(lookup->table, width, tokens, count, total - start, mean);
        else
            simd->weighted_mean_of_rows(lookup->table, lookup->token_weights, width, tokens, count,
                                        total - start, mean);
    }
}

static void run_lookup(void *context, void *argument) {
    (void)context;
    QueuedLookup *queued = argument;
    queued->lookup.table = data_of(&queued->held, 0);
    queued->lookup.output = data_of(&queued->held, 1);
    if (queued->lookup.table == NULL || queued->lookup.output == NULL) return;
    if (queued->held.count > 2) {
        queued->lookup.token_weights = data_of(&queued->held, 2);
        if (queued->lookup.token_weights == NULL) return;
    }
    look_up(&queued->lookup);
}

/* Memory for the argument of a queued operation: `size` bytes, the arrays that it holds, and `more`
   bytes for copies, to which `end` then points. NULL if no memory is left. */
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

/* Queue an operation; from then on the engine owns `queued`, its argument, and frees it by
   `discard`. If `code` tells that an earlier call failed, free it here and return that code. */
static int push(int code, void (*run)(void *, void *), void *queued, const void *context,
                void **read, int reads, void **written, int writes, const char *name) {
    if (code != 0) {
        discard(queued);
        return code;
    }
    const Api *api = ((Held *)queued)->api;
    return api->push(run, queued, discard, context, read, reads, written, writes, NULL, 0, name);
}

static int hold_arrays(Held *held, const Arrays *arrays) {
    int code = hold(held, arrays->weight);
    if (code == 0) code = hold(held, arrays->mean);
    return code != 0 ? code : hold(held, arrays->variance);
}

static int64_t bytes_of_lists(const Table *t) {
    int64_t vectors = 0;
    for (int k = 0; k < MAX_GRADIENTS; k++) vectors += t->sizes[k];
    return 4 * (2 * t->count + 1 + t->positions + vectors) + 4 * 8;
}

static int prepare_table(Held *held, const Table *t, TableUpdate *u, char **end) {
    u->table = *t;
    u->table.rows = append_copy(end, t->rows, 4 * t->count);
    u->table.starts = append_copy(end, t->starts, 4 * (t->count + 1));
    u->table.vectors = append_copy(end, t->vectors, 4 * t->positions);
    u->table.mean_weights = append_copy(end, t->mean_weights, 4 * (t->sizes[0] + t->sizes[1]));
    int code =
        t->arrays.mean != NULL ? hold_arrays(held, &t->arrays) : hold(held, t->arrays.weight);
    if (code == 0 && t->token_weights.weight != NULL) code = hold_arrays(held, &t->token_weights);
    for (int k = 0; k < MAX_GRADIENTS && code == 0; k++)
        if (t->sizes[k] > 0) code = hold(held, t->gradients[k]);
    return code;
}

static int prepare_parameter(Held *held, const Parameter *p, Update *u) {
    u->size = p->size;
    u->decay = p->decay;
    u->decoupled_decay = p->decoupled_decay;
    const int code = hold_arrays(held, &p->arrays);
    return code != 0 ? code : hold(held, p->gradient);
}

/* Append the arrays of a parameter and of its moments to a list. */
static int list_arrays(void **list, int count, const Arrays *arrays) {
    list[count] = arrays->weight;
    list[count + 1] = arrays->mean;
    list[count + 2] = arrays->variance;
    return count + 3;
}

/* Queue one step of adam for all parameters of a device. It copies the tables' lists, so that the
   caller may free them. */
int object2vec_adam_step(const Api *api, const void *context, const Parameter *parameters,
                         int64_t count, const Table *tables, int64_t table_count,
                         AdamConstants constants) {
    /* of a table, those of rows and of weights, the rows alone where they stay, and gradients */
    const int64_t max_arrays = 4 * count + (7 + MAX_GRADIENTS) * table_count;
    int64_t bytes = count * sizeof(Update) + table_count * sizeof(TableUpdate);
    for (int64_t k = 0; k < table_count; k++) bytes += bytes_of_lists(&tables[k]);
    char *end;
    Step *step = allocate(api, sizeof(Step), max_arrays, bytes, &end);
    void **arrays = malloc(max_arrays * sizeof(void *) + 1);
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
    void **written = arrays, **read = arrays + 3 * count + 6 * table_count;
    int writes = 0, reads = 0, code = 0;
    for (int64_t k = 0; k < count && code == 0; k++) {
        writes = list_arrays(written, writes, &parameters[k].arrays);
        read[reads++] = parameters[k].gradient;
        code = prepare_parameter(&step->held, &parameters[k], &step->updates[k]);
    }
    for (int64_t k = 0; k < table_count && code == 0; k++) {
        const Table *t = &tables[k];
        if (t->arrays.mean != NULL)
            writes = list_arrays(written, writes, &t->arrays);
        else
            read[reads++] = t->arrays.weight;
        if (t->token_weights.weight != NULL)
            writes = list_arrays(written, writes, &t->token_weights);
        for (int g = 0; g < MAX_GRADIENTS; g++)
            if (t->sizes[g] > 0) read[reads++] = t->gradients[g];
        code = prepare_table(&step->held, t, &step->table_updates[k], &end);
    }
    code = push(code, run_step, step, context, read, reads, written, writes, "object2vec_adam");
    free(arrays);
    return code;
}

#define DIGIT_BITS 11
#define DIGITS (1 << DIGIT_BITS)

/* The positions of tokens, sorted by token and stable: a radix sort, least significant digit first.
   `order` and `scratch` have room for `count` elements; returns the one that holds the result. */
static int32_t *sort_positions(const int32_t *tokens, int64_t count, int32_t *order,
                               int32_t *scratch) {
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
            scratch[starts[(tokens[order[k]] >> shift) % DIGITS]++] = order[k];
        int32_t *sorted = scratch;
        scratch = order;
        order = sorted;
    }
    return order;
}

/* Find the distinct tokens, in ascending order, and the positions of each of them: `rows` and
   `positions` have room for `count` elements, `starts` for one more. Returns the number of distinct
   tokens, or -1 if no memory is left. */
int64_t object2vec_group_tokens(const int32_t *tokens, int64_t count, int32_t *rows,
                                int32_t *starts, int32_t *positions) {
    int32_t *scratch = malloc(4 * count + 1), groups = 0;
    if (scratch == NULL) return -1;
    const int32_t *order = sort_positions(tokens, count, positions, scratch);
    for (int64_t k = 0; k < count; k++) {
        const int32_t token = tokens[order[k]];
        if (k > 0 && token == rows[groups - 1]) continue;
        rows[groups] = token;
        starts[groups++] = (int32_t)k;
    }
    starts[groups] = (int32_t)count;
    if (order != positions) memcpy(positions, order, 4 * count);
    free(scratch);
    return groups;
}

/* Queue the missed steps of some rows of a table. It copies rows and factors. */
int object2vec_catch_up(const Api *api, const void *context, Arrays arrays, int64_t width,
                        int64_t count, const int32_t *rows, const float *factors, float epsilon) {
    char *end;
    CatchUp *job = allocate(api, sizeof(CatchUp), 3, 6 * 4 * count + 2 * 8, &end);
    if (job == NULL) return NO_MEMORY;
    job->factors = append_copy(&end, factors, 5 * 4 * count);
    job->rows = append_copy(&end, rows, 4 * count);
    job->width = width;
    job->count = count;
    job->epsilon = epsilon;
    return push(hold_arrays(&job->held, &arrays), run_catch_up, job, context, NULL, 0,
                (void **)&arrays, 3, "object2vec_catch_up");
}

/* The means of a table's rows over lists of tokens, at once. The table is an NDArray that nothing
   writes meanwhile. */
int object2vec_mean_of_rows(const Api *api, void *table, float *output, int64_t width,
                            int64_t count, const int64_t *starts, const int32_t *tokens) {
    Lookup lookup = {NULL, NULL, output, width, count, starts, tokens};
    const int code = wait_for(api, table, &lookup.table);
    if (code == 0) look_up(&lookup);
    return code;
}

/* Queue the same, with an NDArray for the output, and another one, or NULL, for what rows are
   multiplied by. It copies starts and tokens. */
int object2vec_queue_mean_of_rows(const Api *api, const void *context, void *table,
                                  void *token_weights, void *output, int64_t width, int64_t count,
                                  const int64_t *starts, const int32_t *tokens) {
    const int64_t token_bytes = 4 * starts[count];
    char *end;
    QueuedLookup *queued =
        allocate(api, sizeof(QueuedLookup), 3, 8 * (count + 1) + token_bytes + 8, &end);
    if (queued == NULL) return NO_MEMORY;
    Lookup *lookup = &queued->lookup;
    lookup->starts = append_copy(&end, starts, 8 * (count + 1));
    lookup->tokens = append_copy(&end, tokens, token_bytes);
    lookup->token_weights = NULL;
    lookup->width = width;
    lookup->count = count;
    const int reads = token_weights == NULL ? 1 : 2;
    void *read[] = {table, token_weights}, *written[] = {output};
    int code = hold(&queued->held, table);
    if (code == 0) code = hold(&queued->held, output);
    if (code == 0 && reads == 2) code = hold(&queued->held, token_weights);
    return push(code, run_lookup, queued, context, read, reads, written, 1,
                "object2vec_mean_of_rows");
}

/* An empty module: Python only finds the library by it, and ctypes calls the functions. */
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, .m_name = "_kernels", .m_size = 0};

PyMODINIT_FUNC PyInit__kernels(void) { return PyModule_Create(&module); }
