/* SPDX-License-Identifier: Apache-2.0 */
/* What kernels.c does with the rows of tables and with whole parameters; included for each
   instruction set. */

#include "means.h"

/* A step of adam for `count` elements from `start` on; the gradient begins with the first of
   them. `shrinkage` is the part of a weight that decoupled decay takes away. */
TARGET_WITHOUT_FMA static void SIMD(adam)(AdamElements elements, int64_t start,
                                          const float *restrict gradient, int64_t count,
                                          AdamConstants c, float decay, float shrinkage) {
    const float rest1 = 1.0f - c.beta1, rest2 = 1.0f - c.beta2;
    float *restrict weight = elements.weight + start, *restrict mean = elements.mean + start,
                    *restrict variance = elements.variance + start;
    for (int64_t i = 0; i < count; i++) {
        const float g = c.rescale * gradient[i] + decay * weight[i];
        const float m = c.beta1 * mean[i] + rest1 * g;
        const float v = c.beta2 * variance[i] + rest2 * g * g;
        mean[i] = m;
        variance[i] = v;
        weight[i] -= shrinkage * weight[i] + c.rate * m / (sqrtf(v) + c.epsilon);
    }
}

/* All steps that a row has missed, in closed form; see deferred_adam.py. */
TARGET_WITHOUT_FMA static void SIMD(catch_up_row)(AdamElements elements, int64_t start,
                                                  int64_t count, float epsilon, float rate_sum,
                                                  float variance_scale, float beta1_power,
                                                  float beta2_power, float shrinkage) {
    float *restrict weight = elements.weight + start, *restrict mean = elements.mean + start,
                    *restrict variance = elements.variance + start;
    for (int64_t i = 0; i < count; i++) {
        const float m = mean[i], v = variance[i];
        weight[i] -= shrinkage * weight[i] + rate_sum * m / (sqrtf(variance_scale * v) + epsilon);
        mean[i] = beta1_power * m;
        variance[i] = beta2_power * v;
    }
}

/* The gradient of `count` elements of a row, from element `first` on: the weighted sum of the
   gradients of the vectors in whose mean the row is. */
TARGET_WITHOUT_FMA static void SIMD(sum_gradients)(float *restrict sum, const TableUpdate *u,
                                                   int64_t first, int64_t count, int32_t start,
                                                   int32_t end) {
    const Table *t = &u->table;
    for (int64_t i = 0; i < count; i++) sum[i] = 0.0f;
    for (int32_t position = start; position < end; position++) {
        const int64_t vector = t->vectors[position], vector_of_in1 = vector - t->sizes[0];
        const float *restrict part = vector_of_in1 < 0
                                         ? u->gradients[0] + vector * t->width + first
                                         : u->gradients[1] + vector_of_in1 * t->width + first;
        const float weight = t->mean_weights[vector];
        for (int64_t i = 0; i < count; i++) sum[i] += weight * part[i];
    }
}

/* Of a row that is multiplied by a weight: the gradient of the product becomes that of the row, and
   that of the weight is returned. */
TARGET static float SIMD(weigh_gradient)(float *restrict gradient, const float *restrict row,
                                         int64_t count, float weight) {
    float parts[LINE_FLOATS] = {0.0f}, sum = 0.0f;
    int64_t i = 0;
    for (; i + LINE_FLOATS <= count; i += LINE_FLOATS)
        for (int k = 0; k < LINE_FLOATS; k++) {
            parts[k] += gradient[i + k] * row[i + k];
            gradient[i + k] *= weight;
        }
    for (; i < count; i++) {
        sum += gradient[i] * row[i];
        gradient[i] *= weight;
    }
    for (int k = 0; k < LINE_FLOATS; k++) sum += parts[k];
    return sum;
}

static const RowKernels SIMD(kernels) = {SIMD(adam),          SIMD(catch_up_row),
                                         SIMD(sum_gradients), SIMD(weigh_gradient),
                                         SIMD(mean_of_rows),  SIMD(weighted_mean_of_rows)};
