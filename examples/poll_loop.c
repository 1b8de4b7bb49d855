/* SPDX-License-Identifier: Apache-2.0
 * Drives Orbit from a program's own poll loop: no thread of Orbit's ever calls back, everything happens inside
 * orbit_client_process(). The loop also watches standard input: a key ends the upload.
 *
 *     poll_loop big.iso s3://bucket images/big.iso */
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

#include <orbit/orbit.h>

struct upload {
    bool over;
    orbit_status status;
    orbit_error error;
    orbit_write_result result;
};

static void done(void *ctx, orbit_task *task, orbit_status status, const orbit_error *error)
{
    struct upload *upload = ctx;
    (void)task;
    upload->over = true;
    upload->status = status;
    if (status < 0)
        upload->error = *error;
}

static void run(orbit_client *client, orbit_task *task, const struct upload *upload)
{
    struct pollfd fds[2] = {{orbit_client_fd(client), POLLIN, 0}, {STDIN_FILENO, POLLIN, 0}};
    if (!isatty(STDIN_FILENO))
        fds[1].fd = -1;

    while (!upload->over) {
        poll(fds, 2, orbit_client_timeout_ms(client));
        if (fds[1].revents) {
            orbit_task_cancel(task); /* it still ends by done(), with ORBIT_E_CANCELLED */
            fds[1].fd = -1;
            fds[1].revents = 0;
        }
        orbit_client_process(client, NULL);
    }
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        fprintf(stderr, "usage: poll_loop FILE URL PATH\n");
        return 2;
    }
    orbit_client_options options = ORBIT_CLIENT_OPTIONS_INIT;
    options.external_loop = true;

    struct upload upload = {.result = ORBIT_WRITE_RESULT_INIT};
    orbit_client *client = NULL;
    orbit_backend *store = NULL;
    orbit_task *task = NULL;

    upload.status = orbit_client_open(&client, &options, &upload.error);
    if (upload.status == ORBIT_OK)
        upload.status = orbit_open(&store, client, argv[2], NULL, &upload.error);
    if (upload.status == ORBIT_OK)
        upload.status = orbit_write_start(&task, store, argv[3], orbit_source_path(argv[1]), ORBIT_SIZE_UNKNOWN, NULL,
                                          &upload.result, done, &upload, &upload.error);
    if (upload.status == ORBIT_OK)
        run(client, task, &upload);
    if (upload.status == ORBIT_OK)
        printf("%" PRIu64 " bytes in %" PRIu32 " parts\n", upload.result.bytes, upload.result.parts);
    else
        fprintf(stderr, "cannot upload '%s': %s\n", argv[1], upload.error.message);

    orbit_write_result_release(&upload.result);
    orbit_task_free(task);
    orbit_backend_close(store);
    orbit_client_close(client);
    return upload.status < 0;
}
