/* SPDX-License-Identifier: Apache-2.0 */
/* What lstm.c does with vectors; included for each instruction set. */

#include "vectors.h"
#include "products.h"

/* A time step of one list, for the UNITS units of a panel. `gates` holds what the inputs and biases
   add to the gates and becomes the gates; `products` is what the previous outputs add, and
   `previous` the previous cells: both are NULL at the first step. */
TARGET static void SIMD(cell)(const float *products, float *gates, const float *previous,
                              float *cells, float *outputs) {
    for (int k = 0; k < UNITS; k += LANES) {
        SIMD(Floats) g[4];
        for (int gate = 0; gate < 4; gate++) {
            g[gate] = AT(gates + gate * UNITS + k);
            if (products != NULL) g[gate] += AT(products + gate * UNITS + k);
        }
        const SIMD(Floats) in = SIMD(sigmoid)(g[0]), forget = SIMD(sigmoid)(g[1]),
                           candidate = SIMD(tanh)(g[2]), out = SIMD(sigmoid)(g[3]);
        SIMD(Floats) c = in * candidate;
        if (previous != NULL) c += forget * AT(previous + k);
        AT(gates + k) = in;
        AT(gates + UNITS + k) = forget;
        AT(gates + 2 * UNITS + k) = candidate;
        AT(gates + 3 * UNITS + k) = out;
        AT(cells + k) = c;
        AT(outputs + k) = out * SIMD(tanh)(c);
    }
}

/* The gradient of the same: `dh` is that of the outputs. `dc` is the part of the cells' gradient
   that comes from the next step and becomes the part that goes to the previous one. */
TARGET static void SIMD(cell_gradient)(const float *gates, const float *previous,
                                       const float *cells, const float *dh, float *dc,
                                       float *d_gates) {
    for (int k = 0; k < UNITS; k += LANES) {
        const SIMD(Floats) in = AT(gates + k), forget = AT(gates + UNITS + k),
                           candidate = AT(gates + 2 * UNITS + k), out = AT(gates + 3 * UNITS + k);
        const SIMD(Floats) tanh_c = SIMD(tanh)(AT(cells + k)), d = AT(dh + k);
        const SIMD(Floats) c = AT(dc + k) + d * out * (1.0f - tanh_c * tanh_c);
        const SIMD(Floats) c_previous = previous != NULL ? AT(previous + k) : SIMD(splat)(0.0f);
        AT(d_gates + k) = c * candidate * in * (1.0f - in);
        AT(d_gates + UNITS + k) = c * c_previous * forget * (1.0f - forget);
        AT(d_gates + 2 * UNITS + k) = c * in * (1.0f - candidate * candidate);
        AT(d_gates + 3 * UNITS + k) = d * tanh_c * out * (1.0f - out);
        AT(dc + k) = c * forget;
    }
}

/* Take over the outputs of a row that exceed the maxima so far, and the row's number. */
TARGET static void SIMD(update_maxima)(float *restrict maxima, int32_t *restrict argmax,
                                       const float *outputs, int64_t units, int32_t row) {
    for (int64_t k = 0; k < units; k++) {
        const int is_greater = outputs[k] > maxima[k];
        maxima[k] = is_greater ? outputs[k] : maxima[k];
        argmax[k] = is_greater ? row : argmax[k];
    }
}

static const LstmKernels SIMD(kernels) = {SIMD(multiply), SIMD(cell), SIMD(cell_gradient),
                                          SIMD(update_maxima)};
