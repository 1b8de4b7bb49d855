/* SPDX-License-Identifier: Apache-2.0
 * The local backend: listing, removing trees, copying. */
#include "local_fixture.h"

#include <sys/xattr.h>

/* ---- listing ----------------------------------------------------------------------------------------- */

static void a_listing_tells_names_kinds_and_metadata(void **state)
{
    struct fixture *f = fixture_of(state);
    struct ophost_listing listing;
    make_directory("d");
    make_file("d/file", "12345");
    make_directory("d/sub");
    assert_int_equal(symlink("file", "d/link"), 0);
    assert_int_equal(mkfifo("d/fifo", 0600), 0);
    make_file("d/.hidden", "");
    make_file("d/.orbit-0123456789abcdef", "a temporary");
    make_file("d/.orbit-notes", "none");
    for (int metadata = 0; metadata < 2; metadata++) {
        const orbit_list_request request = {.path = "d", .want_metadata = metadata, .page_entries = 100};
        assert_status(ophost_list(f->store, "d", &request, &listing, &f->error), ORBIT_OK);
        assert_int_equal(listing.count, 6);
        assert_int_equal(ophost_listing_find(&listing, "file")->metadata.kind, ORBIT_KIND_FILE);
        assert_int_equal(ophost_listing_find(&listing, "sub")->metadata.kind, ORBIT_KIND_DIRECTORY);
        assert_int_equal(ophost_listing_find(&listing, "link")->metadata.kind, ORBIT_KIND_SYMLINK);
        assert_int_equal(ophost_listing_find(&listing, "fifo")->metadata.kind, ORBIT_KIND_OTHER);
        assert_non_null(ophost_listing_find(&listing, ".orbit-notes"));
        assert_null(ophost_listing_find(&listing, ".orbit-0123456789abcdef"));
        if (metadata) {
            assert_int_equal(ophost_listing_find(&listing, "file")->metadata.size, 5);
            assert_string_equal(ophost_listing_find(&listing, "link")->metadata.link_target, "file");
        }
        ophost_listing_release(&listing);
    }
    const orbit_list_request some = {.path = "d", .prefix = "fi", .page_entries = 100};
    assert_status(ophost_list(f->store, "d", &some, &listing, &f->error), ORBIT_OK);
    assert_int_equal(listing.count, 2);
    ophost_listing_release(&listing);
}

static void links_are_followed_when_asked_and_inside_the_root(void **state)
{
    struct fixture *f = fixture_of(state);
    struct ophost_listing listing;
    const orbit_list_request request = {
        .path = "link", .want_metadata = true, .follow_symlinks = true, .page_entries = 9};
    make_directory("d");
    make_file("d/file", "12345");
    make_directory("d/sub");
    assert_int_equal(symlink("d", "link"), 0);
    assert_int_equal(symlink("../d/file", "d/to-file"), 0);
    assert_int_equal(symlink("sub", "d/to-sub"), 0);
    assert_int_equal(symlink("/etc", "d/out"), 0);
    assert_int_equal(symlink("none", "d/dangling"), 0);
    assert_status(ophost_list(f->store, "link", NULL, &listing, &f->error), ORBIT_E_PATH);
    ophost_listing_release(&listing);
    assert_status(ophost_list(f->store, "link", &request, &listing, &f->error), ORBIT_OK);
    assert_int_equal(listing.count, 6);
    assert_int_equal(ophost_listing_find(&listing, "to-file")->metadata.kind, ORBIT_KIND_FILE);
    assert_int_equal(ophost_listing_find(&listing, "to-sub")->metadata.kind, ORBIT_KIND_DIRECTORY);
    assert_int_equal(ophost_listing_find(&listing, "out")->metadata.kind, ORBIT_KIND_SYMLINK);
    assert_int_equal(ophost_listing_find(&listing, "dangling")->metadata.kind, ORBIT_KIND_SYMLINK);
    ophost_listing_release(&listing);
    assert_status(ophost_list(f->plain, "link", &request, &listing, &f->error), ORBIT_OK);
    assert_int_equal(ophost_listing_find(&listing, "out")->metadata.kind, ORBIT_KIND_DIRECTORY);
    ophost_listing_release(&listing);
}

static void what_is_no_directory_is_not_listed(void **state)
{
    struct fixture *f = fixture_of(state);
    struct ophost_listing listing;
    make_file("file", "");
    assert_status(ophost_list(f->store, "file", NULL, &listing, &f->error), ORBIT_E_PATH);
    assert_true(f->error.flags & ORBIT_ERROR_NOT_DIRECTORY);
    ophost_listing_release(&listing);
    assert_status(ophost_list(f->store, "none", NULL, &listing, &f->error), ORBIT_E_NOT_FOUND);
    assert_string_equal(f->error.message, "cannot list 'none': No such file or directory");
    ophost_listing_release(&listing);
}

static void pages_end_exactly(void **state)
{
    struct fixture *f = fixture_of(state);
    char name[32];
    make_directory("d");
    for (int i = 0; i < 10; i++) {
        snprintf(name, sizeof(name), "d/%d", i);
        make_file(name, "");
    }
    /* 10 entries are two pages of 5, and no third. */
    const struct {
        uint32_t entries;
        size_t pages;
    } cases[] = {{5, 2}, {10, 1}, {3, 4}, {1, 10}, {9, 2}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const orbit_list_request request = {.path = "d", .page_entries = cases[i].entries};
        struct ophost_listing listing;
        assert_status(ophost_list(f->store, "d", &request, &listing, &f->error), ORBIT_OK);
        assert_int_equal(listing.count, 10);
        assert_int_equal(listing.pages, cases[i].pages);
        ophost_listing_release(&listing);
    }
}

/* Suspends in the middle of every page and goes on from there. */
static void a_suspended_listing_goes_on_where_it_was(void **state)
{
    struct fixture *f = fixture_of(state);
    enum { COUNT = 3000 };
    static unsigned char seen[COUNT];
    char name[32];
    memset(seen, 0, sizeof(seen));
    make_directory("d");
    for (int i = 0; i < COUNT; i++) {
        snprintf(name, sizeof(name), "d/%d", i);
        make_file(name, "");
    }
    const orbit_list_request request = {.path = "d", .page_entries = 500};
    void *cursor = NULL;
    struct orbit_page page;
    unsigned before = open_descriptors();
    assert_status(ophost_list_begin(f->store, &request, &cursor, &f->error), ORBIT_OK);
    orb_page_init(&page, NULL, 500, 0);
    bool more = true;
    for (int pages = 0; more; pages++) {
        assert_true(pages < 100);
        orb_page_reset(&page);
        assert_status(ophost_list_page(f->store, cursor, &page, &f->error), ORBIT_OK);
        struct orb_page_cursor at = {0};
        struct orb_page_item item;
        size_t taken = 0;
        bool cut = page.count > 200;
        uint64_t position = 0;
        while ((!cut || taken < 200) && orb_page_next(&page, &at, &item)) {
            seen[atoi(item.entry.path)]++;
            position = item.position;
            taken++;
        }
        more = cut || page.more;
        if (cut) {
            ophost_list_suspend(f->store, cursor, position);
            assert_int_equal(open_descriptors(), before);
        }
    }
    orb_page_release(&page);
    ophost_list_end(f->store, cursor);
    for (int i = 0; i < COUNT; i++)
        assert_int_equal(seen[i], 1);
    assert_int_equal(open_descriptors(), before);
}

static void a_suspended_directory_that_was_replaced_is_told(void **state)
{
    struct fixture *f = fixture_of(state);
    const orbit_list_request request = {.path = "d", .page_entries = 1};
    void *cursor = NULL;
    struct orbit_page page;
    make_directory("d");
    make_file("d/a", "");
    make_file("d/b", "");
    assert_status(ophost_list_begin(f->store, &request, &cursor, &f->error), ORBIT_OK);
    orb_page_init(&page, NULL, 10, 0);
    assert_status(ophost_list_page(f->store, cursor, &page, &f->error), ORBIT_OK);
    ophost_list_suspend(f->store, cursor, 1);
    assert_int_equal(rename("d", "old"), 0);
    make_directory("d");
    assert_status(ophost_list_page(f->store, cursor, &page, &f->error), ORBIT_E_CHANGED);
    ophost_list_end(f->store, cursor);
    orb_page_release(&page);
}

static void many_names_are_listed_once_each(void **state)
{
    struct fixture *f = fixture_of(state);
    enum { COUNT = 300000 };
    char name[32];
    make_directory("d");
    int directory = open("d", O_RDONLY | O_DIRECTORY);
    for (int i = 0; i < COUNT; i++) {
        snprintf(name, sizeof(name), "%d", i);
        assert_int_equal(mknodat(directory, name, S_IFREG | 0600, 0), 0);
    }
    close(directory);
    unsigned char *seen = calloc(COUNT, 1);
    const orbit_list_request request = {.path = "d", .want_metadata = true, .page_entries = 1000};
    void *cursor = NULL;
    struct orbit_page page;
    size_t total = 0;
    assert_status(ophost_list_begin(f->store, &request, &cursor, &f->error), ORBIT_OK);
    orb_page_init(&page, NULL, 1000, 0);
    do {
        orb_page_reset(&page);
        assert_status(ophost_list_page(f->store, cursor, &page, &f->error), ORBIT_OK);
        struct orb_page_cursor at = {0};
        struct orb_page_item item;
        while (orb_page_next(&page, &at, &item)) {
            seen[atoi(item.entry.path)]++;
            total++;
        }
    } while (page.more);
    orb_page_release(&page);
    ophost_list_end(f->store, cursor);
    assert_int_equal(total, COUNT);
    for (int i = 0; i < COUNT; i++)
        assert_int_equal(seen[i], 1);
    free(seen);
    assert_status(ophost_remove(f->store, "d", true, false, &f->error), ORBIT_OK);
}

/* ---- removing ---------------------------------------------------------------------------------------- */

static void single_names_are_removed(void **state)
{
    struct fixture *f = fixture_of(state);
    make_file("file", "");
    make_directory("d");
    make_file("d/file", "");
    assert_int_equal(symlink("d", "link"), 0);
    assert_status(ophost_remove(f->store, "none", false, false, &f->error), ORBIT_E_NOT_FOUND);
    assert_status(ophost_remove(f->store, "none", false, true, &f->error), ORBIT_OK);
    assert_status(ophost_remove(f->store, "file/x", false, true, &f->error), ORBIT_OK);
    assert_status(ophost_remove(f->store, "file/", false, false, &f->error), ORBIT_E_PATH);
    assert_status(ophost_remove(f->store, "link/", true, false, &f->error), ORBIT_E_PATH);
    assert_status(ophost_remove(f->store, "d", false, false, &f->error), ORBIT_E_NOT_EMPTY);
    assert_status(ophost_remove(f->store, "link", true, false, &f->error), ORBIT_OK);
    assert_holds("d/file", "");
    assert_status(ophost_remove(f->store, "d/file", false, false, &f->error), ORBIT_OK);
    assert_status(ophost_remove(f->store, "d/", false, false, &f->error), ORBIT_OK);
    assert_status(ophost_remove(f->store, "file", true, false, &f->error), ORBIT_OK);
    assert_status(ophost_remove(f->store, "", true, false, &f->error), ORBIT_E_PATH);
    assert_status(ophost_remove(f->store, ".", true, false, &f->error), ORBIT_E_PATH);
    assert_int_equal(count_names("."), 0);

    orbit_remove_item items[3] = {{.path = "a"}, {.path = "none"}, {.path = "b"}};
    make_file("a", "");
    make_file("b", "");
    const orbit_remove_request request = {.items = items, .count = 3};
    assert_status(ophost_remove_many(f->store, &request, &f->error), ORBIT_OK);
    assert_status(items[0].status, ORBIT_OK);
    assert_status(items[1].status, ORBIT_E_NOT_FOUND);
    assert_status(items[2].status, ORBIT_OK);
}

/* Chains of directories, with files beside each. */
static void make_chain(int levels)
{
    int directory = open(".", O_RDONLY | O_DIRECTORY);
    for (int i = 0; i < levels; i++) {
        assert_int_equal(mkdirat(directory, "down", 0777), 0);
        int next = openat(directory, "down", O_RDONLY | O_DIRECTORY);
        assert_true(next >= 0);
        close(directory);
        directory = next;
        assert_int_equal(mknodat(directory, "afile", S_IFREG | 0600, 0), 0);
        assert_int_equal(mkdirat(directory, "zempty", 0777), 0);
    }
    close(directory);
}

static void deep_trees_are_removed(void **state)
{
    struct fixture *f = fixture_of(state);
    unsigned before = open_descriptors();
    make_directory("deep");
    assert_int_equal(chdir("deep"), 0);
    make_chain(3000);
    assert_int_equal(chdir(f->directory), 0);
    assert_status(ophost_remove(f->store, "deep", true, false, &f->error), ORBIT_OK);
    assert_int_equal(count_names("."), 0);
    assert_int_equal(open_descriptors(), before);
}

static void a_tree_is_removed_without_following_links(void **state)
{
    struct fixture *f = fixture_of(state);
    make_directory("keep");
    make_file("keep/file", "kept");
    make_directory("tree");
    make_directory("tree/sub");
    make_file("tree/sub/file", "");
    make_file("tree/.orbit-0123456789abcdef", "");
    assert_int_equal(symlink("../../keep", "tree/sub/link"), 0);
    assert_int_equal(symlink("/nowhere", "tree/sub/dangling"), 0);
    assert_int_equal(mkfifo("tree/fifo", 0600), 0);
    assert_status(ophost_remove(f->store, "tree/", true, false, &f->error), ORBIT_OK);
    assert_int_equal(count_names("."), 1);
    assert_holds("keep/file", "kept");
}

static void what_cannot_be_removed_stops_nothing_else(void **state)
{
    struct fixture *f = fixture_of(state);
    make_directory("tree");
    make_directory("tree/a");
    make_directory("tree/a/locked");
    make_file("tree/a/locked/one", "");
    make_file("tree/a/locked/two", "");
    make_file("tree/a/free", "");
    make_directory("tree/b");
    make_file("tree/b/file", "");
    uid_t me = geteuid();
    if (me == 0)
        assert_int_equal(system("chown -R 65534 ."), 0);
    assert_int_equal(chmod("tree/a/locked", 0500), 0);
    assert_int_equal(seteuid(me ? me : 65534), 0);
    orbit_status status = ophost_remove(f->store, "tree", true, false, &f->error);
    assert_int_equal(seteuid(me), 0);
    assert_status(status, ORBIT_E_PERMISSION);
    assert_non_null(strstr(f->error.message, "cannot remove 'tree/a/locked/"));
    assert_non_null(strstr(f->error.message, "(and 1 more)"));
    assert_int_equal(count_names("tree"), 1);
    assert_int_equal(count_names("tree/a"), 1);
    assert_int_equal(chmod("tree/a/locked", 0700), 0);
}

struct removing {
    struct ophost_call call;
    orbit_remove_item item;
    orbit_remove_request request;
};
static void start_remove(struct ophost_call *call, void *self, const orbit_backend_ops *ops, orbit_op *op)
{
    struct removing *removing = call->ctx;
    ops->remove(self, op, &removing->request);
}

static void removing_a_tree_can_be_cancelled(void **state)
{
    struct fixture *f = fixture_of(state);
    struct removing removing = {.item = {.path = "deep"}};
    make_directory("deep");
    assert_int_equal(chdir("deep"), 0);
    make_chain(2000);
    assert_int_equal(chdir(f->directory), 0);
    removing.request = (orbit_remove_request){.items = &removing.item, .count = 1, .recursive = true};
    removing.call.start = start_remove;
    removing.call.ctx = &removing;
    unsigned before = open_descriptors();
    ophost_start(&removing.call, f->store);
    ophost_cancel(&removing.call);
    assert_status(ophost_wait(&removing.call, &f->error), ORBIT_E_CANCELLED);
    assert_status(removing.item.status, ORBIT_E_CANCELLED);
    assert_int_equal(access("deep", F_OK), 0);
    assert_int_equal(open_descriptors(), before);
}

/* ---- copying ----------------------------------------------------------------------------------------- */

static orbit_status copy_between(struct orb_backend *from_store, const char *from, struct orb_backend *to_store,
                                 const char *to, bool preserve, const orbit_write_options *options, orbit_error *error)
{
    static const orbit_write_options defaults = ORBIT_WRITE_OPTIONS_INIT;
    const orbit_copy_request request = {.from = from,
                                        .to = to,
                                        .from_self = from_store->self,
                                        .preserve = preserve,
                                        .options = options ? options : &defaults};
    orbit_metadata reply = ORBIT_METADATA_INIT;
    orbit_status status = ophost_copy(to_store, &request, &reply, error);
    orbit_metadata_release(&reply);
    return status;
}

static void a_copy_has_the_bytes(void **state)
{
    struct fixture *f = fixture_of(state);
    char command[256];
    assert_int_equal(system("head -c 3000001 /dev/urandom > from"), 0);
    assert_status(copy_between(f->store, "from", f->store, "a/b/to", false, NULL, &f->error), ORBIT_OK);
    assert_int_equal(system("cmp from a/b/to"), 0);
    /* Out of another file system, where the kernel may not copy between the two. */
    snprintf(command, sizeof(command), "cp from /dev/shm/orbit-copy-%d", (int)getpid());
    if (access("/dev/shm", W_OK) == 0 && system(command) == 0) {
        assert_status(copy_between(f->plain, command + 8, f->store, "to", false, NULL, &f->error), ORBIT_OK);
        assert_int_equal(unlink(command + 8), 0);
        assert_int_equal(system("cmp from to"), 0);
    }
    make_file("empty", "");
    assert_status(copy_between(f->store, "empty", f->store, "to", false, NULL, &f->error), ORBIT_OK);
    assert_holds("to", "");
    assert_int_equal(system("test -s from && exit 0"), 0);
    assert_status(copy_between(f->plain, "/proc/self/status", f->store, "to", false, NULL, &f->error), ORBIT_OK);
    assert_int_equal(system("grep -q Umask to"), 0);
    assert_status(copy_between(f->store, "from", f->plain, "/dev/null", false, NULL, &f->error), ORBIT_OK);
    assert_status(copy_between(f->store, "from", f->plain, "/dev/full", false, NULL, &f->error), ORBIT_E_NO_SPACE);
}

static void a_copy_refuses_what_it_must(void **state)
{
    struct fixture *f = fixture_of(state);
    orbit_write_options options = ORBIT_WRITE_OPTIONS_INIT;
    make_file("file", "text");
    make_file("other", "other");
    make_directory("d");
    assert_int_equal(symlink("file", "link"), 0);
    assert_int_equal(symlink("/etc/passwd", "out"), 0);
    assert_status(copy_between(f->store, "file", f->store, "file", false, NULL, &f->error), ORBIT_E_PATH);
    assert_non_null(strstr(f->error.message, "same file"));
    assert_status(copy_between(f->store, "file", f->store, "link", false, NULL, &f->error), ORBIT_E_PATH);
    assert_status(copy_between(f->store, "d", f->store, "x", false, NULL, &f->error), ORBIT_E_PATH);
    assert_true(f->error.flags & ORBIT_ERROR_IS_DIRECTORY);
    assert_status(copy_between(f->store, "file", f->store, "d", false, NULL, &f->error), ORBIT_E_PATH);
    assert_status(copy_between(f->store, "out", f->store, "x", false, NULL, &f->error), ORBIT_E_PATH);
    assert_status(copy_between(f->store, "none", f->store, "x", false, NULL, &f->error), ORBIT_E_NOT_FOUND);
    options.overwrite = false;
    assert_status(copy_between(f->store, "file", f->store, "other", false, &options, &f->error), ORBIT_E_EXISTS);
    assert_holds("other", "other");
    orbit_metadata pin = {.fields = ORBIT_HAS_SIZE, .size = 99};
    const orbit_copy_request pinned = {
        .from = "file", .to = "x", .from_self = f->store->self, .pin = &pin, .options = &options};
    assert_status(ophost_copy(f->store, &pinned, &(orbit_metadata){0}, &f->error), ORBIT_E_CHANGED);
    assert_int_equal(count_names("."), 5);
}

static void sparse_files_stay_sparse(void **state)
{
    struct fixture *f = fixture_of(state);
    struct stat from, to;
    int fd = open("from", O_CREAT | O_WRONLY, 0600);
    assert_int_equal(pwrite(fd, "begin", 5, 0), 5);
    assert_int_equal(pwrite(fd, "middle", 6, 200 << 20), 6);
    assert_int_equal(ftruncate(fd, 300 << 20), 0);
    close(fd);
    assert_int_equal(stat("from", &from), 0);
    if (from.st_blocks > 2000)
        skip(); /* a file system without holes */
    assert_status(copy_between(f->store, "from", f->store, "to", false, NULL, &f->error), ORBIT_OK);
    assert_int_equal(stat("to", &to), 0);
    assert_int_equal(to.st_size, from.st_size);
    assert_true(to.st_blocks <= from.st_blocks + 64);
    assert_int_equal(system("cmp from to"), 0);
    char path[64];
    snprintf(path, sizeof(path), "/dev/shm/orbit-sparse-%d", (int)getpid());
    if (access("/dev/shm", W_OK) == 0) {
        assert_status(copy_between(f->store, "from", f->plain, path, false, NULL, &f->error), ORBIT_OK);
        assert_int_equal(stat(path, &to), 0);
        assert_int_equal(unlink(path), 0);
        assert_int_equal(to.st_size, from.st_size);
        assert_true(to.st_blocks <= from.st_blocks + 64);
    }
}

static void a_preserving_copy_keeps_what_it_may(void **state)
{
    struct fixture *f = fixture_of(state);
    struct stat s;
    char value[16];
    const struct timespec times[2] = {{1000000000, 1}, {1234567890, 987654321}};
    make_file("from", "text");
    assert_int_equal(chmod("from", 0751), 0);
    bool attributes = setxattr("from", "user.a", "value", 5, 0) == 0;
    if (geteuid() == 0)
        assert_int_equal(chown("from", 1234, 4321), 0);
    assert_int_equal(utimensat(AT_FDCWD, "from", times, 0), 0);
    assert_status(copy_between(f->store, "from", f->store, "to", true, NULL, &f->error), ORBIT_OK);
    assert_int_equal(stat("to", &s), 0);
    assert_int_equal(s.st_mode & 07777, 0751);
    assert_int_equal(s.st_mtim.tv_sec, 1234567890);
    assert_int_equal(s.st_mtim.tv_nsec, 987654321);
    assert_int_equal(s.st_uid, geteuid() == 0 ? 1234 : geteuid());
    if (attributes)
        assert_int_equal(getxattr("to", "user.a", value, sizeof(value)), 5);
    /* Without: a new file, with the rights of the old one as far as the umask lets them, as cp(1) has it. */
    mode_t mask = umask(027);
    assert_status(copy_between(f->store, "from", f->store, "plain", false, NULL, &f->error), ORBIT_OK);
    assert_int_equal(stat("plain", &s), 0);
    assert_int_equal(s.st_uid, geteuid());
    umask(mask);
    assert_int_equal(s.st_mode & 07777, 0750);
    if (attributes)
        assert_int_equal(getxattr("plain", "user.a", value, sizeof(value)), -1);
}

static void failing_allocations_leave_nothing(void **state)
{
    struct fixture *f = fixture_of(state);
    unsigned before = open_descriptors();
    bool failed = true;
    make_file("from", "text");
    for (uint64_t n = 1; failed; n++) {
        assert_true(n < 1000);
        assert_int_equal(system("mkdir -p tree/a/b tree/c && touch tree/a/b/file"), 0);
        orb_mem_fail_at(n);
        struct ophost_listing listing = {0};
        orbit_status status = ophost_list(f->store, "tree", NULL, &listing, &f->error);
        if (status == ORBIT_OK)
            assert_int_equal(listing.count, 2);
        ophost_listing_release(&listing);
        if (status == ORBIT_OK)
            status = copy_between(f->store, "from", f->store, "tree/x/to", true, NULL, &f->error);
        if (status == ORBIT_OK)
            status = ophost_remove(f->store, "tree", true, false, &f->error);
        failed = orb_mem_count() >= n;
        orb_mem_fail_at(0);
        /* A page can do without the memory that it would only have given back. */
        assert_true(status == ORBIT_OK || (failed && status == ORBIT_E_MEMORY));
        assert_int_equal(access("tree", F_OK), status == ORBIT_OK ? -1 : 0);
        assert_int_equal(open_descriptors(), before);
        if (access("tree/x", F_OK) == 0)
            assert_true(count_names("tree/x") == 0 || access("tree/x/to", F_OK) == 0);
        assert_int_equal(system("rm -rf tree"), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOCAL_TEST(a_listing_tells_names_kinds_and_metadata),
        LOCAL_TEST(links_are_followed_when_asked_and_inside_the_root),
        LOCAL_TEST_BY_HAND(links_are_followed_when_asked_and_inside_the_root),
        LOCAL_TEST(what_is_no_directory_is_not_listed),
        LOCAL_TEST_BY_HAND(what_is_no_directory_is_not_listed),
        LOCAL_TEST(pages_end_exactly),
        LOCAL_TEST(a_suspended_listing_goes_on_where_it_was),
        LOCAL_TEST(a_suspended_directory_that_was_replaced_is_told),
        LOCAL_TEST(many_names_are_listed_once_each),
        LOCAL_TEST(single_names_are_removed),
        LOCAL_TEST(deep_trees_are_removed),
        LOCAL_TEST(a_tree_is_removed_without_following_links),
        LOCAL_TEST(what_cannot_be_removed_stops_nothing_else),
        LOCAL_TEST(removing_a_tree_can_be_cancelled),
        LOCAL_TEST(a_copy_has_the_bytes),
        LOCAL_TEST(a_copy_refuses_what_it_must),
        LOCAL_TEST(sparse_files_stay_sparse),
        LOCAL_TEST(a_preserving_copy_keeps_what_it_may),
        LOCAL_TEST(failing_allocations_leave_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
