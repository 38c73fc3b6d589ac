/* SPDX-License-Identifier: Apache-2.0 */
/* What kernels.c does with rows and with all of a parameter; included for each instruction set. */

#include "means.h"

TARGET_WITHOUT_FMA static void SIMD(move)(AdamElements elements, int64_t start,
                                          const float *restrict gradient, int64_t count,
                                          AdamConstants c, float decay) {
    const float rest1 = 1.0f - c.beta1, rest2 = 1.0f - c.beta2;
    float *restrict weight = elements.weight + start, *restrict mean = elements.mean + start,
                    *restrict variance = elements.variance + start;
    for (int64_t i = 0; i < count; i++) {
        const float g = c.rescale * gradient[i] + decay * weight[i];
        const float m = c.beta1 * mean[i] + rest1 * g;
        const float v = c.beta2 * variance[i] + rest2 * g * g;
        mean[i] = m;
        variance[i] = v;
        weight[i] -= c.rate * m / (sqrtf(v) + c.epsilon);
    }
}

TARGET_WITHOUT_FMA static void SIMD(catch_up_row)(AdamElements elements, int64_t start,
                                                  int64_t count, float epsilon, float total,
                                                  float shrinking, float first, float second) {
    float *restrict weight = elements.weight + start, *restrict mean = elements.mean + start,
                    *restrict variance = elements.variance + start;
    for (int64_t i = 0; i < count; i++) {
        const float m = mean[i], v = variance[i];
        weight[i] -= total * m / (sqrtf(shrinking * v) + epsilon);
        mean[i] = first * m;
        variance[i] = second * v;
    }
}

/* The gradient of a part of a row: the sum over the vectors that the row is part of. */
TARGET_WITHOUT_FMA static void SIMD(add_vectors)(float *restrict sum, const TableUpdate *u,
                                                 int64_t first, int64_t count, int32_t start,
                                                 int32_t end) {
    const Table *t = &u->table;
    for (int64_t i = 0; i < count; i++) sum[i] = 0.0f;
    for (int32_t place = start; place < end; place++) {
        const int64_t vector = t->vectors[place], others = vector - t->sizes[0];
        const float *restrict part = others < 0 ? u->gradients[0] + vector * t->width + first
                                                : u->gradients[1] + others * t->width + first;
        const float weight = t->mean_weights[vector];
        for (int64_t i = 0; i < count; i++) sum[i] += weight * part[i];
    }
}

static const RowKernels SIMD(kernels) = {SIMD(move), SIMD(catch_up_row), SIMD(add_vectors),
                                         SIMD(mean_of_rows)};
