/* SPDX-License-Identifier: Apache-2.0
 * Lists everything in a store, one entry at a time: the memory is the same for ten entries and ten million.
 *
 *     list_large_bucket s3://bucket [prefix] */
#include <inttypes.h>
#include <stdio.h>

#include <orbit/orbit.h>

static orbit_status print_all(orbit_backend *store, const char *path, orbit_error *error)
{
    orbit_list_options options = ORBIT_LIST_OPTIONS_INIT;
    options.recursive = true;
    options.files_only = true;

    orbit_lister *lister = NULL;
    orbit_status status = orbit_list(&lister, store, path, &options, error);
    uint64_t count = 0, bytes = 0;

    orbit_entry entry; /* borrowed: valid until the next orbit_lister_next() */
    while (status >= 0 && (status = orbit_lister_next(lister, &entry, error)) != ORBIT_END) {
        if (status == ORBIT_OK) {
            printf("%12" PRIu64 "  %s\n", entry.metadata.size, entry.path);
            count++;
            bytes += entry.metadata.size;
        } else if (status == ORBIT_ENTRY_FAILED) { /* an unreadable directory, say: the rest goes on */
            fprintf(stderr, "skipped '%s': %s\n", entry.path, error->message);
        }
    }
    if (status == ORBIT_END)
        printf("%" PRIu64 " entries, %" PRIu64 " bytes, %" PRIu64 " pages\n", count, bytes, orbit_lister_pages(lister));
    orbit_lister_close(lister);
    return status;
}

int main(int argc, char **argv)
{
    if (argc != 2 && argc != 3) {
        fprintf(stderr, "usage: list_large_bucket URL [PREFIX]\n");
        return 2;
    }
    orbit_error error;
    orbit_client *client = NULL;
    orbit_backend *store = NULL;

    orbit_status status = orbit_client_open(&client, NULL, &error);
    if (status == ORBIT_OK)
        status = orbit_open(&store, client, argv[1], NULL, &error);
    if (status == ORBIT_OK)
        status = print_all(store, argc == 3 ? argv[2] : "", &error);
    if (status < 0)
        fprintf(stderr, "cannot list '%s': %s\n", argv[1], error.message);

    orbit_backend_close(store);
    orbit_client_close(client);
    return status < 0;
}
