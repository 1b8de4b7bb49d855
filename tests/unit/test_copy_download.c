/* SPDX-License-Identifier: Apache-2.0
 * Copies to local files. */
#include "copy_fixture.h"

/* ---- downloads ---------------------------------------------------------------------------------------------- */

static bool file_is_pattern(const char *path, uint64_t length)
{
    struct stat st;
    FILE *file = fopen(path, "rb");
    if (!file || fstat(fileno(file), &st) != 0 || (uint64_t)st.st_size != length) {
        if (file)
            fclose(file);
        return false;
    }
    char *bytes = malloc(length ? length : 1);
    bool same = fread(bytes, 1, length, file) == length;
    for (uint64_t i = 0; i < length && same; i++)
        same = (uint8_t)bytes[i] == wstore_byte(i);
    free(bytes);
    fclose(file);
    return same;
}

static void downloads_make_the_file(void **state)
{
    (void)state;
    fx.other.has_checksum = true;
    fixture_open();
    for (size_t i = 0; i < LENGTHS; i++) {
        char path[128];
        orbit_download_result result = ORBIT_DOWNLOAD_RESULT_INIT;
        snprintf(path, sizeof(path), "%s/sub/f%zu", fx.directory, i);
        have("o", lengths[i]);
        assert_ok(orbit_download(fx.from, "o", path, NULL, &result, &fx.error));
        assert_true(file_is_pattern(path, lengths[i]));
        assert_int_equal(result.bytes, lengths[i]);
        assert_int_equal(result.metadata.size, lengths[i]);
        assert_true(result.verified);
        assert_non_null(result.metadata.etag);
        orbit_download_result_release(&result);
    }
}

static void a_download_that_fails_leaves_the_old_file(void **state)
{
    (void)state;
    fixture_open();
    have("o", 9 * MIB);
    const char *path = fixture_file("old", "old", 3);
    wstore_fault(&fx.other, WSTORE_READ, 3, 1, WSTORE_FAIL, 100000, ORBIT_E_PERMISSION, 0);
    assert_int_equal(orbit_download(fx.from, "o", path, NULL, NULL, &fx.error), ORBIT_E_PERMISSION);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_size, 3);
    orbit_download_options options = ORBIT_DOWNLOAD_OPTIONS_INIT;
    options.overwrite = false;
    assert_int_equal(orbit_download(fx.from, "o", path, &options, NULL, &fx.error), ORBIT_E_EXISTS);
    assert_ok(orbit_download(fx.from, "o", path, NULL, NULL, &fx.error));
    assert_true(file_is_pattern(path, 9 * MIB));
}

static void downloads_go_to_devices_too(void **state)
{
    (void)state;
    fixture_open();
    have("o", 9 * MIB);
    assert_ok(orbit_download(fx.from, "o", "/dev/null", NULL, NULL, &fx.error));
    struct stat st;
    assert_int_equal(stat("/dev/null", &st), 0);
    assert_true(S_ISCHR(st.st_mode));
}

static void *slurp(void *ctx)
{
    char *bytes = malloc(20 * MIB);
    ssize_t got, length = 0;
    int fd = open(ctx, O_RDONLY);
    while ((got = read(fd, bytes + length, 65536)) > 0)
        length += got;
    close(fd);
    bool *good = malloc(sizeof(*good));
    *good = (uint64_t)length == 9 * MIB;
    for (ssize_t i = 0; i < length && *good; i++)
        *good = (uint8_t)bytes[i] == wstore_byte((uint64_t)i);
    free(bytes);
    return good;
}

static void a_pipe_gets_its_ranges_in_order(void **state)
{
    (void)state;
    char path[128];
    pthread_t thread;
    void *good;
    fixture_open();
    have("o", 9 * MIB);
    snprintf(path, sizeof(path), "%s/fifo", fx.directory);
    assert_int_equal(mkfifo(path, 0600), 0);
    pthread_create(&thread, NULL, slurp, path);
    wstore_fault(&fx.other, WSTORE_READ, 2, 1, WSTORE_FAIL, 0, ORBIT_E_NETWORK, ORBIT_ERROR_RETRIABLE); /* it is late */
    assert_ok(orbit_download(fx.from, "o", path, NULL, NULL, &fx.error));
    pthread_join(thread, &good);
    assert_true(*(bool *)good);
    free(good);
}

static void files_are_copied_through_this_machine_when_asked(void **state)
{
    (void)state;
    fixture_open();
    for (size_t i = 0; i < LENGTHS; i++) {
        char to[160];
        void *bytes = wstore_pattern(lengths[i]);
        char *path = fixture_file("from", bytes, lengths[i]);
        snprintf(to, sizeof(to), "%s.to", path);
        orbit_backend *local = NULL;
        assert_ok(orbit_open(&local, fx.client, "file:", NULL, &fx.error));
        orbit_copy_options options = ORBIT_COPY_OPTIONS_INIT;
        options.no_server_copy = options.preserve = true;
        assert_ok(orbit_copy(local, path, local, to, &options, NULL, &fx.error));
        assert_true(file_is_pattern(to, lengths[i]));
        struct stat was, is;
        assert_int_equal(stat(path, &was), 0);
        assert_int_equal(stat(to, &is), 0);
        assert_int_equal(was.st_mtim.tv_sec, is.st_mtim.tv_sec);
        assert_int_equal(was.st_mtim.tv_nsec, is.st_mtim.tv_nsec);
        orbit_backend_close(local);
        free(bytes);
    }
}

static void wrong_arguments_are_misuse(void **state)
{
    (void)state;
    fixture_open();
    orbit_write_result bad = {0};
    assert_int_equal(orbit_copy(NULL, "a", fx.backend, "b", NULL, NULL, &fx.error), ORBIT_E_MISUSE);
    assert_int_equal(orbit_copy(fx.from, NULL, fx.backend, "b", NULL, NULL, &fx.error), ORBIT_E_MISUSE);
    assert_int_equal(orbit_copy(fx.from, "a", fx.backend, "b", NULL, &bad, &fx.error), ORBIT_E_MISUSE);
    orbit_copy_options options = {0};
    assert_int_equal(orbit_copy(fx.from, "a", fx.backend, "b", &options, NULL, NULL), ORBIT_E_MISUSE);
    assert_int_equal(orbit_download(fx.from, "a", NULL, NULL, NULL, &fx.error), ORBIT_E_MISUSE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(downloads_make_the_file),
        TEST(a_download_that_fails_leaves_the_old_file),
        TEST(downloads_go_to_devices_too),
        TEST(a_pipe_gets_its_ranges_in_order),
        TEST(files_are_copied_through_this_machine_when_asked),
        TEST(wrong_arguments_are_misuse),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
