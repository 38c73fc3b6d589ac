/* SPDX-License-Identifier: Apache-2.0 */
/* What the C files of the compiled part share. */

#ifndef OBJECT2VEC_CPU_KERNELS_H
#define OBJECT2VEC_CPU_KERNELS_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "interface.h"
#include "sizes.h"

#define LINE 16 /* floats in a cache line; no vector is longer */

#define JOINED(name, isa) name##_##isa
#define NAMED(name, isa) JOINED(name, isa)
#define SIMD(name) NAMED(name, ISA)

#if defined(__x86_64__) && defined(__GNUC__)
#define HAS_ISAS
#define FOR_THIS_CPU(name) (object2vec_isa_of_cpu() == AVX512 ? name##_avx512 : name##_avx2)
#else
#define FOR_THIS_CPU(name) NULL /* nobody calls what needs it, see object2vec_isa_of_cpu */
#endif

/* Puts a copy of an array behind what is already there. */
static inline const void *copy(char **end, const void *array, int64_t bytes) {
    void *place = memcpy(*end, array, bytes);
    *end += (bytes + 7) & ~7; /* whatever comes next is aligned */
    return place;
}

/* Elements for one thread. All threads of a region call it, and all see whether one got none. */
static inline float *memory_of_thread(size_t elements, int *code) {
    float *memory = malloc(elements * sizeof(float));
    if (memory == NULL) {
#pragma omp atomic write
        *code = NO_MEMORY;
    }
#pragma omp barrier
    return memory;
}

/* The memory of MXNet's arrays has one owner at a time, and a pointer to it is taken in two ways:

   - `wait_for`, outside the engine: of an array that nothing writes until the caller is done with
     it, finished parameters for example.
   - `data_of`, inside an operation of the engine: of an array that the operation declared when
     it was queued. The engine has then run all that allocates and writes it.

   Whoever queues an operation takes none: an array's memory may not be there yet, and asking for it
   would allocate it a second time, beside the engine's thread. He calls `hold` instead. */

/* Where an array's elements stand, once they are there. */
static inline int wait_for(const Api *api, void *array, const float **elements) {
    const int code = api->wait(array);
    return code != 0 ? code : api->get_data(array, (void **)elements);
}

/* Arrays of an operation that is queued; they outlive their Python objects. */
typedef struct {
    const Api *api;
    int64_t count;
    void **arrays; /* has room for all of them */
} Held;

static inline int hold(Held *held, void *array) {
    const int code = held->api->share(array, &held->arrays[held->count]);
    held->count += code == 0;
    return code;
}

static inline void release(Held *held) {
    for (int64_t k = 0; k < held->count; k++) held->api->free(held->arrays[k]);
}

/* The elements of an array that is held, in the operation; NULL, and counted, if their layout is one
   of oneDNN's. Other functions of MXNet's would wait there for an operation behind this one. */
static inline float *data_of(const Held *held, int64_t number) {
    void **tensor;
    if (held->api->to_dlpack(held->arrays[number], &tensor) != 0) {
#pragma omp atomic
        object2vec_refused++;
        return NULL;
    }
    float *elements = *tensor; /* the first field of DLPack's tensor */
    held->api->free_dlpack(tensor);
    return elements;
}

#endif
