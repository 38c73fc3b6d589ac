/* SPDX-License-Identifier: Apache-2.0 */
/* Linked into the sanitized library in place of malloc, calloc and free: new memory is full of NaN,
   blocks are counted, and one call can be made to fail. */

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

atomic_long allocations_live = 0;
atomic_long allocations_left = -1; /* before the one that fails; below zero none does */

void *__real_malloc(size_t bytes);
void *__real_calloc(size_t count, size_t bytes);
void __real_free(void *memory);

static int fails(void) {
    return atomic_load(&allocations_left) >= 0 && atomic_fetch_sub(&allocations_left, 1) == 0;
}

static void *counted(void *memory) {
    if (memory != NULL) atomic_fetch_add(&allocations_live, 1);
    return memory;
}

void *__wrap_malloc(size_t bytes) {
    void *memory = fails() ? NULL : counted(__real_malloc(bytes));
    return memory == NULL ? NULL : memset(memory, 0xff, bytes);
}

void *__wrap_calloc(size_t count, size_t bytes) {
    return fails() ? NULL : counted(__real_calloc(count, bytes));
}

void __wrap_free(void *memory) {
    if (memory != NULL) atomic_fetch_sub(&allocations_live, 1);
    __real_free(memory);
}
