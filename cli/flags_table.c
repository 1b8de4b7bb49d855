/* SPDX-License-Identifier: Apache-2.0
 * The verbs and flags as data: what the parser accepts and what the help says come from here. */
#include <string.h>

#include "flags.h"

#define LS       (VERB_BIT(VERB_LS) | VERB_BIT(VERB_VERSIONS))
#define DU       VERB_BIT(VERB_DU)
#define STAT     VERB_BIT(VERB_STAT)
#define CAT      VERB_BIT(VERB_CAT)
#define PUT      VERB_BIT(VERB_PUT)
#define CP       VERB_BIT(VERB_CP)
#define MV       VERB_BIT(VERB_MV)
#define RM       VERB_BIT(VERB_RM)
#define MKDIR    VERB_BIT(VERB_MKDIR)
#define RB       VERB_BIT(VERB_RB)
#define UPLOADS  VERB_BIT(VERB_UPLOADS)
#define PRESIGN  VERB_BIT(VERB_PRESIGN)
#define VERSIONS VERB_BIT(VERB_VERSIONS)
#define TRANSFER (PUT | CP | MV)
#define SOURCES  (LS | DU | STAT | CAT | PUT | CP | MV | RM)
#define ALL      UINT32_MAX

#define AT(member) offsetof(struct options, member)

static const struct flag flags[] = {
    {"recursive", 'r', FLAG_BOOL, LS | CP | MV | RM | UPLOADS, AT(recursive), 0,
     "whole trees (cp and mv take them anyway, rm does not)"},
    {"no-clobber", 'n', FLAG_BOOL, TRANSFER, AT(no_clobber), 0, "keep what stands at the target"},
    {"if-size-differ", 's', FLAG_BOOL, CP | MV, AT(if_size_differ), 0, "only where the sizes differ"},
    {"if-source-newer", 'u', FLAG_BOOL, CP | MV, AT(if_source_newer), 0, "only where the source is newer"},
    {"preserve", 'p', FLAG_BOOL, CP | MV | PUT, AT(preserve), 0, "keep mode, times, owner and user metadata"},
    {"parents", 'p', FLAG_BOOL, MKDIR, AT(parents), 0, "make missing parents; an existing directory is fine"},
    {"follow-symlinks", 0, FLAG_BOOL, CP, AT(copy_links), 0, NULL},
    {"copy-links", 'L', FLAG_BOOL, CP, AT(copy_links), 0, "copy what symbolic links point to"},
    {"include", 0, FLAG_PATTERN, CP | MV | RM | DU, AT(include), "PATTERN", "of a tree only these names"},
    {"exclude", 0, FLAG_PATTERN, CP | MV | RM | DU, AT(exclude), "PATTERN", "of a tree not these names; wins"},
    {"files-from", 0, FLAG_TEXT, CP | MV | RM, AT(files_from), "FILE",
     "what this file names, a line each, below the one source ('-': standard input)"},
    {"files-from0", 0, FLAG_TEXT, CP | MV | RM, AT(files_from0), "FILE", "the same, each name ended by a NUL"},
    {"raw", 0, FLAG_BOOL, SOURCES, AT(raw), 0, "take * ? [ ] in a source as they are"},
    {"dry-run", 0, FLAG_BOOL, TRANSFER | RM | RB | UPLOADS, AT(dry_run), 0, "say what would be done, do nothing"},
    {"dryrun", 0, FLAG_BOOL, TRANSFER | RM | RB | UPLOADS, AT(dry_run), 0, NULL},
    {"continue", 0, FLAG_BOOL, CP | MV, AT(go_on), 0, "go on with parts that other programs left at local targets"},
    {"no-resume", 0, FLAG_BOOL, CP | MV, AT(no_resume), 0, "fetch from the beginning, keep nothing when interrupted"},
    {"fsync", 0, FLAG_BOOL, TRANSFER, AT(fsync), 0, "force local targets to the disk"},
    {"concurrency", 'c', FLAG_NUMBER, TRANSFER | CAT | UPLOADS, AT(concurrency), "N", "parts in flight of one object"},
    {"part-size", 0, FLAG_MEBIBYTES, TRANSFER | CAT, AT(part_bytes), "SIZE", "bytes a part (a bare number: MiB)"},
    {"numworkers", 0, FLAG_NUMBER, CP | MV | RM, AT(workers), "N", "objects in flight (16)"},
    {"no-hedge", 0, FLAG_BOOL, CP | MV | CAT, AT(no_hedge), 0,
     "do not ask again for parts that lag far behind the others"},
    {"range", 0, FLAG_TEXT, CAT, AT(range), "A-B", "bytes A to B, counted from 0; A- to the end, -N the last N"},
    {"verify", 0, FLAG_TEXT, CAT | CP | MV, AT(verify), "HOW",
     "default, full or off: comparing stored checksums, all of them with full"},
    {"version-id", 0, FLAG_TEXT, STAT | CAT | CP | RM | PRESIGN | VERB_BIT(VERB_TAG), AT(version_id), "ID",
     "this version of the object"},
    {"null", '0', FLAG_BOOL, LS, AT(null), 0, "names only, each ended by a NUL: for xargs -0"},
    {"show-fullpath", 0, FLAG_BOOL, LS, AT(show_fullpath), 0, "whole locations only, one a line"},
    {"list-workers", 0, FLAG_NUMBER, LS | DU | CP | MV | RM | RB, AT(list_workers), "N",
     "pages of a listing in flight (as many as help; 1: in turn)"},
    {"page-size", 0, FLAG_TEXT, LS | DU | CP | MV | RM | RB, AT(page_size), "N",
     "entries a page of a listing of objects, 1 to 1000 (1000)"},
    {"unordered", 0, FLAG_BOOL, LS, AT(unordered), 0, "as entries come: sooner where many pages are in flight"},
    {"etag", 'e', FLAG_BOOL, LS, AT(etag), 0, "a column of ETags"},
    {"summarize", 0, FLAG_BOOL, LS, AT(summarize), 0,
     "at the end how many objects were listed, and the sum of their sizes"},
    {"group", 'g', FLAG_BOOL, DU, AT(group), 0, "a line for each storage class"},
    {"human-readable", 0, FLAG_BOOL, LS | DU | STAT, AT(humanize), 0, NULL},
    {"humanize", 'H', FLAG_BOOL, LS | DU | STAT, AT(humanize), 0, "sizes such as 1.2M"},
    {"name", 0, FLAG_PATTERN, LS, AT(names), "PATTERN", "only these names; may be repeated"},
    {"larger", 0, FLAG_LIMIT, LS, AT(larger), "SIZE", "only files of more than this size"},
    {"smaller", 0, FLAG_LIMIT, LS, AT(smaller), "SIZE", "only files of less than this size"},
    {"newer", 0, FLAG_MOMENT, LS, AT(newer), "TIME", "only files changed after: an age (90m, 12h, 7d) or a date (UTC)"},
    {"older-than", 0, FLAG_MOMENT, UPLOADS, AT(older), "TIME", "only what was begun before that: an age such as 7d"},
    {"older", 0, FLAG_MOMENT, LS, AT(older), "TIME", "only files changed before that"},
    {"all-versions", 0, FLAG_BOOL, VERB_BIT(VERB_LS) | DU | RM, AT(all_versions), 0,
     "every version of each object, as 'versions' lists them"},
    {"sort", 0, FLAG_TEXT, LS, AT(sort), "BY", "name, size (largest first) or time (newest first)"},
    {"checksum", 0, FLAG_BOOL, STAT, AT(checksum), 0, "the checksums that the store keeps, of the parts, too"},
    {"status", 0, FLAG_BOOL, VERSIONS, AT(status), 0, "whether the bucket keeps versions: enabled, suspended or off"},
    {"set-status", 0, FLAG_TEXT, VERSIONS, AT(set_status), "STATUS", "enabled or suspended, from now on"},

    {"force", 0, FLAG_BOOL, RB, AT(force), 0, "remove all objects first; their older versions stay, and so the bucket"},

    {"write", 0, FLAG_BOOL, VERB_BIT(VERB_DOCTOR), AT(probe_write), 0,
     "also write, read and remove a tiny object of a random name"},
    {"throughput", 0, FLAG_SIZE, VERB_BIT(VERB_DOCTOR), AT(throughput_bytes), "SIZE",
     "also measure: SIZE there and back with --write, else of what is there"},

    {"method", 0, FLAG_TEXT, PRESIGN, AT(method), "METHOD", "what the URL is for: GET (default), HEAD, PUT or DELETE"},
    {"expires", 0, FLAG_TEXT, PRESIGN, AT(expires_in), "TIME", "how long it is valid: 90m, 12h, 7d, seconds (1h)"},
    {"expires-in", 0, FLAG_TEXT, PRESIGN, AT(expires_in), "TIME", NULL},
    {"content-type", 0, FLAG_TEXT, PRESIGN, AT(content_type), "TYPE", "what a GET is answered with"},
    {"content-disposition", 0, FLAG_TEXT, PRESIGN, AT(content_disposition), "TEXT", "what a GET is answered with"},
    {"metadata", 0, FLAG_PAIR, TRANSFER, AT(metadata), "NAME=VALUE", "user metadata; may be repeated"},
    {"metadata-directive", 0, FLAG_TEXT, CP | MV, AT(metadata_directive), "HOW",
     "COPY or REPLACE: the source's metadata between object stores"},
    {"content-type", 0, FLAG_TEXT, TRANSFER, AT(content_type), "TYPE", "default: by the name's extension"},
    {"content-encoding", 0, FLAG_TEXT, TRANSFER, AT(content_encoding), "TEXT", "a header kept with the object"},
    {"content-disposition", 0, FLAG_TEXT, TRANSFER, AT(content_disposition), "TEXT", "a header kept with the object"},
    {"content-language", 0, FLAG_TEXT, TRANSFER, AT(content_language), "TEXT", "a header kept with the object"},
    {"cache-control", 0, FLAG_TEXT, TRANSFER, AT(cache_control), "TEXT", "a header kept with the object"},
    {"expires", 0, FLAG_TEXT, TRANSFER, AT(expires), "DATE", "an HTTP date kept with the object"},
    {"no-guess-mime-type", 0, FLAG_BOOL, TRANSFER, AT(no_guess_content_type), 0,
     "no content type by the name's extension"},
    {"storage-class", 0, FLAG_TEXT, TRANSFER, AT(storage_class), "CLASS", "such as STANDARD_IA"},
    {"acl", 0, FLAG_TEXT, TRANSFER, AT(acl), "ACL", "a canned ACL, such as private"},
    {"tagging", 0, FLAG_TEXT, TRANSFER | VERB_BIT(VERB_TAG), AT(tagging), "TAGS", "k=v&k2=v2, URL-encoded"},
    {"sse", 0, FLAG_TEXT, TRANSFER, AT(sse), "HOW", "AES256, aws:kms or aws:kms:dsse"},
    {"sse-kms-key-id", 0, FLAG_TEXT, TRANSFER, AT(sse_kms_key_id), "KEY", "the key of aws:kms"},
    {"sse-kms-context", 0, FLAG_TEXT, TRANSFER, AT(sse_kms_context), "TEXT", "JSON in base64, of aws:kms"},
    {"bucket-key-enabled", 0, FLAG_BOOL, TRANSFER, AT(sse_bucket_key), 0, "aws:kms by a key of the bucket"},
    {"sse-c-key-file", 0, FLAG_TEXT, TRANSFER | CAT | STAT, AT(sse_c_key_file), "FILE",
     "a key of your own: 32 bytes, raw or in base64"},
    {"source-sse-c-key-file", 0, FLAG_TEXT, CP | MV, AT(source_sse_c_key_file), "FILE",
     "the source's key, where both sides are objects"},
    {"checksum-algorithm", 0, FLAG_TEXT, TRANSFER, AT(checksum_algorithm), "NAME",
     "CRC64NVME, CRC32C, CRC32, SHA256, SHA1, MD5"},
    {"object-lock-mode", 0, FLAG_TEXT, TRANSFER, AT(object_lock_mode), "MODE", "GOVERNANCE or COMPLIANCE"},
    {"object-lock-retain-until-date", 0, FLAG_TEXT, TRANSFER, AT(object_lock_until), "TIME",
     "such as 2030-01-31T00:00:00Z"},
    {"object-lock-legal-hold", 0, FLAG_TEXT, TRANSFER, AT(object_lock_legal_hold), "HOW", "ON or OFF"},
    {"expected-bucket-owner", 0, FLAG_TEXT, SOURCES, AT(expected_bucket_owner), "ID",
     "fail where the bucket is another account's"},
    {"request-payer", 0, FLAG_WORD, SOURCES | PRESIGN | UPLOADS | VERB_BIT(VERB_TAG), AT(request_payer), "requester",
     "the requester pays"},
    {"use-list-objects-v1", 0, FLAG_BOOL, SOURCES, AT(list_v1), 0, "for stores without ListObjectsV2"},

    {"json", 0, FLAG_BOOL, ALL, AT(json), 0, "one JSON object a line"},
    {"only-show-errors", 0, FLAG_BOOL, ALL, AT(quiet), 0, NULL},
    {"quiet", 'q', FLAG_BOOL, ALL, AT(quiet), 0, "no lines of what went well, no progress"},
    {"progress", 'P', FLAG_BOOL, ALL, AT(progress), 0, "show progress at once (on a terminal it comes after a second)"},
    {"no-progress", 0, FLAG_BOOL, ALL, AT(no_progress), 0, "no progress, lines of what went well all the same"},
    {"stat", 0, FLAG_BOOL, ALL, AT(statistics), 0, "a summary at the end"},
    {"memory", 0, FLAG_SIZE, ALL, AT(memory_bytes), "SIZE", "memory for all buffers (128M)"},
    {"log", 0, FLAG_TEXT, ALL, AT(log), "LEVEL", "error, warn, info, debug or trace (warn)"},
    {"log-file", 0, FLAG_TEXT, ALL, AT(log_file), "FILE", "append the log to this file"},
    {"retry-count", 0, FLAG_NUMBER, ALL, AT(retry_count), "N", "tries after the first (9)"},
    {"endpoint-url", 0, FLAG_TEXT, ALL, AT(endpoint_url[SIDE_BOTH]), "URL", "the S3 endpoint"},
    {"source-endpoint-url", 0, FLAG_TEXT, ALL, AT(endpoint_url[SIDE_SOURCE]), "URL", "the same for one side"},
    {"destination-endpoint-url", 0, FLAG_TEXT, ALL, AT(endpoint_url[SIDE_DESTINATION]), "URL", NULL},
    {"region", 0, FLAG_TEXT, ALL, AT(region[SIDE_BOTH]), "REGION", "the S3 region"},
    {"source-region", 0, FLAG_TEXT, ALL, AT(region[SIDE_SOURCE]), "REGION", "the same for one side"},
    {"destination-region", 0, FLAG_TEXT, ALL, AT(region[SIDE_DESTINATION]), "REGION", NULL},
    {"addressing-style", 0, FLAG_TEXT, ALL, AT(addressing_style), "STYLE", "path, virtual or auto"},
    {"no-sign-request", 0, FLAG_BOOL, ALL, AT(no_sign_request), 0, "send no credentials"},
    {"no-verify-ssl", 0, FLAG_BOOL, ALL, AT(no_verify_ssl), 0, "accept any certificate: for tests only"},
    {"ca-bundle", 0, FLAG_TEXT, ALL, AT(ca_bundle), "FILE", "trusted certificates, PEM"},
    {"profile", 0, FLAG_TEXT, ALL, AT(profile[SIDE_BOTH]), "NAME", "a profile of ~/.aws/config and credentials"},
    {"source-profile", 0, FLAG_TEXT, ALL, AT(profile[SIDE_SOURCE]), "NAME", "the same for one side"},
    {"destination-profile", 0, FLAG_TEXT, ALL, AT(profile[SIDE_DESTINATION]), "NAME", NULL},
    {"option", 'o', FLAG_PAIR, ALL, AT(settings[SIDE_BOTH]), "NAME=VALUE", "any setting of the store"},
    {"source-o", 0, FLAG_PAIR, ALL, AT(settings[SIDE_SOURCE]), "NAME=VALUE", "the same for one side"},
    {"destination-o", 0, FLAG_PAIR, ALL, AT(settings[SIDE_DESTINATION]), "NAME=VALUE", NULL},
    {"help", 'h', FLAG_BOOL, ALL, AT(help), 0, "this help"},
    {"version", 0, FLAG_BOOL, ALL, AT(version), 0, "the version"},
};

const struct flag *flag_table(size_t *count)
{
    *count = sizeof flags / sizeof flags[0];
    return flags;
}

enum { MANY = 1 << 20 };

static const struct verb_text verbs[] = {
    {VERB_NONE, "", NULL, "", "", "", 0, 0},
    {VERB_LS, "ls", NULL, "[LOCATION…]", "list a directory, a bucket, a prefix or a pattern",
     "Without a location: the current directory. Times are UTC. With -r: all files below, no directories.", 0, MANY},
    {VERB_DU, "du", NULL, "[LOCATION…]", "count objects and add up their sizes",
     "A line for each location, of all that is below it or that a pattern matches: bytes, objects, location. Without "
     "a\n"
     "location: the current directory.",
     0, MANY},
    {VERB_STAT, "stat", "head", "LOCATION…", "show what is known of a file or object", "", 1, MANY},
    {VERB_CAT, "cat", NULL, "LOCATION…", "write files or objects to standard output, in order", "", 1, MANY},
    {VERB_PUT, "put", "pipe", "[SOURCE|-] TARGET", "write a local file or standard input to a target",
     "One argument: standard input goes there. The target appears only when all of it has arrived.", 1, 2},
    {VERB_CP, "cp", NULL, "SOURCE… TARGET", "copy files, objects and trees",
     "A directory means what is in it. A target that ends in '/' or is a local directory takes the source's name;\n"
     "so it does for several sources. '-' is standard input or output.",
     2, MANY},
    {VERB_MV, "mv", NULL, "SOURCE… TARGET", "move files, objects and trees",
     "Renames where it can; otherwise the source goes when the target is complete and on the disk.", 2, MANY},
    {VERB_RM, "rm", NULL, "LOCATION…", "remove files and objects; with -r trees", "", 1, MANY},
    {VERB_MKDIR, "mkdir", NULL, "LOCATION…", "make directories", "", 1, MANY},
    {VERB_RMDIR, "rmdir", NULL, "LOCATION…", "remove empty directories", "", 1, MANY},
    {VERB_MB, "mb", NULL, "s3://BUCKET…", "make buckets", "", 1, MANY},
    {VERB_RB, "rb", NULL, "s3://BUCKET…", "remove empty buckets; with --force all that is in them first", "", 1, MANY},
    {VERB_UPLOADS, "uploads", NULL, "ls|resume|abort [s3://BUCKET[/PREFIX] | sftp://HOST/DIRECTORY]",
     "list, continue or abort unfinished uploads",
     "ls: what is open in a bucket, marking what this machine has a journal of; without a bucket: the journals.\n"
     "resume: goes on with the uploads of this machine whose sources are still the same. abort: drops what was sent,\n"
     "of all uploads to keys that begin with the prefix; those under way elsewhere fail, so mind --older-than.\n"
     "On a host: those of one directory, with -r of the tree below it.",
     1, 2},
    {VERB_PRESIGN, "presign", NULL, "s3://BUCKET/KEY…", "make URLs that work without keys for a while",
     "Whoever has the URL may do the one thing it is for, until it expires. Nothing is sent to the store.", 1, MANY},
    {VERB_VERSIONS, "versions", NULL, "LOCATION…", "list every version of objects, and when they were removed",
     "Of a bucket or a prefix that ends in '/', or of one object; the latest first. A version's id goes with\n"
     "--version-id of cat, stat, cp and rm. Locations are taken as they are, patterns too. --status s3://BUCKET\n"
     "tells whether the bucket keeps versions, --set-status changes it; enabled once, it can only be suspended.",
     1, MANY},
    {VERB_TAG, "tag", NULL, "s3://BUCKET/KEY…", "show or set the tags of objects",
     "Shows them as k=v&k2=v2, URL-encoded, '-' for none. --tagging sets all of them, --tagging '' removes them.", 1,
     MANY},
    {VERB_DOCTOR, "doctor", NULL, "LOCATION…", "look at what is between this machine and a store",
     "Names, connections, certificates, keys, clock, region, and what may be done: a line each, 'ok', 'warn' or\n"
     "'fail', with what to do about it. Nothing is changed without --write, and what that writes is removed again.",
     1, MANY},
    {VERB_VERSION, "version", NULL, "", "print the version", "", 0, 0},
    {VERB_HELP, "help", NULL, "[VERB]", "explain the command or a verb", "", 0, 1},
};

const struct verb_text *verb_text(enum verb verb)
{
    return &verbs[verb < VERB_COUNT ? verb : VERB_NONE];
}

enum verb verb_find(const char *name)
{
    for (size_t i = 1; i < sizeof verbs / sizeof verbs[0]; i++)
        if (strcmp(name, verbs[i].name) == 0 || (verbs[i].alias && strcmp(name, verbs[i].alias) == 0))
            return verbs[i].verb;
    return VERB_NONE;
}

const char *verb_nearest(const char *name)
{
    const char *best = NULL;
    size_t least = 3;
    for (size_t i = 1; i < sizeof verbs / sizeof verbs[0]; i++) {
        const char *words[] = {verbs[i].name, verbs[i].alias};
        for (size_t w = 0; w < 2; w++) {
            size_t distance = words[w] ? word_distance(name, words[w]) : least;
            if (distance < least && distance < strlen(words[w])) {
                least = distance;
                best = words[w];
            }
        }
    }
    return best;
}
