/* SPDX-License-Identifier: Apache-2.0
 * The ledger: whole records or none, one owner, nothing of a stranger's touched; and what is packed in records. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/ledger.h"
#include "base/mem.h"
#include "base/pack.h"

#define KIND 0x74736574u
#define NAME "x.journal"

struct fixture {
    char path[64];
    int directory;
    /* what the last opening found */
    unsigned count;
    uint16_t types[64];
    size_t lengths[64];
    uint8_t first[64]; /* byte of the payload */
    orbit_status refuse;
};

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    snprintf(fixture->path, sizeof(fixture->path), "/tmp/orbit-ledger-XXXXXX");
    if (!mkdtemp(fixture->path))
        return -1;
    fixture->directory = open(fixture->path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    *state = fixture;
    return fixture->directory < 0 ? -1 : 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    orb_mem_fail_at(0);
    static const char *const names[] = {NAME, NAME ".new", "elsewhere"};
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
        unlinkat(fixture->directory, names[i], 0);
    close(fixture->directory);
    int result = rmdir(fixture->path); /* fails when something was left behind */
    free(fixture);
    return result;
}

static orbit_status take(void *ctx, uint16_t type, const void *payload, size_t length, orbit_error *error)
{
    struct fixture *fixture = ctx;
    if (fixture->refuse < 0)
        return orb_fail(error, fixture->refuse, 0, "no");
    assert_true(fixture->count < 64);
    fixture->types[fixture->count] = type;
    fixture->lengths[fixture->count] = length;
    fixture->first[fixture->count++] = length ? *(const uint8_t *)payload : 0;
    return ORBIT_OK;
}

static orbit_status try_open(struct fixture *fixture, struct orb_ledger **ledger, unsigned flags)
{
    fixture->count = 0;
    orbit_error error = {0};
    orbit_status status = orb_ledger_open(ledger, fixture->directory, NAME, KIND, flags, take, fixture, &error);
    if (status < 0) {
        assert_int_equal(error.status, status);
        assert_true(error.message[0] != '\0');
        assert_null(*ledger);
    }
    return status;
}

static struct orb_ledger *reopen(struct fixture *fixture)
{
    struct orb_ledger *ledger = NULL;
    assert_int_equal(try_open(fixture, &ledger, ORB_LEDGER_CREATE), ORBIT_OK);
    return ledger;
}

static void add(struct orb_ledger *ledger, uint16_t type, const void *payload, size_t length)
{
    assert_int_equal(orb_ledger_append(ledger, type, payload, length, NULL), ORBIT_OK);
}

/* Three records, of 5, 0 and 1000 bytes; the file's bytes are given. */
static size_t make_three(struct fixture *fixture, uint8_t bytes[4096])
{
    uint8_t large[1000];
    memset(large, 'L', sizeof(large));
    struct orb_ledger *ledger = reopen(fixture);
    add(ledger, 1, "hello", 5);
    add(ledger, 2, NULL, 0);
    add(ledger, 3, large, sizeof(large));
    assert_int_equal(orb_ledger_sync(ledger, NULL), ORBIT_OK);
    size_t length = (size_t)orb_ledger_bytes(ledger);
    orb_ledger_close(ledger);
    int fd = openat(fixture->directory, NAME, O_RDONLY | O_CLOEXEC);
    assert_int_equal(read(fd, bytes, 4096), length);
    close(fd);
    return length;
}

static void put_file(struct fixture *fixture, const char *name, const void *bytes, size_t length)
{
    int fd = openat(fixture->directory, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, length), length);
    close(fd);
}

static uint64_t size_of(struct fixture *fixture, const char *name)
{
    struct stat stat;
    assert_int_equal(fstatat(fixture->directory, name, &stat, 0), 0);
    return (uint64_t)stat.st_size;
}

static void records_are_read_back_in_order(void **state)
{
    struct fixture *fixture = *state;
    uint8_t bytes[4096];
    make_three(fixture, bytes);
    struct orb_ledger *ledger = reopen(fixture);
    assert_int_equal(fixture->count, 3);
    assert_int_equal(fixture->types[0], 1);
    assert_int_equal(fixture->lengths[0], 5);
    assert_int_equal(fixture->first[0], 'h');
    assert_int_equal(fixture->lengths[1], 0);
    assert_int_equal(fixture->lengths[2], 1000);
    assert_int_equal(orb_ledger_cut(ledger), 0);
    add(ledger, 4, "x", 1); /* goes on behind them */
    orb_ledger_close(ledger);
    ledger = reopen(fixture);
    assert_int_equal(fixture->count, 4);
    assert_int_equal(fixture->first[3], 'x');
    orb_ledger_remove(ledger);
    assert_int_equal(faccessat(fixture->directory, NAME, F_OK, 0), -1);
}

static void file_is_the_users_alone(void **state)
{
    struct fixture *fixture = *state;
    put_file(fixture, NAME, "", 0);
    assert_int_equal(fchmodat(fixture->directory, NAME, 0666, 0), 0);
    orb_ledger_close(reopen(fixture));
    struct stat stat;
    assert_int_equal(fstatat(fixture->directory, NAME, &stat, 0), 0);
    assert_int_equal(stat.st_mode & 07777, 0600);
}

/* Wherever a crash tore the file, what was whole before is there, and the ledger goes on from it. */
static void torn_tail_is_cut_off_at_every_length(void **state)
{
    struct fixture *fixture = *state;
    uint8_t bytes[4096];
    size_t length = make_three(fixture, bytes);
    static const size_t ends[] = {20, 37, 49, 1061};
    assert_int_equal(length, ends[3]);
    for (size_t torn = 0; torn < length; torn += torn < 64 || torn > length - 8 ? 1 : 53) {
        put_file(fixture, NAME, bytes, torn);
        struct orb_ledger *ledger = reopen(fixture);
        unsigned whole = 0;
        while (whole < 3 && ends[whole + 1] <= torn)
            whole++;
        assert_int_equal(fixture->count, whole);
        assert_int_equal(orb_ledger_bytes(ledger), ends[whole]);
        assert_int_equal(size_of(fixture, NAME), ends[whole]);
        add(ledger, 9, "new", 3);
        orb_ledger_close(ledger);
        orb_ledger_close(reopen(fixture));
        assert_int_equal(fixture->count, whole + 1);
        assert_int_equal(fixture->types[whole], 9);
    }
}

static void damage_anywhere_ends_the_records_before_it(void **state)
{
    struct fixture *fixture = *state;
    uint8_t bytes[4096];
    size_t length = make_three(fixture, bytes);
    for (size_t at = 20; at < length; at += at < 64 ? 1 : 97) {
        for (unsigned bit = 0; bit < 8; bit += 3) {
            bytes[at] ^= (uint8_t)(1u << bit);
            put_file(fixture, NAME, bytes, length);
            bytes[at] ^= (uint8_t)(1u << bit);
            struct orb_ledger *ledger = reopen(fixture);
            assert_int_equal(fixture->count, at < 37 ? 0 : at < 49 ? 1 : 2);
            assert_int_equal(orb_ledger_cut(ledger), length - orb_ledger_bytes(ledger));
            orb_ledger_close(ledger);
        }
    }
}

static void zeroed_blocks_are_no_records(void **state)
{
    struct fixture *fixture = *state;
    uint8_t bytes[4096];
    size_t length = make_three(fixture, bytes);
    memset(bytes + 37, 0, sizeof(bytes) - 37);
    put_file(fixture, NAME, bytes, sizeof(bytes));
    orb_ledger_close(reopen(fixture));
    assert_int_equal(fixture->count, 1);
    memset(bytes, 0, length);
    put_file(fixture, NAME, bytes, length);
    struct orb_ledger *ledger = reopen(fixture);
    assert_int_equal(fixture->count, 0);
    add(ledger, 1, "x", 1);
    orb_ledger_close(ledger);
    orb_ledger_close(reopen(fixture));
    assert_int_equal(fixture->count, 1);
}

static void claimed_length_is_not_believed(void **state)
{
    struct fixture *fixture = *state;
    uint8_t bytes[4096];
    size_t length = make_three(fixture, bytes);
    memset(bytes + 37, 0xFF, 4);
    put_file(fixture, NAME, bytes, length);
    orb_ledger_close(reopen(fixture));
    assert_int_equal(fixture->count, 1);

    struct orb_ledger *ledger = reopen(fixture);
    uint8_t *longest = calloc(1, ORB_LEDGER_RECORD_MAX + 1);
    assert_int_equal(orb_ledger_append(ledger, 1, longest, ORB_LEDGER_RECORD_MAX + 1, NULL), ORBIT_E_LIMIT);
    add(ledger, 1, longest, ORB_LEDGER_RECORD_MAX);
    free(longest);
    orb_ledger_close(ledger);
    orb_ledger_close(reopen(fixture));
    assert_int_equal(fixture->count, 2);
}

static void strangers_file_is_refused_and_left_alone(void **state)
{
    struct fixture *fixture = *state;
    struct orb_ledger *ledger = NULL;
    uint8_t bytes[4096];
    put_file(fixture, NAME, "my precious notes, which are long enough", 40);
    assert_int_equal(try_open(fixture, &ledger, ORB_LEDGER_CREATE), ORBIT_E_CONFIG);
    assert_int_equal(size_of(fixture, NAME), 40);
    put_file(fixture, NAME, "short", 5);
    assert_int_equal(try_open(fixture, &ledger, ORB_LEDGER_CREATE), ORBIT_E_CONFIG);
    assert_int_equal(size_of(fixture, NAME), 5);
    unlinkat(fixture->directory, NAME, 0);
    size_t length = make_three(fixture, bytes);
    assert_int_equal(orb_ledger_open(&ledger, fixture->directory, NAME, KIND + 1, 0, NULL, NULL, NULL),
                     ORBIT_E_UNSUPPORTED);
    assert_int_equal(size_of(fixture, NAME), length);
    assert_int_equal(orb_ledger_discard(fixture->directory, NAME, NULL), ORBIT_OK);
    assert_int_equal(orb_ledger_discard(fixture->directory, NAME, NULL), ORBIT_OK); /* gone already */
    assert_int_equal(try_open(fixture, &ledger, 0), ORBIT_E_NOT_FOUND);
}

static void symlinks_and_fifos_are_not_followed(void **state)
{
    struct fixture *fixture = *state;
    struct orb_ledger *ledger = NULL;
    put_file(fixture, "elsewhere", "", 0);
    assert_int_equal(symlinkat("elsewhere", fixture->directory, NAME), 0);
    assert_true(try_open(fixture, &ledger, ORB_LEDGER_CREATE) < 0);
    assert_int_equal(size_of(fixture, "elsewhere"), 0);
    assert_int_equal(orb_ledger_discard(fixture->directory, NAME, NULL), ORBIT_OK);
    assert_int_equal(faccessat(fixture->directory, "elsewhere", F_OK, 0), 0);
    assert_int_equal(mkfifoat(fixture->directory, NAME, 0600), 0);
    assert_int_equal(try_open(fixture, &ledger, ORB_LEDGER_CREATE), ORBIT_E_CONFIG);
    assert_int_equal(orb_ledger_discard(fixture->directory, NAME, NULL), ORBIT_OK);
}

static void second_owner_hears_in_use(void **state)
{
    struct fixture *fixture = *state;
    struct orb_ledger *ledger = reopen(fixture);
    struct orb_ledger *second = NULL;
    add(ledger, 1, "a", 1);
    assert_int_equal(try_open(fixture, &second, ORB_LEDGER_CREATE), ORBIT_E_BUSY);
    assert_int_equal(orb_ledger_discard(fixture->directory, NAME, NULL), ORBIT_E_BUSY);
    assert_int_equal(try_open(fixture, &second, ORB_LEDGER_LOOK), ORBIT_OK); /* looking is allowed */
    assert_int_equal(fixture->count, 1);
    orb_ledger_remove(second); /* and removes nothing */
    orb_ledger_close(ledger);
    ledger = reopen(fixture);
    assert_int_equal(fixture->count, 1);
    orb_ledger_close(ledger);
}

static void looking_changes_nothing(void **state)
{
    struct fixture *fixture = *state;
    uint8_t bytes[4096];
    struct orb_ledger *ledger = NULL;
    assert_int_equal(try_open(fixture, &ledger, ORB_LEDGER_LOOK), ORBIT_E_NOT_FOUND);
    size_t length = make_three(fixture, bytes);
    put_file(fixture, NAME, bytes, length - 1);
    assert_int_equal(try_open(fixture, &ledger, ORB_LEDGER_LOOK), ORBIT_OK);
    assert_int_equal(fixture->count, 2);
    assert_int_equal(orb_ledger_cut(ledger), length - 1 - 49);
    orb_ledger_close(ledger);
    assert_int_equal(size_of(fixture, NAME), length - 1);
    put_file(fixture, NAME, bytes, 3);
    assert_int_equal(try_open(fixture, &ledger, ORB_LEDGER_LOOK), ORBIT_OK);
    assert_int_equal(fixture->count, 0);
    orb_ledger_close(ledger);
    assert_int_equal(size_of(fixture, NAME), 3);
}

static orbit_status two_records(void *ctx, struct orb_ledger *fresh, orbit_error *error)
{
    struct fixture *fixture = ctx;
    if (fixture->refuse < 0)
        return orb_fail(error, fixture->refuse, 0, "no");
    orbit_status status = orb_ledger_append(fresh, 7, "seven", 5, error);
    return status < 0 ? status : orb_ledger_append(fresh, 8, "eight", 5, error);
}

static void rewriting_replaces_all_records_and_keeps_the_lock(void **state)
{
    struct fixture *fixture = *state;
    struct orb_ledger *ledger = reopen(fixture);
    struct orb_ledger *second = NULL;
    for (unsigned i = 0; i < 1000; i++)
        add(ledger, 1, "old", 3);
    put_file(fixture, NAME ".new", "left by a crash", 15);
    assert_int_equal(orb_ledger_rewrite(ledger, two_records, fixture, NULL), ORBIT_OK);
    assert_int_equal(orb_ledger_bytes(ledger), 20 + 2 * 17);
    assert_int_equal(try_open(fixture, &second, ORB_LEDGER_CREATE), ORBIT_E_BUSY);
    add(ledger, 9, "nine", 4);
    assert_int_equal(orb_ledger_sync(ledger, NULL), ORBIT_OK);
    orb_ledger_close(ledger);
    ledger = reopen(fixture);
    assert_int_equal(fixture->count, 3);
    assert_int_equal(fixture->types[0], 7);
    assert_int_equal(fixture->types[2], 9);
    fixture->refuse = ORBIT_E_IO; /* of the owner's: the old ones stay */
    assert_int_equal(orb_ledger_rewrite(ledger, two_records, fixture, NULL), ORBIT_E_IO);
    fixture->refuse = ORBIT_OK;
    add(ledger, 10, "ten", 3);
    orb_ledger_close(ledger);
    orb_ledger_close(reopen(fixture));
    assert_int_equal(fixture->count, 4);
    assert_int_equal(faccessat(fixture->directory, NAME ".new", F_OK, 0), -1);
}

static void refusal_of_a_record_is_the_result(void **state)
{
    struct fixture *fixture = *state;
    struct orb_ledger *ledger = NULL;
    uint8_t bytes[4096];
    make_three(fixture, bytes);
    fixture->refuse = ORBIT_E_CHANGED;
    assert_int_equal(try_open(fixture, &ledger, 0), ORBIT_E_CHANGED);
    fixture->refuse = ORBIT_OK;
    orb_ledger_close(reopen(fixture)); /* and it was let go */
    assert_int_equal(fixture->count, 3);
}

/* A file-size limit is a disk that is full in the middle of a record. */
static void full_disk_leaves_the_ledger_as_it_was(void **state)
{
    struct fixture *fixture = *state;
    struct rlimit before, small;
    struct orb_ledger *ledger = reopen(fixture);
    add(ledger, 1, "first", 5);
    uint64_t end = orb_ledger_bytes(ledger);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    small = before;
    small.rlim_cur = end + 10;
    void (*old)(int) = signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    orbit_status status = orb_ledger_append(ledger, 2, "longer than what is left", 24, NULL);
    orbit_status fresh = orb_ledger_rewrite(ledger, two_records, fixture, NULL);
    setrlimit(RLIMIT_FSIZE, &before);
    signal(SIGXFSZ, old);
    assert_true(status < 0);
    assert_int_equal(fresh, ORBIT_E_LIMIT);
    assert_int_equal(size_of(fixture, NAME), end);
    add(ledger, 3, "third", 5);
    orb_ledger_close(ledger);
    orb_ledger_close(reopen(fixture));
    assert_int_equal(fixture->count, 2);
    assert_int_equal(fixture->types[1], 3);
}

static void every_failed_allocation_is_told(void **state)
{
    struct fixture *fixture = *state;
    uint8_t bytes[4096];
    make_three(fixture, bytes);
    for (uint64_t n = 1;; n++) {
        struct orb_ledger *ledger = NULL;
        orb_mem_fail_at(n);
        orbit_status status = try_open(fixture, &ledger, ORB_LEDGER_CREATE);
        if (status >= 0)
            status = orb_ledger_rewrite(ledger, two_records, fixture, NULL);
        bool all = orb_mem_count() < n;
        orb_mem_fail_at(0);
        orb_ledger_close(ledger);
        if (all) {
            assert_int_equal(status, ORBIT_OK);
            break;
        }
        assert_int_equal(status, ORBIT_E_MEMORY);
    }
    orb_ledger_close(reopen(fixture));
    assert_int_equal(fixture->count, 2);
}

static void packed_values_come_back(void **state)
{
    (void)state;
    struct orb_buf buf;
    orb_buf_init(&buf, 1024);
    orb_pack_u8(&buf, 200);
    orb_pack_u32(&buf, 0xDEADBEEF);
    orb_pack_u64(&buf, UINT64_MAX - 1);
    orb_pack_text(&buf, "text");
    orb_pack_text(&buf, NULL);
    orb_pack_text(&buf, "");
    orb_pack_bytes(&buf, "\0\1", 2);
    assert_false(buf.failed);
    for (size_t length = 0; length <= buf.length; length++) { /* and nothing is read past the end */
        uint8_t *copy = malloc(length + 1);
        memcpy(copy, buf.bytes, length);
        struct orb_unpack in = {copy, length, false};
        uint8_t small = orb_unpack_u8(&in);
        uint32_t middle = orb_unpack_u32(&in);
        uint64_t large = orb_unpack_u64(&in);
        char *text = orb_unpack_text(&in, 4);
        char *none = orb_unpack_text(&in, 4);
        char *empty = orb_unpack_text(&in, 4);
        size_t count;
        const uint8_t *raw = orb_unpack_bytes(&in, &count);
        assert_int_equal(orb_unpack_done(&in), length == buf.length);
        if (length == buf.length) {
            assert_int_equal(small, 200);
            assert_int_equal(middle, 0xDEADBEEF);
            assert_true(large == UINT64_MAX - 1);
            assert_string_equal(text, "text");
            assert_null(none);
            assert_string_equal(empty, "");
            assert_int_equal(count, 2);
            assert_memory_equal(raw, "\0\1", 2);
        }
        orb_free(text);
        orb_free(none);
        orb_free(empty);
        free(copy);
    }
    orb_buf_release(&buf);
}

static void unpacked_lengths_are_bounded(void **state)
{
    (void)state;
    static const uint8_t huge[] = {0xFE, 0xFF, 0xFF, 0xFF, 'a', 'b'};
    static const uint8_t nul[] = {2, 0, 0, 0, 'a', 0};
    struct orb_unpack in = {huge, sizeof(huge), false};
    assert_null(orb_unpack_text(&in, SIZE_MAX));
    assert_true(in.failed);
    in = (struct orb_unpack){nul, sizeof(nul), false};
    assert_null(orb_unpack_text(&in, 10)); /* a NUL in a text */
    assert_true(in.failed);
    in = (struct orb_unpack){nul, sizeof(nul), false};
    assert_null(orb_unpack_text(&in, 1)); /* more than allowed */
    assert_false(orb_unpack_done(&in));
    in = (struct orb_unpack){nul, sizeof(nul), false};
    (void)orb_unpack_u32(&in);
    assert_false(orb_unpack_done(&in)); /* something is left */
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(records_are_read_back_in_order),
        TEST(file_is_the_users_alone),
        TEST(torn_tail_is_cut_off_at_every_length),
        TEST(damage_anywhere_ends_the_records_before_it),
        TEST(zeroed_blocks_are_no_records),
        TEST(claimed_length_is_not_believed),
        TEST(strangers_file_is_refused_and_left_alone),
        TEST(symlinks_and_fifos_are_not_followed),
        TEST(second_owner_hears_in_use),
        TEST(looking_changes_nothing),
        TEST(rewriting_replaces_all_records_and_keeps_the_lock),
        TEST(refusal_of_a_record_is_the_result),
        TEST(full_disk_leaves_the_ledger_as_it_was),
        TEST(every_failed_allocation_is_told),
        cmocka_unit_test(packed_values_come_back),
        cmocka_unit_test(unpacked_lengths_are_bounded),
    };
#undef TEST
    return cmocka_run_group_tests_name("ledger", tests, NULL, NULL);
}
