/* SPDX-License-Identifier: Apache-2.0
 * The help, made from the tables: short enough to be read aloud. */
#include <stdio.h>
#include <string.h>

#include "flags.h"
#include "output.h"
#include "text.h"

static void flag_line(const struct flag *flag)
{
    struct text line = {0};
    if (flag->letter)
        text_format(&line, "  -%c, --%s", flag->letter, flag->name);
    else
        text_format(&line, "      --%s", flag->name);
    if (flag->value)
        text_format(&line, flag->kind == FLAG_WORD ? "[=%s]" : "=%s", flag->value);
    if (line.length < 32)
        text_format(&line, "%*s", (int)(32 - line.length), "");
    else
        text_add_string(&line, "  ");
    text_format(&line, "%s\n", flag->help);
    output_string(line.bytes);
    text_release(&line);
}

/* In struct options the members from storage_class on are about objects. */
static bool is_of_objects(const struct flag *flag)
{
    return flag->offset >= offsetof(struct options, storage_class);
}

static void flags_of(const char *title, uint32_t mask, bool everywhere, bool of_objects)
{
    size_t count;
    const struct flag *table = flag_table(&count);
    bool titled = false;
    for (size_t i = 0; i < count; i++) {
        if (!table[i].help || (table[i].verbs == UINT32_MAX) != everywhere || !(table[i].verbs & mask) ||
            is_of_objects(&table[i]) != of_objects)
            continue;
        if (!titled)
            output_string(title);
        titled = true;
        flag_line(&table[i]);
    }
}

static void help_command(void)
{
    output_string("orbit moves files and objects between local disks, S3 stores and SSH hosts, in constant memory.\n\n"
                  "usage: orbit VERB [FLAGS] LOCATION…\n\nverbs:\n");
    for (enum verb verb = VERB_LS; verb < VERB_COUNT; verb++) {
        const struct verb_text *text = verb_text(verb);
        char name[32];
        struct text line = {0};
        snprintf(name, sizeof name, "%s%s%s", text->name, text->alias ? ", " : "", text->alias ? text->alias : "");
        text_format(&line, "  %-12s %s\n", name, text->summary);
        output_string(line.bytes);
        text_release(&line);
    }
    output_string("\nlocations:\n"
                  "  path, file:///path   a local file or directory\n"
                  "  s3://bucket/key      an object, or all objects below a prefix\n"
                  "  sftp://host/path     the same on a host, by way of ssh and what it is configured for\n"
                  "  [user@]host:path     the same, from the home directory on\n"
                  "  mem://name/path      memory of this process, for tests\n"
                  "  -                    standard input or output\n"
                  "In sources * ? [ ] and ** stand for names; quote them, --raw turns them off.\n\n");
    flags_of("flags everywhere:\n", UINT32_MAX, true, false);
    output_string("\nexit codes: 0 done, 1 failed, 2 usage, 3 not found, 4 permission or trust, 5 unreachable,\n"
                  "6 verification failed, 7 a limit such as a full disk, 130 and 143 interrupted.\n"
                  "'orbit VERB --help' tells the flags of a verb; orbit(1) tells the rest.\n");
}

void help_print(enum verb verb)
{
    if (!verb) {
        help_command();
        return;
    }
    const struct verb_text *text = verb_text(verb);
    struct text head = {0};
    text_format(&head, "orbit %s: %s\n\nusage: orbit %s [FLAGS] %s\n", text->name, text->summary, text->name,
                text->arguments);
    if (text->alias)
        text_format(&head, "'%s' is another name of '%s'.\n", text->alias, text->name);
    if (*text->details)
        text_format(&head, "\n%s\n", text->details);
    output_string(head.bytes);
    text_release(&head);
    flags_of("\nflags:\n", VERB_BIT(verb), false, false);
    flags_of("\nflags of objects:\n", VERB_BIT(verb), false, true);
    output_string("\n'orbit --help' tells the flags that every verb takes: endpoint, region, JSON, log, memory.\n");
}
