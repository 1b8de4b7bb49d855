/* SPDX-License-Identifier: Apache-2.0
 * Allocation: the seam over malloc with its fail-at counter, and page-backed buffers from mmap with a small
 * cache. The only process-wide state of the library: both are guarded and hold no client's data. Any thread. */
#include "base/mem.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* `countdown` 0: no failure planned. The count is kept only while someone tests, so that busy threads do not
 * share a cache line for nothing. */
static struct {
    _Atomic bool armed;
    _Atomic uint64_t count;
    _Atomic uint64_t fail_at;
} seam;

static bool allowed(void)
{
    if (!atomic_load_explicit(&seam.armed, memory_order_relaxed))
        return true;
    uint64_t number = atomic_fetch_add(&seam.count, 1) + 1;
    return number != atomic_load(&seam.fail_at);
}

void orb_mem_fail_at(uint64_t n)
{
    atomic_store(&seam.count, 0);
    atomic_store(&seam.fail_at, n);
    atomic_store(&seam.armed, true);
}

uint64_t orb_mem_count(void)
{
    return atomic_load(&seam.count);
}

void *orb_malloc(size_t bytes)
{
    return allowed() ? malloc(bytes ? bytes : 1) : NULL;
}

void *orb_calloc(size_t count, size_t bytes)
{
    size_t total;
    if (__builtin_mul_overflow(count, bytes, &total))
        return NULL;
    return allowed() ? calloc(1, total ? total : 1) : NULL;
}

void *orb_realloc(void *old, size_t bytes)
{
    return allowed() ? realloc(old, bytes ? bytes : 1) : NULL;
}

char *orb_strndup(const char *bytes, size_t length)
{
    if (!bytes || length == SIZE_MAX)
        return NULL;
    char *copy = orb_malloc(length + 1);
    if (!copy)
        return NULL;
    memcpy(copy, bytes, length);
    copy[length] = '\0';
    return copy;
}

char *orb_strdup(const char *text)
{
    return text ? orb_strndup(text, strlen(text)) : NULL;
}

void orb_free(void *memory)
{
    free(memory);
}

/* ---- buffers -------------------------------------------------------------------------------------
 * glibc's malloc would serve a freed 8 MiB part from its heap next time (its mmap threshold adapts) and keep
 * the memory for ever; mapping parts ourselves gives it back for certain. The cache spares a steady stream the
 * page faults of fresh mappings. */
#define MAP_FROM    ((size_t)128 << 10)
#define CACHE_MAX   ((size_t)8 << 20)
#define CACHE_SLOTS 32

static struct {
    pthread_mutex_t mutex;
    struct {
        void *memory[CACHE_SLOTS];
        size_t bytes[CACHE_SLOTS];
        size_t count, total;
    } locked; /* by mutex; oldest first */
} cache = {.mutex = PTHREAD_MUTEX_INITIALIZER};

static size_t mapped_size(size_t bytes)
{
    static _Atomic size_t page_size;
    size_t page = atomic_load_explicit(&page_size, memory_order_relaxed);
    if (!page) {
        page = (size_t)sysconf(_SC_PAGESIZE);
        atomic_store_explicit(&page_size, page, memory_order_relaxed);
    }
    return bytes > SIZE_MAX - page ? 0 : (bytes + page - 1) & ~(page - 1);
}

static void cache_drop_at(size_t i)
{
    cache.locked.total -= cache.locked.bytes[i];
    cache.locked.count--;
    memmove(cache.locked.memory + i, cache.locked.memory + i + 1, (cache.locked.count - i) * sizeof(void *));
    memmove(cache.locked.bytes + i, cache.locked.bytes + i + 1, (cache.locked.count - i) * sizeof(size_t));
}

static void *cache_take(size_t size)
{
    void *found = NULL;
    pthread_mutex_lock(&cache.mutex);
    for (size_t i = cache.locked.count; i > 0 && !found; i--) { /* the newest is the warmest */
        if (cache.locked.bytes[i - 1] == size) {
            found = cache.locked.memory[i - 1];
            cache_drop_at(i - 1);
        }
    }
    pthread_mutex_unlock(&cache.mutex);
    return found;
}

void *orb_buffer_new(size_t bytes)
{
    if (bytes < MAP_FROM)
        return orb_malloc(bytes);
    size_t size = mapped_size(bytes);
    if (!size || !allowed())
        return NULL;
    void *memory = cache_take(size);
    if (memory)
        return memory;
    memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

void orb_buffer_free(void *buffer, size_t bytes)
{
    if (!buffer)
        return;
    if (bytes < MAP_FROM) {
        orb_free(buffer);
        return;
    }
    size_t size = mapped_size(bytes);
    bool kept = false;
    /* Room is made by unmapping the oldest; munmap runs outside the mutex, for it may take long. */
    while (size <= CACHE_MAX && !kept) {
        void *oldest = NULL;
        size_t oldest_bytes = 0;
        pthread_mutex_lock(&cache.mutex);
        if (cache.locked.count < CACHE_SLOTS && cache.locked.total + size <= CACHE_MAX) {
            cache.locked.memory[cache.locked.count] = buffer;
            cache.locked.bytes[cache.locked.count++] = size;
            cache.locked.total += size;
            kept = true;
        } else {
            oldest = cache.locked.memory[0];
            oldest_bytes = cache.locked.bytes[0];
            cache_drop_at(0);
        }
        pthread_mutex_unlock(&cache.mutex);
        if (oldest)
            munmap(oldest, oldest_bytes);
    }
    if (!kept)
        munmap(buffer, size);
}

void orb_buffer_trim(void)
{
    for (;;) {
        void *memory = NULL;
        size_t bytes = 0;
        pthread_mutex_lock(&cache.mutex);
        if (cache.locked.count) {
            memory = cache.locked.memory[0];
            bytes = cache.locked.bytes[0];
            cache_drop_at(0);
        }
        pthread_mutex_unlock(&cache.mutex);
        if (!memory)
            return;
        munmap(memory, bytes);
    }
}
