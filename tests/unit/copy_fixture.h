/* SPDX-License-Identifier: Apache-2.0
 * Copies between two stores that do what they are told. */
#ifndef ORB_TESTS_UNIT_COPY_FIXTURE_H
#define ORB_TESTS_UNIT_COPY_FIXTURE_H

#include "unit/write_fixture.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>

#include "base/mem.h"

static const uint64_t lengths[] = {0,       1,   256 << 10, (256 << 10) + 1, 768 << 10,       (768 << 10) + 1,
                                   MIB - 1, MIB, MIB + 1,   4 * MIB,         9 * MIB + 12345, 20 * MIB};
#define LENGTHS (sizeof(lengths) / sizeof(lengths[0]))

void have(const char *path, uint64_t length);

#endif
