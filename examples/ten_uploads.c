/* SPDX-License-Identifier: Apache-2.0
 * Uploads many files, three at a time: as each one completes the next one starts.
 *
 *     ten_uploads s3://bucket file1.bin file2.bin … file10.bin */
#include <inttypes.h>
#include <semaphore.h>
#include <stdio.h>
#include <string.h>

#include <orbit/orbit.h>

enum { AT_A_TIME = 3 };

struct upload {
    const char *file;
    char path[1024];
    orbit_write_result result;
    sem_t *places; /* a free place for each upload that may be under way */
    bool failed;
};

/* On the client's thread. */
static void done(void *ctx, orbit_task *task, orbit_status status, const orbit_error *error)
{
    struct upload *upload = ctx;
    (void)task;
    if (status == ORBIT_OK)
        printf("%s: %" PRIu64 " bytes\n", upload->path, upload->result.bytes);
    else
        fprintf(stderr, "%s: %s\n", upload->file, error->message);
    upload->failed = status != ORBIT_OK;
    orbit_write_result_release(&upload->result);
    sem_post(upload->places);
}

static void start(struct upload *upload, orbit_backend *store)
{
    const char *slash = strrchr(upload->file, '/');
    orbit_error error;

    snprintf(upload->path, sizeof upload->path, "uploads/%s", slash ? slash + 1 : upload->file);
    upload->result = (orbit_write_result)ORBIT_WRITE_RESULT_INIT;
    /* Without a handle the task frees itself when it is done. */
    if (orbit_write_start(NULL, store, upload->path, orbit_source_path(upload->file), ORBIT_SIZE_UNKNOWN, NULL,
                          &upload->result, done, upload, &error) != ORBIT_OK)
        done(upload, NULL, error.status, &error);
}

static bool upload_all(orbit_backend *store, char **files, int count)
{
    static struct upload uploads[1000];
    sem_t places;
    bool failed = false;

    sem_init(&places, 0, AT_A_TIME);
    for (int i = 0; i < count; i++) {
        sem_wait(&places);
        uploads[i] = (struct upload){.file = files[i], .places = &places};
        start(&uploads[i], store);
    }
    for (int i = 0; i < AT_A_TIME; i++) /* all places free: the last ones are done */
        sem_wait(&places);
    for (int i = 0; i < count; i++)
        failed = failed || uploads[i].failed;
    sem_destroy(&places);
    return !failed;
}

int main(int argc, char **argv)
{
    if (argc < 3 || argc > 1002) {
        fprintf(stderr, "usage: ten_uploads URL FILE...\n");
        return 2;
    }
    orbit_error error;
    orbit_client *client = NULL;
    orbit_backend *store = NULL;
    bool well = false;

    if (orbit_client_open(&client, NULL, &error) == ORBIT_OK &&
        orbit_open(&store, client, argv[1], NULL, &error) == ORBIT_OK)
        well = upload_all(store, argv + 2, argc - 2);
    else
        fprintf(stderr, "cannot open '%s': %s\n", argv[1], error.message);

    orbit_backend_close(store);
    orbit_client_close(client);
    return !well;
}
