/* SPDX-License-Identifier: Apache-2.0
 * A pipe, a source and a target. */
#ifndef ORB_TESTS_UNIT_PIPE_FIXTURE_H
#define ORB_TESTS_UNIT_PIPE_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "engine/pipe.h"

#define BLOCK ORB_PIPE_BLOCK

struct bench {
    struct orbit_host host;
    struct orb_pipe pipe;
    sem_t ready, stuck, moment;
    orbit_op source, target;
    sem_t source_resumed, target_resumed;
};

extern struct bench bench;

struct note {
    struct orb_message message;
};

/* All that was posted before has been delivered. */
void let_loop_run(void);
bool is_up(sem_t *semaphore);
int setup(void **state);
int teardown(void **state);
uint8_t byte_at(uint64_t at);

/* Fills up to `bytes` from position `at`; returns how many fitted before the pipe paused. */
uint64_t pour(uint64_t at, uint64_t bytes, size_t step, orbit_status *status);

/* Drains what there is, checking it; returns the last word of peek. */
orbit_status drain(uint64_t *at, size_t step);
void arm(uint64_t length);
uint64_t crc64_of(uint64_t length);

#endif
