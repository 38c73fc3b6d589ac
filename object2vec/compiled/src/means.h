/* SPDX-License-Identifier: Apache-2.0 */
/* The mean of a table's rows over a list of tokens; included for each instruction set. */

#include "vectors.h"

/* The mean in `vectors` vectors of columns, whose sums stay in registers over all rows of the list.
   `tokens` begins with the `count` tokens of this list and has `remaining` tokens in all, those of
   the lists that follow: their rows are prefetched as well. */
INLINED void SIMD(mean_of_columns)(const float *table, int64_t width, const int32_t *tokens,
                                   int64_t count, int64_t remaining, float *mean,
                                   const int vectors) {
    const float weight = count > 0 ? 1.0f / (float)count : 0.0f;
    SIMD(Floats) sums[MEAN_TILE_VECTORS];
#pragma GCC unroll 16
    for (int v = 0; v < vectors; v++) sums[v] = SIMD(splat)(0.0f);
    for (int64_t k = 0; k < count; k++) {
        const float *row = table + tokens[k] * width;
        if (k + PREFETCH_DISTANCE < remaining)
            PREFETCH(table + tokens[k + PREFETCH_DISTANCE] * width, vectors * LANES, 0);
#pragma GCC unroll 16
        for (int v = 0; v < vectors; v++) sums[v] += AT(row + v * LANES);
    }
#pragma GCC unroll 16
    for (int v = 0; v < vectors; v++) AT(mean + v * LANES) = sums[v] * weight;
}

/* The mean in all columns. The last vectors end with the last column, so they may overlap those
   before them and compute some columns twice. */
INLINED void SIMD(mean_by)(const float *table, int64_t width, const int32_t *tokens, int64_t count,
                           int64_t remaining, float *mean, const int vectors) {
    for (int64_t end = vectors * LANES;; end += vectors * LANES) {
        const int64_t column = (end < width ? end : width) - vectors * LANES;
        SIMD(mean_of_columns)(table + column, width, tokens, count, remaining, mean + column,
                              vectors);
        if (end >= width) return;
    }
}

TARGET static void SIMD(mean_of_rows)(const float *table, int64_t width, const int32_t *tokens,
                                      int64_t count, int64_t remaining, float *mean) {
    if (width >= MEAN_TILE_VECTORS * LANES) {
        SIMD(mean_by)(table, width, tokens, count, remaining, mean, MEAN_TILE_VECTORS);
    } else if (width >= LANES) {
        SIMD(mean_by)(table, width, tokens, count, remaining, mean, 1);
    } else {
        for (int64_t i = 0; i < width; i++) {
            mean[i] = 0.0f;
            for (int64_t k = 0; k < count; k++) mean[i] += table[tokens[k] * width + i];
            mean[i] *= count > 0 ? 1.0f / (float)count : 0.0f;
        }
    }
}

/* The mean of rows that are each multiplied by a weight of its own. */
TARGET static void SIMD(weighted_mean_of_rows)(const float *table, const float *token_weights,
                                               int64_t width, const int32_t *tokens, int64_t count,
                                               int64_t remaining, float *restrict mean) {
    const float share = count > 0 ? 1.0f / (float)count : 0.0f;
    for (int64_t i = 0; i < width; i++) mean[i] = 0.0f;
    for (int64_t k = 0; k < count; k++) {
        const float *restrict row = table + tokens[k] * width;
        const float weight = share * token_weights[tokens[k]];
        if (k + 1 < remaining) PREFETCH(table + tokens[k + 1] * width, width, 0);
        for (int64_t i = 0; i < width; i++) mean[i] += weight * row[i];
    }
}
