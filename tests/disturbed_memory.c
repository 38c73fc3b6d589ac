/* SPDX-License-Identifier: Apache-2.0 */
/* Put before malloc by LD_PRELOAD: the memory of MXNet's arrays is full of NaN, and comes late at random. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ONE_IN 4
#define MOST_MICROSECONDS 100

static __thread unsigned state = 1;

int posix_memalign(void **memory, size_t alignment, size_t bytes) {
    int (*real)(void **, size_t, size_t) = dlsym(RTLD_NEXT, "posix_memalign");
    const int code = real(memory, alignment, bytes);
    if (code == 0) memset(*memory, 0xff, bytes);
    if (rand_r(&state) % ONE_IN == 0) usleep(rand_r(&state) % MOST_MICROSECONDS);
    return code;
}
