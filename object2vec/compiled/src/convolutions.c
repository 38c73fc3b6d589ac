/* SPDX-License-Identifier: Apache-2.0 */
/* The encoder hcnn without gradient: token lists to the maxima over time of all layers.

   The lists of a chunk lie one after the other, with zeros in between: each token is a column, each
   channel a row. One weight of a filter is then multiplied with contiguous elements, one for each
   column, so that neither weights nor windows have to be rearranged. */

#include <omp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "kernels.h"

typedef struct {
    const float *weight; /* (filters, channels, width) */
    const float *bias;   /* (filters,) */
    int64_t filters, channels;
} Convolution;

/* Lists that are convolved together. */
typedef struct {
    int64_t first, end; /* lists */
    int64_t columns;    /* their tokens, and zeros after each list */
    int64_t stride;     /* from one channel's row to the next */
} Chunk;

typedef struct {
    const float *table; /* (tokens, token_dim) */
    float *output;      /* (lists, enc_dim) */
    int64_t token_dim, enc_dim, width, layer_count;
    int64_t channels; /* of the layer that has most */
    const int64_t *starts;
    const int32_t *tokens;
    int64_t chunk_count;
    Chunk *chunks;
    Convolution layers[];
} Encoding;

/* The bits of a float: those of floats that are not negative have the floats' order, and NaN is
   above all of them. */
typedef uint32_t __attribute__((may_alias)) Bits;

/* How many tokens a filter reaches to the left and to the right of its own. */
static int64_t left_reach(int64_t width) { return (width - 1) / 2; }
static int64_t right_reach(int64_t width) { return width / 2; }

typedef struct {
    /* One layer in all columns of a chunk: relu, and zeros where there is no token. `in` begins
       with the first element under the first filter, `out` with the first column. */
    void (*layer)(const Convolution *layer, int64_t width, int64_t stride, int64_t columns,
                  const float *in, const int32_t *is_token, float *out);
    void (*take_maxima)(const Encoding *job, Chunk chunk, int64_t filters, const float *rows,
                        float *output);
} ConvolutionKernels;

#define FOR_EACH_ISA "convolutions_layer.h"
#include "isa.h"

/* Elements of a channel's row. It is longer than its columns, because filters and the last vector
   reach beyond them, and has an odd number of cache lines, because otherwise the elements of one
   column would compete for the same few lines of the cache. */
static int64_t stride_of(int64_t columns, int64_t width) {
    return ((columns + width + LINE_FLOATS) / LINE_FLOATS + 1) * LINE_FLOATS | LINE_FLOATS;
}

/* Elements for the input and the output of a layer, and for which columns are tokens. */
static int64_t workspace_size(int64_t channels, int64_t stride) {
    return (2 * channels + 1) * stride;
}

/* Write the vectors of a chunk's tokens into columns, and mark these columns by -1, all bits
   set. */
static void look_up(const Encoding *job, Chunk chunk, float *restrict rows,
                    int32_t *restrict is_token) {
    for (int64_t k = chunk.first; k < chunk.end; k++) {
        for (int64_t at = job->starts[k]; at < job->starts[k + 1]; at++) {
            const float *restrict vector = job->table + job->tokens[at] * job->token_dim;
            for (int64_t i = 0; i < job->token_dim; i++) rows[i * chunk.stride] = vector[i];
            rows++;
            *is_token++ = -1;
        }
        rows += right_reach(job->width);
        is_token += right_reach(job->width);
    }
}

static void run_chunk(const Encoding *job, const ConvolutionKernels *simd, Chunk chunk,
                      float *memory) {
    const int64_t margin = left_reach(job->width), size = job->channels * chunk.stride;
    float *in = memory, *out = memory + size, *output = job->output;
    int32_t *is_token = (int32_t *)(memory + 2 * size);
    memset(memory, 0, workspace_size(job->channels, chunk.stride) * sizeof(float));
    look_up(job, chunk, in + margin, is_token);
    for (int64_t k = 0; k < job->layer_count; k++) {
        const Convolution *layer = &job->layers[k];
        simd->layer(layer, job->width, chunk.stride, chunk.columns, in, is_token, out + margin);
        simd->take_maxima(job, chunk, layer->filters, out + margin, output);
        output += layer->filters;
        float *other = in;
        in = out;
        out = other;
    }
}

/* Cut the lists into chunks; returns the number of columns of the widest one. */
static int64_t cut_into_chunks(Encoding *job, int64_t count) {
    int64_t widest = 0;
    Chunk *chunk = NULL;
    for (int64_t k = 0; k < count; k++) {
        const int64_t columns = job->starts[k + 1] - job->starts[k] + right_reach(job->width);
        if (chunk == NULL || chunk->columns + columns > CHUNK_COLUMNS) {
            chunk = &job->chunks[job->chunk_count++];
            chunk->first = k;
            chunk->columns = 0;
        }
        chunk->end = k + 1;
        chunk->columns += columns;
        chunk->stride = stride_of(chunk->columns, job->width);
        if (chunk->columns > widest) widest = chunk->columns;
    }
    return widest;
}

static int fill_layers(const Api *api, void **arrays, const int64_t *filters, Encoding *job) {
    int64_t channels = job->channels = job->token_dim;
    int code = 0;
    for (int64_t k = 0; k < job->layer_count && code == 0; k++) {
        Convolution *layer = &job->layers[k];
        layer->channels = channels;
        layer->filters = channels = filters[k];
        job->enc_dim += channels;
        if (channels > job->channels) job->channels = channels;
        code = wait_for(api, arrays[2 * k], &layer->weight);
        if (code == 0) code = wait_for(api, arrays[2 * k + 1], &layer->bias);
    }
    return code;
}

static int run_job(Encoding *job, int64_t count) {
    const int64_t size =
        workspace_size(job->channels, stride_of(cut_into_chunks(job, count), job->width));
    const int max_threads = omp_get_max_threads();
    const int workers = max_threads < job->chunk_count ? max_threads : (int)job->chunk_count;
    const ConvolutionKernels *simd = FOR_THIS_CPU(&kernels);
    int code = 0;
#pragma omp parallel num_threads(workers) if (workers > 1)
    {
        float *memory = allocate_for_thread(size, &code);
#pragma omp for schedule(dynamic)
        for (int64_t k = 0; k < job->chunk_count; k++)
            if (code == 0) run_chunk(job, simd, job->chunks[k], memory);
        free(memory);
    }
    return code;
}

/* Encode lists, at once. The arrays are NDArrays that nothing writes meanwhile: the token table,
   then the weight and the bias of each layer. */
int object2vec_convolve(const Api *api, void **arrays, float *output, int64_t token_dim,
                        int64_t layer_count, const int64_t *filters, int64_t width, int64_t count,
                        const int64_t *starts, const int32_t *tokens) {
    Encoding *job =
        calloc(1, sizeof(Encoding) + layer_count * sizeof(Convolution) + count * sizeof(Chunk));
    if (job == NULL) return NO_MEMORY;
    job->chunks = (Chunk *)(job->layers + layer_count);
    job->output = output;
    job->starts = starts;
    job->tokens = tokens;
    job->token_dim = token_dim;
    job->width = width;
    job->layer_count = layer_count;
    int code = fill_layers(api, arrays + 1, filters, job);
    if (code == 0) code = wait_for(api, arrays[0], &job->table);
    if (code == 0) code = run_job(job, count);
    free(job);
    return code;
}
