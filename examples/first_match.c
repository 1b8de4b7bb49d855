/* SPDX-License-Identifier: Apache-2.0
 * Finds the first name with a given ending and stops there: pages behind it are never fetched.
 *
 *     first_match s3://bucket [.txt] */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <orbit/orbit.h>

static bool ends_with(const orbit_entry *entry, const char *ending)
{
    size_t length = strlen(ending);
    return entry->path_length >= length && memcmp(entry->path + entry->path_length - length, ending, length) == 0;
}

/* ORBIT_OK when one was found, ORBIT_END when there is none. */
static orbit_status find(orbit_backend *store, const char *ending, orbit_error *error)
{
    orbit_list_options options = ORBIT_LIST_OPTIONS_INIT;
    options.recursive = true;
    options.files_only = true;

    orbit_lister *lister = NULL;
    orbit_status status = orbit_list(&lister, store, "", &options, error);

    orbit_entry entry;
    while (status >= 0 && (status = orbit_lister_next(lister, &entry, error)) != ORBIT_END) {
        if (status == ORBIT_OK && ends_with(&entry, ending)) {
            printf("found: %s, after %" PRIu64 " pages\n", entry.path, orbit_lister_pages(lister));
            break;
        }
    }
    orbit_lister_close(lister); /* what has not been listed yet never will be */
    return status;
}

int main(int argc, char **argv)
{
    if (argc != 2 && argc != 3) {
        fprintf(stderr, "usage: first_match URL [ENDING]\n");
        return 2;
    }
    orbit_error error;
    orbit_client *client = NULL;
    orbit_backend *store = NULL;

    orbit_status status = orbit_client_open(&client, NULL, &error);
    if (status == ORBIT_OK)
        status = orbit_open(&store, client, argv[1], NULL, &error);
    if (status == ORBIT_OK)
        status = find(store, argc == 3 ? argv[2] : ".txt", &error);
    if (status < 0)
        fprintf(stderr, "cannot list '%s': %s\n", argv[1], error.message);
    else if (status == ORBIT_END)
        printf("nothing found\n");

    orbit_backend_close(store);
    orbit_client_close(client);
    return status != ORBIT_OK;
}
