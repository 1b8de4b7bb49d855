/* SPDX-License-Identifier: Apache-2.0
 * The local backend: writing, temporaries, what a crash, a full disk or a rival leaves. */
#include "local_fixture.h"

#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <sys/xattr.h>

extern char **environ;

static orbit_write_options no_overwrite(void)
{
    orbit_write_options options = ORBIT_WRITE_OPTIONS_INIT;
    options.overwrite = false;
    return options;
}

static struct orb_local *inside(struct orb_backend *store)
{
    return store->self;
}

/* ---- the name ---------------------------------------------------------------------------------------- */

static void a_put_appears_whole(void **state)
{
    struct fixture *f = fixture_of(state);
    orbit_metadata m = ORBIT_METADATA_INIT;
    assert_status(ophost_put(f->store, "a/b/file", NULL, "hello", 5, &m, &f->error), ORBIT_OK);
    assert_holds("a/b/file", "hello");
    assert_int_equal(m.size, 5);
    assert_int_equal(count_names("a/b"), 1);
    assert_status(put_text(f->store, "a/b/file", NULL, "", &f->error), ORBIT_OK);
    assert_holds("a/b/file", "");
    orbit_write_options options = ORBIT_WRITE_OPTIONS_INIT;
    options.create_parents = false;
    assert_status(put_text(f->store, "x/y/file", &options, "", &f->error), ORBIT_E_NOT_FOUND);
    assert_int_equal(access("x", F_OK), -1);
}

static void what_stands_at_the_name_decides(void **state)
{
    struct fixture *f = fixture_of(state);
    orbit_write_options options = no_overwrite();
    make_directory("d");
    make_file("file", "old");
    assert_status(put_text(f->store, "d", NULL, "x", &f->error), ORBIT_E_PATH);
    assert_true(f->error.flags & ORBIT_ERROR_IS_DIRECTORY);
    assert_status(put_text(f->store, "", NULL, "x", &f->error), ORBIT_E_PATH);
    assert_status(put_text(f->store, "new/", NULL, "x", &f->error), ORBIT_E_PATH);
    assert_status(put_text(f->store, "not/there/", NULL, "x", &f->error), ORBIT_E_PATH);
    assert_non_null(strstr(f->error.message, "ends in '/'"));
    assert_int_equal(access("not", F_OK), -1);
    assert_status(put_text(f->store, "file/x", NULL, "x", &f->error), ORBIT_E_PATH);
    assert_true(f->error.flags & ORBIT_ERROR_NOT_DIRECTORY);
    assert_status(put_text(f->store, "file", &options, "new", &f->error), ORBIT_E_EXISTS);
    assert_holds("file", "old");
    assert_int_equal(symlink("nowhere", "link"), 0);
    assert_status(put_text(f->store, "link", &options, "new", &f->error), ORBIT_E_EXISTS);
    assert_int_equal(access("nowhere", F_OK), -1);
    assert_int_equal(count_names("."), 3);
}

static void no_overwrite_is_decided_at_the_end(void **state)
{
    struct fixture *f = fixture_of(state);
    orbit_write_options options = no_overwrite();
    for (int named = 0; named < 2; named++) {
        orbit_begin_reply first = {0};
        inside(f->store)->no_tmpfile = named;
        assert_status(ophost_begin(f->store, "file", &options, 5, 5, NULL, &first, &f->error), ORBIT_OK);
        assert_int_equal(count_names("."), named);
        assert_status(ophost_part(f->store, first.upload, 1, 0, "first", 5, NULL, &f->error), ORBIT_OK);
        make_file("file", "rival");
        assert_status(ophost_finish(f->store, first.upload, 5, 1, NULL, &f->error), ORBIT_E_EXISTS);
        assert_holds("file", "rival");
        assert_int_equal(unlink("file"), 0);
        assert_status(ophost_finish(f->store, first.upload, 5, 1, NULL, &f->error), ORBIT_OK);
        assert_holds("file", "first");
        ophost_release(f->store, first.upload);
        assert_int_equal(count_names("."), 1);
        assert_int_equal(unlink("file"), 0);
    }
}

static void a_link_is_written_through(void **state)
{
    struct fixture *f = fixture_of(state);
    struct stat s;
    make_directory("d");
    make_file("d/file", "old");
    assert_int_equal(symlink("d/second", "first"), 0);
    assert_int_equal(symlink("../d/./file", "d/second"), 0);
    assert_status(put_text(f->store, "first", NULL, "new", &f->error), ORBIT_OK);
    assert_holds("d/file", "new");
    assert_int_equal(lstat("first", &s), 0);
    assert_true(S_ISLNK(s.st_mode));
    assert_int_equal(symlink("d/made", "dangling"), 0);
    assert_status(put_text(f->store, "dangling", NULL, "made", &f->error), ORBIT_OK);
    assert_holds("d/made", "made");
    assert_int_equal(symlink("l2", "l1"), 0);
    assert_int_equal(symlink("l1", "l2"), 0);
    assert_status(put_text(f->store, "l1", NULL, "x", &f->error), ORBIT_E_PATH);
    char absolute[128];
    snprintf(absolute, sizeof(absolute), "%s/d/file", f->directory);
    assert_int_equal(symlink(absolute, "abs"), 0);
    assert_status(put_text(f->plain, "abs", NULL, "absolute", &f->error), ORBIT_OK);
    assert_holds("d/file", "absolute");
    assert_status(put_text(f->store, "abs", NULL, "x", &f->error), ORBIT_E_PATH);
}

/* ---- attributes -------------------------------------------------------------------------------------- */

static void modes_and_times_are_set(void **state)
{
    struct fixture *f = fixture_of(state);
    struct stat s;
    orbit_write_options options = ORBIT_WRITE_OPTIONS_INIT;
    mode_t mask = umask(0);
    umask(mask);
    assert_status(put_text(f->store, "plain", NULL, "x", &f->error), ORBIT_OK);
    assert_int_equal(stat("plain", &s), 0);
    assert_int_equal(s.st_mode & 07777, 0666 & ~mask);
    options.set = ORBIT_HAS_MODE | ORBIT_HAS_MTIME;
    options.mode = 0604;
    options.mtime_ns = 1234567890123456789;
    for (int named = 0; named < 2; named++) {
        options.overwrite = named;
        assert_status(put_text(f->store, "set", &options, "x", &f->error), ORBIT_OK);
        assert_int_equal(stat("set", &s), 0);
        assert_int_equal(s.st_mode & 07777, 0604);
        assert_int_equal(s.st_mtim.tv_sec, 1234567890);
        assert_int_equal(s.st_mtim.tv_nsec, 123456789);
    }
    options.sync = ORBIT_SYNC_DIRECTORY;
    assert_status(put_text(f->store, "made/durable/set", &options, "x", &f->error), ORBIT_OK);
}

static void a_replaced_file_keeps_mode_and_owner(void **state)
{
    struct fixture *f = fixture_of(state);
    struct stat s;
    make_file("file", "old");
    assert_int_equal(chmod("file", 0751), 0);
    bool root = geteuid() == 0;
    if (root)
        assert_int_equal(chown("file", 1234, 4321), 0);
    assert_status(put_text(f->store, "file", NULL, "new", &f->error), ORBIT_OK);
    assert_int_equal(stat("file", &s), 0);
    assert_int_equal(s.st_mode & 07777, 0751);
    if (root) {
        assert_int_equal(s.st_uid, 1234);
        assert_int_equal(s.st_gid, 4321);
    }
    assert_holds("file", "new");
}

/* user::rw-, user:65534:rw-, group::r--, mask::rw-, other::--- */
static const uint8_t acl[] = {2, 0,   0,   0,   1,   0,   6,  0, 255, 255, 255, 255, 2,   0,  6,
                              0, 254, 255, 0,   0,   4,   0,  4, 0,   255, 255, 255, 255, 16, 0,
                              6, 0,   255, 255, 255, 255, 32, 0, 0,   0,   255, 255, 255, 255};

static void access_lists_are_respected(void **state)
{
    struct fixture *f = fixture_of(state);
    uint8_t got[128];
    struct stat s;
    make_file("file", "old");
    make_directory("d");
    if (setxattr("file", "system.posix_acl_access", acl, sizeof(acl), 0) != 0 ||
        setxattr("d", "system.posix_acl_default", acl, sizeof(acl), 0) != 0)
        skip();
    assert_status(put_text(f->store, "file", NULL, "new", &f->error), ORBIT_OK);
    assert_int_equal(getxattr("file", "system.posix_acl_access", got, sizeof(got)), sizeof(acl));
    assert_memory_equal(got, acl, sizeof(acl));
    /* As open() would have made it. */
    assert_status(put_text(f->store, "d/new", NULL, "new", &f->error), ORBIT_OK);
    assert_int_equal(stat("d/new", &s), 0);
    int fd = open("d/like", O_CREAT | O_WRONLY, 0666);
    struct stat like;
    assert_int_equal(fstat(fd, &like), 0);
    close(fd);
    assert_int_equal(s.st_mode & 07777, like.st_mode & 07777);
}

/* ---- parts ------------------------------------------------------------------------------------------- */

static void parts_are_written_in_any_order(void **state)
{
    struct fixture *f = fixture_of(state);
    orbit_begin_reply begin = {0};
    orbit_metadata m = ORBIT_METADATA_INIT;
    assert_status(ophost_begin(f->store, "file", NULL, 12, 5, NULL, &begin, &f->error), ORBIT_OK);
    assert_status(ophost_part(f->store, begin.upload, 3, 10, "cc", 2, NULL, &f->error), ORBIT_OK);
    assert_status(ophost_part(f->store, begin.upload, 1, 0, "aaaaa", 5, NULL, &f->error), ORBIT_OK);
    /* The size would be right, but there is a gap. */
    assert_status(ophost_finish(f->store, begin.upload, 12, 3, &m, &f->error), ORBIT_E_IO);
    assert_int_equal(access("file", F_OK), -1);
    assert_status(ophost_part(f->store, begin.upload, 2, 5, "bbbbb", 5, NULL, &f->error), ORBIT_OK);
    assert_status(ophost_finish(f->store, begin.upload, 13, 3, &m, &f->error), ORBIT_E_IO);
    assert_status(ophost_finish(f->store, begin.upload, 12, 3, &m, &f->error), ORBIT_OK);
    assert_int_equal(m.size, 12);
    m = (orbit_metadata)ORBIT_METADATA_INIT;
    assert_status(ophost_finish(f->store, begin.upload, 12, 3, &m, &f->error), ORBIT_OK); /* asked again */
    assert_int_equal(m.size, 12);
    ophost_release(f->store, begin.upload);
    assert_holds("file", "aaaaabbbbbcc");
    assert_int_equal(count_names("."), 1);
}

static void an_aborted_upload_leaves_nothing(void **state)
{
    struct fixture *f = fixture_of(state);
    make_file("file", "old");
    unsigned before = open_descriptors();
    for (int overwrite = 0; overwrite < 2; overwrite++) {
        orbit_begin_reply begin = {0};
        orbit_write_options options = ORBIT_WRITE_OPTIONS_INIT;
        options.overwrite = overwrite;
        const char *name = overwrite ? "file" : "other";
        assert_status(ophost_begin(f->store, name, &options, 3, 5, NULL, &begin, &f->error), ORBIT_OK);
        assert_status(ophost_part(f->store, begin.upload, 1, 0, "new", 3, NULL, &f->error), ORBIT_OK);
        assert_status(ophost_abort(f->store, begin.upload, &f->error), ORBIT_OK);
        assert_status(ophost_abort(f->store, begin.upload, &f->error), ORBIT_OK);
        ophost_release(f->store, begin.upload);
    }
    assert_holds("file", "old");
    assert_int_equal(count_names("."), 1);
    assert_int_equal(open_descriptors(), before);
}

static void a_resumed_upload_keeps_its_bytes(void **state)
{
    struct fixture *f = fixture_of(state);
    orbit_begin_reply begin = {0}, again = {0};
    char id[64];
    assert_status(ophost_begin(f->store, "file", NULL, 6, 3, NULL, &begin, &f->error), ORBIT_OK);
    snprintf(id, sizeof(id), "%s", begin.upload_id);
    assert_status(ophost_part(f->store, begin.upload, 1, 0, "abc", 3, NULL, &f->error), ORBIT_OK);
    assert_status(ophost_begin(f->store, "file", NULL, 6, 3, id, &again, &f->error), ORBIT_E_BUSY);
    ophost_release(f->store, begin.upload); /* as when the process ends */
    assert_status(ophost_begin(f->store, "file", NULL, 6, 3, id, &again, &f->error), ORBIT_OK);
    assert_status(ophost_part(f->store, again.upload, 2, 3, "def", 3, NULL, &f->error), ORBIT_OK);
    assert_status(ophost_finish(f->store, again.upload, 6, 2, NULL, &f->error), ORBIT_OK);
    ophost_release(f->store, again.upload);
    assert_holds("file", "abcdef");
    assert_status(ophost_begin(f->store, "file", NULL, 6, 3, id, &again, &f->error), ORBIT_E_NOT_FOUND);
    assert_true(ophost_begin(f->store, "file", NULL, 6, 3, "../file", &again, &f->error) < 0);
}

struct writing {
    struct ophost_call call;
    struct ophost_body body;
    void *upload;
    orbit_part part;
    orbit_part_reply reply;
    orbit_put_request put;
    orbit_metadata metadata;
};

static void start_part(struct ophost_call *call, void *self, const orbit_backend_ops *ops, orbit_op *op)
{
    struct writing *writing = call->ctx;
    ops->part(self, op, writing->upload, &writing->part, &writing->body.body, &writing->reply);
}

static void start_put(struct ophost_call *call, void *self, const orbit_backend_ops *ops, orbit_op *op)
{
    struct writing *writing = call->ctx;
    ops->put(self, op, &writing->put, &writing->body.body, &writing->metadata);
}

static void writing_init(struct writing *writing, const void *bytes, size_t length)
{
    memset(writing, 0, sizeof(*writing));
    writing->call.ctx = writing;
    ophost_body_init(&writing->body, &writing->call, bytes, length);
}

static void a_body_that_pauses_is_resumed(void **state)
{
    struct fixture *f = fixture_of(state);
    static struct writing writing;
    const orbit_write_options options = ORBIT_WRITE_OPTIONS_INIT;
    writing_init(&writing, "0123456789", 10);
    writing.body.window = 3;
    writing.body.starve_every = 2;
    writing.put = (orbit_put_request){.path = "file", .options = &options};
    writing.call.start = start_put;
    ophost_start(&writing.call, f->store);
    assert_status(ophost_wait(&writing.call, &f->error), ORBIT_OK);
    assert_holds("file", "0123456789");
}

static void a_source_that_fails_leaves_nothing(void **state)
{
    struct fixture *f = fixture_of(state);
    static struct writing writing;
    const orbit_write_options options = ORBIT_WRITE_OPTIONS_INIT;
    for (int what = 0; what < 3; what++) {
        writing_init(&writing, "0123456789", 10);
        writing.body.window = 2;
        if (what == 0)
            writing.body.fail_at = 6;
        else
            writing.body.body.length = what == 1 ? 11 : 9; /* ends early, gives more */
        writing.put = (orbit_put_request){.path = "file", .options = &options};
        writing.call.start = start_put;
        ophost_start(&writing.call, f->store);
        assert_status(ophost_wait(&writing.call, &f->error), what < 2 ? ORBIT_E_IO : ORBIT_E_MISUSE);
        assert_int_equal(count_names("."), 0);
    }
}

/* ---- in place ---------------------------------------------------------------------------------------- */

static void devices_are_written_in_place(void **state)
{
    struct fixture *f = fixture_of(state);
    struct stat s;
    assert_status(put_text(f->plain, "/dev/null", NULL, "x", &f->error), ORBIT_OK);
    assert_int_equal(stat("/dev/null", &s), 0);
    assert_true(S_ISCHR(s.st_mode));
    assert_int_equal(symlink("/dev/null", "null"), 0);
    assert_status(put_text(f->plain, "null", NULL, "x", &f->error), ORBIT_OK);
    assert_status(put_text(f->store, "null", NULL, "x", &f->error), ORBIT_E_PATH);
    orbit_write_options options = no_overwrite();
    assert_status(put_text(f->plain, "/dev/null", &options, "x", &f->error), ORBIT_E_EXISTS);
    assert_status(put_text(f->plain, "/dev/full", NULL, "x", &f->error), ORBIT_E_NO_SPACE);
    assert_string_equal(f->error.message, "cannot write '/dev/full': No space left on device");
    orbit_begin_reply begin = {0};
    assert_status(ophost_begin(f->plain, "/dev/null", NULL, 9, 3, NULL, &begin, &f->error), ORBIT_OK);
    assert_status(ophost_part(f->plain, begin.upload, 2, 3, "abc", 3, NULL, &f->error), ORBIT_OK);
    assert_status(ophost_abort(f->plain, begin.upload, &f->error), ORBIT_OK);
    ophost_release(f->plain, begin.upload);
    assert_int_equal(stat("/dev/null", &s), 0);
}

static void *drain_fifo(void *text)
{
    usleep(30000);
    int fd = open("fifo", O_RDONLY);
    size_t length = 0;
    ssize_t got;
    while ((got = read(fd, (char *)text + length, 4)) > 0)
        length += (size_t)got;
    close(fd);
    return NULL;
}

static void parts_of_a_fifo_wait_for_their_turn(void **state)
{
    struct fixture *f = fixture_of(state);
    static struct writing parts[3];
    char text[32] = "";
    pthread_t thread;
    orbit_begin_reply begin = {0};
    assert_int_equal(mkfifo("fifo", 0666), 0);
    assert_int_equal(pthread_create(&thread, NULL, drain_fifo, text), 0);
    assert_status(ophost_begin(f->store, "fifo", NULL, 9, 3, NULL, &begin, &f->error), ORBIT_OK);
    for (int i = 2; i >= 0; i--) {
        writing_init(&parts[i], &"aaabbbccc"[3 * i], 3);
        parts[i].body.window = 1;
        parts[i].body.starve_every = 2;
        parts[i].upload = begin.upload;
        parts[i].part = (orbit_part){.number = (uint32_t)i + 1, .offset = (uint64_t)i * 3, .length = 3};
        parts[i].call.start = start_part;
        ophost_start(&parts[i].call, f->store);
        usleep(5000);
    }
    for (int i = 0; i < 3; i++)
        assert_status(ophost_wait(&parts[i].call, &f->error), ORBIT_OK);
    assert_status(ophost_finish(f->store, begin.upload, 9, 3, NULL, &f->error), ORBIT_OK);
    ophost_release(f->store, begin.upload);
    pthread_join(thread, NULL);
    assert_string_equal(text, "aaabbbccc");
}

static void a_part_that_waits_can_be_cancelled(void **state)
{
    struct fixture *f = fixture_of(state);
    static struct writing part;
    orbit_begin_reply begin = {0};
    assert_int_equal(mkfifo("fifo", 0666), 0);
    int reader = open("fifo", O_RDONLY | O_NONBLOCK);
    assert_status(ophost_begin(f->store, "fifo", NULL, 9, 3, NULL, &begin, &f->error), ORBIT_OK);
    writing_init(&part, "bbb", 3);
    part.upload = begin.upload;
    part.part = (orbit_part){.number = 2, .offset = 3, .length = 3};
    part.call.start = start_part;
    ophost_start(&part.call, f->store);
    usleep(5000);
    ophost_cancel(&part.call);
    assert_status(ophost_wait(&part.call, &f->error), ORBIT_E_CANCELLED);
    close(reader);
    /* The reader is gone: no signal, an error. */
    assert_true(ophost_part(f->store, begin.upload, 1, 0, "aaa", 3, NULL, &f->error) < 0);
    assert_status(ophost_abort(f->store, begin.upload, &f->error), ORBIT_OK);
    ophost_release(f->store, begin.upload);
}

static void a_fifo_without_reader_can_be_cancelled(void **state)
{
    struct fixture *f = fixture_of(state);
    static struct writing writing;
    const orbit_write_options options = ORBIT_WRITE_OPTIONS_INIT;
    assert_int_equal(mkfifo("fifo", 0666), 0);
    writing_init(&writing, "0123456789", 10);
    writing.put = (orbit_put_request){.path = "fifo", .options = &options};
    writing.call.start = start_put;
    ophost_start(&writing.call, f->store);
    usleep(5000);
    ophost_cancel(&writing.call);
    assert_status(ophost_wait(&writing.call, &f->error), ORBIT_E_CANCELLED);
}

/* ---- rivals and crashes ------------------------------------------------------------------------------ */

static void a_second_writer_of_one_name_is_refused(void **state)
{
    struct fixture *f = fixture_of(state);
    orbit_begin_reply begin = {0};
    assert_status(ophost_begin(f->store, "file", NULL, 3, 3, NULL, &begin, &f->error), ORBIT_OK);
    assert_status(put_text(f->plain, "file", NULL, "rival", &f->error), ORBIT_E_BUSY);
    assert_non_null(strstr(f->error.message, "in use"));
    assert_status(put_text(f->store, "another", NULL, "fine", &f->error), ORBIT_OK);
    assert_status(ophost_part(f->store, begin.upload, 1, 0, "abc", 3, NULL, &f->error), ORBIT_OK);
    assert_status(ophost_finish(f->store, begin.upload, 3, 1, NULL, &f->error), ORBIT_OK);
    assert_status(put_text(f->plain, "file", NULL, "now", &f->error), ORBIT_OK);
    ophost_release(f->store, begin.upload);
    assert_holds("file", "now");
}

static void many_writers_of_one_name_never_mix(void **state)
{
    struct fixture *f = fixture_of(state);
    static struct writing writings[8];
    static char texts[8][20001];
    const orbit_write_options options = ORBIT_WRITE_OPTIONS_INIT;
    for (int round = 0; round < 20; round++) {
        int good = 0;
        for (int i = 0; i < 8; i++) {
            memset(texts[i], 'a' + i, 20000);
            writing_init(&writings[i], texts[i], 20000);
            writings[i].body.window = 1000;
            writings[i].body.starve_every = 3;
            writings[i].put = (orbit_put_request){.path = "file", .options = &options};
            writings[i].call.start = start_put;
            ophost_start(&writings[i].call, f->store);
        }
        for (int i = 0; i < 8; i++) {
            orbit_status status = ophost_wait(&writings[i].call, &f->error);
            assert_true(status == ORBIT_OK || status == ORBIT_E_BUSY);
            good += status == ORBIT_OK;
        }
        assert_true(good > 0);
        char bytes[20001];
        int fd = open("file", O_RDONLY);
        assert_int_equal(read(fd, bytes, sizeof(bytes)), 20000);
        close(fd);
        for (int i = 1; i < 20000; i++)
            assert_int_equal(bytes[i], bytes[0]);
        assert_int_equal(count_names("."), 1);
    }
}

/* Writes half of "file" and waits to be killed. */
static int crash_child(const char *directory, const char *overwrite)
{
    struct ophost host;
    orbit_error error;
    orbit_write_options options = ORBIT_WRITE_OPTIONS_INIT;
    orbit_begin_reply begin = {0};
    options.overwrite = strcmp(overwrite, "1") == 0;
    if (chdir(directory) != 0)
        return 1;
    ophost_open(&host, 0);
    struct orb_backend *store = ophost_backend(&host, &orb_local_ops, "", directory, NULL, NULL, NULL, &error);
    if (!store || ophost_begin(store, "file", &options, 6, 3, NULL, &begin, &error) < 0 ||
        ophost_part(store, begin.upload, 1, 0, "abc", 3, NULL, &error) < 0)
        return 1;
    if (write(STDOUT_FILENO, "!", 1) != 1)
        return 1;
    for (;;)
        pause();
}

static pid_t start_crash_child(const char *directory, const char *overwrite)
{
    int pipe_fds[2];
    char byte;
    pid_t child;
    char *argv[] = {"test", "crash", (char *)(uintptr_t)directory, (char *)(uintptr_t)overwrite, NULL};
    posix_spawn_file_actions_t actions;
    assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, pipe_fds[1], STDOUT_FILENO);
    assert_int_equal(posix_spawn(&child, "/proc/self/exe", &actions, NULL, argv, environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    close(pipe_fds[1]);
    assert_int_equal(read(pipe_fds[0], &byte, 1), 1);
    close(pipe_fds[0]);
    return child;
}

static void a_killed_writer_leaves_nothing_at_the_name(void **state)
{
    struct fixture *f = fixture_of(state);
    make_file("file", "old");
    for (int overwrite = 1; overwrite >= 0; overwrite--) {
        if (!overwrite)
            assert_int_equal(unlink("file"), 0);
        pid_t child = start_crash_child(f->directory, overwrite ? "1" : "0");
        if (overwrite)
            assert_status(put_text(f->store, "file", NULL, "rival", &f->error), ORBIT_E_BUSY);
        assert_int_equal(kill(child, SIGKILL), 0);
        assert_int_equal(waitpid(child, NULL, 0), child);
        if (overwrite) {
            assert_holds("file", "old");
            assert_int_equal(count_names("."), 2);
            struct ophost_listing listing; /* what it left is not listed */
            assert_status(ophost_list(f->store, "", NULL, &listing, &f->error), ORBIT_OK);
            assert_int_equal(listing.count, 1);
            ophost_listing_release(&listing);
        } else {
            assert_int_equal(access("file", F_OK), -1);
            assert_int_equal(count_names("."), 0);
        }
        assert_status(put_text(f->store, "file", NULL, "new", &f->error), ORBIT_OK);
        assert_holds("file", "new");
        assert_int_equal(count_names("."), 1);
    }
}

/* What somebody else put at the temporary's name is neither written to nor removed when it may not be. */
static void a_planted_temporary_is_not_trusted(void **state)
{
    struct fixture *f = fixture_of(state);
    orbit_begin_reply begin = {0};
    char name[64];
    assert_status(ophost_begin(f->store, "file", NULL, 3, 3, NULL, &begin, &f->error), ORBIT_OK);
    snprintf(name, sizeof(name), "%s", begin.upload_id);
    assert_status(ophost_abort(f->store, begin.upload, &f->error), ORBIT_OK);
    ophost_release(f->store, begin.upload);

    make_file("victim", "victim");
    assert_int_equal(symlink("victim", name), 0);
    assert_status(put_text(f->store, "file", NULL, "new", &f->error), ORBIT_OK);
    assert_holds("victim", "victim");
    assert_holds("file", "new");
    assert_int_equal(unlink(name), 0);

    assert_int_equal(link("victim", name), 0);
    assert_status(put_text(f->store, "file", NULL, "newer", &f->error), ORBIT_OK);
    assert_holds("victim", "victim");
    assert_int_equal(access(name, F_OK), -1);

    assert_int_equal(mkdir(name, 0777), 0);
    assert_status(put_text(f->store, "file", NULL, "newest", &f->error), ORBIT_OK);
    assert_holds("file", "newest");
}

/* ---- no space, no memory ----------------------------------------------------------------------------- */

static void a_file_size_limit_is_an_error(void **state)
{
    struct fixture *f = fixture_of(state);
    struct rlimit before, limit;
    static char bytes[100000];
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    limit = before;
    limit.rlim_cur = 50000;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    orbit_status status = ophost_put(f->store, "file", NULL, bytes, sizeof(bytes), NULL, &f->error);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_status(status, ORBIT_E_LIMIT);
    assert_int_equal(count_names("."), 0);
}

static void a_full_disk_is_told_and_left_clean(void **state)
{
    struct fixture *f = fixture_of(state);
    static char bytes[1 << 20];
    make_directory("small");
    if (mount("none", "small", "tmpfs", 0, "size=256k") != 0)
        return; /* not permitted here; /dev/full is tested above */
    make_file("small/old", "old");
    orbit_status status = ophost_put(f->store, "small/old", NULL, bytes, sizeof(bytes), NULL, &f->error);
    unsigned names = count_names("small");
    orbit_status after = put_text(f->store, "small/old", NULL, "new", &f->error);
    int unmounted = umount("small");
    assert_status(status, ORBIT_E_NO_SPACE);
    assert_int_equal(names, 1);
    assert_status(after, ORBIT_OK);
    assert_int_equal(unmounted, 0);
}

static void failing_allocations_leave_nothing(void **state)
{
    struct fixture *f = fixture_of(state);
    assert_status(put_text(f->store, "warm", NULL, "up", &f->error), ORBIT_OK);
    assert_int_equal(symlink("d/file", "link"), 0);
    unsigned before = open_descriptors();
    bool failed = true;
    for (uint64_t n = 1; failed; n++) {
        assert_true(n < 1000);
        orb_mem_fail_at(n);
        orbit_status status = put_text(f->store, "link", NULL, "text", &f->error);
        if (status == ORBIT_OK)
            status = ophost_mkdir(f->store, "p/q/r", true, &f->error);
        orbit_begin_reply begin = {0};
        if (status == ORBIT_OK)
            status = ophost_begin(f->store, "up/load", NULL, 3, 3, NULL, &begin, &f->error);
        if (status == ORBIT_OK)
            status = ophost_part(f->store, begin.upload, 1, 0, "abc", 3, NULL, &f->error);
        if (status == ORBIT_OK)
            status = ophost_finish(f->store, begin.upload, 3, 1, NULL, &f->error);
        failed = orb_mem_count() >= n;
        orb_mem_fail_at(0);
        assert_status(status, failed ? ORBIT_E_MEMORY : ORBIT_OK);
        if (begin.upload) {
            assert_status(ophost_abort(f->store, begin.upload, &f->error), ORBIT_OK);
            ophost_release(f->store, begin.upload);
        }
        assert_int_equal(open_descriptors(), before);
        if (access("d", F_OK) == 0)
            assert_true(count_names("d") <= 1);
        if (failed)
            assert_int_equal(system("rm -rf d p up"), 0);
    }
}

#define LOCAL_TEST(name) cmocka_unit_test_setup_teardown(name, fixture_open, fixture_close)

int main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[1], "crash") == 0)
        return crash_child(argv[2], argv[3]);
    const struct CMUnitTest tests[] = {
        LOCAL_TEST(a_put_appears_whole),
        LOCAL_TEST(what_stands_at_the_name_decides),
        LOCAL_TEST(no_overwrite_is_decided_at_the_end),
        LOCAL_TEST(a_link_is_written_through),
        LOCAL_TEST(modes_and_times_are_set),
        LOCAL_TEST(a_replaced_file_keeps_mode_and_owner),
        LOCAL_TEST(access_lists_are_respected),
        LOCAL_TEST(parts_are_written_in_any_order),
        LOCAL_TEST(an_aborted_upload_leaves_nothing),
        LOCAL_TEST(a_resumed_upload_keeps_its_bytes),
        LOCAL_TEST(a_body_that_pauses_is_resumed),
        LOCAL_TEST(a_source_that_fails_leaves_nothing),
        LOCAL_TEST(devices_are_written_in_place),
        LOCAL_TEST(parts_of_a_fifo_wait_for_their_turn),
        LOCAL_TEST(a_part_that_waits_can_be_cancelled),
        LOCAL_TEST(a_fifo_without_reader_can_be_cancelled),
        LOCAL_TEST(a_second_writer_of_one_name_is_refused),
        LOCAL_TEST(many_writers_of_one_name_never_mix),
        LOCAL_TEST(a_killed_writer_leaves_nothing_at_the_name),
        LOCAL_TEST(a_planted_temporary_is_not_trusted),
        LOCAL_TEST(a_file_size_limit_is_an_error),
        LOCAL_TEST(a_full_disk_is_told_and_left_clean),
        LOCAL_TEST(failing_allocations_leave_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
