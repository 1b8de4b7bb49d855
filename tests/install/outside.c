/* SPDX-License-Identifier: Apache-2.0
 * A program outside the tree, built against an install prefix alone: pushes a stream, lists it, reads it
 * back, and does the same driven by its own poll loop. Exits 0 when every byte came back. */
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include <orbit/orbit.h>

enum { LINES = 100000 };

static int failed(const char *what, const orbit_error *error)
{
    fprintf(stderr, "%s: %s\n", what, error->message);
    return 1;
}

static int push(orbit_backend *store, orbit_error *error)
{
    orbit_writer *writer = NULL;
    if (orbit_writer_open(&writer, store, "dir/lines.txt", ORBIT_SIZE_UNKNOWN, NULL, error) < 0)
        return failed("open", error);

    orbit_status status = ORBIT_OK;
    for (int i = 0; i < LINES && status >= 0; i++) {
        char line[32];
        int length = snprintf(line, sizeof line, "line %d\n", i);
        status = orbit_writer_write(writer, line, (size_t)length, error);
    }
    if (status >= 0)
        status = orbit_writer_finish(writer, NULL, error);
    orbit_writer_free(writer);
    return status < 0 ? failed("push", error) : 0;
}

static int list(orbit_backend *store, orbit_error *error)
{
    orbit_list_options options = ORBIT_LIST_OPTIONS_INIT;
    options.recursive = true;
    options.files_only = true;
    orbit_lister *lister = NULL;
    orbit_status status = orbit_list(&lister, store, "", &options, error);
    orbit_entry entry;
    int found = 0;
    while (status >= 0 && (status = orbit_lister_next(lister, &entry, error)) == ORBIT_OK)
        found += strcmp(entry.path, "dir/lines.txt") == 0;
    orbit_lister_close(lister);
    if (status < 0)
        return failed("list", error);
    if (found != 1) {
        fprintf(stderr, "listed %d times instead of once\n", found);
        return 1;
    }
    return 0;
}

static int read_back(orbit_backend *store, orbit_error *error)
{
    orbit_reader *reader = NULL;
    if (orbit_read(&reader, store, "dir/lines.txt", NULL, error) < 0)
        return failed("read", error);
    const void *bytes;
    size_t length;
    uint64_t newlines = 0;
    orbit_status status;
    while ((status = orbit_reader_next(reader, &bytes, &length, error)) == ORBIT_OK)
        for (size_t i = 0; i < length; i++)
            newlines += ((const char *)bytes)[i] == '\n';
    orbit_reader_close(reader);
    if (status < 0)
        return failed("read", error);
    if (newlines != LINES) {
        fprintf(stderr, "%" PRIu64 " lines came back instead of %d\n", newlines, LINES);
        return 1;
    }
    return 0;
}

struct outcome {
    int done;
    orbit_status status;
};

static void on_done(void *ctx, orbit_task *task, orbit_status status, const orbit_error *error)
{
    (void)task, (void)error;
    *(struct outcome *)ctx = (struct outcome){1, status};
}

/* The caller's own loop: Orbit is one descriptor among others. */
static int poll_loop(orbit_error *error)
{
    orbit_client_options options = ORBIT_CLIENT_OPTIONS_INIT;
    options.external_loop = true;
    orbit_client *client = NULL;
    orbit_backend *store = NULL;
    orbit_task *task = NULL;
    struct outcome outcome = {0, ORBIT_OK};
    static char bytes[3 << 20];

    if (orbit_client_open(&client, &options, error) < 0)
        return failed("client", error);
    if (orbit_open(&store, client, "mem://loop", NULL, error) < 0 ||
        orbit_write_start(&task, store, "three-mib", orbit_source_memory(bytes, sizeof bytes), sizeof bytes, NULL, NULL,
                          on_done, &outcome, error) < 0) {
        orbit_backend_close(store);
        orbit_client_close(client);
        return failed("start", error);
    }
    while (!outcome.done) {
        struct pollfd fd = {orbit_client_fd(client), POLLIN, 0};
        poll(&fd, 1, orbit_client_timeout_ms(client));
        if (orbit_client_process(client, error) < 0)
            return failed("process", error);
    }
    orbit_task_free(task);
    orbit_backend_close(store);
    orbit_client_close(client);
    if (outcome.status != ORBIT_OK) {
        fprintf(stderr, "the task ended with %s\n", orbit_status_text(outcome.status));
        return 1;
    }
    return 0;
}

int main(void)
{
    orbit_error error = {0};
    orbit_client *client = NULL;
    orbit_backend *store = NULL;

    if (orbit_client_open(&client, NULL, &error) < 0 || orbit_open(&store, client, "mem://demo", NULL, &error) < 0)
        return failed("open", &error);
    int result = push(store, &error) || list(store, &error) || read_back(store, &error);
    orbit_backend_close(store);
    orbit_client_close(client);
    return result || poll_loop(&error);
}
