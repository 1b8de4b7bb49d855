/* SPDX-License-Identifier: Apache-2.0
 * Allocation: one seam for all of the library, so that tests can make the n-th allocation fail.
 * Large buffers come from mmap and go back to the system, whatever malloc thinks. Any thread. */
#ifndef ORB_BASE_MEM_H
#define ORB_BASE_MEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

void *orb_malloc(size_t bytes);
void *orb_calloc(size_t count, size_t bytes); /* zeroed; overflow-checked */
void *orb_realloc(void *old, size_t bytes);
char *orb_strdup(const char *text); /* NULL in, NULL out */
char *orb_strndup(const char *bytes, size_t length);
void orb_free(void *memory); /* NULL is fine */

/* Page-backed buffers for parts and blocks: not zeroed on reuse. A few freed ones are kept for the next
 * caller of the same size (at most 8 MiB in all); orb_buffer_trim() gives those back. */
void *orb_buffer_new(size_t bytes);
void orb_buffer_free(void *buffer, size_t bytes);
void orb_buffer_trim(void);

/* Tests only: the n-th allocation from now on (1: the next) fails, once; 0: none. Process-wide. */
void orb_mem_fail_at(uint64_t n);
uint64_t orb_mem_count(void); /* allocations since the last orb_mem_fail_at() */

#endif
