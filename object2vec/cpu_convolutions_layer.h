/* One layer of cpu_convolutions.c, which includes this once for each kind of CPU and defines KIND
   (its name), TARGET, LANES (numbers in a vector) and FILTERS. */

#define JOIN_(a, b) a##_##b
#define JOIN(a, b) JOIN_(a, b)
#define FLOATS JOIN(floats, KIND)
#define BITS JOIN(bits, KIND)
#define TILE JOIN(tile, KIND)
#define LAYER JOIN(layer, KIND)
#define UNROLL _Pragma("GCC unroll 16")

typedef float FLOATS __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef int32_t BITS __attribute__((vector_size(4 * LANES), aligned(4), may_alias));

/* The answers of FILTERS filters in some vectors of columns, which do not leave the registers
   meanwhile. Filters behind the last one are the last one again. */
TARGET static inline __attribute__((always_inline)) void TILE(
    const Layer *layer, int64_t width, int64_t first, int64_t stride, const float *in,
    const int32_t *is_token, float *out, const int vectors) {
    const int64_t size = layer->channels * width, last = layer->filters - 1;
    const float *weight[FILTERS];
    FLOATS sum[FILTERS][MOST_VECTORS];
    UNROLL for (int i = 0; i < FILTERS; i++) {
        const int64_t filter = first + i < last ? first + i : last;
        weight[i] = layer->weight + filter * size;
        UNROLL for (int j = 0; j < vectors; j++) sum[i][j] = (FLOATS){0} + layer->bias[filter];
    }
    for (int64_t at = 0, under = 0; at < size; at++, in++) {
        FLOATS x[MOST_VECTORS];
        UNROLL for (int j = 0; j < vectors; j++) x[j] = *(const FLOATS *)(in + j * LANES);
        UNROLL for (int i = 0; i < FILTERS; i++)
            UNROLL for (int j = 0; j < vectors; j++) sum[i][j] += weight[i][at] * x[j];
        if (++under == width) { /* to the next channel */
            under = 0;
            in += stride - width;
        }
    }
    UNROLL for (int i = 0; i < FILTERS; i++) {
        float *to = out + (first + i < last ? first + i : last) * stride;
        UNROLL for (int j = 0; j < vectors; j++)
            *(BITS *)(to + j * LANES) = (BITS)sum[i][j] & ~(sum[i][j] <= 0.0f) &
                                        *(const BITS *)(is_token + j * LANES);
    }
}

TARGET static void LAYER(const Layer *layer, int64_t width, int64_t stride, int64_t columns,
                         const float *in, const int32_t *is_token, float *out) {
    for (int64_t first = 0; first < layer->filters; first += FILTERS) {
        int64_t at = 0;
        for (; at + 2 * LANES < columns; at += 3 * LANES)
            TILE(layer, width, first, stride, in + at, is_token + at, out + at, 3);
        if (at + LANES < columns)
            TILE(layer, width, first, stride, in + at, is_token + at, out + at, 2);
        else if (at < columns)
            TILE(layer, width, first, stride, in + at, is_token + at, out + at, 1);
    }
}

#undef JOIN_
#undef JOIN
#undef FLOATS
#undef BITS
#undef TILE
#undef LAYER
#undef UNROLL
#undef KIND
#undef TARGET
#undef LANES
#undef FILTERS
