/* SPDX-License-Identifier: Apache-2.0
 * The table of hostile keys: written down where a key has a story, computed where there is one for each character. */
#include "support/hostile_keys.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const written[] = {
    /* To what takes them for paths: empty components, dots, what leads out, what ends like a directory. */
    "/",
    "//",
    "///",
    "/lead",
    "//lead",
    "/orbit-escaped",
    "trail/",
    "trail//",
    "twice//in",
    "thrice///in",
    "/both/",
    ".",
    "..",
    "./",
    "../",
    "./dot",
    "../up",
    "../../../orbit-escaped",
    "in/./side",
    "in/../side",
    "in/.",
    "in/..",
    "in/./",
    "in/../",
    "...",
    ".../x",
    ".hidden",
    ".hidden/x",
    "-",
    "-rf",
    "--",
    "~",
    "~root",
    "C:",
    "C:\\x",
    "a:b",
    "\\",
    "\\\\host\\share",
    "..\\up",
    "file",
    "file/below",
    /* To what writes them into URLs, decodes them once too often or not at all. */
    " ",
    "  ",
    " lead",
    "trail ",
    "mid dle",
    " /x",
    "x/ ",
    "+",
    "a+b",
    "a b+c%20d",
    "%",
    "%%",
    "%zz",
    "%2",
    "%2F",
    "%2f",
    "%252F",
    "%00",
    "%2e%2e/up",
    "%0a",
    "%E9",
    "#",
    "a#b",
    "?",
    "a?b",
    "?uploads",
    "?versionId=null",
    "?x=1&y=2",
    "&",
    "a&b=c",
    "=",
    "@",
    "user@host/x",
    ":",
    "://",
    "http://x/",
    ";",
    "a;b",
    ",",
    "a,b",
    "!",
    "*",
    "a*b",
    "'",
    "(",
    ")",
    "(x)",
    "$",
    "[",
    "]",
    "[x]",
    "{x}",
    "{",
    "}",
    "|",
    "^",
    "`",
    "a~b",
    "_",
    "a\\b",
    /* To what writes them into XML, JSON, HTML or a shell's line. */
    "<",
    ">",
    "\"",
    "<Key>x</Key>",
    "&amp;",
    "&#10;",
    "]]>",
    "<![CDATA[x]]>",
    "<!--",
    "{\"a\": 1}",
    "$(id)",
    "`id`",
    "it's",
    "a'b\"c",
    "%s%n",
    "${HOME}",
    "\r\n",
    "x\r\ny: z",
    "\n",
    "two\nlines",
    "ends\n",
    "\nbegins",
    "\t",
    "a\tb",
    "\r",
    "ends\r",
    /* Unicode: two ways to write one letter (they are two keys), a mark without a letter, right to left, no width, the
     * byte order mark, the ends of the planes, what XML 1.0 cannot say. */
    "caf\xc3\xa9",
    "cafe\xcc\x81",
    "\xcc\x81",
    "\xd7\xa9\xd7\x9c\xd7\x95\xd7\x9d",
    "\xe2\x80\xae"
    "exe.txt",
    "\xe2\x80\x8b",
    "\xe2\x80\xa8",
    "\xc2\x80",
    "\xc2\x85",
    "\xc2\xa0",
    "\xc3\x9f",
    "\xc4\xb0",
    "\xe2\x84\xaa",
    "\xe6\x97\xa5\xe6\x9c\xac/\xe8\xaa\x9e",
    "\xef\xbb\xbf",
    "\xef\xbb\xbf"
    "bom",
    "\xef\xbf\xbd",
    "\xef\xbf\xbe",
    "\xef\xbf\xbf",
    "\xf0\x9f\x98\x80",
    "\xf0\x9d\x84\x9e/x",
    "\xf4\x8f\xbf\xbf",
    "\xee\x80\x80",
    /* No UTF-8: a byte alone, one that is cut short, too long a way to write '/', half a surrogate, Latin-1. */
    "\xff",
    "\x80",
    "caf\xe9",
    "\xc3",
    "\xc3/x",
    "\xe2\x82",
    "\xc0\xaf",
    "\xed\xa0\x80",
    "\xfe\xff",
    "\xf5\x80\x80\x80",
};

enum {
    WRITTEN = sizeof written / sizeof *written,
    CONTROLS = 0x1f + 1, /* 0x01 to 0x1f, and 0x7f */
    LONG = 4,
    ROOM = WRITTEN + CONTROLS + LONG
};

static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The longest keys: of one letter, of letters of three bytes, of 512 directories, of what a URL triples. */
static const char *longest(unsigned kind)
{
    static char made[LONG][HOSTILE_KEY_MAX + 1];
    static const char *const pieces[LONG] = {"k", "\xe6\x97\xa5", "d/", "%"};
    size_t piece = strlen(pieces[kind]), length = 0;
    while (length + piece <= HOSTILE_KEY_MAX) {
        memcpy(made[kind] + length, pieces[kind], piece);
        length += piece;
    }
    while (length < HOSTILE_KEY_MAX)
        made[kind][length++] = 'z';
    if (made[kind][length - 1] == '/')
        made[kind][length - 1] = 'z';
    return made[kind];
}

const char *const *hostile_keys(size_t *count)
{
    static const char *keys[ROOM];
    static char controls[CONTROLS][8];
    static size_t made;
    if (made == 0) {
        for (size_t i = 0; i < WRITTEN; i++)
            keys[made++] = written[i];
        for (unsigned i = 0; i < CONTROLS; i++) {
            snprintf(controls[i], sizeof controls[i], "c%cd", i + 1 < CONTROLS ? (char)(i + 1) : 0x7f);
            keys[made++] = controls[i];
        }
        for (unsigned i = 0; i < LONG; i++)
            keys[made++] = longest(i);
        qsort(keys, made, sizeof *keys, by_bytes);
    }
    for (size_t i = 1; i < made; i++)
        if (strcmp(keys[i - 1], keys[i]) == 0) {
            fprintf(stderr, "the key '%s' is in the table twice\n", keys[i]);
            exit(1);
        }
    *count = made;
    return keys;
}

/* How many bytes the character at `at` has; 0: none. */
static size_t character(const unsigned char *at)
{
    static const struct {
        unsigned char mask, lead;
        unsigned least;
    } kinds[] = {{0x80, 0, 0}, {0xe0, 0xc0, 0x80}, {0xf0, 0xe0, 0x800}, {0xf8, 0xf0, 0x10000}};
    for (size_t length = 1; length <= 4; length++) {
        if ((at[0] & kinds[length - 1].mask) != kinds[length - 1].lead)
            continue;
        unsigned code = at[0] & (unsigned char)~kinds[length - 1].mask;
        for (size_t i = 1; i < length; i++) {
            if ((at[i] & 0xc0) != 0x80)
                return 0;
            code = code << 6 | (at[i] & 0x3f);
        }
        bool surrogate = code >= 0xd800 && code < 0xe000;
        return code >= kinds[length - 1].least && code <= 0x10ffff && !surrogate ? length : 0;
    }
    return 0;
}

bool hostile_key_is_text(const char *key)
{
    const unsigned char *at = (const unsigned char *)key;
    while (*at != '\0') {
        size_t length = character(at);
        if (length == 0)
            return false;
        at += length;
    }
    return true;
}
