/* SPDX-License-Identifier: Apache-2.0 */
/* What scorer.c does with vectors; included for each instruction set. */

#include "vectors.h"
#include "products.h"

/* The sum over a vector. */
INLINED float SIMD(total)(SIMD(Floats) x) {
    float parts[LANES];
    AT(parts) = x;
    for (int half = LANES / 2; half > 0; half /= 2)
        for (int i = 0; i < half; i++) parts[i] += parts[i + half];
    return parts[0];
}

/* Elements behind the last full vector; zeros before them, as far as the vector has met them. */
INLINED SIMD(Floats) SIMD(tail)(const float *row, int64_t size) {
    float last[LANES] = {0};
    memcpy(last + LANES - size % LANES, row + size - size % LANES, size % LANES * sizeof(float));
    return AT(last);
}

/* OUTPUTS outputs of some pairs, the weights taken as they are. Outputs behind the last one are the
   last one again. */
INLINED void SIMD(dots)(const ScorerLayer *layer, int64_t first, const int pairs, int64_t stride,
                        const float *x, const SIMD(Floats) * tails, float *y) {
    const int64_t inputs = layer->inputs, last = layer->outputs - 1;
    const float *weight[OUTPUTS];
    SIMD(Floats) sums[MOST_PAIRS][OUTPUTS] = {0};
    for (int j = 0; j < OUTPUTS; j++)
        weight[j] = layer->weight + (first + j < last ? first + j : last) * inputs;
    int64_t k = 0;
    for (; k + LANES <= inputs; k += LANES) {
#pragma GCC unroll 4
        for (int j = 0; j < OUTPUTS; j++) {
            const SIMD(Floats) w = AT(weight[j] + k);
#pragma GCC unroll 4
            for (int pair = 0; pair < pairs; pair++) sums[pair][j] += AT(x + pair * stride + k) * w;
        }
    }
    if (k < inputs) {
#pragma GCC unroll 4
        for (int j = 0; j < OUTPUTS; j++) {
            const SIMD(Floats) w =
                inputs < LANES ? SIMD(tail)(weight[j], inputs) : AT(weight[j] + inputs - LANES);
#pragma GCC unroll 4
            for (int pair = 0; pair < pairs; pair++) sums[pair][j] += tails[pair] * w;
        }
    }
#pragma GCC unroll 4
    for (int pair = 0; pair < pairs; pair++)
#pragma GCC unroll 4
        for (int j = 0; j < OUTPUTS; j++) {
            const int64_t output = first + j < last ? first + j : last;
            y[pair * stride + output] = SIMD(total)(sums[pair][j]) + layer->bias[output];
        }
}

INLINED void SIMD(product)(const ScorerLayer *layer, const int pairs, int64_t stride,
                           const float *x, float *y) {
    SIMD(Floats) tails[MOST_PAIRS];
    for (int pair = 0; pair < pairs; pair++)
        tails[pair] = SIMD(tail)(x + pair * stride, layer->inputs);
    for (int64_t first = 0; first < layer->outputs; first += OUTPUTS)
        SIMD(dots)(layer, first, pairs, stride, x, tails, y);
}

TARGET static void SIMD(activate)(const ScorerLayer *layer, float *y) {
    for (int64_t k = 0; k < layer->outputs; k += LANES) {
        const SIMD(Floats) x = AT(y + k);
        if (layer->activation == TANH) AT(y + k) = SIMD(tanh)(x);
        if (layer->activation == RELU) AT(y + k) = SIMD(select)(x < 0.0f, SIMD(splat)(0.0f), x);
    }
}

/* One layer of some pairs; the vectors of x and y may have more behind their last number. */
TARGET static void SIMD(layer)(const ScorerLayer *layer, int64_t count, int64_t stride,
                               const float *x, float *y) {
    const int64_t inputs = layer->inputs, outputs = layer->outputs;
    if (layer->panels != NULL) {
        for (int64_t pair = 0; pair < count; pair++)
            memcpy(y + pair * stride, layer->bias, outputs * sizeof(float));
        for (int64_t at = 0; at < outputs; at += PANEL) {
            /* clang-format off */
            SIMD(multiply)(x, stride, 1, layer->panels + at * inputs, count, inputs, y + at, stride,
                          outputs - at < PANEL ? outputs - at : PANEL, 1);
            /* clang-format on */
        }
    } else {
        for (int64_t pair = 0; pair < count; pair += MOST_PAIRS) {
            const float *from = x + pair * stride;
            float *to = y + pair * stride;
            switch (count - pair) {
                case 1: SIMD(product)(layer, 1, stride, from, to); break;
                case 2: SIMD(product)(layer, 2, stride, from, to); break;
                case 3: SIMD(product)(layer, 3, stride, from, to); break;
                default: SIMD(product)(layer, MOST_PAIRS, stride, from, to);
            }
        }
    }
    if (layer->activation != LINEAR)
        for (int64_t pair = 0; pair < count; pair++) SIMD(activate)(layer, y + pair * stride);
}

TARGET static void SIMD(softmax)(float *row, int64_t columns) {
    float highest = row[0], sum = 0.0f;
    for (int64_t k = 1; k < columns; k++) highest = row[k] > highest ? row[k] : highest;
    for (int64_t k = 0; k < columns; k += LANES) AT(row + k) = SIMD(exp)(AT(row + k) - highest);
    for (int64_t k = 0; k < columns; k++) sum += row[k];
    for (int64_t k = 0; k < columns; k++) row[k] /= sum;
}

static const ScorerKernels SIMD(kernels) = {SIMD(layer), SIMD(softmax)};
