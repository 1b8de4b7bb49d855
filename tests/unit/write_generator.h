/* SPDX-License-Identifier: Apache-2.0
 * Sources that generate what is written. */
#ifndef ORB_TESTS_UNIT_WRITE_GENERATOR_H
#define ORB_TESTS_UNIT_WRITE_GENERATOR_H

#include "unit/write_fixture.h"

#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <sys/stat.h>

#include "base/mem.h"

struct generator {
    uint64_t length, at;
    size_t step;      /* most bytes a read gives; 0: all */
    uint64_t fail_at; /* with ORBIT_E_IO; 0: never */
    unsigned closed;
    useconds_t pause_us;
};

orbit_source source_of(struct generator *generator);
void assert_there(const char *path, uint64_t length);

#endif
