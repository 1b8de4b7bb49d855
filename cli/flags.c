/* SPDX-License-Identifier: Apache-2.0
 * The parser of the command line. Flags may stand before or after the verb and between the arguments;
 * "--" ends them, "-" alone is an argument. Not getopt_long(): its abbreviations would make every new flag a
 * break, and it cannot name the flag that was probably meant. */
#include "flags.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "output.h"
#include "text.h"

int usage_error(enum verb verb, const char *format, ...)
{
    char sentence[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(sentence, sizeof sentence, format, arguments);
    va_end(arguments);

    struct text line = {0};
    text_format(&line, "orbit%s%s: ", verb ? " " : "", verb_text(verb)->name);
    text_add_escaped(&line, sentence, strlen(sentence));
    text_format(&line, "\ntry 'orbit%s%s --help'", verb ? " " : "", verb_text(verb)->name);
    output_talk(line.bytes);
    text_release(&line);
    return 2;
}

size_t word_distance(const char *a, const char *b)
{
    enum { LONGEST = 40 };
    size_t row[LONGEST + 1], rows = strlen(a), columns = strlen(b);
    if (rows > LONGEST || columns > LONGEST)
        return LONGEST;
    for (size_t j = 0; j <= columns; j++)
        row[j] = j;
    for (size_t i = 1; i <= rows; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= columns; j++) {
            size_t cost = diagonal + (a[i - 1] != b[j - 1]);
            size_t above = row[j] + 1, left = row[j - 1] + 1;
            diagonal = row[j];
            row[j] = above < left ? above : left;
            if (cost < row[j])
                row[j] = cost;
        }
    }
    return row[columns];
}

static bool takes(const struct flag *flag, enum verb verb)
{
    return flag->verbs == UINT32_MAX || (verb && flag->verbs & VERB_BIT(verb));
}

/* A flag by its name; among flags of one name or letter the verb's own wins. */
static const struct flag *find(const char *name, size_t length, char letter, enum verb verb)
{
    size_t count;
    const struct flag *table = flag_table(&count), *found = NULL;
    for (size_t i = 0; i < count; i++) {
        bool same = name ? strlen(table[i].name) == length && memcmp(table[i].name, name, length) == 0
                         : letter && table[i].letter == letter;
        if (same && (!found || takes(&table[i], verb)))
            found = &table[i];
    }
    return found;
}

static int unknown_flag(enum verb verb, const char *name, size_t length)
{
    size_t count, least = 4;
    const struct flag *table = flag_table(&count);
    const char *best = NULL;
    char word[41];
    if (length < sizeof word) {
        memcpy(word, name, length);
        word[length] = '\0';
        for (size_t i = 0; i < count; i++) {
            size_t distance = takes(&table[i], verb) || !verb ? word_distance(word, table[i].name) : least;
            if (distance < least && distance <= length / 2 + 1) {
                least = distance;
                best = table[i].name;
            }
        }
    }
    if (best)
        return usage_error(verb, "unknown flag '--%.*s', did you mean '--%s'?", (int)length, name, best);
    return usage_error(verb, "unknown flag '--%.*s'", (int)length, name);
}

struct parse {
    struct options *options;
    const struct flag *first_seen[256]; /* those met, to be checked when the verb is known */
    size_t seen;
};

static bool add_pair(struct options *options, const struct flag *flag, const char *value)
{
    struct pairs *pairs = (struct pairs *)(void *)((char *)options + flag->offset);
    const char *equals = strchr(value, '=');
    if (!equals || equals == value)
        return usage_error(options->verb, "--%s takes NAME=VALUE, not '%s'", flag->name, value), false;
    if (pairs->count == PAIRS_MAX)
        return usage_error(options->verb, "--%s may be given %d times at most", flag->name, PAIRS_MAX), false;
    pairs->pair[pairs->count].name = string_copy_length(value, (size_t)(equals - value));
    pairs->pair[pairs->count++].value = equals + 1;
    return true;
}

static bool set(struct options *options, const struct flag *flag, const char *value)
{
    void *member = (char *)options + flag->offset;
    switch (flag->kind) {
    case FLAG_BOOL:
        *(bool *)member = true;
        return true;
    case FLAG_WORD:
        if (value && strcmp(value, flag->value) != 0)
            return usage_error(options->verb, "--%s takes no value but %s, not '%s'", flag->name, flag->value, value),
                   false;
        *(bool *)member = true;
        return true;
    case FLAG_TEXT:
        *(const char **)member = value;
        return true;
    case FLAG_SIZE:
    case FLAG_MEBIBYTES:
        if (!size_parse(value, flag->kind == FLAG_MEBIBYTES ? 1u << 20 : 1, member) || !*(uint64_t *)member)
            return usage_error(options->verb, "--%s takes a size such as 64M, not '%s'", flag->name, value), false;
        if (member == &options->memory_bytes)
            options->memory_text = value;
        return true;
    case FLAG_NUMBER:
        if (!number_parse(value, 10000, member))
            return usage_error(options->verb, "--%s takes a number up to 10000, not '%s'", flag->name, value), false;
        return true;
    case FLAG_LIMIT: {
        struct limit *limit = member;
        limit->given = true;
        if (!size_parse(value, 1, &limit->bytes))
            return usage_error(options->verb, "--%s takes a size such as 64M, not '%s'", flag->name, value), false;
        return true;
    }
    case FLAG_MOMENT: {
        struct moment *moment = member;
        moment->given = true;
        if (!time_parse(value, time_now(), &moment->time_ns))
            return usage_error(options->verb,
                               "--%s takes an age such as 90m, 12h or 7d or a date such as 2026-11-22 or "
                               "2026-11-22T05:41:00, not '%s'",
                               flag->name, value),
                   false;
        return true;
    }
    case FLAG_PAIR:
        return add_pair(options, flag, value);
    case FLAG_PATTERN: {
        struct patterns *patterns = member;
        if (patterns->count == PAIRS_MAX)
            return usage_error(options->verb, "--%s may be given %d times at most", flag->name, PAIRS_MAX), false;
        patterns->pattern[patterns->count++] = value;
        return true;
    }
    }
    return false;
}

static bool met(struct parse *parse, const struct flag *flag, const char *value)
{
    if (parse->seen == sizeof parse->first_seen / sizeof parse->first_seen[0])
        return usage_error(parse->options->verb, "too many flags"), false;
    parse->first_seen[parse->seen++] = flag;
    return set(parse->options, flag, value);
}

/* "--name", "--name=value", "--name value". `*next` is the following argument, taken when needed. */
static bool long_flag(struct parse *parse, const char *text, char *next, bool *took)
{
    enum verb verb = parse->options->verb;
    size_t length = strcspn(text, "=");
    const char *value = text[length] ? text + length + 1 : NULL;
    const struct flag *flag = find(text, length, 0, verb);
    if (!flag)
        return unknown_flag(verb, text, length), false;
    if (flag->kind == FLAG_BOOL && value)
        return usage_error(verb, "--%s takes no value", flag->name), false;
    if (flag->kind == FLAG_WORD && !value && next && strcmp(next, flag->value) == 0)
        value = next, *took = true;
    if (flag->kind != FLAG_BOOL && flag->kind != FLAG_WORD && !value) {
        if (!next)
            return usage_error(verb, "--%s needs a value: --%s=%s", flag->name, flag->name, flag->value), false;
        value = next;
        *took = true;
    }
    return met(parse, flag, value);
}

/* "-r", "-rn", "-c4", "-c 4". */
static bool short_flags(struct parse *parse, const char *text, char *next, bool *took)
{
    enum verb verb = parse->options->verb;
    for (; *text; text++) {
        const struct flag *flag = find(NULL, 0, *text, verb);
        if (!flag)
            return usage_error(verb, "unknown flag '-%c'", *text), false;
        if (flag->kind == FLAG_BOOL) {
            if (!met(parse, flag, NULL))
                return false;
            continue;
        }
        const char *value = text[1] ? text + 1 : next;
        if (!value)
            return usage_error(verb, "-%c needs a value: %s", flag->letter, flag->value), false;
        *took = !text[1];
        return met(parse, flag, value);
    }
    return true;
}

static bool one_of(const struct options *options, const char *flag, const char *value, const char *words)
{
    size_t length = value ? strlen(value) : 0;
    for (const char *word = words; value && *word;) {
        size_t end = strcspn(word, " ");
        if (end == length && strncasecmp(word, value, length) == 0)
            return true;
        word += end + strspn(word + end, " ");
    }
    return !value || (usage_error(options->verb, "--%s takes one of %s, not '%s'", flag, words, value), false);
}

static bool check_words(const struct options *options)
{
    return one_of(options, "verify", options->verify, "default full off") &&
           one_of(options, "metadata-directive", options->metadata_directive, "COPY REPLACE") &&
           one_of(options, "method", options->method, "GET HEAD PUT DELETE") &&
           one_of(options, "object-lock-mode", options->object_lock_mode, "GOVERNANCE COMPLIANCE") &&
           one_of(options, "object-lock-legal-hold", options->object_lock_legal_hold, "ON OFF") &&
           one_of(options, "sort", options->sort, "name size time") &&
           one_of(options, "set-status", options->set_status, "enabled suspended") &&
           one_of(options, "addressing-style", options->addressing_style, "auto path virtual") &&
           one_of(options, "checksum-algorithm", options->checksum_algorithm, "CRC64NVME CRC32C CRC32 SHA256 SHA1 MD5");
}

/* Limits that leave nothing are a slip of the pen, not a wish for an empty listing. */
static bool check_limits(const struct options *options)
{
    if (options->larger.given && options->smaller.given && options->larger.bytes >= options->smaller.bytes)
        return usage_error(options->verb, "no size is above --larger and below --smaller: are they swapped?"), false;
    if (options->newer.given && options->older.given && options->newer.time_ns >= options->older.time_ns)
        return usage_error(options->verb, "no time is after --newer and before --older: are they swapped?"), false;
    return true;
}

static bool check_page(const struct options *options)
{
    uint64_t entries;
    return !options->page_size || (number_parse(options->page_size, 1000, &entries) && entries) ||
           (usage_error(options->verb, "--page-size takes a number from 1 to 1000, not '%s'", options->page_size),
            false);
}

/* NULs are for programs that take names, and a sum is none. */
static bool check_summary(const struct options *options)
{
    return !options->summarize || !options->null ||
           (usage_error(options->verb, "--summarize and -0 do not go together"), false);
}

static bool check_continue(const struct options *options)
{
    const char *other = options->no_resume ? "--no-resume" : options->no_clobber ? "--no-clobber" : NULL;
    return !options->go_on || !other ||
           (usage_error(options->verb, "--continue and %s do not go together", other), false);
}

/* A list names each file itself, below one root. */
static bool check_list(const struct options *options)
{
    size_t roots = options->verb == VERB_RM ? 1 : 2;
    if (!options->files_from && !options->files_from0)
        return true;
    if (options->files_from && options->files_from0)
        return usage_error(options->verb, "--files-from and --files-from0 do not go together"), false;
    if (options->include.count || options->exclude.count || options->version_id || options->all_versions)
        return usage_error(options->verb,
                           "--include, --exclude, --version-id and --all-versions do not go with a list of names"),
               false;
    if (options->argument_count != roots)
        return usage_error(options->verb,
                           "with --files-from there is one directory or prefix that the names are below%s",
                           roots == 2 ? ", and one target" : ""),
               false;
    for (size_t i = 0; i < roots; i++)
        if (strcmp(options->arguments[i], "-") == 0)
            return usage_error(options->verb, "with --files-from '-' is no place for names"), false;
    return true;
}

/* What only shows when everything was read: flags that the verb does not take, the number of arguments. */
static bool check(struct parse *parse)
{
    struct options *options = parse->options;
    const struct verb_text *verb = verb_text(options->verb);

    if (options->help || options->version)
        return true;
    if (!options->verb)
        return usage_error(VERB_NONE, "a verb is missing, such as ls, cp or cat"), false;
    for (size_t i = 0; i < parse->seen; i++)
        if (!takes(parse->first_seen[i], options->verb))
            return usage_error(options->verb, "%s does not take --%s", verb->name, parse->first_seen[i]->name), false;
    if (options->argument_count < verb->least || options->argument_count > verb->most)
        return usage_error(options->verb, "%s arguments: orbit %s %s",
                           options->argument_count < verb->least ? "missing" : "too many", verb->name, verb->arguments),
               false;
    for (size_t i = 0; i < options->argument_count; i++)
        if (!*options->arguments[i])
            return usage_error(options->verb, "argument %zu is empty", i + 1), false;
    return check_words(options) && check_limits(options) && check_page(options) && check_summary(options) &&
           check_continue(options) && check_list(options);
}

bool options_parse(struct options *options, int argc, char **argv)
{
    struct parse parse = {.options = options};
    bool flags_ended = false;

    *options = (struct options){.retry_count = UINT64_MAX};
    options->arguments = memory_zeroed((size_t)argc + 1, sizeof *options->arguments);
    for (int i = 1; i < argc; i++) {
        char *text = argv[i], *next = i + 1 < argc ? argv[i + 1] : NULL;
        bool took = false, fine = true;
        if (!flags_ended && strcmp(text, "--") == 0) {
            flags_ended = true;
        } else if (!flags_ended && text[0] == '-' && text[1] == '-') {
            fine = long_flag(&parse, text + 2, next, &took);
        } else if (!flags_ended && text[0] == '-' && text[1]) {
            fine = short_flags(&parse, text + 1, next, &took);
        } else if (!options->verb) {
            options->verb = verb_find(text);
            if (!options->verb) {
                const char *near = verb_nearest(text);
                return usage_error(VERB_NONE, "unknown verb '%s'%s%s%s", text, near ? ", did you mean '" : "",
                                   near ? near : "", near ? "'?" : ""),
                       false;
            }
        } else {
            options->arguments[options->argument_count++] = text;
        }
        if (!fine)
            return false;
        i += took;
    }
    return check(&parse);
}

bool options_range(const char *text, struct byte_range *range)
{
    *range = (struct byte_range){.given = true, .length = ORBIT_TO_END};
    const char *dash = strchr(text, '-');
    if (!dash || strlen(text) > 41)
        return false;
    char first[48];
    memcpy(first, text, (size_t)(dash - text));
    first[dash - text] = '\0';
    uint64_t last = 0;

    if (dash == text) {
        range->last = true;
        return number_parse(dash + 1, ORBIT_TO_END - 1, &range->length);
    }
    if (!number_parse(first, ORBIT_TO_END - 1, &range->offset))
        return false;
    if (!dash[1])
        return true;
    if (!number_parse(dash + 1, ORBIT_TO_END - 2, &last) || last < range->offset)
        return false;
    range->length = last - range->offset + 1;
    return true;
}

static void release_pairs(struct pairs *pairs)
{
    for (size_t i = 0; i < pairs->count; i++)
        free((void *)(uintptr_t)pairs->pair[i].name);
    pairs->count = 0;
}

void options_release(struct options *options)
{
    for (size_t i = 0; i < SIDE_COUNT; i++)
        release_pairs(&options->settings[i]);
    release_pairs(&options->metadata);
    free(options->arguments);
    options->arguments = NULL;
}
