/* SPDX-License-Identifier: Apache-2.0
 * Uploads in parts that are open: telling them, giving one up, going on with one. Stores without say so. */
#include "contract.h"

#include <stdio.h>
#include <unistd.h>

static const char *scope_of(const char *name)
{
    return at(name);
}

static bool has_uploads(void)
{
    orbit_uploads *uploads = NULL;
    orbit_error error = {0};
    orbit_status status = orbit_uploads_open(&uploads, contract.backend, "", NULL, &error);
    orbit_uploads_close(uploads);
    if (status < 0) {
        assert_int_equal(status, ORBIT_E_UNSUPPORTED);
        assert_int_equal(error.status, ORBIT_E_UNSUPPORTED);
    }
    return status == ORBIT_OK;
}

/* How many uploads are open below `prefix`; the id of the last one. */
static unsigned open_below(const char *prefix, char *id, size_t room)
{
    orbit_uploads *uploads = NULL;
    orbit_open_upload upload;
    orbit_status status;
    orbit_error told = {0};
    unsigned count = 0;
    MUST(orbit_uploads_open(&uploads, contract.backend, prefix, NULL, error));
    while ((status = orbit_uploads_next(uploads, &upload, &told)) == ORBIT_OK) {
        assert_memory_equal(upload.path, prefix, strlen(prefix));
        assert_true(strlen(upload.upload_id) > 0);
        assert_false(upload.journal);
        if (id)
            snprintf(id, room, "%s", upload.upload_id);
        count++;
    }
    must_be(ORBIT_END, status, &told, "orbit_uploads_next", __FILE__, __LINE__);
    assert_int_equal(orbit_uploads_next(uploads, &upload, NULL), ORBIT_END);
    orbit_uploads_close(uploads);
    return count;
}

static orbit_writer *begun(const char *path, const uint8_t *bytes)
{
    orbit_writer *writer = NULL;
    MUST(orbit_writer_open(&writer, contract.backend, path, ORBIT_SIZE_UNKNOWN, NULL, error));
    MUST(orbit_writer_write(writer, bytes, 3 * (size_t)contract.chunk, error));
    return writer;
}

static void open_upload_is_told_until_it_is_given_up(void **state)
{
    (void)state;
    char id[1024] = "";
    if (!has_uploads())
        return;
    uint8_t *bytes = make_bytes(3 * (size_t)contract.chunk, 1);
    char prefix[256];
    snprintf(prefix, sizeof(prefix), "%s", scope_of(""));
    assert_int_equal(open_below(prefix, NULL, 0), 0);
    orbit_writer *writer = begun(at("open upload+1"), bytes);
    for (unsigned tries = 0; open_below(prefix, id, sizeof(id)) < 1 && tries < 500; tries++) {
        if (tries < 20) /* whatever the store's smallest part is */
            MUST(orbit_writer_write(writer, bytes, 3 * (size_t)contract.chunk, error));
        usleep(5000);
    }
    assert_int_equal(open_below(at("open upload+1"), id, sizeof(id)), 1);
    assert_int_equal(open_below(at("another"), NULL, 0), 0);
    MUST(orbit_upload_abort(contract.backend, at("open upload+1"), id, NULL, error));
    assert_int_equal(open_below(prefix, NULL, 0), 0);
    MUST(orbit_upload_abort(contract.backend, at("open upload+1"), id, NULL, error)); /* gone is gone */
    assert_true(orbit_writer_finish(writer, NULL, NULL) < 0);
    orbit_writer_free(writer);
    check_nothing_left(at("open upload+1"));
    free(bytes);
}

static void cancel_half_way(void *ctx, uint64_t done, uint64_t total)
{
    if (total != ORBIT_SIZE_UNKNOWN && done >= total / 2 && done < total)
        orbit_cancel_fire(ctx);
}

static void file_is_gone_on_with_or_written_anew(void **state)
{
    (void)state;
    char directory[] = "/tmp/orbit-contract-XXXXXX", file[64], journals[64], command[96];
    size_t length = 9 * (size_t)contract.chunk + 3;
    uint8_t *bytes = make_bytes(length, 2);
    assert_non_null(mkdtemp(directory));
    snprintf(file, sizeof(file), "%s/file", directory);
    snprintf(journals, sizeof(journals), "%s/state", directory);
    FILE *out = fopen(file, "wb");
    assert_non_null(out);
    assert_int_equal(fwrite(bytes, 1, length, out), length);
    fclose(out);

    orbit_write_options options = ORBIT_WRITE_OPTIONS_INIT;
    options.state_dir = journals;
    options.chunk_size = contract.chunk;
    options.parallel_operations = 1;
    options.cancel = orbit_cancel_new();
    options.progress = (orbit_progress){cancel_half_way, options.cancel};
    orbit_status status =
        orbit_write(contract.backend, at("resumed"), orbit_source_path(file), ORBIT_SIZE_UNKNOWN, &options, NULL, NULL);
    assert_true(status == ORBIT_OK || status == ORBIT_E_CANCELLED); /* a fast store may have been done */
    orbit_cancel_free(options.cancel);
    options.cancel = NULL;
    options.progress = (orbit_progress){0};
    MUST(orbit_write(contract.backend, at("resumed"), orbit_source_path(file), ORBIT_SIZE_UNKNOWN, &options, NULL,
                     error));
    check_bytes(at("resumed"), bytes, length);
    if (has_uploads())
        assert_int_equal(open_below(at("resumed"), NULL, 0), 0);
    orbit_upload_journals *left = NULL;
    orbit_upload_journal journal;
    MUST(orbit_upload_journals_open(&left, journals, error));
    assert_int_equal(orbit_upload_journals_next(left, &journal, NULL), ORBIT_END);
    orbit_upload_journals_close(left);
    snprintf(command, sizeof(command), "rm -rf %s", directory);
    assert_int_equal(system(command), 0);
    free(bytes);
}

static void tags_of_an_object_in_parts_are_kept(void **state)
{
    (void)state;
    char tagging[128];
    orbit_write_options options = ORBIT_WRITE_OPTIONS_INIT;
    orbit_write_result result = ORBIT_WRITE_RESULT_INIT;
    size_t length = 2 * contract.chunk + 1;
    if (!supports(ORBIT_OPERATION_TAGS))
        return;
    uint8_t *bytes = make_bytes(length, 3);
    options.tagging = "colour=blue%20green&n=1";
    MUST(orbit_write(contract.backend, at("tagged"), orbit_source_memory(bytes, length), length, &options, &result,
                     error));
    assert_true(result.multipart);
    MUST(orbit_tags_get(contract.backend, at("tagged"), tagging, sizeof(tagging), NULL, error));
    bool turned = strcmp(tagging, "n=1&colour=blue%20green") == 0; /* they have no order */
    if (!turned)
        assert_string_equal(tagging, "colour=blue%20green&n=1");
    orbit_write_result_release(&result);
    free(bytes);
}

const struct CMUnitTest upload_tests[] = {
    CONTRACT_TEST(tags_of_an_object_in_parts_are_kept),
    CONTRACT_TEST(open_upload_is_told_until_it_is_given_up),
    CONTRACT_TEST(file_is_gone_on_with_or_written_anew),
};
const size_t upload_test_count = COUNT_OF(upload_tests);
