/* SPDX-License-Identifier: Apache-2.0 */
/* What the C files of the compiled part share. */

#ifndef OBJECT2VEC_CPU_KERNELS_H
#define OBJECT2VEC_CPU_KERNELS_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "interface.h"
#include "sizes.h"

#define LINE_FLOATS 16 /* floats in a cache line; no vector is longer */

/* SIMD(name) is name_avx2 or name_avx512; two steps, so that ISA is expanded first. */
#define JOINED(name, isa) name##_##isa
#define NAMED(name, isa) JOINED(name, isa)
#define SIMD(name) NAMED(name, ISA)

#if defined(__x86_64__) && defined(__GNUC__)
#define HAS_ISAS
#define FOR_THIS_CPU(name) (object2vec_isa_of_cpu() == AVX512 ? name##_avx512 : name##_avx2)
#else
#define FOR_THIS_CPU(name) NULL /* never used: there object2vec_isa_of_cpu returns NO_ISA */
#endif

/* Copy an array to `end`, which then moves to the next free aligned byte; returns the copy. */
static inline const void *append_copy(char **end, const void *array, int64_t bytes) {
    void *start = memcpy(*end, array, bytes);
    *end += (bytes + 7) & ~7;
    return start;
}

/* Memory for this thread's elements. All threads of a parallel region call it and wait for each
   other, so that afterwards each sees in `code` whether one of them got none. */
static inline float *allocate_for_thread(size_t elements, int *code) {
    float *memory = malloc(elements * sizeof(float));
    if (memory == NULL) {
#pragma omp atomic write
        *code = NO_MEMORY;
    }
#pragma omp barrier
    return memory;
}

/* MXNet's engine runs operations later, in threads of its own, and may allocate an array's memory
   only then. So there are two ways to get a pointer to an array's elements:

   - `wait_for`, outside the engine: for an array that nothing writes until the caller is done with
     it, for example the parameters of a loaded model.
   - `data_of`, inside an operation of the engine: for an array that the operation declared when it
     was queued. By then the engine has run everything that allocates or writes it.

   Code that queues an operation gets no pointer: the memory may not be allocated yet, and asking
   for it would allocate it in two threads at once. It calls `hold`, which keeps the array alive. */

/* Wait until an array is computed, then point to its elements. */
static inline int wait_for(const Api *api, void *array, const float **elements) {
    const int code = api->wait(array);
    return code != 0 ? code : api->get_data(array, (void **)elements);
}

/* The arrays of a queued operation; they stay alive when their Python objects are gone. */
typedef struct {
    const Api *api;
    int64_t count;
    void **arrays; /* room for all that the operation will hold */
} Held;

static inline int hold(Held *held, void *array) {
    const int code = held->api->share(array, &held->arrays[held->count]);
    held->count += code == 0;
    return code;
}

static inline void release(Held *held) {
    for (int64_t k = 0; k < held->count; k++) held->api->free(held->arrays[k]);
}

/* Called inside an operation: the elements of an array that it holds. Where oneDNN keeps them in a
   layout of its own, it returns NULL and counts that. MXNet's other functions would convert the
   layout, and to do so wait for an operation that is queued after this one: a deadlock. */
static inline float *data_of(const Held *held, int64_t index) {
    void **tensor;
    if (held->api->to_dlpack(held->arrays[index], &tensor) != 0) {
#pragma omp atomic
        object2vec_refused++;
        return NULL;
    }
    float *elements = *tensor; /* the first field of DLPack's tensor */
    held->api->free_dlpack(tensor);
    return elements;
}

#endif
