/* SPDX-License-Identifier: Apache-2.0
 * The command line taken apart: which verb, which flags, which arguments. One table (flags_table.c) knows
 * every flag, its value, the verbs that take it and its help. Main thread. */
#ifndef CLI_FLAGS_H
#define CLI_FLAGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <orbit/metadata.h>

enum verb {
    VERB_NONE = 0,
    VERB_LS,
    VERB_DU,
    VERB_STAT,
    VERB_CAT,
    VERB_PUT,
    VERB_CP,
    VERB_MV,
    VERB_RM,
    VERB_MKDIR,
    VERB_RMDIR,
    VERB_MB,
    VERB_RB,
    VERB_UPLOADS,
    VERB_PRESIGN,
    VERB_VERSIONS,
    VERB_TAG,
    VERB_DOCTOR,
    VERB_VERSION,
    VERB_HELP,
    VERB_COUNT
};

#define VERB_BIT(verb) (1u << (verb))

enum { PAIRS_MAX = 64 };

/* Pairs in the order given; the strings belong to the options. */
struct pairs {
    orbit_pair pair[PAIRS_MAX];
    size_t count;
};

struct patterns {
    const char *pattern[PAIRS_MAX];
    size_t count;
};

/* A number that may be 0 and still have been given. */
struct limit {
    bool given;
    uint64_t bytes;
};
struct moment {
    bool given;
    int64_t time_ns; /* since 1970, UTC */
};

enum side { SIDE_BOTH = 0, SIDE_SOURCE, SIDE_DESTINATION, SIDE_COUNT };

struct options {
    enum verb verb;
    char **arguments; /* borrowed from argv */
    size_t argument_count;

    /* everywhere */
    bool help, version, json, quiet, progress, no_progress, statistics;
    bool no_sign_request, no_verify_ssl;
    const char *log, *log_file, *ca_bundle, *addressing_style, *profile[SIDE_COUNT];
    const char *endpoint_url[SIDE_COUNT], *region[SIDE_COUNT];
    const char *memory_text;
    uint64_t memory_bytes;
    uint64_t retry_count; /* UINT64_MAX: not given */
    struct pairs settings[SIDE_COUNT];

    /* sources and targets */
    bool recursive, raw, no_clobber, if_size_differ, if_source_newer, preserve, copy_links, dry_run, fsync, parents,
        no_hedge, no_resume, go_on, force;
    struct patterns include, exclude;
    const char *files_from, *files_from0;
    const char *version_id, *range, *verify;
    uint64_t part_bytes, concurrency, workers;

    /* ls */
    bool null, show_fullpath, etag, humanize, unordered, all_versions, status, checksum, summarize, group;
    uint64_t list_workers;
    const char *sort, *set_status, *page_size;
    struct limit larger, smaller;
    struct moment newer, older;
    struct patterns names;

    /* doctor */
    bool probe_write;
    uint64_t throughput_bytes;

    /* objects */
    const char *storage_class, *acl, *sse, *sse_kms_key_id, *sse_c_key_file, *source_sse_c_key_file, *tagging;
    const char *content_type, *content_encoding, *content_disposition, *content_language, *cache_control, *expires;
    const char *metadata_directive, *checksum_algorithm, *method, *expires_in;
    const char *sse_kms_context, *expected_bucket_owner;
    const char *object_lock_mode, *object_lock_until, *object_lock_legal_hold;
    bool sse_bucket_key, no_guess_content_type;
    bool request_payer, list_v1;
    struct pairs metadata;
};

/* Where the range of cat --range begins, and how many bytes (ORBIT_TO_END: all the rest). `last` counts
 * from the end: "-100" is the last hundred bytes. */
struct byte_range {
    bool given, last;
    uint64_t offset, length;
};

/* Takes argv apart. What is wrong is said on standard error, with the way to the help; false then. */
bool options_parse(struct options *options, int argc, char **argv);
bool options_range(const char *text, struct byte_range *range);
void options_release(struct options *options);

/* One sentence about a wrong command line, and where the help is. Returns the exit code, 2. */
int usage_error(enum verb verb, const char *format, ...) ORBIT_PRINTF(2, 3);

struct verb_text {
    enum verb verb;
    const char *name, *alias, *arguments, *summary, *details;
    size_t least, most; /* arguments */
};
const struct verb_text *verb_text(enum verb verb);
enum verb verb_find(const char *name);
/* The verb nearest to a misspelt one; NULL when none is near. */
const char *verb_nearest(const char *name);

/* The table of flags. */
enum flag_kind {
    FLAG_BOOL,
    FLAG_WORD, /* the same, with or without the one word it takes */
    FLAG_TEXT,
    FLAG_SIZE,
    FLAG_MEBIBYTES,
    FLAG_NUMBER,
    FLAG_PAIR,
    FLAG_PATTERN,
    FLAG_LIMIT,
    FLAG_MOMENT
};
struct flag {
    const char *name; /* without the dashes */
    char letter;
    enum flag_kind kind;
    uint32_t verbs;    /* VERB_BIT()s; UINT32_MAX: everywhere */
    size_t offset;     /* in struct options */
    const char *value; /* its name in the help */
    const char *help;  /* NULL: another spelling, not shown */
};
const struct flag *flag_table(size_t *count);
/* Edit distance of two short words, for "did you mean". */
size_t word_distance(const char *a, const char *b);

void help_print(enum verb verb); /* VERB_NONE: of the command */

#endif
