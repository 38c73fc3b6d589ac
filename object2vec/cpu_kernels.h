/* What the C files of the compiled part share; cpu_kernels.py fills in the structures. */

#ifndef OBJECT2VEC_CPU_KERNELS_H
#define OBJECT2VEC_CPU_KERNELS_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define NO_MEMORY 1 /* MXNet's own code for an error is -1 */
#define LINE 16     /* floats in a cache line; no vector is longer */

/* One function for each kind of CPU, the best chosen when the library is loaded. */
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define FOR_EACH_CPU __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define FOR_EACH_CPU
#endif

/* The kinds of CPU of cpu_kinds.h. */
enum { ANY_CPU, AVX2, AVX512 };
int object2vec_kind_of_cpu(void);

#define JOINED(name, kind) name##_##kind
#define NAMED(name, kind) JOINED(name, kind)
#define OWN(name) NAMED(name, KIND)

#if defined(__x86_64__) && defined(__GNUC__)
#define HAS_KINDS
#define FOR_AVX2 __attribute__((target("avx2,fma")))
#define FOR_AVX512 __attribute__((target("avx512f")))
#define OF_THIS_CPU(name)                                  \
    (object2vec_kind_of_cpu() == AVX512 ? name##_avx512    \
     : object2vec_kind_of_cpu() == AVX2 ? name##_avx2      \
                                        : name##_any)
#else
#define OF_THIS_CPU(name) name##_any
#endif

/* Puts a copy of an array behind what is already there. */
static inline const void *copy(char **end, const void *array, int64_t bytes) {
    void *place = memcpy(*end, array, bytes);
    *end += (bytes + 7) & ~7; /* whatever comes next is aligned */
    return place;
}

/* Numbers for one thread. All threads of a region call it, and all see whether one got none. */
static inline float *memory_of_thread(size_t numbers, int *code) {
    float *memory = malloc(numbers * sizeof(float));
    if (memory == NULL) {
#pragma omp atomic write
        *code = NO_MEMORY;
    }
#pragma omp barrier
    return memory;
}

/* Functions of MXNet's C API, each of which returns 0 if it went well. */
typedef struct {
    int (*get_data)(void *array, void **data);
    int (*push)(void (*call)(void *, void *), void *argument, void (*deleter)(void *),
                const void *context, void **read, int reads, void **written, int writes,
                void *property, int priority, const char *name);
    int (*wait)(void *array);
} Api;

/* Where an array's numbers stand, once they are there. */
static inline int wait_for(const Api *api, void *array, const float **numbers) {
    const int code = api->wait(array);
    return code != 0 ? code : api->get_data(array, (void **)numbers);
}

#endif
