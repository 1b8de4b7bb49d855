/* SPDX-License-Identifier: Apache-2.0
 * Runs a fuzz target without a fuzzer: every file of a directory, whole, cut after each byte of its first part, and
 * with single bytes replaced; always the same. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"

enum { FILE_MAX = 64 << 10, CUTS_MAX = 512 };

/* In memory of just its length, so that a read beyond it is seen by who watches. */
static void run(const uint8_t *bytes, size_t length)
{
    uint8_t *exact = malloc(length ? length : 1);
    if (!exact)
        abort();
    memcpy(exact, bytes, length);
    LLVMFuzzerTestOneInput(exact, length);
    free(exact);
}

static void replay(uint8_t *bytes, size_t length)
{
    static const uint8_t odd[] = {0x00, 0xff, '<', '&', '%', '/', '9', '-'};
    run(bytes, length);
    for (size_t cut = 0; cut < length && cut < CUTS_MAX; cut++)
        run(bytes, cut);
    for (size_t i = 0; i < length && i < CUTS_MAX; i++) {
        uint8_t before = bytes[i];
        for (size_t k = 0; k < sizeof odd; k++) {
            bytes[i] = odd[k];
            run(bytes, length);
        }
        bytes[i] = before;
    }
}

int main(int count, char **arguments)
{
    static uint8_t bytes[FILE_MAX];
    size_t files = 0;
    DIR *directory = count == 2 ? opendir(arguments[1]) : NULL;
    if (!directory) {
        (void)fprintf(stderr, "usage: %s DIRECTORY\n", arguments[0]);
        return 2;
    }
    for (struct dirent *entry; (entry = readdir(directory));) {
        char path[4096];
        int length = snprintf(path, sizeof path, "%s/%s", arguments[1], entry->d_name);
        FILE *file = entry->d_name[0] != '.' && (size_t)length < sizeof path ? fopen(path, "rb") : NULL;
        if (!file)
            continue;
        replay(bytes, fread(bytes, 1, sizeof bytes, file));
        (void)fclose(file);
        files++;
    }
    (void)closedir(directory);
    printf("%zu files replayed\n", files);
    return files ? 0 : 1;
}
