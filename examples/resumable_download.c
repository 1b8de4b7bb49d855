/* SPDX-License-Identifier: Apache-2.0
 * Downloads one object to a local file. Ranges are in flight side by side: as each one completes the next one
 * starts, so a slow range never stops the others. The file gets its name when all of it is there. Kill it in the middle
 * and run it again: it goes on where it was.
 *
 *     resumable_download s3://bucket datasets/large.tar.gz ./large.tar.gz */
#include <inttypes.h>
#include <stdio.h>

#include <orbit/orbit.h>

static orbit_status download(orbit_backend *store, const char *path, const char *file, orbit_error *error)
{
    orbit_download_options options = ORBIT_DOWNLOAD_OPTIONS_INIT;
    options.parallel_operations = 8;
    options.preserve = true; /* the object's modification time becomes the file's */

    orbit_download_result result = ORBIT_DOWNLOAD_RESULT_INIT;
    orbit_status status = orbit_download(store, path, file, &options, &result, error);
    if (status == ORBIT_OK)
        printf("%" PRIu64 " bytes (%" PRIu64 " of them from an earlier run) in %" PRIu32 " ranges%s\n", result.bytes,
               result.bytes_resumed, result.ranges, result.verified ? ", checksum verified" : "");
    orbit_download_result_release(&result);
    return status;
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        fprintf(stderr, "usage: resumable_download URL PATH FILE\n");
        return 2;
    }
    orbit_error error;
    orbit_client *client = NULL;
    orbit_backend *store = NULL;

    orbit_status status = orbit_client_open(&client, NULL, &error);
    if (status == ORBIT_OK)
        status = orbit_open(&store, client, argv[1], NULL, &error);
    if (status == ORBIT_OK)
        status = download(store, argv[2], argv[3], &error);
    if (status < 0)
        fprintf(stderr, "cannot download '%s': %s\n", argv[2], error.message);

    orbit_backend_close(store);
    orbit_client_close(client);
    return status < 0;
}
