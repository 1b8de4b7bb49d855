/* SPDX-License-Identifier: Apache-2.0
 * Writes data that exists nowhere before: once pulled (Orbit asks a source for bytes), once pushed (the program
 * holds a writer). Neither knows the length beforehand.
 *
 *     stream_generated_data s3://bucket generated.bin 1000000000 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <orbit/orbit.h>

struct generator {
    uint64_t remaining;
};

/* A source: puts up to `room` bytes into `buffer`, says how many, and ORBIT_END when there are no more. */
static orbit_status generate(void *ctx, void *buffer, size_t room, size_t *length, orbit_error *error)
{
    struct generator *generator = ctx;
    (void)error;
    if (generator->remaining == 0)
        return ORBIT_END;
    *length = generator->remaining < room ? (size_t)generator->remaining : room;
    memset(buffer, 'B', *length);
    generator->remaining -= *length;
    return ORBIT_OK;
}

static orbit_status pull(orbit_backend *store, const char *path, uint64_t bytes, orbit_error *error)
{
    struct generator generator = {bytes};
    return orbit_write(store, path, orbit_source_function(generate, &generator), ORBIT_SIZE_UNKNOWN, NULL, NULL, error);
}

static orbit_status push(orbit_backend *store, const char *path, uint64_t bytes, orbit_error *error)
{
    static char line[64 * 1024];
    orbit_writer *writer = NULL;
    orbit_status status = orbit_writer_open(&writer, store, path, ORBIT_SIZE_UNKNOWN, NULL, error);

    memset(line, 'B', sizeof line);
    while (status == ORBIT_OK && bytes > 0) {
        size_t length = bytes < sizeof line ? (size_t)bytes : sizeof line;
        status = orbit_writer_write(writer, line, length, error);
        bytes -= length;
    }
    if (status == ORBIT_OK)
        status = orbit_writer_finish(writer, NULL, error);
    orbit_writer_free(writer); /* one that did not finish leaves nothing behind */
    return status;
}

int main(int argc, char **argv)
{
    if (argc != 3 && argc != 4) {
        fprintf(stderr, "usage: stream_generated_data URL PATH [BYTES]\n");
        return 2;
    }
    uint64_t bytes = argc == 4 ? strtoull(argv[3], NULL, 10) : 1000000000;
    char pushed[1024];
    orbit_error error;
    orbit_client *client = NULL;
    orbit_backend *store = NULL;

    snprintf(pushed, sizeof pushed, "%s.pushed", argv[2]);
    orbit_status status = orbit_client_open(&client, NULL, &error);
    if (status == ORBIT_OK)
        status = orbit_open(&store, client, argv[1], NULL, &error);
    if (status == ORBIT_OK)
        status = pull(store, argv[2], bytes, &error);
    if (status == ORBIT_OK)
        status = push(store, pushed, bytes, &error);
    if (status == ORBIT_OK)
        printf("'%s' and '%s': %" PRIu64 " bytes each\n", argv[2], pushed, bytes);
    else
        fprintf(stderr, "cannot write generated data: %s\n", error.message);

    orbit_backend_close(store);
    orbit_client_close(client);
    return status < 0;
}
