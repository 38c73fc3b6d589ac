/* SPDX-License-Identifier: Apache-2.0 */
/* A layer of scorer.c, and softmax; included for each instruction set. */

#include "vectors.h"
#include "products.h"

/* The sum of a vector's elements. */
INLINED float SIMD(horizontal_sum)(SIMD(Floats) x) {
    float parts[LANES];
    AT(parts) = x;
    for (int width = LANES / 2; width > 0; width /= 2)
        for (int i = 0; i < width; i++) parts[i] += parts[i + width];
    return parts[0];
}

/* The last LANES elements of a row, with zeros for those that the full vectors have covered, so
   that none counts twice; a shorter row has zeros before it. */
INLINED SIMD(Floats) SIMD(tail)(const float *row, int64_t size) {
    float last[LANES] = {0};
    memcpy(last + LANES - size % LANES, row + size - size % LANES, size % LANES * sizeof(float));
    return AT(last);
}

/* TILE_OUTPUTS outputs of some pairs, from weights that are not packed. Where there are not so many
   outputs left, the last one is computed several times. */
INLINED void SIMD(dots)(const ScorerLayer *layer, int64_t first, const int pairs, int64_t stride,
                        const float *x, const SIMD(Floats) * tails, float *y) {
    const int64_t inputs = layer->inputs, last = layer->outputs - 1;
    const float *weight[TILE_OUTPUTS];
    SIMD(Floats) sums[TILE_PAIRS][TILE_OUTPUTS] = {0};
    for (int j = 0; j < TILE_OUTPUTS; j++)
        weight[j] = layer->weight + (first + j < last ? first + j : last) * inputs;
    int64_t k = 0;
    for (; k + LANES <= inputs; k += LANES) {
#pragma GCC unroll 4
        for (int j = 0; j < TILE_OUTPUTS; j++) {
            const SIMD(Floats) w = AT(weight[j] + k);
#pragma GCC unroll 4
            for (int pair = 0; pair < pairs; pair++) sums[pair][j] += AT(x + pair * stride + k) * w;
        }
    }
    if (k < inputs) {
#pragma GCC unroll 4
        for (int j = 0; j < TILE_OUTPUTS; j++) {
            const SIMD(Floats) w =
                inputs < LANES ? SIMD(tail)(weight[j], inputs) : AT(weight[j] + inputs - LANES);
#pragma GCC unroll 4
            for (int pair = 0; pair < pairs; pair++) sums[pair][j] += tails[pair] * w;
        }
    }
#pragma GCC unroll 4
    for (int pair = 0; pair < pairs; pair++)
#pragma GCC unroll 4
        for (int j = 0; j < TILE_OUTPUTS; j++) {
            const int64_t output = first + j < last ? first + j : last;
            y[pair * stride + output] = SIMD(horizontal_sum)(sums[pair][j]) + layer->bias[output];
        }
}

/* All outputs of some pairs, at most TILE_PAIRS. */
INLINED void SIMD(product)(const ScorerLayer *layer, const int pairs, int64_t stride,
                           const float *x, float *y) {
    SIMD(Floats) tails[TILE_PAIRS];
    for (int pair = 0; pair < pairs; pair++)
        tails[pair] = SIMD(tail)(x + pair * stride, layer->inputs);
    for (int64_t first = 0; first < layer->outputs; first += TILE_OUTPUTS)
        SIMD(dots)(layer, first, pairs, stride, x, tails, y);
}

TARGET static void SIMD(activate)(const ScorerLayer *layer, float *y) {
    for (int64_t k = 0; k < layer->outputs; k += LANES) {
        const SIMD(Floats) x = AT(y + k);
        if (layer->activation == TANH) AT(y + k) = SIMD(tanh)(x);
        if (layer->activation == RELU) AT(y + k) = SIMD(select)(x < 0.0f, SIMD(splat)(0.0f), x);
    }
}

/* One layer of some pairs. Rows of x and y may be written beyond their last element, up to the
   stride. */
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
        for (int64_t pair = 0; pair < count; pair += TILE_PAIRS) {
            const float *from = x + pair * stride;
            float *to = y + pair * stride;
            switch (count - pair) {
                case 1: SIMD(product)(layer, 1, stride, from, to); break;
                case 2: SIMD(product)(layer, 2, stride, from, to); break;
                case 3: SIMD(product)(layer, 3, stride, from, to); break;
                default: SIMD(product)(layer, TILE_PAIRS, stride, from, to);
            }
        }
    }
    if (layer->activation != LINEAR)
        for (int64_t pair = 0; pair < count; pair++) SIMD(activate)(layer, y + pair * stride);
}

TARGET static void SIMD(softmax)(float *row, int64_t columns) {
    float maximum = row[0], sum = 0.0f;
    for (int64_t k = 1; k < columns; k++) maximum = row[k] > maximum ? row[k] : maximum;
    for (int64_t k = 0; k < columns; k += LANES) AT(row + k) = SIMD(exp)(AT(row + k) - maximum);
    for (int64_t k = 0; k < columns; k++) sum += row[k];
    for (int64_t k = 0; k < columns; k++) row[k] /= sum;
}

static const ScorerKernels SIMD(kernels) = {SIMD(layer), SIMD(softmax)};
