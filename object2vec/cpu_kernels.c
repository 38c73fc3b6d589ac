/* Operations of our own for MXNet's engine on the CPU; see cpu_kernels.py, which fills in the structures. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cpu_kernels.h"

/* One function for each kind of CPU, the best chosen when the library is loaded. */
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define FOR_EACH_CPU __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define FOR_EACH_CPU
#endif

/* Numbers that a thread takes at a time: some pages, so that the threads share no cache line. */
#define BLOCK 16384
#define AHEAD 16 /* rows of a table that are asked for before they are needed */
#define HELD 128 /* floats that fit into the registers */

/* The beginning of a DLManagedTensor (dlpack.h): all that MXNet tells of a sparse array's memory. */
typedef struct {
    const void *data;
    int32_t device[2];
    int32_t axes;
    uint8_t type[4];
    const int64_t *shape;
} Tensor;

/* NDArrays. */
typedef struct {
    void *weight, *mean, *variance, *gradient;
    int64_t rows, width;
    const int32_t *sparse_rows; /* those of a row_sparse gradient, sorted; NULL: it is dense */
    int64_t sparse_count;
    float decay;
} Parameter;

typedef struct {
    float rate, beta1, beta2, epsilon, rescale;
} Constants;

typedef struct {
    float *weight, *mean, *variance;
    const float *gradient;
    void *sparse; /* NULL, or the gradient as an NDArray */
    int32_t *sparse_rows;
    int64_t rows, width; /* rows of the gradient */
    float decay;
} Update;

typedef struct {
    Api api;
    Constants constants;
    int64_t count;
    Update updates[];
} Step;

typedef struct {
    float *weight, *mean, *variance;
    float epsilon;
    int64_t width, count;
    const int32_t *rows;   /* count */
    const float *factors;  /* four times count: see deferred_adam.py */
} CatchUp;

typedef struct {
    const float *table;
    float *answer;
    int64_t width, count;
    const int64_t *starts; /* count + 1 */
    const int32_t *tokens;
} Lookup;

/* In the engine's own thread there is nobody to return an error to. */
static void must(int is_right, const char *what) {
    if (!is_right) {
        fprintf(stderr, "object2vec: adam cannot go on: %s\n", what);
        abort();
    }
}

FOR_EACH_CPU
static void move(float *restrict weight, float *restrict mean, float *restrict variance,
                 const float *restrict gradient, int64_t count, Constants c, float decay) {
    const float rest1 = 1.0f - c.beta1, rest2 = 1.0f - c.beta2;
    for (int64_t i = 0; i < count; i++) {
        const float g = c.rescale * gradient[i] + decay * weight[i];
        const float m = c.beta1 * mean[i] + rest1 * g;
        const float v = c.beta2 * variance[i] + rest2 * g * g;
        mean[i] = m;
        variance[i] = v;
        weight[i] -= c.rate * m / (sqrtf(v) + c.epsilon);
    }
}

FOR_EACH_CPU
static void catch_up_row(float *restrict weight, float *restrict mean, float *restrict variance,
                         int64_t count, float epsilon, float total, float shrinking, float first,
                         float second) {
    for (int64_t i = 0; i < count; i++) {
        const float m = mean[i], v = variance[i];
        weight[i] -= total * m / (sqrtf(shrinking * v) + epsilon);
        mean[i] = first * m;
        variance[i] = second * v;
    }
}

/* Some columns of one list's row of the answer; `left` tokens are left, of which `count` are the
   list's. Where `columns` is HELD, the sums do not leave the registers meanwhile. */
static inline __attribute__((always_inline)) void mean_of_columns(
    const float *table, int64_t width, const int32_t *tokens, int64_t count, int64_t left,
    float *restrict mean, const int64_t columns) {
    const float share = count > 0 ? 1.0f / (float)count : 0.0f;
    float sum[HELD];
    for (int64_t i = 0; i < columns; i++) sum[i] = 0.0f;
    for (int64_t k = 0; k < count; k++) {
        const float *restrict row = table + tokens[k] * width;
        if (k + AHEAD < left) {
            const char *next = (const char *)(table + tokens[k + AHEAD] * width);
            for (int64_t at = 0; at < columns * 4; at += 64) __builtin_prefetch(next + at);
        }
        for (int64_t i = 0; i < columns; i++) sum[i] += row[i];
    }
    for (int64_t i = 0; i < columns; i++) mean[i] = sum[i] * share;
}

FOR_EACH_CPU
static void mean_of_rows(const float *table, int64_t width, const int32_t *tokens, int64_t count,
                         int64_t left, float *mean) {
    if (width < HELD) mean_of_columns(table, width, tokens, count, left, mean, width);
    for (int64_t column = 0; width >= HELD && column < width; column += HELD) {
        /* the last ones together with some from before, which come twice */
        const int64_t at = column < width - HELD ? column : width - HELD;
        mean_of_columns(table + at, width, tokens, count, left, mean + at, HELD);
    }
}

static void run_dense(const Update *u, Constants c) {
    const int64_t size = u->rows * u->width, blocks = (size + BLOCK - 1) / BLOCK;
#pragma omp parallel for schedule(static) if (blocks > 1)
    for (int64_t block = 0; block < blocks; block++) {
        const int64_t start = block * BLOCK;
        const int64_t count = size - start < BLOCK ? size - start : BLOCK;
        move(u->weight + start, u->mean + start, u->variance + start, u->gradient + start, count, c,
             u->decay);
    }
}

static void run_sparse(const Api *api, const Update *u, Constants c) {
    void *opened;
    if (u->rows == 0) return;
    must(api->open(u->sparse, &opened) == 0, api->last_error());
    const Tensor *tensor = opened;
    must(tensor->axes == 2 && tensor->shape[0] == u->rows && tensor->shape[1] == u->width,
         "a gradient has other rows than the batch");
    const float *values = tensor->data;
#pragma omp parallel for schedule(static) if (u->rows * u->width > BLOCK)
    for (int64_t k = 0; k < u->rows; k++) {
        const int64_t at = u->sparse_rows[k] * u->width;
        move(u->weight + at, u->mean + at, u->variance + at, values + k * u->width, u->width, c,
             u->decay);
    }
    must(api->close(opened) == 0, api->last_error());
}

static void free_step(Step *step) {
    for (int64_t k = 0; k < step->count; k++) {
        free(step->updates[k].sparse_rows);
        if (step->updates[k].sparse != NULL) step->api.release(step->updates[k].sparse);
    }
    free(step);
}

static void run_step(void *context, void *argument) {
    (void)context;
    Step *step = argument;
    for (int64_t k = 0; k < step->count; k++) {
        if (step->updates[k].sparse != NULL)
            run_sparse(&step->api, &step->updates[k], step->constants);
        else
            run_dense(&step->updates[k], step->constants);
    }
    free_step(step);
}

static void run_catch_up(void *context, void *argument) {
    (void)context;
    CatchUp *late = argument;
    const int64_t n = late->count, width = late->width;
    const float *total = late->factors, *shrinking = total + n, *first = total + 2 * n,
                *second = total + 3 * n;
#pragma omp parallel for schedule(static) if (n * width > BLOCK)
    for (int64_t k = 0; k < n; k++) {
        const int64_t at = late->rows[k] * width;
        catch_up_row(late->weight + at, late->mean + at, late->variance + at, width, late->epsilon,
                     total[k], shrinking[k], first[k], second[k]);
    }
    free(late);
}

static int prepare_update(const Api *api, const Parameter *p, Update *u) {
    int code = api->get_data(p->weight, (void **)&u->weight);
    if (code == 0) code = api->get_data(p->mean, (void **)&u->mean);
    if (code == 0) code = api->get_data(p->variance, (void **)&u->variance);
    u->rows = p->rows;
    u->width = p->width;
    u->decay = p->decay;
    if (p->sparse_rows == NULL)
        return code != 0 ? code : api->get_data(p->gradient, (void **)&u->gradient);
    u->rows = p->sparse_count;
    const size_t bytes = p->sparse_count * sizeof(int32_t);
    u->sparse_rows = malloc(bytes + 1); /* malloc(0) may be NULL */
    if (u->sparse_rows == NULL) return NO_MEMORY;
    memcpy(u->sparse_rows, p->sparse_rows, bytes);
    /* the array in Python may be gone before the engine comes to it */
    return code != 0 ? code : api->detach(p->gradient, &u->sparse);
}

static void run_lookup(void *context, void *argument) {
    (void)context;
    Lookup *lookup = argument;
    const int64_t *starts = lookup->starts, total = starts[lookup->count], width = lookup->width;
#pragma omp parallel for schedule(static) if (total * width > BLOCK)
    for (int64_t k = 0; k < lookup->count; k++) {
        const int64_t start = starts[k], count = starts[k + 1] - start;
        mean_of_rows(lookup->table, width, lookup->tokens + start, count, total - start,
                     lookup->answer + k * width);
    }
    free(lookup);
}

/* Queue one step of adam for all parameters of a device; MXNet's code, or NO_MEMORY. */
int object2vec_adam_step(const Api *api, const void *context, const Parameter *parameters,
                         int64_t count, Constants constants) {
    Step *step = calloc(1, sizeof(Step) + count * sizeof(Update));
    void **arrays = malloc(4 * count * sizeof(void *));
    if (step == NULL || arrays == NULL) {
        free(step);
        free(arrays);
        return NO_MEMORY;
    }
    step->api = *api;
    step->constants = constants;
    step->count = count;
    void **written = arrays, **read = arrays + 3 * count;
    int code = 0;
    for (int64_t k = 0; k < count && code == 0; k++) {
        const Parameter *p = &parameters[k];
        read[k] = p->gradient;
        written[3 * k] = p->weight;
        written[3 * k + 1] = p->mean;
        written[3 * k + 2] = p->variance;
        code = prepare_update(api, p, &step->updates[k]);
    }
    if (code == 0)
        code = api->push(run_step, step, NULL, context, read, (int)count, written, (int)(3 * count),
                         NULL, 0, "object2vec_adam");
    if (code != 0) free_step(step);
    free(arrays);
    return code;
}

/* Queue `catch_up` for some rows of a table; both arrays are copied. */
int object2vec_catch_up(const Api *api, const void *context, void *weight, void *mean,
                        void *variance, int64_t width, int64_t count, const int32_t *rows,
                        const float *factors, float epsilon) {
    const size_t factor_bytes = 4 * count * sizeof(float), row_bytes = count * sizeof(int32_t);
    CatchUp *late = malloc(sizeof(CatchUp) + factor_bytes + row_bytes);
    if (late == NULL) return NO_MEMORY;
    char *copies = (char *)(late + 1);
    memcpy(copies, factors, factor_bytes);
    memcpy(copies + factor_bytes, rows, row_bytes);
    late->factors = (const float *)copies;
    late->rows = (const int32_t *)(copies + factor_bytes);
    late->width = width;
    late->count = count;
    late->epsilon = epsilon;
    void *written[] = {weight, mean, variance};
    int code = api->get_data(weight, (void **)&late->weight);
    if (code == 0) code = api->get_data(mean, (void **)&late->mean);
    if (code == 0) code = api->get_data(variance, (void **)&late->variance);
    if (code == 0)
        code = api->push(run_catch_up, late, NULL, context, NULL, 0, written, 3, NULL, 0,
                         "object2vec_catch_up");
    if (code != 0) free(late);
    return code;
}

/* Queue the means of rows of a table over lists of tokens; both arrays of numbers are copied. */
int object2vec_mean_of_rows(const Api *api, const void *context, void *table, void *answer,
                            int64_t width, int64_t count, const int64_t *starts,
                            const int32_t *tokens) {
    const size_t start_bytes = (count + 1) * sizeof(int64_t);
    const size_t token_bytes = starts[count] * sizeof(int32_t);
    Lookup *lookup = malloc(sizeof(Lookup) + start_bytes + token_bytes);
    if (lookup == NULL) return NO_MEMORY;
    char *copies = (char *)(lookup + 1);
    lookup->starts = memcpy(copies, starts, start_bytes);
    lookup->tokens = memcpy(copies + start_bytes, tokens, token_bytes);
    lookup->width = width;
    lookup->count = count;
    void *read[] = {table}, *written[] = {answer};
    int code = api->get_data(table, (void **)&lookup->table);
    if (code == 0) code = api->get_data(answer, (void **)&lookup->answer);
    if (code == 0)
        code = api->push(run_lookup, lookup, NULL, context, read, 1, written, 1, NULL, 0,
                         "object2vec_mean_of_rows");
    if (code != 0) free(lookup);
    return code;
}

/* Python finds and loads the library as a module; ctypes then calls the functions above. */
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, .m_name = "_cpu_kernels", .m_size = 0};

PyMODINIT_FUNC PyInit__cpu_kernels(void) { return PyModule_Create(&module); }
