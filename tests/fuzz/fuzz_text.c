/* SPDX-License-Identifier: Apache-2.0
 * What users and stores write as text: URLs, escapes, sizes, times, patterns. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "cli/glob.h"
#include "client/url.h"
#include "fuzz.h"

FUZZ_FAILED_HERE

static void url(const char *text)
{
    struct orb_url parsed = {0};
    orbit_error error = {0};
    if (orb_url_parse(&parsed, text, &error) == ORBIT_OK) {
        HOLDS(parsed.scheme && parsed.authority && parsed.path);
        HOLDS(orb_url_scheme(text) > 0);
        for (size_t i = 0; i < parsed.setting_count; i++)
            HOLDS(!orb_url_secret_name(parsed.settings[i].name));
    } else {
        HOLDS(error.status < 0 && error.message[0]);
    }
    orb_url_release(&parsed);
}

/* What is encoded is decoded to the same. */
static void escapes(const char *text, size_t length)
{
    struct orb_buf encoded;
    orb_buf_init(&encoded, 3 * length + 1);
    HOLDS(orb_percent_encode(&encoded, text, length, "/"));
    char *copy = orb_strdup(length ? orb_buf_string(&encoded) : "");
    HOLDS(copy && orb_percent_decode(copy, strlen(copy), false) == length && !memcmp(copy, text, length));
    orb_free(copy);
    orb_buf_release(&encoded);
    copy = orb_strdup(text);
    HOLDS(copy);
    size_t decoded = orb_percent_decode(copy, length, true);
    HOLDS(decoded == SIZE_MAX || decoded <= length);
    orb_free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    uint64_t number;
    int64_t ns;
    bool flag;
    char *text = malloc(length + 1);
    if (!text)
        return 0;
    memcpy(text, bytes, length);
    text[length] = '\0';
    size_t shown = strlen(text);
    url(text);
    escapes(text, shown);
    (void)orb_parse_u64(text, &number);
    (void)orb_parse_size(text, &number);
    (void)orb_parse_bool(text, &flag);
    (void)orb_parse_time(text, &ns);
    HOLDS(*orb_path_base(text) == '\0' || strstr(text, orb_path_base(text)));
    char *line = strchr(text, '\n'); /* a pattern and a name */
    if (line && shown < 256) {
        *line++ = '\0';
        bool matches = glob_match(text, line);
        HOLDS(!matches || glob_match_beneath(text, line));
        HOLDS(glob_has_magic(text) || strchr(text, '\\') || matches == !strcmp(text, line));
    }
    free(text);
    return 0;
}
