/* What the C files of the compiled part share; cpu_kernels.py fills in the structures. */

#ifndef OBJECT2VEC_CPU_KERNELS_H
#define OBJECT2VEC_CPU_KERNELS_H

#define NO_MEMORY 1 /* MXNet's own code for an error is -1 */

/* One function for each kind of CPU, the best chosen when the library is loaded. */
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define FOR_EACH_CPU __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define FOR_EACH_CPU
#endif

/* Kinds of CPU that some functions are compiled for, each of them having what the former have. */
enum { ANY_CPU, AVX2, AVX512 };
int object2vec_kind_of_cpu(void);

/* Functions of MXNet's C API, each of which returns 0 if it went well. */
typedef struct {
    int (*get_data)(void *array, void **data);
    int (*push)(void (*call)(void *, void *), void *argument, void (*deleter)(void *),
                const void *context, void **read, int reads, void **written, int writes,
                void *property, int priority, const char *name);
} Api;

#endif
