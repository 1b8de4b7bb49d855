/* SPDX-License-Identifier: Apache-2.0
 * Glob matching with two places to come back to, the last `*` and the last `**`: an earlier star never
 * needs to be tried again, since the later one covers all that a longer earlier match could reach. So the
 * time is at most pattern times text times text, whatever the pattern. */
#include "glob.h"

#include <stdlib.h>
#include <string.h>

#include "text.h"

bool glob_has_magic(const char *pattern)
{
    return pattern[strcspn(pattern, "*?[\\")] != '\0';
}

/* One character of `text`: a code point, or a byte that is no UTF-8. */
static size_t character(const char *text, uint32_t *code)
{
    size_t step = utf8_length(text, strnlen(text, 4), code);
    if (step)
        return step;
    *code = 0x110000u + (unsigned char)*text; /* beyond Unicode: equal to itself only */
    return *text ? 1 : 0;
}

/* `pattern` is behind the '['. Returns where the set ends, NULL when it is no set (a literal '['). */
static const char *match_set(const char *pattern, uint32_t wanted, bool *matches)
{
    bool negated = *pattern == '!' || *pattern == '^';
    bool found = false, first = true;
    if (negated)
        pattern++;
    while (*pattern && (first || *pattern != ']')) {
        uint32_t low, high;
        if (*pattern == '\\' && pattern[1])
            pattern++;
        pattern += character(pattern, &low);
        high = low;
        if (*pattern == '-' && pattern[1] && pattern[1] != ']') {
            pattern++;
            if (*pattern == '\\' && pattern[1])
                pattern++;
            pattern += character(pattern, &high);
        }
        found = found || (wanted >= low && wanted <= high);
        first = false;
    }
    if (*pattern != ']')
        return NULL;
    *matches = found != negated && wanted != '/';
    return pattern + 1;
}

/* One element of the pattern (not a star) against one character. Advances both when it matches. */
static bool match_one(const char **pattern, const char **text)
{
    uint32_t wanted, code;
    if (!**text)
        return false;
    size_t step = character(*text, &wanted);

    if (**pattern == '?') {
        if (wanted == '/')
            return false;
        *pattern += 1;
        *text += step;
        return true;
    }
    if (**pattern == '[') {
        bool matches = false;
        const char *end = match_set(*pattern + 1, wanted, &matches);
        if (end) {
            if (!matches)
                return false;
            *pattern = end;
            *text += step;
            return true;
        }
    }
    const char *literal = **pattern == '\\' && (*pattern)[1] ? *pattern + 1 : *pattern;
    size_t length = character(literal, &code);
    if (!length || code != wanted)
        return false;
    *pattern = literal + length;
    *text += step;
    return true;
}

/* The next place in `text` where a `**` may end: anywhere, or behind the next slash for a `**` + '/'. */
static const char *wider(const char *text, bool whole_components)
{
    if (!*text)
        return NULL;
    if (!whole_components)
        return text + 1;
    const char *slash = strchr(text, '/');
    return slash ? slash + 1 : NULL;
}

bool glob_match(const char *pattern, const char *text)
{
    const char *star = NULL, *star_text = NULL;         /* behind the last `*`, and where it ends now */
    const char *globstar = NULL, *globstar_text = NULL; /* the same for `**` */
    bool components = false;

    for (;;) {
        if (pattern[0] == '*' && pattern[1] == '*') {
            while (*pattern == '*')
                pattern++;
            components = *pattern == '/';
            if (components)
                pattern++;
            globstar = pattern;
            globstar_text = text;
            star = NULL;
            continue;
        }
        if (*pattern == '*') {
            star = ++pattern;
            star_text = text;
            continue;
        }
        if (!*pattern && !*text)
            return true;
        if (*pattern && match_one(&pattern, &text))
            continue;
        if (star && *star_text && *star_text != '/') {
            text = ++star_text;
            pattern = star;
            continue;
        }
        if (!globstar || !(globstar_text = wider(globstar_text, components)))
            return false;
        star = NULL;
        text = globstar_text;
        pattern = globstar;
    }
}

bool glob_match_beneath(const char *pattern, const char *text)
{
    if (glob_match(pattern, text))
        return true;
    bool matches = false;
    char *path = string_copy(text);
    for (char *slash = strrchr(path, '/'); slash && !matches; slash = strrchr(path, '/')) {
        *slash = '\0';
        matches = glob_match(pattern, path);
    }
    free(path);
    return matches;
}
