/* SPDX-License-Identifier: Apache-2.0
 * The smaller of two numbers. Any thread. */
#ifndef ORB_BASE_LEAST_H
#define ORB_BASE_LEAST_H

#include <stdint.h>

static inline uint64_t orb_smaller(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

#endif
