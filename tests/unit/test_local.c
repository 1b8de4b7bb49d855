/* SPDX-License-Identifier: Apache-2.0
 * The local backend: paths and the root, reading, single names, attributes. */
#include "local_fixture.h"

#include <limits.h>
#include <pthread.h>
#include <sys/xattr.h>

/* ---- the root ---------------------------------------------------------------------------------------- */

static void paths_cannot_leave_the_root(void **state)
{
    struct fixture *f = fixture_of(state);
    static const char *bad[] = {"..",         "../x", "a/../../x", "/etc/passwd", "out",
                                "out/passwd", "up",   "up/x",      "a/deep/x"};
    orbit_metadata metadata = ORBIT_METADATA_INIT;
    make_directory("a");
    assert_int_equal(symlink("/etc", "out"), 0);
    assert_int_equal(symlink("..", "up"), 0);
    assert_int_equal(symlink("../../..", "a/deep"), 0);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char *bytes = NULL;
        size_t length;
        assert_status(ophost_read_all(f->store, bad[i], &bytes, &length, &f->error), ORBIT_E_PATH);
        free(bytes);
        assert_non_null(strstr(f->error.message, "outside of the root"));
        assert_status(put_text(f->store, bad[i], NULL, "x", &f->error), ORBIT_E_PATH);
    }
    /* The links themselves may be looked at and removed. */
    assert_status(ophost_stat(f->store, "out", &metadata, &f->error), ORBIT_OK);
    assert_int_equal(metadata.kind, ORBIT_KIND_SYMLINK);
    assert_string_equal(metadata.link_target, "/etc");
    orbit_metadata_release(&metadata);
    assert_status(ophost_remove(f->store, "out", true, false, &f->error), ORBIT_OK);
    assert_int_equal(access("/etc/passwd", F_OK), 0);
    assert_status(ophost_mkdir(f->store, "up/escaped", true, &f->error), ORBIT_E_PATH);
    assert_status(ophost_rename(f->store, "a", "up/escaped", true, &f->error), ORBIT_E_PATH);
    assert_status(ophost_mkdir(f->store, "new/../../escaped", true, &f->error), ORBIT_E_NOT_FOUND);
}

static void paths_within_the_root_may_use_dots_and_links(void **state)
{
    struct fixture *f = fixture_of(state);
    static const char *good[] = {"a/b/file",  "a/../a/b/file", "./a//b/./file",
                                 "link/file", "a/up/a/b/file", "a/b/again"};
    make_directory("a");
    make_directory("a/b");
    make_file("a/b/file", "text");
    assert_int_equal(symlink("a/b", "link"), 0);
    assert_int_equal(symlink("..", "a/up"), 0);
    assert_int_equal(symlink("../../link/file", "a/b/again"), 0);
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        char *bytes = NULL;
        size_t length = 0;
        assert_status(ophost_read_all(f->store, good[i], &bytes, &length, &f->error), ORBIT_OK);
        assert_string_equal(bytes, "text");
        free(bytes);
    }
    assert_int_equal(symlink("loop", "loop"), 0);
    char *bytes = NULL;
    size_t length;
    assert_status(ophost_read_all(f->store, "loop", &bytes, &length, &f->error), ORBIT_E_PATH);
    free(bytes);
}

static void paths_longer_than_the_limit_of_the_system_work(void **state)
{
    struct fixture *f = fixture_of(state);
    enum { LEVELS = 60, NAME = 100 };
    char path[LEVELS * (NAME + 1) + 16];
    size_t at = 0;
    for (int i = 0; i < LEVELS; i++) {
        memset(path + at, 'a' + i % 26, NAME);
        at += NAME;
        path[at++] = '/';
    }
    snprintf(path + at, sizeof(path) - at, "file");
    assert_true(strlen(path) > PATH_MAX);
    struct orb_backend *both[] = {f->store, f->plain};
    for (int i = 0; i < 2; i++) {
        assert_status(put_text(both[i], path, NULL, "deep", &f->error), ORBIT_OK);
        char *bytes = NULL;
        size_t length;
        assert_status(ophost_read_all(both[i], path, &bytes, &length, &f->error), ORBIT_OK);
        assert_string_equal(bytes, "deep");
        free(bytes);
        orbit_metadata metadata = ORBIT_METADATA_INIT;
        assert_status(ophost_stat(both[i], path, &metadata, &f->error), ORBIT_OK);
        assert_int_equal(metadata.size, 4);
        path[at - 1] = '\0';
        struct ophost_listing listing;
        assert_status(ophost_list(both[i], path, NULL, &listing, &f->error), ORBIT_OK);
        assert_int_equal(listing.count, 1);
        ophost_listing_release(&listing);
        path[at - 1] = '/';
    }
    /* The message still names the cause. */
    path[at] = 'F';
    orbit_metadata metadata = ORBIT_METADATA_INIT;
    assert_status(ophost_stat(f->store, path, &metadata, &f->error), ORBIT_E_NOT_FOUND);
    assert_non_null(strstr(f->error.message, "No such file"));
}

/* ".." above a piece of a long path is still within the root. */
static void long_paths_may_go_up(void **state)
{
    struct fixture *f = fixture_of(state);
    char path[PATH_MAX * 3];
    size_t at = 0;
    make_directory("d");
    make_file("file", "text");
    while (at < PATH_MAX + 500) {
        memcpy(path + at, "d/../", 5);
        at += 5;
    }
    memcpy(path + at, "file", 5);
    char *bytes = NULL;
    size_t length;
    assert_status(ophost_read_all(f->store, path, &bytes, &length, &f->error), ORBIT_OK);
    assert_string_equal(bytes, "text");
    free(bytes);
}

static void names_are_bytes(void **state)
{
    struct fixture *f = fixture_of(state);
    static const char *names[] = {"\xff\xfe", "new\nline", " ", "a b%20", "~", "*?", "\xe2\x82\xac", "-"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        assert_status(put_text(f->store, names[i], NULL, names[i], &f->error), ORBIT_OK);
        assert_holds(names[i], names[i]);
    }
    struct ophost_listing listing;
    assert_status(ophost_list(f->store, "", NULL, &listing, &f->error), ORBIT_OK);
    assert_int_equal(listing.count, sizeof(names) / sizeof(names[0]));
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        assert_non_null(ophost_listing_find(&listing, names[i]));
    ophost_listing_release(&listing);
}

static void a_missing_root_is_made_when_asked(void **state)
{
    struct fixture *f = fixture_of(state);
    orbit_local_config config = ORBIT_LOCAL_CONFIG_INIT;
    char root[128];
    snprintf(root, sizeof(root), "%s/not/yet", f->directory);
    config.root = root;
    struct orb_backend *store = ophost_backend(&f->host, &orb_local_ops, "", "", NULL, NULL, &config, &f->error);
    assert_status(put_text(store, "x", NULL, "x", &f->error), ORBIT_E_NOT_FOUND);
    ophost_backend_close(store);
    config.create_root = true;
    store = ophost_backend(&f->host, &orb_local_ops, "", "", NULL, NULL, &config, &f->error);
    assert_status(put_text(store, "x", NULL, "x", &f->error), ORBIT_OK);
    assert_holds("not/yet/x", "x");
    ophost_backend_close(store);
}

static void configuration_is_checked(void **state)
{
    struct fixture *f = fixture_of(state);
    assert_null(ophost_backend(&f->host, &orb_local_ops, "", "/tmp", NULL, "nonsense=1", NULL, &f->error));
    assert_status(f->error.status, ORBIT_E_CONFIG);
    assert_null(ophost_backend(&f->host, &orb_local_ops, "", "/tmp", NULL, "create_root=maybe", NULL, &f->error));
    assert_status(f->error.status, ORBIT_E_CONFIG);
    assert_null(ophost_backend(&f->host, &orb_local_ops, "elsewhere", "/tmp", NULL, NULL, NULL, &f->error));
    assert_status(f->error.status, ORBIT_E_CONFIG);
}

/* ---- reading ----------------------------------------------------------------------------------------- */

static orbit_status read_range(struct fixture *f, const char *path, uint64_t offset, uint64_t wanted, char **bytes,
                               size_t *length, orbit_read_reply *reply)
{
    const orbit_read_request request = {.path = path, .offset = offset, .length = wanted};
    *reply = (orbit_read_reply){0};
    return ophost_read(f->store, &request, bytes, length, reply, &f->error);
}

static void ranges_are_read(void **state)
{
    struct fixture *f = fixture_of(state);
    const struct {
        uint64_t offset, length;
        const char *text;
    } ranges[] = {{0, ORBIT_TO_END, "0123456789"},
                  {3, 4, "3456"},
                  {9, 1, "9"},
                  {9, 100, "9"},
                  {10, 1, ""},
                  {11, ORBIT_TO_END, ""},
                  {UINT64_MAX - 1, ORBIT_TO_END, ""},
                  {0, 0, ""},
                  {5, ORBIT_TO_END, "56789"}};
    make_file("digits", "0123456789");
    for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
        char *bytes;
        size_t length;
        orbit_read_reply reply;
        assert_status(read_range(f, "digits", ranges[i].offset, ranges[i].length, &bytes, &length, &reply), ORBIT_OK);
        assert_string_equal(bytes, ranges[i].text);
        assert_int_equal(reply.length, strlen(ranges[i].text));
        assert_int_equal(reply.metadata.size, 10);
        assert_true(reply.metadata.fields & ORBIT_HAS_INODE);
        orbit_metadata_release(&reply.metadata);
        free(bytes);
    }
}

static void an_empty_file_has_no_bytes(void **state)
{
    struct fixture *f = fixture_of(state);
    char *bytes;
    size_t length;
    orbit_read_reply reply;
    make_file("empty", "");
    assert_status(read_range(f, "empty", 0, ORBIT_TO_END, &bytes, &length, &reply), ORBIT_OK);
    assert_int_equal(length, 0);
    assert_int_equal(reply.length, 0);
    assert_true(reply.metadata.fields & ORBIT_HAS_SIZE);
    free(bytes);
}

static void a_changed_file_is_told(void **state)
{
    struct fixture *f = fixture_of(state);
    orbit_read_request request = {.path = "file", .length = ORBIT_TO_END};
    orbit_read_reply first = {0}, reply = {0};
    char *bytes;
    size_t length;
    make_file("file", "one");
    assert_status(ophost_read(f->store, &request, &bytes, &length, &first, &f->error), ORBIT_OK);
    free(bytes);
    request.pin = &first.metadata;
    assert_status(ophost_read(f->store, &request, &bytes, &length, &reply, &f->error), ORBIT_OK);
    free(bytes);
    make_file("other", "two"); /* the same size, another file */
    assert_int_equal(rename("other", "file"), 0);
    bytes = NULL;
    assert_status(ophost_read(f->store, &request, &bytes, &length, &reply, &f->error), ORBIT_E_CHANGED);
    free(bytes);
    request.pin = NULL;
    request.if_match = "etag";
    bytes = NULL;
    assert_status(ophost_read(f->store, &request, &bytes, &length, &reply, &f->error), ORBIT_E_UNSUPPORTED);
    free(bytes);
}

struct reading {
    struct ophost_call call;
    struct ophost_sink sink;
    const orbit_read_request request;
    orbit_read_reply reply;
};

static void start_read(struct ophost_call *call, void *self, const orbit_backend_ops *ops, orbit_op *op)
{
    struct reading *reading = call->ctx;
    ops->read(self, op, &reading->request, &reading->sink.sink, &reading->reply);
}

static orbit_status (*plain_commit)(orbit_sink *sink, size_t length);
static orbit_status commit_and_truncate(orbit_sink *sink, size_t length)
{
    if (truncate("big", 100000) != 0)
        return ORBIT_E_IO;
    return plain_commit(sink, length);
}

static void a_file_that_shrinks_meanwhile_is_told(void **state)
{
    struct fixture *f = fixture_of(state);
    struct reading reading = {.request = {.path = "big", .length = ORBIT_TO_END}};
    make_file("big", "x");
    assert_int_equal(truncate("big", 1 << 20), 0);
    reading.call.start = start_read;
    reading.call.ctx = &reading;
    ophost_sink_init(&reading.sink, &reading.call);
    plain_commit = reading.sink.sink.commit;
    reading.sink.sink.commit = commit_and_truncate;
    ophost_start(&reading.call, f->store);
    assert_status(ophost_wait(&reading.call, &f->error), ORBIT_E_CHANGED);
    ophost_sink_release(&reading.sink);
}

static void a_reader_without_room_pauses_and_goes_on(void **state)
{
    struct fixture *f = fixture_of(state);
    struct reading reading = {.request = {.path = "file", .offset = 1, .length = 300}};
    char text[1001] = "";
    for (int i = 0; i < 1000; i++)
        text[i] = (char)('a' + i % 26);
    make_file("file", text);
    reading.call.start = start_read;
    reading.call.ctx = &reading;
    ophost_sink_init(&reading.sink, &reading.call);
    reading.sink.window = 7;
    reading.sink.starve_every = 2;
    ophost_start(&reading.call, f->store);
    assert_status(ophost_wait(&reading.call, &f->error), ORBIT_OK);
    assert_int_equal(reading.sink.length, 300);
    assert_memory_equal(reading.sink.bytes, text + 1, 300);
    assert_int_equal(reading.call.head_count, 1);
    ophost_sink_release(&reading.sink);
}

static void a_cancelled_read_of_a_silent_fifo_ends(void **state)
{
    struct fixture *f = fixture_of(state);
    struct reading reading = {.request = {.path = "fifo", .length = ORBIT_TO_END}};
    assert_int_equal(mkfifo("fifo", 0666), 0);
    reading.call.start = start_read;
    reading.call.ctx = &reading;
    ophost_sink_init(&reading.sink, &reading.call);
    ophost_start(&reading.call, f->store);
    usleep(20000);
    ophost_cancel(&reading.call);
    assert_status(ophost_wait(&reading.call, &f->error), ORBIT_E_CANCELLED);
    ophost_sink_release(&reading.sink);
}

static void *feed_fifo(void *path)
{
    int fd = open(path, O_WRONLY);
    for (int i = 0; i < 3 && fd >= 0; i++) {
        if (write(fd, "abc", 3) != 3)
            break;
        usleep(10000);
    }
    close(fd);
    return NULL;
}

static void what_has_no_length_is_read_to_its_end(void **state)
{
    struct fixture *f = fixture_of(state);
    char *bytes;
    size_t length;
    orbit_read_reply reply = {0};
    pthread_t thread;
    assert_int_equal(mkfifo("fifo", 0666), 0);
    assert_int_equal(pthread_create(&thread, NULL, feed_fifo, "fifo"), 0);
    assert_status(read_range(f, "fifo", 0, ORBIT_TO_END, &bytes, &length, &reply), ORBIT_OK);
    pthread_join(thread, NULL);
    assert_string_equal(bytes, "abcabcabc");
    assert_true(reply.length == ORBIT_TO_END);
    assert_false(reply.metadata.fields & ORBIT_HAS_SIZE);
    free(bytes);

    static const char *odd[] = {"/proc/self/status", "/sys/kernel/mm/transparent_hugepage/enabled", "/dev/null"};
    const orbit_read_request requests[] = {{.path = odd[0], .length = ORBIT_TO_END},
                                           {.path = odd[1], .length = ORBIT_TO_END},
                                           {.path = odd[2], .length = ORBIT_TO_END}};
    for (int i = 0; i < 3; i++) {
        if (access(odd[i], R_OK) != 0)
            continue;
        assert_status(ophost_read(f->plain, &requests[i], &bytes, &length, &reply, &f->error), ORBIT_OK);
        assert_int_equal(length > 0, i < 2);
        free(bytes);
    }
    const orbit_read_request zeros = {.path = "/dev/zero", .length = 70000};
    assert_status(ophost_read(f->plain, &zeros, &bytes, &length, &reply, &f->error), ORBIT_OK);
    assert_int_equal(length, 70000);
    free(bytes);
    bytes = NULL;
    assert_status(read_range(f, "fifo", 5, 1, &bytes, &length, &reply), ORBIT_E_UNSUPPORTED);
    free(bytes);
}

static void a_directory_is_not_read(void **state)
{
    struct fixture *f = fixture_of(state);
    char *bytes = NULL;
    size_t length;
    make_directory("d");
    assert_status(ophost_read_all(f->store, "d", &bytes, &length, &f->error), ORBIT_E_PATH);
    assert_true(f->error.flags & ORBIT_ERROR_IS_DIRECTORY);
    assert_string_equal(f->error.message, "cannot read 'd': Is a directory");
    free(bytes);
    bytes = NULL;
    assert_status(ophost_read_all(f->store, "none", &bytes, &length, &f->error), ORBIT_E_NOT_FOUND);
    assert_string_equal(f->error.message, "cannot read 'none': No such file or directory");
    free(bytes);
}

static void an_unreadable_file_is_told(void **state)
{
    struct fixture *f = fixture_of(state);
    char *bytes = NULL;
    size_t length;
    make_file("secret", "x");
    assert_int_equal(chmod("secret", 0), 0);
    assert_int_equal(chmod(".", 0777), 0);
    uid_t me = geteuid();
    assert_int_equal(seteuid(me ? me : 65534), 0);
    orbit_status status = ophost_read_all(f->store, "secret", &bytes, &length, &f->error);
    assert_int_equal(seteuid(me), 0);
    assert_status(status, ORBIT_E_PERMISSION);
    free(bytes);
}

/* ---- single names ------------------------------------------------------------------------------------ */

static orbit_status stat_followed(struct orb_backend *store, const char *path, orbit_metadata *metadata,
                                  orbit_error *error);

struct stat_call {
    struct ophost_call call;
    orbit_stat_request request;
    orbit_metadata *metadata;
};
static void start_stat(struct ophost_call *call, void *self, const orbit_backend_ops *ops, orbit_op *op)
{
    struct stat_call *stat_call = call->ctx;
    ops->stat(self, op, &stat_call->request, stat_call->metadata);
}
static orbit_status stat_followed(struct orb_backend *store, const char *path, orbit_metadata *metadata,
                                  orbit_error *error)
{
    struct stat_call call = {.request = {.path = path, .follow_symlinks = true}, .metadata = metadata};
    call.call.start = start_stat;
    call.call.ctx = &call;
    ophost_start(&call.call, store);
    return ophost_wait(&call.call, error);
}

static void stat_says_what_is_there(void **state)
{
    struct fixture *f = fixture_of(state);
    orbit_metadata m = ORBIT_METADATA_INIT;
    struct stat s;
    make_file("file", "12345");
    assert_int_equal(chmod("file", 0640), 0);
    assert_int_equal(symlink("file", "link"), 0);
    assert_int_equal(symlink("nowhere", "dangling"), 0);
    make_directory("d");
    assert_int_equal(stat("file", &s), 0);
    assert_status(ophost_stat(f->store, "file", &m, &f->error), ORBIT_OK);
    assert_int_equal(m.kind, ORBIT_KIND_FILE);
    assert_int_equal(m.size, 5);
    assert_int_equal(m.mode, 0640);
    assert_int_equal(m.inode, s.st_ino);
    assert_int_equal(m.device, s.st_dev);
    assert_true(m.mtime_ns == (int64_t)s.st_mtim.tv_sec * 1000000000 + s.st_mtim.tv_nsec);
    assert_status(ophost_stat(f->store, "link", &m, &f->error), ORBIT_OK);
    assert_int_equal(m.kind, ORBIT_KIND_SYMLINK);
    assert_string_equal(m.link_target, "file");
    orbit_metadata_release(&m);
    assert_status(stat_followed(f->store, "link", &m, &f->error), ORBIT_OK);
    assert_int_equal(m.size, 5);
    assert_status(stat_followed(f->plain, "link", &m, &f->error), ORBIT_OK);
    assert_int_equal(m.kind, ORBIT_KIND_FILE);
    assert_status(stat_followed(f->store, "dangling", &m, &f->error), ORBIT_E_NOT_FOUND);
    assert_status(ophost_stat(f->store, "", &m, &f->error), ORBIT_OK);
    assert_int_equal(m.kind, ORBIT_KIND_DIRECTORY);
    assert_status(ophost_stat(f->store, "d/", &m, &f->error), ORBIT_OK);
    assert_status(ophost_stat(f->store, "file/", &m, &f->error), ORBIT_E_PATH);
    assert_true(f->error.flags & ORBIT_ERROR_NOT_DIRECTORY);
    assert_status(ophost_stat(f->store, "file/x", &m, &f->error), ORBIT_E_PATH);
}

static void directories_are_made(void **state)
{
    struct fixture *f = fixture_of(state);
    struct stat s;
    assert_status(ophost_mkdir(f->store, "a/b/c", false, &f->error), ORBIT_E_NOT_FOUND);
    assert_status(ophost_mkdir(f->store, "a/b/c/", true, &f->error), ORBIT_OK);
    assert_int_equal(stat("a/b/c", &s), 0);
    assert_status(ophost_mkdir(f->store, "a/b/c", true, &f->error), ORBIT_OK);
    assert_status(ophost_mkdir(f->store, "a/b/c", false, &f->error), ORBIT_E_EXISTS);
    assert_status(ophost_mkdir(f->store, "", true, &f->error), ORBIT_OK);
    assert_status(ophost_mkdir(f->store, "", false, &f->error), ORBIT_E_EXISTS);
    make_file("file", "");
    assert_status(ophost_mkdir(f->store, "file/x", true, &f->error), ORBIT_E_PATH);
    assert_status(ophost_mkdir(f->store, "file", true, &f->error), ORBIT_E_PATH);
    assert_int_equal(symlink("a", "link"), 0);
    assert_status(ophost_mkdir(f->store, "link/via", true, &f->error), ORBIT_OK);
    assert_int_equal(stat("a/via", &s), 0);
    assert_status(ophost_mkdir(f->plain, "n1/../n2/n3", true, &f->error), ORBIT_OK);
    assert_int_equal(stat("n2/n3", &s), 0);
}

static void renames_replace_or_refuse(void **state)
{
    struct fixture *f = fixture_of(state);
    make_file("a", "a");
    make_file("b", "b");
    assert_status(ophost_rename(f->store, "a", "b", false, &f->error), ORBIT_E_EXISTS);
    assert_status(ophost_rename(f->store, "a", "c", false, &f->error), ORBIT_OK);
    assert_status(ophost_rename(f->store, "c", "b", true, &f->error), ORBIT_OK);
    assert_holds("b", "a");
    assert_int_equal(access("c", F_OK), -1);
    assert_status(ophost_rename(f->store, "none", "x", true, &f->error), ORBIT_E_NOT_FOUND);
    make_directory("d");
    assert_status(ophost_rename(f->store, "b", "d", true, &f->error), ORBIT_E_PATH);
    assert_true(f->error.flags & ORBIT_ERROR_IS_DIRECTORY);
    assert_status(ophost_rename(f->store, "d", "d/into", true, &f->error), ORBIT_E_PATH);
    assert_status(ophost_rename(f->store, "d", "d/into", false, &f->error), ORBIT_E_PATH);
    assert_status(ophost_rename(f->store, "b", "e/", true, &f->error), ORBIT_E_PATH);
    assert_status(ophost_rename(f->store, "d/", "e/", true, &f->error), ORBIT_OK);
    assert_status(ophost_rename(f->store, "", "x", true, &f->error), ORBIT_E_BUSY);
    /* Two names of one file: the old one goes. */
    assert_int_equal(link("b", "b2"), 0);
    assert_status(ophost_rename(f->store, "b", "b2", true, &f->error), ORBIT_OK);
    assert_int_equal(access("b", F_OK), -1);
    assert_holds("b2", "a");
    assert_status(ophost_rename(f->store, "b2", "./b2", true, &f->error), ORBIT_OK);
    assert_holds("b2", "a");
}

static void metadata_is_set(void **state)
{
    struct fixture *f = fixture_of(state);
    orbit_metadata m = {.fields = ORBIT_HAS_MODE | ORBIT_HAS_MTIME, .mode = 04711, .mtime_ns = -1500000001};
    struct stat s;
    make_file("file", "x");
    assert_int_equal(symlink("file", "link"), 0);
    assert_status(ophost_set_metadata(f->store, "link", &m, &f->error), ORBIT_OK);
    assert_int_equal(stat("file", &s), 0);
    assert_int_equal(s.st_mode & 07777, 04711);
    assert_int_equal(s.st_mtim.tv_sec, -2);
    assert_int_equal(s.st_mtim.tv_nsec, 499999999);
    m = (orbit_metadata){.fields = ORBIT_HAS_ATIME | ORBIT_HAS_OWNER,
                         .atime_ns = 123456789012345678,
                         .uid = geteuid(),
                         .gid = getegid()};
    assert_status(ophost_set_metadata(f->store, "file", &m, &f->error), ORBIT_OK);
    assert_int_equal(stat("file", &s), 0);
    assert_int_equal(s.st_atim.tv_sec, 123456789);
    assert_int_equal(s.st_atim.tv_nsec, 12345678);
    assert_int_equal(s.st_mtim.tv_sec, -2);
    assert_status(ophost_set_metadata(f->store, "none", &m, &f->error), ORBIT_E_NOT_FOUND);
}

static void links_are_made_and_read(void **state)
{
    struct fixture *f = fixture_of(state);
    char target[64];
    size_t length = 0;
    assert_status(ophost_symlink(f->store, "some/where", "link", &f->error), ORBIT_OK);
    assert_status(ophost_readlink(f->store, "link", target, sizeof(target), &length, &f->error), ORBIT_OK);
    assert_int_equal(length, 10);
    assert_memory_equal(target, "some/where", 10);
    assert_status(ophost_readlink(f->store, "link", target, 5, &length, &f->error), ORBIT_E_LIMIT);
    assert_int_equal(length, 10);
    assert_status(ophost_symlink(f->store, "x", "link", &f->error), ORBIT_E_EXISTS);
    make_file("file", "");
    assert_status(ophost_readlink(f->store, "file", target, 5, &length, &f->error), ORBIT_E_PATH);
}

static void attributes_are_kept(void **state)
{
    struct fixture *f = fixture_of(state);
    char bytes[64];
    size_t length = 0;
    make_file("file", "");
    if (setxattr("file", "user.probe", "", 0, 0) != 0 || removexattr("file", "user.probe") != 0)
        skip();
    assert_status(ophost_xattr_set(f->store, "file", "user.a", "value", 5, &f->error), ORBIT_OK);
    assert_status(ophost_xattr_set(f->store, "file", "user.b", "", 0, &f->error), ORBIT_OK);
    assert_status(ophost_xattr_get(f->store, "file", "user.a", bytes, sizeof(bytes), &length, &f->error), ORBIT_OK);
    assert_int_equal(length, 5);
    assert_memory_equal(bytes, "value", 5);
    assert_status(ophost_xattr_get(f->store, "file", "user.a", bytes, 4, &length, &f->error), ORBIT_E_LIMIT);
    assert_int_equal(length, 5);
    assert_status(ophost_xattr_get(f->store, "file", "user.a", NULL, 0, &length, &f->error), ORBIT_E_LIMIT);
    assert_status(ophost_xattr_get(f->store, "file", "user.b", bytes, sizeof(bytes), &length, &f->error), ORBIT_OK);
    assert_int_equal(length, 0);
    assert_status(ophost_xattr_list(f->store, "file", bytes, sizeof(bytes), &length, &f->error), ORBIT_OK);
    assert_int_equal(length, 14);
    assert_status(ophost_xattr_list(f->store, "file", bytes, 3, &length, &f->error), ORBIT_E_LIMIT);
    assert_status(ophost_xattr_set(f->store, "file", "user.a", NULL, 0, &f->error), ORBIT_OK);
    assert_status(ophost_xattr_get(f->store, "file", "user.a", bytes, 4, &length, &f->error), ORBIT_E_NOT_FOUND);
    assert_status(ophost_xattr_get(f->store, "none", "user.a", bytes, 4, &length, &f->error), ORBIT_E_NOT_FOUND);
}

static void space_is_told(void **state)
{
    struct fixture *f = fixture_of(state);
    orbit_space_reply space = {0};
    assert_status(ophost_space(f->store, "", &space, &f->error), ORBIT_OK);
    assert_true(space.total_bytes > 0 && space.free_bytes <= space.total_bytes);
    assert_status(ophost_space(f->store, "none", &space, &f->error), ORBIT_E_NOT_FOUND);
}

static void nothing_stays_open(void **state)
{
    struct fixture *f = fixture_of(state);
    orbit_metadata m = ORBIT_METADATA_INIT;
    char *bytes = NULL;
    size_t length;
    make_directory("a");
    make_file("a/file", "x");
    assert_int_equal(symlink("../a/file", "a/link"), 0);
    assert_status(ophost_stat(f->store, "a/file", &m, &f->error), ORBIT_OK);
    unsigned before = open_descriptors();
    for (int i = 0; i < 3; i++) {
        assert_status(ophost_read_all(f->store, "a/../a/link", &bytes, &length, &f->error), ORBIT_OK);
        free(bytes);
        bytes = NULL;
        assert_status(ophost_read_all(f->store, "a/../../x", &bytes, &length, &f->error), ORBIT_E_PATH);
        free(bytes);
        bytes = NULL;
        assert_status(ophost_mkdir(f->store, "p/q/r", true, &f->error), ORBIT_OK);
        assert_status(ophost_rename(f->store, "p/q", "p/s", true, &f->error), ORBIT_OK);
        assert_status(ophost_remove(f->store, "p", true, false, &f->error), ORBIT_OK);
    }
    assert_int_equal(open_descriptors(), before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOCAL_TEST(paths_cannot_leave_the_root),
        LOCAL_TEST_BY_HAND(paths_cannot_leave_the_root),
        LOCAL_TEST(paths_within_the_root_may_use_dots_and_links),
        LOCAL_TEST_BY_HAND(paths_within_the_root_may_use_dots_and_links),
        LOCAL_TEST(paths_longer_than_the_limit_of_the_system_work),
        LOCAL_TEST_BY_HAND(paths_longer_than_the_limit_of_the_system_work),
        LOCAL_TEST(long_paths_may_go_up),
        LOCAL_TEST(names_are_bytes),
        LOCAL_TEST(a_missing_root_is_made_when_asked),
        LOCAL_TEST(configuration_is_checked),
        LOCAL_TEST(ranges_are_read),
        LOCAL_TEST(an_empty_file_has_no_bytes),
        LOCAL_TEST(a_changed_file_is_told),
        LOCAL_TEST(a_file_that_shrinks_meanwhile_is_told),
        LOCAL_TEST(a_reader_without_room_pauses_and_goes_on),
        LOCAL_TEST(a_cancelled_read_of_a_silent_fifo_ends),
        LOCAL_TEST(what_has_no_length_is_read_to_its_end),
        LOCAL_TEST(a_directory_is_not_read),
        LOCAL_TEST(an_unreadable_file_is_told),
        LOCAL_TEST(stat_says_what_is_there),
        LOCAL_TEST_BY_HAND(stat_says_what_is_there),
        LOCAL_TEST(directories_are_made),
        LOCAL_TEST_BY_HAND(directories_are_made),
        LOCAL_TEST(renames_replace_or_refuse),
        LOCAL_TEST(metadata_is_set),
        LOCAL_TEST(links_are_made_and_read),
        LOCAL_TEST(attributes_are_kept),
        LOCAL_TEST(space_is_told),
        LOCAL_TEST(nothing_stays_open),
        LOCAL_TEST_BY_HAND(nothing_stays_open),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
