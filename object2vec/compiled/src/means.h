/* SPDX-License-Identifier: Apache-2.0 */
/* The mean of some rows of a table; included for each instruction set. */

#include "vectors.h"

/* `vectors` vectors from a column on, and the row's last one, which may overlap them. The sums do not
   leave the registers meanwhile; `left` tokens are left, of which `count` are the list's. */
INLINED void SIMD(mean_of_columns)(const float *table, int64_t width, const int32_t *tokens,
                                   int64_t count, int64_t left, float weight, float *mean,
                                   int64_t column, const int vectors) {
    SIMD(Floats) sums[MOST_SUMS], last = {0};
    const int64_t end = width - LANES;
#pragma GCC unroll 20
    for (int v = 0; v < vectors; v++) sums[v] = SIMD(splat)(0.0f);
    for (int64_t k = 0; k < count; k++) {
        const float *row = table + tokens[k] * width;
        if (k + AHEAD < left) {
            const float *next = table + tokens[k + AHEAD] * width;
            ASK_FOR(next + column, vectors * LANES, 0);
            __builtin_prefetch(next + end + LANES - 1, 0);
        }
#pragma GCC unroll 20
        for (int v = 0; v < vectors; v++) sums[v] += AT(row + column + v * LANES);
        last += AT(row + end);
    }
#pragma GCC unroll 20
    for (int v = 0; v < vectors; v++) AT(mean + column + v * LANES) = sums[v] * weight;
    AT(mean + end) = last * weight;
}

TARGET static void SIMD(mean_of_rows)(const float *table, int64_t width, const int32_t *tokens,
                                      int64_t count, int64_t left, float *mean) {
    const float weight = count > 0 ? 1.0f / (float)count : 0.0f;
    if (width < LANES) {
        for (int64_t i = 0; i < width; i++) {
            float sum = 0.0f;
            for (int64_t k = 0; k < count; k++) sum += table[tokens[k] * width + i];
            mean[i] = sum * weight;
        }
        return;
    }
    int64_t column = 0;
    for (; column + MOST_SUMS * LANES <= width; column += MOST_SUMS * LANES)
        SIMD(mean_of_columns)(table, width, tokens, count, left, weight, mean, column, MOST_SUMS);
    /* clang-format off */
#define VECTORS_LEFT(n)                                                                      \
    case n:                                                                                  \
        SIMD(mean_of_columns)(table, width, tokens, count, left, weight, mean, column, n);     \
        break;
    switch ((width - column) / LANES) {
        VECTORS_LEFT(0) VECTORS_LEFT(1) VECTORS_LEFT(2) VECTORS_LEFT(3) VECTORS_LEFT(4)
        VECTORS_LEFT(5) VECTORS_LEFT(6) VECTORS_LEFT(7) VECTORS_LEFT(8) VECTORS_LEFT(9)
        VECTORS_LEFT(10) VECTORS_LEFT(11)
#if LANES == 16
        VECTORS_LEFT(12) VECTORS_LEFT(13) VECTORS_LEFT(14) VECTORS_LEFT(15) VECTORS_LEFT(16)
        VECTORS_LEFT(17) VECTORS_LEFT(18) VECTORS_LEFT(19)
#endif
    }
#undef VECTORS_LEFT
    /* clang-format on */
}
