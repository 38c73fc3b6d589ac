/* SPDX-License-Identifier: Apache-2.0 */
/* Comparator, MLP and output layer without gradient: embeddings of pairs to their scores.

   With few pairs, reading the weights takes most of the time, so they are used as they are, and
   each is read once for several pairs. With many pairs, packing them into panels first is
   faster. */

#include <omp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "kernels.h"
#include "panels.h"

typedef struct {
    const float *weight, *bias;
    float *panels; /* NULL where the weights are not packed */
    int64_t inputs, outputs, activation;
} ScorerLayer;

typedef struct {
    const Scorer *scorer;
    const float *vectors[2]; /* (count, enc_dim) */
    float *output;           /* (count, outputs) */
    int64_t count, stride;   /* stride: from one pair's row to the next, in each layer */
    int is_softmax;
    ScorerLayer layers[];
} Scoring;

typedef struct {
    void (*layer)(const ScorerLayer *layer, int64_t count, int64_t stride, const float *x,
                  float *y);
    void (*softmax)(float *row, int64_t columns);
} ScorerKernels;

#define FOR_EACH_ISA "scorer_layer.h"
#include "isa.h"

/* What the comparators make of a pair, written to x. */
static void compare(const Scoring *job, int64_t pair, float *restrict x) {
    const int64_t dim = job->scorer->enc_dim;
    const float *restrict a = job->vectors[0] + pair * dim;
    const float *restrict b = job->vectors[1] + pair * dim;
    for (int64_t k = 0; k < job->scorer->comparator_count; k++) {
        const int64_t comparator = job->scorer->comparators[k];
        if (comparator == CONCAT) {
            memcpy(x, a, dim * sizeof(float));
            memcpy(x + dim, b, dim * sizeof(float));
            x += dim;
        } else {
            const int is_hadamard = comparator == HADAMARD;
            for (int64_t i = 0; i < dim; i++)
                x[i] = is_hadamard ? a[i] * b[i] : a[i] > b[i] ? a[i] - b[i] : b[i] - a[i];
        }
        x += dim;
    }
}

static void run_chunk(const Scoring *job, const ScorerKernels *simd, int64_t first, int64_t count,
                      float *x) {
    float *y = x + count * job->stride;
    for (int64_t pair = 0; pair < count; pair++) compare(job, first + pair, x + pair * job->stride);
    int64_t columns = 0;
    for (int64_t k = 0; k < job->scorer->layer_count; k++) {
        simd->layer(&job->layers[k], count, job->stride, x, y);
        columns = job->layers[k].outputs;
        float *other = x;
        x = y;
        y = other;
    }
    for (int64_t pair = 0; pair < count; pair++) {
        float *row = x + pair * job->stride;
        if (job->is_softmax) simd->softmax(row, columns);
        memcpy(job->output + (first + pair) * columns, row, columns * sizeof(float));
    }
}

/* One panel of a layer's weights. */
static void pack(const ScorerLayer *layer, int64_t panel) {
    int64_t rows[PANEL];
    for (int64_t q = 0; q < PANEL; q++) {
        const int64_t output = panel * PANEL + q;
        rows[q] = output < layer->outputs ? output : -1;
    }
    pack_panel(layer->weight, layer->inputs, rows, layer->panels + panel * layer->inputs * PANEL);
}

static int fill_layers(const Api *api, Scoring *job) {
    int code = 0;
    int64_t widest = 0;
    for (int64_t k = 0; k < job->scorer->layer_count && code == 0; k++) {
        const Dense *dense = &job->scorer->layers[k];
        ScorerLayer *layer = &job->layers[k];
        layer->inputs = dense->inputs;
        layer->outputs = dense->outputs;
        layer->activation = dense->activation;
        code = wait_for(api, dense->weight, &layer->weight);
        if (code == 0) code = wait_for(api, dense->bias, &layer->bias);
        widest = layer->inputs > widest ? layer->inputs : widest;
        widest = layer->outputs > widest ? layer->outputs : widest;
    }
    job->stride = (widest + LINE_FLOATS - 1) / LINE_FLOATS * LINE_FLOATS;
    return code;
}

/* Elements in the panels of layer `k`; 0 where its weights are not packed. */
static int64_t packed_size(const Scoring *job, int64_t k) {
    const ScorerLayer *layer = &job->layers[k];
    if (job->count < PACK_MIN_PAIRS || layer->outputs < LINE_FLOATS) return 0;
    return panels_of(layer->outputs) * PANEL * layer->inputs;
}

/* Memory for the panels of all layers that have some; NULL if no memory is left. */
static float *assign_panels(Scoring *job) {
    const int64_t layers = job->scorer->layer_count;
    int64_t size = 0;
    for (int64_t k = 0; k < layers; k++) size += packed_size(job, k);
    float *memory = malloc(size * sizeof(float) + 1), *end = memory;
    for (int64_t k = 0; k < layers && memory != NULL; k++) {
        const int64_t elements = packed_size(job, k);
        if (elements > 0) job->layers[k].panels = end;
        end += elements;
    }
    return memory;
}

static int run_job(Scoring *job) {
    const ScorerKernels *simd = FOR_THIS_CPU(&kernels);
    const int workers = job->count < PACK_MIN_PAIRS ? 1 : omp_get_max_threads();
    /* as many chunks for each thread, and in each but the last only full tiles of products */
    const int64_t chunks =
        (job->count + workers * CHUNK_PAIRS - 1) / (workers * CHUNK_PAIRS) * workers;
    const int64_t chunk =
        ((job->count + chunks - 1) / chunks + TILE_ROWS - 1) / TILE_ROWS * TILE_ROWS;
    float *panels = assign_panels(job);
    int code = panels == NULL ? NO_MEMORY : 0;
#pragma omp parallel num_threads(workers) if (workers > 1 && code == 0)
    {
        float *memory = allocate_for_thread(2 * chunk * job->stride, &code);
        if (code == 0) {
            for (int64_t k = 0; k < job->scorer->layer_count; k++) {
                const ScorerLayer *layer = &job->layers[k];
                const int64_t count = layer->panels != NULL ? panels_of(layer->outputs) : 0;
#pragma omp for schedule(static) nowait
                for (int64_t panel = 0; panel < count; panel++) pack(layer, panel);
            }
#pragma omp barrier
#pragma omp for schedule(dynamic)
            for (int64_t first = 0; first < job->count; first += chunk) {
                const int64_t left = job->count - first;
                run_chunk(job, simd, first, left < chunk ? left : chunk, memory);
            }
        }
        free(memory);
    }
    free(panels);
    return code;
}

/* Score pairs of embeddings, at once. */
int object2vec_score(const Api *api, const Scorer *scorer, const float *vector0,
                     const float *vector1, int64_t count, int is_softmax, float *output) {
    Scoring *job = calloc(1, sizeof(Scoring) + scorer->layer_count * sizeof(ScorerLayer));
    if (job == NULL) return NO_MEMORY;
    job->scorer = scorer;
    job->vectors[0] = vector0;
    job->vectors[1] = vector1;
    job->output = output;
    job->count = count;
    job->is_softmax = is_softmax;
    int code = fill_layers(api, job);
    if (code == 0 && count > 0) code = run_job(job);
    free(job);
    return code;
}
