/* SPDX-License-Identifier: Apache-2.0 */
/* A bidirectional LSTM layer over lists of different lengths, without padding, and its gradients;
   see lstm.py.

   A row is one time step of one list. The rows are in the order of time, and those of one time step
   in the order of length, the longest list first: step `t` has the first `counts[t]` lists. The
   backward direction has the same rows, but reads each list from its end. Gates are kept in panels
   of UNITS units (panels.h), in which the four gates of a unit are UNITS elements apart. */

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "kernels.h"
#include "panels.h"

/* What one direction of a layer needs besides its arrays, in one piece of memory. */
typedef struct {
    int64_t panels, units;
    int64_t stride;        /* from one row's gates to the next; not a power of two, whose rows would
                              all compete for the same few lines of the cache */
    float *weights, *bias; /* h2h in panels, and the sum of both biases */
    float *input_weights;  /* i2h in panels, for the gradient of x */
    float *d_weights;      /* gradients of i2h, then of h2h, in panels of their columns */
    float *dh, *dc;        /* (lists, units): gradients that one step hands to the one before it */
    float *d_gates;        /* (rows, stride) */
} LstmWorkspace;

typedef struct {
    void (*multiply)(const float *a, int64_t row_step, int64_t depth_step, const float *b,
                     int64_t rows, int64_t depth, float *c, int64_t c_step, int64_t columns,
                     int adds);
    void (*cell)(const float *products, float *gates, const float *previous, float *cells,
                 float *outputs);
    void (*cell_gradient)(const float *gates, const float *previous, const float *cells,
                          const float *dh, float *dc, float *d_gates);
    void (*update_maxima)(float *maxima, int32_t *argmax, const float *outputs, int64_t units,
                          int32_t row);
} LstmKernels;

#define FOR_EACH_ISA "lstm_vectors.h"
#include "isa.h"

/* The row of MXNet's weights, where each gate has all its units together, that belongs to column
   `q` of the panels; -1 where the column only fills up a panel. */
static int64_t gate_row(int64_t hidden_size, int64_t q) {
    const int64_t unit = q / PANEL * UNITS + q % UNITS, gate = q % PANEL / UNITS;
    return unit < hidden_size ? gate * hidden_size + unit : -1;
}

/* Copy a row into a panel, with zeros after its end; NULL stands for a row of zeros. */
static void copy_row(float *to, const float *row, int64_t columns) {
    if (row == NULL) columns = 0;
    if (columns > 0) memcpy(to, row, columns * sizeof(float));
    memset(to + columns, 0, (PANEL - columns) * sizeof(float));
}

/* The weights of panel `p` of the gates, (depth, PANEL). */
static void pack_gates(const float *weights, int64_t hidden_size, int64_t depth, int64_t p,
                       float *panel) {
    int64_t rows[PANEL];
    for (int64_t q = 0; q < PANEL; q++) rows[q] = gate_row(hidden_size, p * PANEL + q);
    pack_panel(weights, depth, rows, panel);
}

/* PANEL columns of the weights of all gates, from column `first` on, (4 * units, PANEL). */
static void pack_columns(const float *weights, int64_t hidden_size, int64_t gates, int64_t depth,
                         int64_t first, float *panel) {
    const int64_t columns = depth - first < PANEL ? depth - first : PANEL;
    for (int64_t q = 0; q < gates; q++) {
        const int64_t row = gate_row(hidden_size, q);
        copy_row(panel + q * PANEL, row < 0 ? NULL : weights + row * depth + first, columns);
    }
}

static int open_workspaces(const LstmLayer *layer, int has_gradients, LstmWorkspace *workspaces) {
    memset(workspaces, 0, 2 * sizeof(LstmWorkspace));
    for (int d = 0; d < 2; d++) {
        LstmWorkspace *ws = &workspaces[d];
        const int64_t hidden_size = layer->directions[d].hidden_size;
        ws->panels = (hidden_size + UNITS - 1) / UNITS;
        ws->units = ws->panels * UNITS;
        ws->stride = ws->panels * PANEL + UNITS;
        const int64_t gates = ws->panels * PANEL, panel = gates * PANEL;
        const int64_t unit_panels = panels_of(ws->units), input_panels = panels_of(layer->inputs);
        const int64_t backward = input_panels * panel + (input_panels + unit_panels) * panel +
                                 2 * layer->lists * ws->units + layer->rows * ws->stride;
        const int64_t size = unit_panels * panel + gates + (has_gradients ? backward : 0);
        ws->weights = malloc(size * sizeof(float));
        if (ws->weights == NULL) return NO_MEMORY;
        ws->bias = ws->weights + unit_panels * panel;
        ws->input_weights = ws->bias + gates;
        ws->d_weights = ws->input_weights + input_panels * panel;
        ws->dh = ws->d_weights + (input_panels + unit_panels) * panel;
        ws->dc = ws->dh + layer->lists * ws->units;
        ws->d_gates = ws->dc + layer->lists * ws->units;
    }
    return 0;
}

static void close_workspaces(LstmWorkspace *workspaces) {
    for (int d = 0; d < 2; d++) free(workspaces[d].weights);
}

/* What inputs and biases add to panel `p` of the gates, for all rows. */
static void project(const LstmKernels *simd, const LstmLayer *layer, int d, const LstmWorkspace *ws,
                    int64_t p, float *panel, float *reversed) {
    const LstmDirection *direction = &layer->directions[d];
    const int64_t inputs = layer->inputs;
    pack_gates(direction->i2h, direction->hidden_size, inputs, p, panel);
    for (int64_t row = 0; row < layer->rows; row += LSTM_CHUNK_ROWS) {
        const int64_t count =
            layer->rows - row < LSTM_CHUNK_ROWS ? layer->rows - row : LSTM_CHUNK_ROWS;
        const float *x = layer->x + row * inputs;
        if (d == 1) {
            for (int64_t r = 0; r < count; r++)
                memcpy(reversed + r * inputs, layer->x + layer->reversed[row + r] * inputs,
                       inputs * sizeof(float));
            x = reversed;
        }
        float *gates = direction->gates + row * ws->stride + p * PANEL;
        for (int64_t r = 0; r < count; r++)
            memcpy(gates + r * ws->stride, ws->bias + p * PANEL, PANEL * sizeof(float));
        simd->multiply(x, inputs, 1, panel, count, inputs, gates, ws->stride, PANEL, 1);
    }
}

/* Panel `p` of one time step, whose rows begin at `start` and those of the step before at
   `previous`, -1 for the first step. */
static void run_step(const LstmKernels *simd, const LstmDirection *direction,
                     const LstmWorkspace *ws, int64_t p, int64_t start, int64_t previous,
                     int64_t count, float *products) {
    for (int64_t row = 0; row < count; row += LSTM_CHUNK_ROWS) {
        const int64_t chunk = count - row < LSTM_CHUNK_ROWS ? count - row : LSTM_CHUNK_ROWS;
        if (previous >= 0)
            simd->multiply(direction->outputs + (previous + row) * ws->units, ws->units, 1,
                           ws->weights + p * direction->hidden_size * PANEL, chunk,
                           direction->hidden_size, products, PANEL, PANEL, 0);
        for (int64_t r = 0; r < chunk; r++) {
            const int64_t at = start + row + r, unit = p * UNITS;
            simd->cell(
                previous < 0 ? NULL : products + r * PANEL,
                direction->gates + at * ws->stride + p * PANEL,
                previous < 0 ? NULL : direction->cells + (previous + row + r) * ws->units + unit,
                direction->cells + at * ws->units + unit,
                direction->outputs + at * ws->units + unit);
        }
    }
}

/* The maxima of one direction over list `r` of the order. */
static void find_maxima(const LstmKernels *simd, const LstmLayer *layer, int d,
                        const LstmWorkspace *ws, int64_t r, float *maxima) {
    const LstmDirection *direction = &layer->directions[d];
    const int64_t start = d == 0 ? 0 : layer->directions[0].hidden_size;
    const int64_t width = layer->directions[0].hidden_size + layer->directions[1].hidden_size;
    float *output = layer->output + layer->order[r] * width + start;
    int32_t *rows = direction->argmax + r * ws->units;
    memset(maxima, 0, ws->units * sizeof(float));
    for (int64_t t = 0, row = r; t < layer->steps && r < layer->counts[t]; t++) {
        const float *outputs = direction->outputs + row * ws->units;
        if (t == 0) {
            memcpy(maxima, outputs, ws->units * sizeof(float));
            for (int64_t k = 0; k < ws->units; k++) rows[k] = (int32_t)row;
        } else {
            simd->update_maxima(maxima, rows, outputs, ws->units, (int32_t)row);
        }
        row += layer->counts[t];
    }
    memcpy(output, maxima, direction->hidden_size * sizeof(float));
}

/* The outputs of both directions for one row, side by side. */
static void join(const LstmLayer *layer, const LstmWorkspace *workspaces, int64_t row) {
    const LstmDirection *forward = &layer->directions[0], *backward = &layer->directions[1];
    float *output = layer->output + row * (forward->hidden_size + backward->hidden_size);
    memcpy(output, forward->outputs + row * workspaces[0].units,
           forward->hidden_size * sizeof(float));
    memcpy(output + forward->hidden_size,
           backward->outputs + layer->reversed[row] * workspaces[1].units,
           backward->hidden_size * sizeof(float));
}

/* Run both directions, and give their maxima over each list, or the outputs of all rows. */
int object2vec_lstm_forward(const LstmLayer *layer) {
    const LstmKernels *simd = FOR_THIS_CPU(&kernels);
    LstmWorkspace workspaces[2];
    int code = open_workspaces(layer, 0, workspaces);
#pragma omp parallel if (code == 0)
    {
        const int64_t inputs = layer->inputs;
        const int64_t units =
            workspaces[0].units > workspaces[1].units ? workspaces[0].units : workspaces[1].units;
        const size_t size =
            inputs * PANEL + LSTM_CHUNK_ROWS * inputs + LSTM_CHUNK_ROWS * PANEL + units;
        float *panel = allocate_for_thread(size, &code);
        if (code == 0) {
            float *reversed = panel + inputs * PANEL,
                  *products = reversed + LSTM_CHUNK_ROWS * inputs;
            float *maxima = products + LSTM_CHUNK_ROWS * PANEL;
            for (int d = 0; d < 2; d++) {
                const LstmDirection *direction = &layer->directions[d];
                const LstmWorkspace *ws = &workspaces[d];
#pragma omp for schedule(static) nowait
                for (int64_t p = 0; p < ws->panels; p++) {
                    pack_gates(direction->h2h, direction->hidden_size, direction->hidden_size, p,
                               ws->weights + p * direction->hidden_size * PANEL);
                    for (int64_t q = p * PANEL; q < (p + 1) * PANEL; q++) {
                        const int64_t from = gate_row(direction->hidden_size, q);
                        ws->bias[q] =
                            from < 0 ? 0.0f : direction->i2h_bias[from] + direction->h2h_bias[from];
                    }
                    project(simd, layer, d, ws, p, panel, reversed);
                }
            }
            int64_t start = 0, previous = -1;
            for (int64_t t = 0; t < layer->steps; t++) {
                /* static, so that a thread keeps its panels in its cache over all steps; the
                   barrier, because each panel needs the previous outputs of all units */
                for (int d = 0; d < 2; d++) {
                    const LstmWorkspace *ws = &workspaces[d];
#pragma omp for schedule(static) nowait
                    for (int64_t p = 0; p < ws->panels; p++)
                        run_step(simd, &layer->directions[d], ws, p, start, previous,
                                 layer->counts[t], products);
                }
#pragma omp barrier
                previous = start;
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

/* The gradient of UNITS units of a row, as far as it comes from the layer's output; the row is one
   of list `r` of the order. */
static void output_gradient(const LstmLayer *layer, int d, const LstmWorkspace *ws, int64_t unit,
                            int64_t r, int64_t row, float *gradient) {
    const LstmDirection *direction = &layer->directions[d];
    const int64_t start = d == 0 ? 0 : layer->directions[0].hidden_size,
                  remaining = direction->hidden_size - unit;
    const int64_t width = layer->directions[0].hidden_size + layer->directions[1].hidden_size;
    const int64_t from = layer->is_maximum ? layer->order[r] : d == 0 ? row : layer->reversed[row];
    const float *all = layer->d_output + from * width + start + unit;
    float values[UNITS] = {0};
    memcpy(values, all, (remaining < UNITS ? remaining : UNITS) * sizeof(float));
    const int32_t *rows = direction->argmax + r * ws->units + unit;
    if (layer->is_maximum)
        for (int k = 0; k < UNITS; k++) gradient[k] = rows[k] == (int32_t)row ? values[k] : 0.0f;
    else
        memcpy(gradient, values, sizeof(values));
}

/* The gradients of panel `p` of the gates at time step `t`. */
static void step_gradient(const LstmKernels *simd, const LstmLayer *layer, int d,
                          const LstmWorkspace *ws, int64_t p, int64_t t, int64_t start,
                          int64_t previous) {
    const LstmDirection *direction = &layer->directions[d];
    /* lists that end with this step get no gradient from a next one */
    const int64_t continuing = t + 1 < layer->steps ? layer->counts[t + 1] : 0;
    for (int64_t r = 0; r < layer->counts[t]; r++) {
        const int64_t at = start + r, unit = p * UNITS;
        float *dc = ws->dc + r * ws->units + unit;
        const float *dh = ws->dh + r * ws->units + unit;
        float sum[UNITS];
        output_gradient(layer, d, ws, unit, r, at, sum);
        if (r < continuing)
            for (int k = 0; k < UNITS; k++) sum[k] += dh[k];
        else
            memset(dc, 0, UNITS * sizeof(float));
        simd->cell_gradient(
            direction->gates + at * ws->stride + p * PANEL,
            previous < 0 ? NULL : direction->cells + (previous + r) * ws->units + unit,
            direction->cells + at * ws->units + unit, sum, dc,
            ws->d_gates + at * ws->stride + p * PANEL);
    }
}

/* Add to the gradient of the weights, for the PANEL inputs that `inputs` begins with, what `count`
   rows from `row` on contribute. `of_row` gives the row of `inputs` for each of them; NULL: the
   same. */
static void add_gradient(const LstmKernels *simd, const LstmWorkspace *ws, const float *inputs,
                         int64_t input_step, const int64_t *of_row, int64_t row, int64_t count,
                         int64_t columns, float *sums, float *panel) {
    for (int64_t k = 0; k < count; k++)
        copy_row(panel + k * PANEL,
                 inputs + (of_row != NULL ? of_row[row + k] : row + k) * input_step, columns);
    for (int64_t p = 0; p < ws->panels; p++)
        simd->multiply(ws->d_gates + row * ws->stride + p * PANEL, 1, ws->stride, panel, PANEL,
                       count, sums + p * PANEL * PANEL, PANEL, PANEL, 1);
}

/* The reverse of `pack_columns`. */
static void unpack_columns(const float *panel, int64_t hidden_size, int64_t gates, int64_t depth,
                           int64_t first, float *weights) {
    const int64_t columns = depth - first < PANEL ? depth - first : PANEL;
    for (int64_t q = 0; q < gates; q++) {
        const int64_t row = gate_row(hidden_size, q);
        if (row >= 0)
            memcpy(weights + row * depth + first, panel + q * PANEL, columns * sizeof(float));
    }
}

/* One of the pieces into which the work on `count` rows from `row` on is divided. Each is a panel
   of columns: first those of dx, then those of the gradient of i2h, then those of h2h. */
static void add_rows(const LstmKernels *simd, const LstmLayer *layer, int d,
                     const LstmWorkspace *ws, float *dx, const int64_t *previous_row, int64_t row,
                     int64_t count, int64_t k, float *panel) {
    const LstmDirection *direction = &layer->directions[d];
    const int64_t inputs = layer->inputs, gates = ws->panels * PANEL,
                  input_panels = panels_of(inputs);
    const int64_t first_piece = k < input_panels       ? 0
                                : k < 2 * input_panels ? input_panels
                                                       : 2 * input_panels;
    const int64_t first = (k - first_piece) * PANEL;
    const int64_t remaining = (k < 2 * input_panels ? inputs : ws->units) - first;
    const int64_t columns = remaining < PANEL ? remaining : PANEL;
    if (k < input_panels) {
        simd->multiply(ws->d_gates + row * ws->stride, ws->stride, 1,
                       ws->input_weights + k * gates * PANEL, count, gates,
                       dx + row * inputs + first, inputs, columns, 0);
        return;
    }
    float *sums = ws->d_weights + (k - input_panels) * gates * PANEL;
    if (k < 2 * input_panels) {
        add_gradient(simd, ws, layer->x + first, inputs, d == 0 ? NULL : layer->reversed, row,
                     count, columns, sums, panel);
    } else {
        /* the rows of the first time step have no previous outputs */
        const int64_t first_step_rows = layer->counts[0] > row ? layer->counts[0] - row : 0;
        if (first_step_rows < count)
            add_gradient(simd, ws, direction->outputs + first, ws->units, previous_row,
                         row + first_step_rows, count - first_step_rows, columns, sums, panel);
    }
}

/* Find for each row the row of the same list one step earlier; returns where the last step
   starts. */
static int64_t find_previous_rows(const LstmLayer *layer, int64_t *previous_row) {
    int64_t last = 0;
    for (int64_t t = 0, start = 0; t < layer->steps; t++) {
        for (int64_t r = 0; r < layer->counts[t]; r++)
            previous_row[start + r] = t > 0 ? start - layer->counts[t - 1] + r : 0;
        last = start;
        start += layer->counts[t];
    }
    return last;
}

/* The functions from here on are called by all threads of a parallel region, which share the
   work. */

/* Both weights in panels of columns, as the products of the backward pass read them. */
static void pack_weights(const LstmLayer *layer, const LstmWorkspace *workspaces) {
    for (int d = 0; d < 2; d++) {
        const LstmDirection *direction = &layer->directions[d];
        const LstmWorkspace *ws = &workspaces[d];
        const int64_t gates = ws->panels * PANEL;
#pragma omp for schedule(static) nowait
        for (int64_t p = 0; p < panels_of(direction->hidden_size); p++)
            pack_columns(direction->h2h, direction->hidden_size, gates, direction->hidden_size,
                         p * PANEL, ws->weights + p * gates * PANEL);
#pragma omp for schedule(static) nowait
        for (int64_t p = 0; p < panels_of(layer->inputs); p++)
            pack_columns(direction->i2h, direction->hidden_size, gates, layer->inputs, p * PANEL,
                         ws->input_weights + p * gates * PANEL);
    }
#pragma omp barrier
}

/* The gradients of the outputs of step `t - 1`, as far as they come from step `t`, of one
   direction. */
static void previous_outputs_gradient(const LstmKernels *simd, const LstmLayer *layer,
                                      const LstmWorkspace *ws, int64_t t, int64_t start) {
    const int64_t gates = ws->panels * PANEL, columns = panels_of(ws->units);
    const int64_t chunks = (layer->counts[t] + LSTM_CHUNK_ROWS - 1) / LSTM_CHUNK_ROWS;
#pragma omp for schedule(static) nowait
    for (int64_t k = 0; k < columns * chunks; k++) {
        const int64_t p = k / chunks, row = k % chunks * LSTM_CHUNK_ROWS;
        const int64_t count = layer->counts[t] - row, remaining = ws->units - p * PANEL;
        simd->multiply(ws->d_gates + (start + row) * ws->stride, ws->stride, 1,
                       ws->weights + p * gates * PANEL,
                       count < LSTM_CHUNK_ROWS ? count : LSTM_CHUNK_ROWS, gates,
                       ws->dh + row * ws->units + p * PANEL, ws->units,
                       remaining < PANEL ? remaining : PANEL, 0);
    }
}

/* The gradients of all gates, from the last step to the first. */
static void gate_gradients(const LstmKernels *simd, const LstmLayer *layer,
                           const LstmWorkspace *workspaces, int64_t last) {
    int64_t start = last;
    for (int64_t t = layer->steps - 1; t >= 0; t--) {
        const int64_t previous = t > 0 ? start - layer->counts[t - 1] : -1;
        for (int d = 0; d < 2; d++) {
#pragma omp for schedule(static) nowait
            for (int64_t p = 0; p < workspaces[d].panels; p++)
                step_gradient(simd, layer, d, &workspaces[d], p, t, start, previous);
        }
#pragma omp barrier
        for (int d = 0; d < 2 && t > 0; d++)
            previous_outputs_gradient(simd, layer, &workspaces[d], t, start);
#pragma omp barrier
        start = previous;
    }
}

static void bias_gradient(const LstmLayer *layer, const LstmDirection *direction,
                          const LstmWorkspace *ws, int64_t p) {
    float sums[PANEL] = {0};
    for (int64_t row = 0; row < layer->rows; row++)
        for (int k = 0; k < PANEL; k++) sums[k] += ws->d_gates[row * ws->stride + p * PANEL + k];
    for (int k = 0; k < PANEL; k++) {
        const int64_t to = gate_row(direction->hidden_size, p * PANEL + k);
        if (to >= 0) direction->d_bias[to] = sums[k];
    }
}

/* The gradients of the weights of one direction, and its part of that of x. */
static void weight_gradients(const LstmKernels *simd, const LstmLayer *layer, int d,
                             const LstmWorkspace *ws, float *dx, const int64_t *previous_row,
                             float *panel) {
    const LstmDirection *direction = &layer->directions[d];
    const int64_t inputs = layer->inputs, rows = layer->rows, gates = ws->panels * PANEL;
    const int64_t input_panels = panels_of(inputs), unit_panels = panels_of(ws->units);
#pragma omp for schedule(static) nowait
    for (int64_t k = 0; k < input_panels + unit_panels; k++)
        memset(ws->d_weights + k * gates * PANEL, 0, gates * PANEL * sizeof(float));
#pragma omp barrier
    /* in chunks of rows, so that the gradients of a chunk's gates stay in the cache */
    for (int64_t row = 0; row < rows; row += DEPTH_CHUNK) {
        const int64_t count = rows - row < DEPTH_CHUNK ? rows - row : DEPTH_CHUNK;
#pragma omp for schedule(dynamic)
        for (int64_t k = 0; k < 2 * input_panels + unit_panels; k++)
            add_rows(simd, layer, d, ws, dx, previous_row, row, count, k, panel);
    }
#pragma omp for schedule(static) nowait
    for (int64_t k = 0; k < input_panels + unit_panels; k++) {
        const float *sums = ws->d_weights + k * gates * PANEL;
        if (k < input_panels)
            unpack_columns(sums, direction->hidden_size, gates, inputs, k * PANEL,
                           direction->d_i2h);
        else
            unpack_columns(sums, direction->hidden_size, gates, direction->hidden_size,
                           (k - input_panels) * PANEL, direction->d_h2h);
    }
#pragma omp for schedule(static) nowait
    for (int64_t p = 0; p < ws->panels; p++) bias_gradient(layer, direction, ws, p);
}

/* Add the backward direction's part of dx, whose rows are in its own order. */
static void add_reversed_dx(const LstmLayer *layer, const float *dx_reversed) {
    const int64_t inputs = layer->inputs;
#pragma omp for schedule(static)
    for (int64_t row = 0; row < layer->rows; row++) {
        const float *from = dx_reversed + layer->reversed[row] * inputs;
        for (int64_t k = 0; k < inputs; k++) layer->dx[row * inputs + k] += from[k];
    }
}

/* The gradients of x and of all weights; object2vec_lstm_forward was called before. */
int object2vec_lstm_backward(const LstmLayer *layer) {
    const LstmKernels *simd = FOR_THIS_CPU(&kernels);
    LstmWorkspace workspaces[2];
    int code = open_workspaces(layer, 1, workspaces);
    int64_t *previous_row = malloc((layer->rows + 1) * sizeof(int64_t));
    float *dx_reversed = malloc((layer->rows * layer->inputs + 1) * sizeof(float));
    if (previous_row == NULL || dx_reversed == NULL) code = NO_MEMORY;
    const int64_t last = code == 0 ? find_previous_rows(layer, previous_row) : 0;
#pragma omp parallel if (code == 0)
    {
        float *panel = allocate_for_thread(DEPTH_CHUNK * PANEL, &code);
        if (code == 0) {
            pack_weights(layer, workspaces);
            gate_gradients(simd, layer, workspaces, last);
            for (int d = 0; d < 2; d++)
                weight_gradients(simd, layer, d, &workspaces[d], d == 0 ? layer->dx : dx_reversed,
                                 previous_row, panel);
#pragma omp barrier
            add_reversed_dx(layer, dx_reversed);
        }
        free(panel);
    }
    free(previous_row);
    free(dx_reversed);
    close_workspaces(workspaces);
    return code;
}
