/* SPDX-License-Identifier: Apache-2.0
 * Uploads to local files that are kept: what a journal says, and what of it is believed. */
#include "local_fixture.h"

#include <openssl/evp.h>

#include "base/extents.h"
#include "base/hash.h"
#include "base/ledger.h"

#define KIB  ((size_t)1 << 10)
#define PART (256 * KIB)
#define SIZE (4 * PART)

static uint8_t bytes[SIZE];

static int keep_open(void **state)
{
    for (size_t i = 0; i < SIZE; i++)
        bytes[i] = (uint8_t)(i * 2654435761u >> 13);
    return fixture_open(state);
}

#define KEEP_TEST(name) cmocka_unit_test_setup_teardown(name, keep_open, fixture_close)

static orbit_keep_request keep_of(const char *identity)
{
    return (orbit_keep_request){.identity = identity, .identity_length = strlen(identity), .size = SIZE};
}

static orbit_status begin(struct fixture *f, const char *identity, orbit_begin_reply *reply)
{
    orbit_keep_request keep = keep_of(identity);
    return ophost_begin_kept(f->store, "file", NULL, &keep, reply, &f->error);
}

static void send_part(struct fixture *f, void *upload, unsigned n)
{
    assert_status(ophost_part(f->store, upload, n + 1, n * PART, bytes + n * PART, PART, NULL, &f->error), ORBIT_OK);
}

static void suspend(struct fixture *f, void *upload)
{
    assert_status(ophost_suspend(f->store, upload, &f->error), ORBIT_OK);
    ophost_release(f->store, upload);
}

/* Parts 0 and 2 of "a" are written, and that was that. */
static void leave_two(struct fixture *f)
{
    orbit_begin_reply reply;
    assert_status(begin(f, "a", &reply), ORBIT_OK);
    assert_true(reply.keeps);
    assert_int_equal(reply.extent_count, 0);
    send_part(f, reply.upload, 0);
    send_part(f, reply.upload, 2);
    suspend(f, reply.upload);
    assert_int_equal(count_names("."), 2);
}

static uint64_t kept_bytes(const orbit_begin_reply *reply)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < reply->extent_count; i++)
        sum += reply->extents[i].length;
    return sum;
}

static void assert_file(void)
{
    static uint8_t got[SIZE + 1];
    int fd = open("file", O_RDONLY | O_CLOEXEC);
    assert_int_equal(read(fd, got, sizeof(got)), SIZE);
    assert_memory_equal(got, bytes, SIZE);
    close(fd);
    assert_int_equal(count_names("."), 1);
}

static void what_was_written_is_given_to_the_next(void **state)
{
    struct fixture *f = fixture_of(state);
    orbit_begin_reply reply;
    leave_two(f);
    assert_true(f->store->ops->kept(f->store->self, "file"));
    assert_false(f->store->ops->kept(f->store->self, "fil"));
    assert_status(begin(f, "a", &reply), ORBIT_OK);
    assert_int_equal(reply.extent_count, 2);
    assert_int_equal(reply.extents[0].offset, 0);
    assert_int_equal(reply.extents[0].length, PART);
    assert_int_equal(reply.extents[1].offset, 2 * PART);
    assert_false(reply.dropped);
    send_part(f, reply.upload, 1);
    assert_status(ophost_finish_compared(f->store, reply.upload, SIZE, NULL, false, &f->error), ORBIT_E_IO);
    send_part(f, reply.upload, 3);
    orbit_checksum right = orb_checksum_crc64nvme(orb_crc64nvme(0, bytes, SIZE));
    assert_status(ophost_finish_compared(f->store, reply.upload, SIZE, &right, false, &f->error), ORBIT_OK);
    ophost_release(f->store, reply.upload);
    assert_file();
}

static void wrong_checksum_of_the_whole_is_found(void **state)
{
    struct fixture *f = fixture_of(state);
    orbit_begin_reply reply;
    leave_two(f);
    assert_status(begin(f, "a", &reply), ORBIT_OK);
    send_part(f, reply.upload, 1);
    send_part(f, reply.upload, 3);
    orbit_checksum wrong = orb_checksum_crc32c(1);
    assert_status(ophost_finish_compared(f->store, reply.upload, SIZE, &wrong, false, &f->error), ORBIT_E_CHECKSUM);
    assert_status(ophost_abort(f->store, reply.upload, &f->error), ORBIT_OK);
    ophost_release(f->store, reply.upload);
    assert_int_equal(count_names("."), 0);
}

/* Of any algorithm, with a record or without: what was written is read. */
static void hash_of_the_whole_is_compared(void **state)
{
    struct fixture *f = fixture_of(state);
    orbit_checksum sha256 = {.algorithm = ORBIT_CHECKSUM_SHA256, .length = 32};
    orbit_checksum crc32 = orb_checksum_crc32(orb_crc32(0, bytes, SIZE));
    assert_int_equal(EVP_Digest(bytes, SIZE, sha256.value, NULL, EVP_sha256(), NULL), 1);
    for (unsigned round = 0; round < 8; round++) {
        orbit_checksum expected = round & 1 ? sha256 : crc32;
        bool kept = round & 2, wrong = round & 4;
        orbit_begin_reply reply;
        if (kept)
            assert_status(begin(f, "a", &reply), ORBIT_OK);
        else
            assert_status(ophost_begin(f->store, "file", NULL, SIZE, PART, NULL, &reply, &f->error), ORBIT_OK);
        assert_true(reply.reads_back);
        for (unsigned n = 0; n < 4; n++)
            send_part(f, reply.upload, n);
        expected.value[3] ^= wrong;
        assert_status(ophost_finish_compared(f->store, reply.upload, SIZE, &expected, false, &f->error),
                      wrong ? ORBIT_E_CHECKSUM : ORBIT_OK);
        if (wrong) {
            assert_non_null(strstr(f->error.message, round & 1 ? "SHA-256" : "CRC32"));
            assert_status(ophost_abort(f->store, reply.upload, &f->error), ORBIT_OK);
        }
        ophost_release(f->store, reply.upload);
        assert_file(); /* the last right one stands */
    }
}

struct finishing {
    struct ophost_call call;
    void *upload;
    orbit_finish_request request;
    orbit_metadata reply;
};

static void start_finish(struct ophost_call *call, void *self, const orbit_backend_ops *ops, orbit_op *op)
{
    struct finishing *finishing = (struct finishing *)call;
    ops->finish(self, op, finishing->upload, &finishing->request, &finishing->reply);
}

/* 1 TiB of nothing would be hashed for minutes. */
static void hashing_the_whole_can_be_cancelled(void **state)
{
    struct fixture *f = fixture_of(state);
    static struct finishing finishing;
    orbit_begin_reply reply;
    const uint64_t much = (uint64_t)1 << 40;
    const orbit_checksum md5 = {.algorithm = ORBIT_CHECKSUM_MD5, .length = 16};
    assert_status(ophost_begin(f->store, "file", NULL, much, PART, NULL, &reply, &f->error), ORBIT_OK);
    assert_status(ophost_part(f->store, reply.upload, 1, much - PART, bytes, PART, NULL, &f->error), ORBIT_OK);
    finishing.upload = reply.upload;
    finishing.request = (orbit_finish_request){.size = much, .part_count = 1, .expected = &md5};
    finishing.call.start = start_finish;
    ophost_start(&finishing.call, f->store);
    usleep(5000);
    ophost_cancel(&finishing.call);
    assert_status(ophost_wait(&finishing.call, &f->error), ORBIT_E_CANCELLED);
    assert_status(ophost_abort(f->store, reply.upload, &f->error), ORBIT_OK);
    ophost_release(f->store, reply.upload);
    assert_int_equal(count_names("."), 0);
}

/* ---- what stands at the name --------------------------------------------------------------------------- */

static void leave_prefix(size_t size)
{
    int fd = open("file", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_int_equal(write(fd, bytes, size), size);
    close(fd);
}

static orbit_status begin_prefixed(struct fixture *f, uint64_t prefix, orbit_begin_reply *reply)
{
    orbit_keep_request keep = keep_of("a");
    keep.prefix_bytes = prefix;
    return ophost_begin_kept(f->store, "file", NULL, &keep, reply, &f->error);
}

/* A disk that was full may still be: there is no room for the journal that replaces the one that is there. */
static void journal_that_cannot_be_replaced_still_counts(void **state)
{
    struct fixture *f = fixture_of(state);
    orbit_begin_reply reply;
    char name[96];
    leave_two(f);
    (void)snprintf(name, sizeof(name), ".orbit-%016llx.journal.new", (unsigned long long)orb_crc64nvme(0, "file", 4));
    assert_int_equal(mkdir(name, 0700), 0); /* nothing else can have the name */
    for (int i = 0; i < 2; i++) {
        assert_status(begin(f, "a", &reply), ORBIT_OK);
        assert_true(reply.keeps);
        assert_false(reply.dropped);
        assert_int_equal(kept_bytes(&reply), (2 + (unsigned)i) * PART);
        send_part(f, reply.upload, i ? 3 : 1);
        if (i == 0)
            suspend(f, reply.upload);
    }
    assert_int_equal(rmdir(name), 0);
    assert_status(ophost_finish_compared(f->store, reply.upload, SIZE, NULL, false, &f->error), ORBIT_OK);
    ophost_release(f->store, reply.upload);
    assert_file();
}

static void prefix_counts_as_written(void **state)
{
    struct fixture *f = fixture_of(state);
    orbit_begin_reply reply;
    leave_prefix(2 * PART + 1000);
    assert_status(begin_prefixed(f, 2 * PART, &reply), ORBIT_OK);
    assert_int_equal(reply.prefix_bytes, 2 * PART);
    assert_int_equal(kept_bytes(&reply), 2 * PART);
    send_part(f, reply.upload, 3);
    orbit_checksum right = orb_checksum_crc64nvme(orb_crc64nvme(0, bytes, SIZE));
    assert_status(ophost_finish_compared(f->store, reply.upload, SIZE, &right, false, &f->error), ORBIT_E_CHECKSUM);
    send_part(f, reply.upload, 2);
    assert_status(ophost_finish_compared(f->store, reply.upload, SIZE, &right, false, &f->error), ORBIT_OK);
    ophost_release(f->store, reply.upload);
    assert_file();
}

static void prefix_is_not_recorded(void **state)
{
    struct fixture *f = fixture_of(state);
    orbit_begin_reply reply;
    leave_prefix(2 * PART);
    assert_status(begin_prefixed(f, UINT64_MAX, &reply), ORBIT_OK);
    assert_int_equal(reply.prefix_bytes, 2 * PART);
    send_part(f, reply.upload, 3);
    suspend(f, reply.upload);
    assert_status(begin(f, "a", &reply), ORBIT_OK); /* only what was sent */
    assert_int_equal(reply.extent_count, 1);
    assert_int_equal(reply.extents[0].offset, 3 * PART);
    suspend(f, reply.upload);
    assert_status(begin_prefixed(f, UINT64_MAX, &reply), ORBIT_OK); /* and both */
    assert_int_equal(kept_bytes(&reply), 3 * PART);
    assert_status(ophost_abort(f->store, reply.upload, &f->error), ORBIT_OK);
    ophost_release(f->store, reply.upload);
    assert_int_equal(count_names("."), 1); /* the prefix is still there */
}

/* What a record speaks of was proved: bytes at the name do not take its place. */
static void prefix_fills_only_what_is_missing(void **state)
{
    struct fixture *f = fixture_of(state);
    orbit_begin_reply reply;
    leave_two(f);
    leave_prefix(SIZE);
    int fd = open("file", O_WRONLY | O_CLOEXEC);
    assert_int_equal(pwrite(fd, "wrong", 5, 10), 5);
    close(fd);
    assert_status(begin_prefixed(f, UINT64_MAX, &reply), ORBIT_OK);
    assert_int_equal(reply.prefix_bytes, SIZE);
    assert_int_equal(kept_bytes(&reply), SIZE);
    orbit_checksum right = orb_checksum_crc64nvme(orb_crc64nvme(0, bytes, SIZE));
    assert_status(ophost_finish_compared(f->store, reply.upload, SIZE, &right, true, &f->error), ORBIT_OK);
    ophost_release(f->store, reply.upload);
    assert_file();
}

static void prefix_that_is_not_there_or_too_long_is_no_error(void **state)
{
    struct fixture *f = fixture_of(state);
    orbit_begin_reply reply;
    assert_status(begin_prefixed(f, PART, &reply), ORBIT_OK);
    assert_int_equal(reply.prefix_bytes, 0);
    assert_int_equal(reply.extent_count, 0);
    suspend(f, reply.upload);
    leave_prefix(SIZE);
    assert_int_equal(truncate("file", 2 * SIZE), 0);
    assert_status(begin_prefixed(f, UINT64_MAX, &reply), ORBIT_OK);
    assert_int_equal(reply.prefix_bytes, SIZE); /* the rest is cut */
    assert_status(ophost_finish_compared(f->store, reply.upload, SIZE, NULL, false, &f->error), ORBIT_OK);
    ophost_release(f->store, reply.upload);
    assert_file();
}

static void other_bytes_are_dropped(void **state)
{
    struct fixture *f = fixture_of(state);
    orbit_begin_reply reply;
    leave_two(f);
    assert_status(begin(f, "b", &reply), ORBIT_OK);
    assert_int_equal(reply.extent_count, 0);
    assert_true(reply.dropped);
    assert_true(reply.keeps);
    suspend(f, reply.upload);
    assert_int_equal(count_names("."), 0); /* nothing worth keeping */
}

/* The journal says "written", but the machine has been started anew since: only what was flushed counts. */
static void after_a_reboot_only_what_was_flushed_is_believed(void **state)
{
    struct fixture *f = fixture_of(state);
    struct orb_local *self = f->store->self;
    orbit_begin_reply reply;
    leave_two(f);
    make_file("boot", "another-boot\n");
    self->boot_id_path = "boot";
    assert_status(begin(f, "a", &reply), ORBIT_OK);
    assert_int_equal(reply.extent_count, 0);
    assert_false(reply.dropped);
    send_part(f, reply.upload, 1);
    suspend(f, reply.upload);
    assert_status(begin(f, "a", &reply), ORBIT_OK); /* the same boot: believed */
    assert_int_equal(reply.extent_count, 1);
    assert_int_equal(reply.extents[0].offset, PART);
    suspend(f, reply.upload);
    self->boot_id_path = "not-there"; /* it cannot be told: never believed */
    assert_status(begin(f, "a", &reply), ORBIT_OK);
    assert_int_equal(reply.extent_count, 0);
    suspend(f, reply.upload);
}

static orbit_status count_flushed(void *ctx, uint16_t type, const void *payload, size_t length, orbit_error *error)
{
    (void)payload;
    (void)length;
    (void)error;
    if (type == 4)
        ++*(unsigned *)ctx;
    return ORBIT_OK;
}

/* Looks at the journal until it says that something was flushed. */
static void await_flush(void)
{
    unsigned flushed = 0;
    char name[80];
    snprintf(name, sizeof(name), ".orbit-%016" PRIx64 ".journal", orb_crc64nvme(0, "file", 4));
    for (unsigned i = 0; i < 6000 && !flushed; i++) {
        struct orb_ledger *ledger;
        assert_status(
            orb_ledger_open(&ledger, AT_FDCWD, name, 0x31776F64u, ORB_LEDGER_LOOK, count_flushed, &flushed, NULL),
            ORBIT_OK);
        orb_ledger_close(ledger);
        usleep(10000);
    }
    assert_true(flushed);
}

/* Long enough for a flush to be due. */
static void what_was_flushed_is_believed_after_a_reboot(void **state)
{
    struct fixture *f = fixture_of(state);
    struct orb_local *self = f->store->self;
    orbit_begin_reply reply;
    orbit_keep_request keep = {.identity = "large", .identity_length = 5, .size = (uint64_t)1 << 30};
    size_t much = (size_t)32 << 20;
    uint8_t *zeros = calloc(1, much);
    uint64_t kept = 0;
    assert_status(ophost_begin_kept(f->store, "file", NULL, &keep, &reply, &f->error), ORBIT_OK);
    for (unsigned i = 0; i < 6; i++)
        assert_status(ophost_part(f->store, reply.upload, i + 1, i * much, zeros, much, NULL, &f->error), ORBIT_OK);
    await_flush();
    suspend(f, reply.upload);
    free(zeros);
    make_file("boot", "another-boot\n");
    self->boot_id_path = "boot";
    assert_status(ophost_begin_kept(f->store, "file", NULL, &keep, &reply, &f->error), ORBIT_OK);
    kept = kept_bytes(&reply);
    assert_true(kept > 0 && kept <= 6 * much);
    assert_status(ophost_abort(f->store, reply.upload, &f->error), ORBIT_OK);
    ophost_release(f->store, reply.upload);
    assert_int_equal(count_names("."), 1); /* boot */
}

/* A journal that outlived its temporary must not speak of the next one. */
static void journal_of_another_temporary_is_not_believed(void **state)
{
    struct fixture *f = fixture_of(state);
    orbit_begin_reply reply;
    char name[80];
    leave_two(f);
    snprintf(name, sizeof(name), ".orbit-%016" PRIx64, orb_crc64nvme(0, "file", 4));
    assert_int_equal(rename(name, "away"), 0);
    assert_status(begin(f, "a", &reply), ORBIT_OK); /* the temporary is missing */
    assert_int_equal(reply.extent_count, 0);
    suspend(f, reply.upload);
    assert_int_equal(rename("away", name), 0);
    assert_int_equal(chmod(name, 0600), 0);
    assert_status(begin(f, "a", &reply), ORBIT_OK); /* the journal is missing */
    assert_int_equal(reply.extent_count, 0);
    suspend(f, reply.upload);
    assert_int_equal(count_names("."), 0);
}

/* What hinders is told, and not that the bytes were of something else. */
static void journal_that_cannot_be_opened_is_told(void **state)
{
    struct fixture *f = fixture_of(state);
    orbit_begin_reply reply;
    char name[80];
    leave_two(f);
    snprintf(name, sizeof(name), ".orbit-%016" PRIx64 ".journal", orb_crc64nvme(0, "file", 4));
    assert_int_equal(unlink(name), 0);
    assert_int_equal(mkdir(name, 0700), 0);
    assert_status(begin(f, "a", &reply), ORBIT_OK);
    assert_int_equal(reply.extent_count, 0);
    assert_false(reply.dropped);
    assert_false(reply.keeps);
    assert_true(ophost_logged(&f->host, "'file' is written from its beginning, not gone on with: "));
    assert_true(
        ophost_logged(&f->host, "'file' will not be resumable: ")); /* the new one, for it is still in the way */
    assert_int_equal(rmdir(name), 0);
    suspend(f, reply.upload);
}

static void temporary_and_journal_are_not_listed(void **state)
{
    struct fixture *f = fixture_of(state);
    (void)f;
    assert_true(orb_local_is_temporary(".orbit-0123456789abcdef"));
    assert_true(orb_local_is_temporary(".orbit-0123456789abcdef.journal"));
    assert_true(orb_local_is_temporary(".orbit-0123456789abcdef.journal.new"));
    assert_false(orb_local_is_temporary(".orbit-0123456789abcdef.txt"));
}

static void plain_write_removes_what_was_kept(void **state)
{
    struct fixture *f = fixture_of(state);
    leave_two(f);
    assert_status(put_text(f->store, "file", NULL, "small", &f->error), ORBIT_OK);
    assert_int_equal(count_names("."), 1);
    assert_holds("file", "small");
}

static void every_failed_allocation_leaves_it_resumable_or_away(void **state)
{
    struct fixture *f = fixture_of(state);
    for (uint64_t n = 1; n < 200; n++) {
        orbit_begin_reply reply;
        leave_two(f);
        orb_mem_fail_at(n);
        orbit_status status = begin(f, "a", &reply);
        bool over = orb_mem_count() < n;
        orb_mem_fail_at(0);
        if (status == ORBIT_OK) {
            assert_true(reply.extent_count == 0 || kept_bytes(&reply) == 2 * PART);
            assert_status(ophost_abort(f->store, reply.upload, &f->error), ORBIT_OK);
            ophost_release(f->store, reply.upload);
        } else {
            assert_status(status, ORBIT_E_MEMORY);
            assert_status(put_text(f->store, "file", NULL, "x", &f->error), ORBIT_OK);
            unlink("file");
        }
        assert_int_equal(count_names("."), 0);
        if (over)
            return;
    }
    fail();
}

static void every_failed_allocation_leaves_the_prefix(void **state)
{
    struct fixture *f = fixture_of(state);
    leave_prefix(2 * PART);
    for (uint64_t n = 1; n < 200; n++) {
        orbit_begin_reply reply;
        struct stat stat_of;
        orb_mem_fail_at(n);
        orbit_status status = begin_prefixed(f, UINT64_MAX, &reply);
        bool over = orb_mem_count() < n;
        orb_mem_fail_at(0);
        if (status == ORBIT_OK) {
            assert_int_equal(kept_bytes(&reply), reply.prefix_bytes);
            assert_true(reply.prefix_bytes == 0 || reply.prefix_bytes == 2 * PART);
            assert_status(ophost_abort(f->store, reply.upload, &f->error), ORBIT_OK);
            ophost_release(f->store, reply.upload);
            assert_int_equal(count_names("."), 1);
        } else {
            assert_status(status, ORBIT_E_MEMORY); /* an empty temporary may stay for the next one */
        }
        assert_int_equal(stat("file", &stat_of), 0);
        assert_int_equal(stat_of.st_size, 2 * PART);
        if (over)
            return;
    }
    fail();
}

/* ---- extents ---------------------------------------------------------------------------------------------- */

static struct orb_extent summed(uint64_t offset, uint64_t length)
{
    return (struct orb_extent){offset, length, orb_crc64nvme(0, bytes + offset, length),
                               orb_crc32c(0, bytes + offset, length), ORB_EXTENT_CRC64 | ORB_EXTENT_CRC32C};
}

static void add(struct orb_extents *extents, struct orb_extent extent)
{
    assert_true(orb_extents_add(extents, &extent));
}

static void extents_join_and_their_sums_with_them(void **state)
{
    (void)state;
    struct orb_extents extents = {0};
    add(&extents, summed(200, 100));
    add(&extents, summed(0, 100));
    add(&extents, (struct orb_extent){.offset = 100, .length = 50}); /* on its way */
    assert_int_equal(extents.count, 3);
    add(&extents, (struct orb_extent){.offset = 100, .length = 80});
    assert_int_equal(extents.count, 3);
    assert_int_equal(orb_extents_bytes(&extents), 280);
    add(&extents, summed(100, 100)); /* whole */
    assert_int_equal(extents.count, 1);
    assert_int_equal(extents.at[0].length, 300);
    assert_true(extents.at[0].crc64 == orb_crc64nvme(0, bytes, 300));
    assert_int_equal(extents.at[0].crc32c, orb_crc32c(0, bytes, 300));
    add(&extents, (struct orb_extent){.offset = 50, .length = 10}); /* inside: nothing new */
    assert_int_equal(extents.at[0].crcs, ORB_EXTENT_CRC64 | ORB_EXTENT_CRC32C);
    add(&extents, summed(290, 20)); /* across its end: nobody knows the sum */
    assert_int_equal(extents.count, 1);
    assert_int_equal(extents.at[0].length, 310);
    assert_int_equal(extents.at[0].crcs, 0);
    orb_extents_trim(&extents, 10);
    assert_int_equal(extents.at[0].length, 10);
    orb_extents_trim(&extents, 0);
    assert_int_equal(extents.count, 0);
    orb_extents_release(&extents);
}

/* Whatever is added: never more is claimed than was added, and it stays in order and disjoint. */
static void extents_claim_no_byte_that_is_not_there(void **state)
{
    (void)state;
    enum { ROOM = 8192 };
    static bool there[ROOM];
    struct orb_extents extents = {0};
    unsigned luck = 7;
    memset(there, 0, sizeof(there));
    for (unsigned i = 0; i < 6000; i++) {
        unsigned long offset = (unsigned)rand_r(&luck) % ROOM, length = 1 + (unsigned)rand_r(&luck) % 3;
        if (offset + length > ROOM)
            length = ROOM - offset;
        for (unsigned long at = offset; at < offset + length; at++)
            there[at] = true;
        add(&extents,
            rand_r(&luck) % 2 ? summed(offset, length) : (struct orb_extent){.offset = offset, .length = length});
        assert_true(extents.count <= ORB_EXTENTS_MAX);
    }
    uint64_t before = 0;
    for (size_t i = 0; i < extents.count; i++) {
        const struct orb_extent *extent = &extents.at[i];
        assert_true(extent->offset >= before && extent->length > 0);
        before = extent->offset + extent->length;
        for (uint64_t at = extent->offset; at < before; at++)
            assert_true(there[at]);
        if (extent->crcs & ORB_EXTENT_CRC64)
            assert_true(extent->crc64 == orb_crc64nvme(0, bytes + extent->offset, extent->length));
        if (extent->crcs & ORB_EXTENT_CRC32C)
            assert_int_equal(extent->crc32c, orb_crc32c(0, bytes + extent->offset, extent->length));
    }
    orb_extents_release(&extents);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        KEEP_TEST(what_was_written_is_given_to_the_next),
        KEEP_TEST(wrong_checksum_of_the_whole_is_found),
        KEEP_TEST(hash_of_the_whole_is_compared),
        KEEP_TEST(hashing_the_whole_can_be_cancelled),
        KEEP_TEST(journal_that_cannot_be_replaced_still_counts),
        KEEP_TEST(prefix_counts_as_written),
        KEEP_TEST(prefix_is_not_recorded),
        KEEP_TEST(prefix_fills_only_what_is_missing),
        KEEP_TEST(prefix_that_is_not_there_or_too_long_is_no_error),
        KEEP_TEST(other_bytes_are_dropped),
        KEEP_TEST(after_a_reboot_only_what_was_flushed_is_believed),
        KEEP_TEST(what_was_flushed_is_believed_after_a_reboot),
        KEEP_TEST(journal_of_another_temporary_is_not_believed),
        KEEP_TEST(journal_that_cannot_be_opened_is_told),
        KEEP_TEST(temporary_and_journal_are_not_listed),
        KEEP_TEST(plain_write_removes_what_was_kept),
        KEEP_TEST(every_failed_allocation_leaves_it_resumable_or_away),
        KEEP_TEST(every_failed_allocation_leaves_the_prefix),
        KEEP_TEST(extents_join_and_their_sums_with_them),
        KEEP_TEST(extents_claim_no_byte_that_is_not_there),
    };
    return cmocka_run_group_tests_name("local_keep", tests, NULL, NULL);
}
