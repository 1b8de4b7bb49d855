/* SPDX-License-Identifier: Apache-2.0
 * The one function of a fuzz target, as libFuzzer calls it. */
#ifndef ORB_TESTS_FUZZ_H
#define ORB_TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

/* Says what does not hold and ends the process, also where assert() is compiled out. */
#define HOLDS(condition) ((condition) ? (void)0 : fuzz_failed(#condition, __FILE__, __LINE__))
_Noreturn void fuzz_failed(const char *condition, const char *file, int line);

#define FUZZ_FAILED_HERE                                                          \
    _Noreturn void fuzz_failed(const char *condition, const char *file, int line) \
    {                                                                             \
        (void)fprintf(stderr, "%s:%d: not so: %s\n", file, line, condition);      \
        abort();                                                                  \
    }

#endif
