/* SPDX-License-Identifier: Apache-2.0 */
/* A bidirectional LSTM layer over lists of different lengths, without padding, and its gradients;
   see lstm.py.

   The rows of a time step stand behind each other, the longest list first, so that step `t` has the
   first `counts[t]` lists. The backward direction has the same rows, each list from its end on.
   Gates are kept in panels of UNITS units, in which the four gates of a unit stand UNITS apart. */

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "kernels.h"
#include "panels.h"

/* What one layer's directions need beside, in one piece of memory. */
typedef struct {
    int64_t panels, units, stride; /* stride: not a power of two, for the caches' sake */
    float *weights, *bias;         /* h2h in panels, and the sum of both biases */
    float *input_weights;          /* i2h in panels, for the gradient of x */
    float *d_weights;              /* gradients of i2h, then of h2h, in panels of their columns */
    float *dh, *dc, *d_gates;
} LstmWorkspace;

typedef struct {
    void (*multiply)(const float *a, int64_t row_step, int64_t depth_step, const float *b,
                     int64_t rows, int64_t depth, float *c, int64_t c_step, int64_t columns,
                     int adds);
    void (*cell)(const float *products, float *gates, const float *before, float *cells,
                 float *outputs);
    void (*cell_gradient)(const float *gates, const float *before, const float *cells,
                          const float *dh, float *dc, float *d_gates);
    void (*take_higher)(float *maxima, int32_t *argmax, const float *outputs, int64_t units,
                        int32_t row);
} LstmKernels;

#define FOR_EACH_ISA "lstm_vectors.h"
#include "isa.h"

/* Where column `q` of the panels stands in MXNet's order of gates; -1: nowhere. */
static int64_t place(int64_t hidden_size, int64_t q) {
    const int64_t unit = q / PANEL * UNITS + q % UNITS, gate = q % PANEL / UNITS;
    return unit < hidden_size ? gate * hidden_size + unit : -1;
}

/* A row of a panel, zeros where there is nothing. */
static void copy_row(float *to, const float *row, int64_t columns) {
    if (row == NULL) columns = 0;
    if (columns > 0) memcpy(to, row, columns * sizeof(float));
    memset(to + columns, 0, (PANEL - columns) * sizeof(float));
}

/* The weights of the gates of panel `p`, (depth, PANEL). */
static void pack_gates(const float *weights, int64_t hidden_size, int64_t depth, int64_t p,
                       float *panel) {
    int64_t rows[PANEL];
    for (int64_t q = 0; q < PANEL; q++) rows[q] = place(hidden_size, p * PANEL + q);
    pack_panel(weights, depth, rows, panel);
}

/* Columns `first` on of the weights of all gates, (4 * units, PANEL). */
static void pack_columns(const float *weights, int64_t hidden_size, int64_t gates, int64_t depth,
                         int64_t first, float *panel) {
    const int64_t columns = depth - first < PANEL ? depth - first : PANEL;
    for (int64_t q = 0; q < gates; q++) {
        const int64_t row = place(hidden_size, q);
        copy_row(panel + q * PANEL, row < 0 ? NULL : weights + row * depth + first, columns);
    }
}

static int open_workspaces(const LstmLayer *layer, int has_gradients, LstmWorkspace *workspaces) {
    memset(workspaces, 0, 2 * sizeof(LstmWorkspace));
    for (int d = 0; d < 2; d++) {
        LstmWorkspace *s = &workspaces[d];
        const int64_t hidden_size = layer->directions[d].hidden_size;
        s->panels = (hidden_size + UNITS - 1) / UNITS;
        s->units = s->panels * UNITS;
        s->stride = s->panels * PANEL + UNITS;
        const int64_t gates = s->panels * PANEL, panel = gates * PANEL;
        const int64_t of_units = panels_of(s->units), of_inputs = panels_of(layer->inputs);
        const int64_t backward = of_inputs * panel + (of_inputs + of_units) * panel +
                                 2 * layer->lists * s->units + layer->rows * s->stride;
        const int64_t size = of_units * panel + gates + (has_gradients ? backward : 0);
        s->weights = malloc(size * sizeof(float));
        if (s->weights == NULL) return NO_MEMORY;
        s->bias = s->weights + of_units * panel;
        s->input_weights = s->bias + gates;
        s->d_weights = s->input_weights + of_inputs * panel;
        s->dh = s->d_weights + (of_inputs + of_units) * panel;
        s->dc = s->dh + layer->lists * s->units;
        s->d_gates = s->dc + layer->lists * s->units;
    }
    return 0;
}

static void close_workspaces(LstmWorkspace *workspaces) {
    for (int d = 0; d < 2; d++) free(workspaces[d].weights);
}

/* The inputs' part of the gates of panel `p` of all rows. */
static void project(const LstmKernels *simd, const LstmLayer *layer, int d, const LstmWorkspace *s,
                    int64_t p, float *panel, float *reversed) {
    const LstmDirection *direction = &layer->directions[d];
    const int64_t inputs = layer->inputs;
    pack_gates(direction->i2h, direction->hidden_size, inputs, p, panel);
    for (int64_t row = 0; row < layer->rows; row += LSTM_ROWS) {
        const int64_t count = layer->rows - row < LSTM_ROWS ? layer->rows - row : LSTM_ROWS;
        const float *x = layer->x + row * inputs;
        if (d == 1) {
            for (int64_t r = 0; r < count; r++)
                memcpy(reversed + r * inputs, layer->x + layer->reversed[row + r] * inputs,
                       inputs * sizeof(float));
            x = reversed;
        }
        float *gates = direction->gates + row * s->stride + p * PANEL;
        for (int64_t r = 0; r < count; r++)
            memcpy(gates + r * s->stride, s->bias + p * PANEL, PANEL * sizeof(float));
        simd->multiply(x, inputs, 1, panel, count, inputs, gates, s->stride, PANEL, 1);
    }
}

static void step_panel(const LstmKernels *simd, const LstmDirection *direction,
                       const LstmWorkspace *s, int64_t p, int64_t start, int64_t before,
                       int64_t count, float *products) {
    for (int64_t row = 0; row < count; row += LSTM_ROWS) {
        const int64_t chunk = count - row < LSTM_ROWS ? count - row : LSTM_ROWS;
        if (before >= 0)
            simd->multiply(direction->outputs + (before + row) * s->units, s->units, 1,
                           s->weights + p * direction->hidden_size * PANEL, chunk,
                           direction->hidden_size, products, PANEL, PANEL, 0);
        for (int64_t r = 0; r < chunk; r++) {
            const int64_t at = start + row + r, unit = p * UNITS;
            simd->cell(before < 0 ? NULL : products + r * PANEL,
                       direction->gates + at * s->stride + p * PANEL,
                       before < 0 ? NULL : direction->cells + (before + row + r) * s->units + unit,
                       direction->cells + at * s->units + unit,
                       direction->outputs + at * s->units + unit);
        }
    }
}

/* The maxima of one direction of the list at place `r` of the order. */
static void find_maxima(const LstmKernels *simd, const LstmLayer *layer, int d,
                        const LstmWorkspace *s, int64_t r, float *maxima) {
    const LstmDirection *direction = &layer->directions[d];
    const int64_t start = d == 0 ? 0 : layer->directions[0].hidden_size;
    const int64_t width = layer->directions[0].hidden_size + layer->directions[1].hidden_size;
    float *output = layer->output + layer->order[r] * width + start;
    int32_t *rows = direction->argmax + r * s->units;
    memset(maxima, 0, s->units * sizeof(float));
    for (int64_t t = 0, row = r; t < layer->steps && r < layer->counts[t]; t++) {
        const float *outputs = direction->outputs + row * s->units;
        if (t == 0) {
            memcpy(maxima, outputs, s->units * sizeof(float));
            for (int64_t k = 0; k < s->units; k++) rows[k] = (int32_t)row;
        } else {
            simd->take_higher(maxima, rows, outputs, s->units, (int32_t)row);
        }
        row += layer->counts[t];
    }
    memcpy(output, maxima, direction->hidden_size * sizeof(float));
}

static void join(const LstmLayer *layer, const LstmWorkspace *workspaces, int64_t row) {
    const LstmDirection *there = &layer->directions[0], *back = &layer->directions[1];
    float *output = layer->output + row * (there->hidden_size + back->hidden_size);
    memcpy(output, there->outputs + row * workspaces[0].units, there->hidden_size * sizeof(float));
    memcpy(output + there->hidden_size, back->outputs + layer->reversed[row] * workspaces[1].units,
           back->hidden_size * sizeof(float));
}

/* Both directions, and of them the maxima over each list or all rows side by side. */
int object2vec_lstm_forward(const LstmLayer *layer) {
    const LstmKernels *simd = FOR_THIS_CPU(&kernels);
    LstmWorkspace workspaces[2];
    int code = open_workspaces(layer, 0, workspaces);
#pragma omp parallel if (code == 0)
    {
        const int64_t inputs = layer->inputs;
        const int64_t units =
            workspaces[0].units > workspaces[1].units ? workspaces[0].units : workspaces[1].units;
        const size_t size = inputs * PANEL + LSTM_ROWS * inputs + LSTM_ROWS * PANEL + units;
        float *panel = memory_of_thread(size, &code);
        if (code == 0) {
            float *reversed = panel + inputs * PANEL, *products = reversed + LSTM_ROWS * inputs;
            float *maxima = products + LSTM_ROWS * PANEL;
            for (int d = 0; d < 2; d++) {
                const LstmDirection *direction = &layer->directions[d];
                const LstmWorkspace *s = &workspaces[d];
#pragma omp for schedule(static) nowait
                for (int64_t p = 0; p < s->panels; p++) {
                    pack_gates(direction->h2h, direction->hidden_size, direction->hidden_size, p,
                               s->weights + p * direction->hidden_size * PANEL);
                    for (int64_t q = p * PANEL; q < (p + 1) * PANEL; q++) {
                        const int64_t from = place(direction->hidden_size, q);
                        s->bias[q] =
                            from < 0 ? 0.0f : direction->i2h_bias[from] + direction->h2h_bias[from];
                    }
                    project(simd, layer, d, s, p, panel, reversed);
                }
            }
            int64_t start = 0, before = -1;
            for (int64_t t = 0; t < layer->steps; t++) {
                /* a thread has the same panels again, but needs all outputs of the step before */
                for (int d = 0; d < 2; d++) {
                    const LstmWorkspace *s = &workspaces[d];
#pragma omp for schedule(static) nowait
                    for (int64_t p = 0; p < s->panels; p++)
                        step_panel(simd, &layer->directions[d], s, p, start, before,
                                   layer->counts[t], products);
                }
#pragma omp barrier
                before = start;
                start += layer->counts[t];
            }
            if (layer->is_maximum) {
#pragma omp for schedule(static)
                for (int64_t r = 0; r < layer->lists; r++)
                    for (int d = 0; d < 2; d++)
                        find_maxima(simd, layer, d, &workspaces[d], r, maxima);
            } else {
#pragma omp for schedule(static)
                for (int64_t row = 0; row < layer->rows; row++) join(layer, workspaces, row);
            }
        }
        free(panel);
    }
    close_workspaces(workspaces);
    return code;
}

/* What the output's gradient says of UNITS units at list `r` of a row. */
static void given_gradient(const LstmLayer *layer, int d, const LstmWorkspace *s, int64_t unit,
                           int64_t r, int64_t row, float *given) {
    const LstmDirection *direction = &layer->directions[d];
    const int64_t start = d == 0 ? 0 : layer->directions[0].hidden_size,
                  left = direction->hidden_size - unit;
    const int64_t width = layer->directions[0].hidden_size + layer->directions[1].hidden_size;
    const int64_t from = layer->is_maximum ? layer->order[r] : d == 0 ? row : layer->reversed[row];
    const float *all = layer->d_output + from * width + start + unit;
    float values[UNITS] = {0};
    memcpy(values, all, (left < UNITS ? left : UNITS) * sizeof(float));
    const int32_t *rows = direction->argmax + r * s->units + unit;
    if (layer->is_maximum)
        for (int k = 0; k < UNITS; k++) given[k] = rows[k] == (int32_t)row ? values[k] : 0.0f;
    else
        memcpy(given, values, sizeof(values));
}

static void step_gradient(const LstmKernels *simd, const LstmLayer *layer, int d,
                          const LstmWorkspace *s, int64_t p, int64_t t, int64_t start,
                          int64_t before) {
    const LstmDirection *direction = &layer->directions[d];
    /* lists whose last step this is have nothing from behind */
    const int64_t behind = t + 1 < layer->steps ? layer->counts[t + 1] : 0;
    for (int64_t r = 0; r < layer->counts[t]; r++) {
        const int64_t at = start + r, unit = p * UNITS;
        float *dc = s->dc + r * s->units + unit;
        const float *dh = s->dh + r * s->units + unit;
        float sum[UNITS];
        given_gradient(layer, d, s, unit, r, at, sum);
        if (r < behind)
            for (int k = 0; k < UNITS; k++) sum[k] += dh[k];
        else
            memset(dc, 0, UNITS * sizeof(float));
        simd->cell_gradient(direction->gates + at * s->stride + p * PANEL,
                            before < 0 ? NULL : direction->cells + (before + r) * s->units + unit,
                            direction->cells + at * s->units + unit, sum, dc,
                            s->d_gates + at * s->stride + p * PANEL);
    }
}

/* Add `count` rows from `row` on to a panel of the weights' gradient, whose columns `inputs` has. */
static void add_gradient(const LstmKernels *simd, const LstmWorkspace *s, const float *inputs,
                         int64_t input_step, const int64_t *of_row, int64_t row, int64_t count,
                         int64_t columns, float *sums, float *panel) {
    for (int64_t k = 0; k < count; k++)
        copy_row(panel + k * PANEL,
                 inputs + (of_row != NULL ? of_row[row + k] : row + k) * input_step, columns);
    for (int64_t p = 0; p < s->panels; p++)
        simd->multiply(s->d_gates + row * s->stride + p * PANEL, 1, s->stride, panel, PANEL, count,
                       sums + p * PANEL * PANEL, PANEL, PANEL, 1);
}

static void unpack_columns(const float *panel, int64_t hidden_size, int64_t gates, int64_t depth,
                           int64_t first, float *weights) {
    const int64_t columns = depth - first < PANEL ? depth - first : PANEL;
    for (int64_t q = 0; q < gates; q++) {
        const int64_t row = place(hidden_size, q);
        if (row >= 0)
            memcpy(weights + row * depth + first, panel + q * PANEL, columns * sizeof(float));
    }
}

/* Item `k` of what `count` rows from `row` on add to the gradients of one direction. */
static void add_rows(const LstmKernels *simd, const LstmLayer *layer, int d, const LstmWorkspace *s,
                     float *dx, const int64_t *before_row, int64_t row, int64_t count, int64_t k,
                     float *panel) {
    const LstmDirection *direction = &layer->directions[d];
    const int64_t inputs = layer->inputs, gates = s->panels * PANEL, of_inputs = panels_of(inputs);
    const int64_t parts_before = k < of_inputs ? 0 : k < 2 * of_inputs ? of_inputs : 2 * of_inputs;
    const int64_t first = (k - parts_before) * PANEL;
    const int64_t left = (k < 2 * of_inputs ? inputs : s->units) - first;
    const int64_t columns = left < PANEL ? left : PANEL;
    if (k < of_inputs) {
        simd->multiply(s->d_gates + row * s->stride, s->stride, 1,
                       s->input_weights + k * gates * PANEL, count, gates,
                       dx + row * inputs + first, inputs, columns, 0);
        return;
    }
    float *sums = s->d_weights + (k - of_inputs) * gates * PANEL;
    if (k < 2 * of_inputs) {
        add_gradient(simd, s, layer->x + first, inputs, d == 0 ? NULL : layer->reversed, row, count,
                     columns, sums, panel);
    } else {
        /* the first rows have nothing before them */
        const int64_t skipped = layer->counts[0] > row ? layer->counts[0] - row : 0;
        if (skipped < count)
            add_gradient(simd, s, direction->outputs + first, s->units, before_row, row + skipped,
                         count - skipped, columns, sums, panel);
    }
}

/* For each row that of the same list one step before; returns where the last step starts. */
static int64_t find_rows_before(const LstmLayer *layer, int64_t *before_row) {
    int64_t last = 0;
    for (int64_t t = 0, start = 0; t < layer->steps; t++) {
        for (int64_t r = 0; r < layer->counts[t]; r++)
            before_row[start + r] = t > 0 ? start - layer->counts[t - 1] + r : 0;
        last = start;
        start += layer->counts[t];
    }
    return last;
}

/* What follows is called by all threads of a region, which share the work. */

static void pack_weights(const LstmLayer *layer, const LstmWorkspace *workspaces) {
    for (int d = 0; d < 2; d++) {
        const LstmDirection *direction = &layer->directions[d];
        const LstmWorkspace *s = &workspaces[d];
        const int64_t gates = s->panels * PANEL;
#pragma omp for schedule(static) nowait
        for (int64_t p = 0; p < panels_of(direction->hidden_size); p++)
            pack_columns(direction->h2h, direction->hidden_size, gates, direction->hidden_size,
                         p * PANEL, s->weights + p * gates * PANEL);
#pragma omp for schedule(static) nowait
        for (int64_t p = 0; p < panels_of(layer->inputs); p++)
            pack_columns(direction->i2h, direction->hidden_size, gates, layer->inputs, p * PANEL,
                         s->input_weights + p * gates * PANEL);
    }
#pragma omp barrier
}

/* The gradients of the outputs of the step before step `t`, of one direction. */
static void outputs_before(const LstmKernels *simd, const LstmLayer *layer, const LstmWorkspace *s,
                           int64_t t, int64_t start) {
    const int64_t gates = s->panels * PANEL, columns = panels_of(s->units);
    const int64_t chunks = (layer->counts[t] + LSTM_ROWS - 1) / LSTM_ROWS;
#pragma omp for schedule(static) nowait
    for (int64_t k = 0; k < columns * chunks; k++) {
        const int64_t p = k / chunks, row = k % chunks * LSTM_ROWS;
        const int64_t count = layer->counts[t] - row, left = s->units - p * PANEL;
        simd->multiply(s->d_gates + (start + row) * s->stride, s->stride, 1,
                       s->weights + p * gates * PANEL, count < LSTM_ROWS ? count : LSTM_ROWS, gates,
                       s->dh + row * s->units + p * PANEL, s->units, left < PANEL ? left : PANEL,
                       0);
    }
}

/* The gradients of all gates, from the last step to the first. */
static void gate_gradients(const LstmKernels *simd, const LstmLayer *layer,
                           const LstmWorkspace *workspaces, int64_t last) {
    int64_t start = last;
    for (int64_t t = layer->steps - 1; t >= 0; t--) {
        const int64_t before = t > 0 ? start - layer->counts[t - 1] : -1;
        for (int d = 0; d < 2; d++) {
#pragma omp for schedule(static) nowait
            for (int64_t p = 0; p < workspaces[d].panels; p++)
                step_gradient(simd, layer, d, &workspaces[d], p, t, start, before);
        }
#pragma omp barrier
        for (int d = 0; d < 2 && t > 0; d++) outputs_before(simd, layer, &workspaces[d], t, start);
#pragma omp barrier
        start = before;
    }
}

static void bias_gradient(const LstmLayer *layer, const LstmDirection *direction,
                          const LstmWorkspace *s, int64_t p) {
    float sums[PANEL] = {0};
    for (int64_t row = 0; row < layer->rows; row++)
        for (int k = 0; k < PANEL; k++) sums[k] += s->d_gates[row * s->stride + p * PANEL + k];
    for (int k = 0; k < PANEL; k++) {
        const int64_t to = place(direction->hidden_size, p * PANEL + k);
        if (to >= 0) direction->d_bias[to] = sums[k];
    }
}

/* The gradients of the weights of one direction, and its part of that of x. */
static void weight_gradients(const LstmKernels *simd, const LstmLayer *layer, int d,
                             const LstmWorkspace *s, float *dx, const int64_t *before_row,
                             float *panel) {
    const LstmDirection *direction = &layer->directions[d];
    const int64_t inputs = layer->inputs, rows = layer->rows, gates = s->panels * PANEL;
    const int64_t of_inputs = panels_of(inputs), of_units = panels_of(s->units);
#pragma omp for schedule(static) nowait
    for (int64_t k = 0; k < of_inputs + of_units; k++)
        memset(s->d_weights + k * gates * PANEL, 0, gates * PANEL * sizeof(float));
#pragma omp barrier
    /* rows by rows, so that the gradients of their gates stay in the cache */
    for (int64_t row = 0; row < rows; row += DEPTH) {
        const int64_t count = rows - row < DEPTH ? rows - row : DEPTH;
#pragma omp for schedule(dynamic)
        for (int64_t k = 0; k < 2 * of_inputs + of_units; k++)
            add_rows(simd, layer, d, s, dx, before_row, row, count, k, panel);
    }
#pragma omp for schedule(static) nowait
    for (int64_t k = 0; k < of_inputs + of_units; k++) {
        const float *sums = s->d_weights + k * gates * PANEL;
        if (k < of_inputs)
            unpack_columns(sums, direction->hidden_size, gates, inputs, k * PANEL,
                           direction->d_i2h);
        else
            unpack_columns(sums, direction->hidden_size, gates, direction->hidden_size,
                           (k - of_inputs) * PANEL, direction->d_h2h);
    }
#pragma omp for schedule(static) nowait
    for (int64_t p = 0; p < s->panels; p++) bias_gradient(layer, direction, s, p);
}

static void add_reversed(const LstmLayer *layer, const float *dx_reversed) {
    const int64_t inputs = layer->inputs;
#pragma omp for schedule(static)
    for (int64_t row = 0; row < layer->rows; row++) {
        const float *from = dx_reversed + layer->reversed[row] * inputs;
        for (int64_t k = 0; k < inputs; k++) layer->dx[row * inputs + k] += from[k];
    }
}

/* The gradients of x and of all weights, after object2vec_lstm_forward. */
int object2vec_lstm_backward(const LstmLayer *layer) {
    const LstmKernels *simd = FOR_THIS_CPU(&kernels);
    LstmWorkspace workspaces[2];
    int code = open_workspaces(layer, 1, workspaces);
    int64_t *before_row = malloc((layer->rows + 1) * sizeof(int64_t));
    float *dx_reversed = malloc((layer->rows * layer->inputs + 1) * sizeof(float));
    if (before_row == NULL || dx_reversed == NULL) code = NO_MEMORY;
    const int64_t last = code == 0 ? find_rows_before(layer, before_row) : 0;
#pragma omp parallel if (code == 0)
    {
        float *panel = memory_of_thread(DEPTH * PANEL, &code);
        if (code == 0) {
            pack_weights(layer, workspaces);
            gate_gradients(simd, layer, workspaces, last);
            for (int d = 0; d < 2; d++)
                weight_gradients(simd, layer, d, &workspaces[d], d == 0 ? layer->dx : dx_reversed,
                                 before_row, panel);
#pragma omp barrier
            add_reversed(layer, dx_reversed);
        }
        free(panel);
    }
    free(before_row);
    free(dx_reversed);
    close_workspaces(workspaces);
    return code;
}
