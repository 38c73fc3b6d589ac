/* SPDX-License-Identifier: Apache-2.0 */
/* Preloaded into a process: tells of calls that change it for everybody, once told to watch. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int watched = -1;

/* From now on the names of the calls go to this file descriptor; -1 ends it. */
void host_watch(int descriptor) { watched = descriptor; }

static void tell(const char *name) {
    if (watched < 0) return;
    ssize_t written = write(watched, name, strlen(name));
    written = write(watched, "\n", 1) + written;
}

#define PASSED_ON(name, ...)                                                \
    tell(#name);                                                            \
    static __typeof__(&name) real;                                          \
    if (!real) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name);           \
    return real(__VA_ARGS__)

int mallopt(int parameter, int value);
int mallopt(int parameter, int value) { PASSED_ON(mallopt, parameter, value); }
int malloc_trim(size_t pad);
int malloc_trim(size_t pad) { PASSED_ON(malloc_trim, pad); }
int dup2(int from, int to) { PASSED_ON(dup2, from, to); }
int dup3(int from, int to, int flags) { PASSED_ON(dup3, from, to, flags); }
int setenv(const char *name, const char *value, int replace) {
    PASSED_ON(setenv, name, value, replace);
}
int unsetenv(const char *name) { PASSED_ON(unsetenv, name); }
int putenv(char *text) { PASSED_ON(putenv, text); }
