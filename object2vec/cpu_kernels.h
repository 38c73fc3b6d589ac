/* What the C files of the compiled part share; cpu_kernels.py fills in the structures. */

#ifndef OBJECT2VEC_CPU_KERNELS_H
#define OBJECT2VEC_CPU_KERNELS_H

#define NO_MEMORY 1 /* MXNet's own code for an error is -1 */

/* Functions of MXNet's C API, each of which returns 0 if it went well. */
typedef struct {
    int (*get_data)(void *array, void **data);
    int (*push)(void (*call)(void *, void *), void *argument, void (*deleter)(void *),
                const void *context, void **read, int reads, void **written, int writes,
                void *property, int priority, const char *name);
} Api;

#endif
