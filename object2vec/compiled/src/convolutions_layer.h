/* SPDX-License-Identifier: Apache-2.0 */
/* A layer of convolutions.c; included for each instruction set. */

#include "vectors.h"

#define UNROLL _Pragma("GCC unroll 16")

/* The outputs of TILE_FILTERS filters in some vectors of columns, whose sums stay in registers.
   Where there are not so many filters left, the last one is computed several times. */
INLINED void SIMD(tile)(const Convolution *layer, int64_t width, int64_t first, int64_t stride,
                        const float *in, const int32_t *is_token, float *out, const int vectors) {
    const int64_t size = layer->channels * width, last = layer->filters - 1;
    const float *weight[TILE_FILTERS];
    SIMD(Floats) sum[TILE_FILTERS][TILE_COLUMN_VECTORS];
    UNROLL for (int i = 0; i < TILE_FILTERS; i++) {
        const int64_t filter = first + i < last ? first + i : last;
        weight[i] = layer->weight + filter * size;
        UNROLL for (int j = 0; j < vectors; j++) sum[i][j] = (SIMD(Floats)){0} + layer->bias[filter];
    }
    for (int64_t at = 0, tap = 0; at < size; at++, in++) {
        SIMD(Floats) x[TILE_COLUMN_VECTORS];
        UNROLL for (int j = 0; j < vectors; j++) x[j] = AT(in + j * LANES);
        UNROLL for (int i = 0; i < TILE_FILTERS; i++)
            UNROLL for (int j = 0; j < vectors; j++) sum[i][j] += weight[i][at] * x[j];
        if (++tap == width) { /* to the next channel */
            tap = 0;
            in += stride - width;
        }
    }
    UNROLL for (int i = 0; i < TILE_FILTERS; i++) {
        float *to = out + (first + i < last ? first + i : last) * stride;
        UNROLL for (int j = 0; j < vectors; j++)
            *(SIMD(Integers) *)(to + j * LANES) = (SIMD(Integers))sum[i][j] & ~(sum[i][j] <= 0.0f) &
                                        *(const SIMD(Integers) *)(is_token + j * LANES);
    }
}

TARGET static void SIMD(layer)(const Convolution *layer, int64_t width, int64_t stride,
                              int64_t columns, const float *in, const int32_t *is_token,
                              float *out) {
    for (int64_t first = 0; first < layer->filters; first += TILE_FILTERS) {
        int64_t at = 0;
        for (; at + 2 * LANES < columns; at += 3 * LANES)
            SIMD(tile)(layer, width, first, stride, in + at, is_token + at, out + at, 3);
        if (at + LANES < columns)
            SIMD(tile)(layer, width, first, stride, in + at, is_token + at, out + at, 2);
        else if (at < columns)
            SIMD(tile)(layer, width, first, stride, in + at, is_token + at, out + at, 1);
    }
}

/* One layer's part of the output: the maxima over each list. Its elements are not negative, as relu
   left them, so their bits are compared: an empty list gives zeros, and NaN stays NaN. */
TARGET static void SIMD(take_maxima)(const Encoding *job, Chunk chunk, int64_t filters,
                                    const float *rows, float *output) {
    for (int64_t k = chunk.first; k < chunk.end; k++) {
        const int64_t length = job->starts[k + 1] - job->starts[k];
        for (int64_t filter = 0; filter < filters; filter++) {
            const Bits *row = (const Bits *)(rows + filter * chunk.stride);
            Bits maximum = 0;
            for (int64_t i = 0; i < length; i++) maximum = row[i] > maximum ? row[i] : maximum;
            *(Bits *)(output + k * job->enc_dim + filter) = maximum;
        }
        rows += length + right_reach(job->width);
    }
}

static const ConvolutionKernels SIMD(kernels) = {SIMD(layer), SIMD(take_maxima)};
