/* SPDX-License-Identifier: Apache-2.0
 * Uploads one local file, however large, in constant memory.
 *
 *     upload_large_file big.iso s3://bucket images/big.iso
 *     upload_large_file big.iso file:///srv/store images/big.iso */
#include <inttypes.h>
#include <stdio.h>

#include <orbit/orbit.h>

static void show_progress(void *ctx, uint64_t done, uint64_t total)
{
    (void)ctx;
    if (total != ORBIT_SIZE_UNKNOWN && total > 0)
        fprintf(stderr, "\r%3u %%", (unsigned)(100.0 * (double)done / (double)total));
}

static orbit_status upload(orbit_backend *store, const char *file, const char *path, orbit_error *error)
{
    orbit_write_options options = ORBIT_WRITE_OPTIONS_INIT;
    options.progress.function = show_progress;

    orbit_write_result result = ORBIT_WRITE_RESULT_INIT;
    orbit_status status =
        orbit_write(store, path, orbit_source_path(file), ORBIT_SIZE_UNKNOWN, &options, &result, error);
    if (status == ORBIT_OK)
        printf("\n%" PRIu64 " bytes in %" PRIu32 " parts%s%s\n", result.bytes, result.parts,
               result.metadata.etag ? ", etag " : "", result.metadata.etag ? result.metadata.etag : "");
    orbit_write_result_release(&result);
    return status;
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        fprintf(stderr, "usage: upload_large_file FILE URL PATH\n");
        return 2;
    }
    orbit_error error;
    orbit_client *client = NULL;
    orbit_backend *store = NULL;

    orbit_status status = orbit_client_open(&client, NULL, &error);
    if (status == ORBIT_OK)
        status = orbit_open(&store, client, argv[2], NULL, &error);
    if (status == ORBIT_OK)
        status = upload(store, argv[1], argv[3], &error);
    if (status < 0)
        fprintf(stderr, "cannot upload '%s': %s\n", argv[1], error.message);

    orbit_backend_close(store);
    orbit_client_close(client);
    return status < 0;
}
