/* SPDX-License-Identifier: Apache-2.0
 * Contents of generated objects: one block of pseudo-random bytes, repeated with a prime period and entered at a
 * place that depends on the key: byte o of a key is block[(seed + o) % PERIOD]. So any range costs nothing to make. */
#include "s3d.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static uint8_t *bytes;
static int fd = -1;

void pattern_setup(void)
{
    fd = memfd_create("s3d-pattern", MFD_CLOEXEC);
    if (fd < 0 || ftruncate(fd, PATTERN_ROOM) != 0) {
        perror("s3d: memfd");
        exit(1);
    }
    bytes = mmap(NULL, PATTERN_ROOM, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (bytes == MAP_FAILED) {
        perror("s3d: mmap");
        exit(1);
    }
    uint64_t state = 0x9e3779b97f4a7c15u;
    for (size_t i = 0; i < PATTERN_PERIOD; i++) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes[i] = (uint8_t)(state >> 32);
    }
    for (size_t i = PATTERN_PERIOD; i < PATTERN_ROOM;) {
        size_t piece = PATTERN_ROOM - i < PATTERN_PERIOD ? PATTERN_ROOM - i : PATTERN_PERIOD;
        memcpy(bytes + i, bytes, piece);
        i += piece;
    }
}

const uint8_t *pattern_bytes(void)
{
    return bytes;
}

int pattern_fd(void)
{
    return fd;
}

#define CHANGED_MAX 256
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static uint64_t changed[CHANGED_MAX]; /* hashes of keys, once a change; by mutex */
static atomic_size_t changed_count;

static uint64_t hash_of(const char *key)
{
    uint64_t hash = 0xcbf29ce484222325u; /* FNV-1a */
    for (; *key != '\0'; key++)
        hash = (hash ^ (uint8_t)*key) * 0x100000001b3u;
    return hash;
}

uint64_t pattern_seed(const char *key)
{
    uint64_t hash = hash_of(key), times = 0;
    if (atomic_load(&changed_count) > 0) {
        pthread_mutex_lock(&mutex);
        for (size_t i = 0; i < atomic_load(&changed_count); i++)
            times += changed[i] == hash;
        pthread_mutex_unlock(&mutex);
    }
    return 1 + ((hash ^ (hash >> 29)) + times * 7919) % (PATTERN_PERIOD - 1);
}

void pattern_change(const char *key)
{
    pthread_mutex_lock(&mutex);
    size_t count = atomic_load(&changed_count);
    if (count < CHANGED_MAX) {
        changed[count] = hash_of(key);
        atomic_store(&changed_count, count + 1);
    }
    pthread_mutex_unlock(&mutex);
}

bool pattern_size(const char *key, uint64_t *size)
{
    const char *slash = strrchr(key, '/');
    const char *name = slash == NULL ? key : slash + 1;
    if (strncmp(name, "gen-", 4) != 0)
        return false;
    char digits[24];
    size_t length = strspn(name + 4, "0123456789");
    if (length == 0 || length > 19)
        return false;
    memcpy(digits, name + 4, length);
    size_t end = length;
    char unit = name[4 + length];
    if (unit != '\0' && strchr("KMGT", unit) != NULL)
        digits[end++] = unit;
    char next = name[4 + end];
    if (next != '\0' && next != '-' && next != '.' && next != '_')
        return false;
    digits[end] = '\0';
    int64_t value;
    if (!parse_size(digits, &value))
        return false;
    *size = (uint64_t)value;
    return true;
}

uint64_t pattern_crc64(uint64_t seed, uint64_t size)
{
    if (size <= PATTERN_ROOM - PATTERN_PERIOD)
        return sum_crc64(0, bytes + seed, (size_t)size);
    static _Atomic uint64_t block_crc;
    uint64_t period = atomic_load(&block_crc);
    if (period == 0) {
        period = sum_crc64(0, bytes, PATTERN_PERIOD);
        atomic_store(&block_crc, period);
    }
    uint64_t head = PATTERN_PERIOD - seed, rest = size - head;
    uint64_t crc = sum_crc64(0, bytes + seed, (size_t)head);
    uint64_t whole = rest / PATTERN_PERIOD, tail = rest % PATTERN_PERIOD;
    crc = sum_crc64_combine(crc, sum_crc64_repeat(period, PATTERN_PERIOD, whole), whole * PATTERN_PERIOD);
    return sum_crc64_combine(crc, sum_crc64(0, bytes, (size_t)tail), tail);
}
