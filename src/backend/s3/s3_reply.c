/* SPDX-License-Identifier: Apache-2.0
 * What replies are made of. Headers: metadata of an object, and what else a reply says; the lane's thread, on memory
 * of the operation only. Small XML documents: on the main loop, when all of it is there. */
#include <strings.h>

#include "backend/s3/s3.h"
#include "base/clock.h"
#include "base/str.h"

static void copy_text(char *to, size_t room, const char *from)
{
    size_t length = strnlen(from, room - 1);
    memcpy(to, from, length);
    to[length] = '\0';
}

bool orb_s3_answers(const char *root, const char *documented, const char *operation)
{
    static const char *const endings[] = {"Response", "Result", "Output", "V2Response", "V2Result", "V2Output"};
    size_t length = strlen(operation);
    if (strcmp(root, documented) == 0)
        return true;
    if (strncmp(root, operation, length) != 0)
        return false;
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++)
        if (strcmp(root + length, endings[i]) == 0)
            return true;
    return false;
}

bool orb_s3_says_more(const char *text)
{
    static const char *const words[] = {"", "false", "0"};
    char word[8];
    text += strspn(text, " \t\r\n");
    size_t length = strcspn(text, " \t\r\n");
    if (length >= sizeof word)
        return true;
    memcpy(word, text, length);
    word[length] = '\0';
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strcasecmp(word, words[i]) == 0)
            return false;
    return true;
}

/* The N of an ETag "…-N": an object of N parts. */
static uint32_t etag_parts(const char *etag)
{
    const char *dash = etag ? strrchr(etag, '-') : NULL;
    uint64_t count = 0;
    return dash && dash - etag == 32 && orb_parse_u64(dash + 1, &count) && count <= UINT32_MAX ? (uint32_t)count : 0;
}

/* A store that says nothing of the kind, neither with a word nor with the value's "-N" (moto), has of an object in parts
 * what S3 has made of them before there was a choice; a CRC64NVME never was of parts. */
void orb_s3_note_composite(const struct orb_s3_reply *reply, orbit_metadata *metadata)
{
    orbit_checksum *checksum = &metadata->checksum;
    bool untold = !*reply->checksum_type && etag_parts(metadata->etag) > 0 && checksum->algorithm &&
                  checksum->algorithm != ORBIT_CHECKSUM_CRC64NVME && checksum->algorithm != ORBIT_CHECKSUM_MD5;
    if (untold || strcasecmp(reply->checksum_type, "COMPOSITE") == 0)
        checksum->composite = true;
}

void orb_s3_note_head(const struct orb_s3_reply *reply, orbit_metadata *metadata)
{
    if (reply->has_length) {
        metadata->size = reply->length;
        metadata->fields |= ORBIT_HAS_SIZE;
    }
    orb_s3_note_composite(reply, metadata);
}

/* "bytes 0-9/100", "bytes 0-9" with a star for the total, "bytes" star "/100". */
static void parse_range(struct orb_s3_reply *reply, const char *value)
{
    char text[96], *dash, *slash;
    const char *from = strchr(value, ' ');
    reply->has_range = reply->range_unsatisfied = false; /* of two headers the last counts, as a whole */
    if (!from || strncasecmp(value, "bytes", 5) != 0)
        return;
    copy_text(text, sizeof text, from + 1);
    slash = strchr(text, '/');
    if (!slash)
        return;
    *slash++ = '\0';
    reply->total = UINT64_MAX;
    if (strcmp(slash, "*") != 0 && !orb_parse_u64(slash, &reply->total))
        return;
    if (strcmp(text, "*") == 0) {
        reply->range_unsatisfied = reply->total != UINT64_MAX;
        return;
    }
    dash = strchr(text, '-');
    if (!dash)
        return;
    *dash++ = '\0';
    reply->has_range = orb_parse_u64(text, &reply->range_first) && orb_parse_u64(dash, &reply->range_last) &&
                       reply->range_first <= reply->range_last && reply->range_last < reply->total;
}

static void retry_after(struct orb_s3_reply *reply, const char *value)
{
    uint64_t seconds;
    int64_t when, now = reply->date_ns ? reply->date_ns : orb_realtime_ns();
    if (orb_parse_u64(value, &seconds))
        reply->retry_after_ms = seconds > 3600 ? 3600000 : (uint32_t)seconds * 1000;
    else if (orb_parse_time(value, &when) && when > now)
        reply->retry_after_ms =
            when - now > 3600ll * (int64_t)ORB_S ? 3600000 : (uint32_t)((when - now) / (int64_t)ORB_MS);
}

/* Headers whose value is kept as it is: offset of the string in orbit_metadata. */
static const struct {
    const char *name;
    size_t offset;
} texts[] = {
    {"content-type", offsetof(orbit_metadata, content_type)},
    {"content-encoding", offsetof(orbit_metadata, content_encoding)},
    {"content-disposition", offsetof(orbit_metadata, content_disposition)},
    {"content-language", offsetof(orbit_metadata, content_language)},
    {"cache-control", offsetof(orbit_metadata, cache_control)},
    {"expires", offsetof(orbit_metadata, expires)},
    {"x-amz-version-id", offsetof(orbit_metadata, version_id)},
    {"x-amz-storage-class", offsetof(orbit_metadata, storage_class)},
    {"x-amz-server-side-encryption", offsetof(orbit_metadata, encryption)},
    {"x-amz-object-lock-mode", offsetof(orbit_metadata, object_lock_mode)},
    {"x-amz-object-lock-retain-until-date", offsetof(orbit_metadata, object_lock_until)},
    {"x-amz-object-lock-legal-hold", offsetof(orbit_metadata, object_lock_legal_hold)},
};

/* Of several checksums the one that can be combined and costs least is kept: the algorithms are in that order. */
static void keep_checksum(orbit_metadata *metadata, const char *word, const char *value)
{
    orbit_checksum checksum;
    uint32_t algorithm = orb_s3_checksum_from_word(word);
    if (!algorithm || !orb_s3_checksum_parse(&checksum, algorithm, value))
        return;
    if (!metadata->checksum.algorithm || algorithm < metadata->checksum.algorithm)
        metadata->checksum = checksum;
}

/* False when memory is out. */
static bool keep_metadata(orbit_metadata *metadata, const char *name, const char *value)
{
    uint64_t parts;
    if (strcmp(name, "etag") == 0) {
        size_t length = strlen(value);
        bool is_etag = orb_s3_bare_etag(&value, &length);
        metadata->etag = is_etag ? orbit_metadata_keep(metadata, value, length) : NULL;
        if (is_etag && !metadata->etag)
            return false;
        if (!metadata->part_count)
            metadata->part_count = etag_parts(metadata->etag);
    } else if (strcmp(name, "last-modified") == 0) {
        if (orb_parse_time(value, &metadata->mtime_ns))
            metadata->fields |= ORBIT_HAS_MTIME;
    } else if (strcmp(name, "x-amz-mp-parts-count") == 0) {
        if (orb_parse_u64(value, &parts) && parts <= UINT32_MAX)
            metadata->part_count = (uint32_t)parts;
    } else if (orb_str_prefix(name, "x-amz-meta-")) {
        return orbit_metadata_add_user(metadata, name + strlen("x-amz-meta-"), value) >= 0;
    } else if (orb_str_prefix(name, "x-amz-checksum-")) {
        keep_checksum(metadata, name + strlen("x-amz-checksum-"), value);
    } else {
        for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
            if (strcmp(name, texts[i].name) == 0) {
                const char *kept = orbit_metadata_keep(metadata, value, strlen(value));
                *(const char **)(void *)((char *)metadata + texts[i].offset) = kept;
                return kept != NULL;
            }
    }
    return true;
}

/* More than metadata has room for is not a lack of memory. */
static void no_room(struct orb_s3_reply *reply)
{
    reply->too_much_metadata |= reply->metadata_bytes > ORB_S3_METADATA_MAX / 2;
    reply->no_memory |= !reply->too_much_metadata;
}

void orb_s3_on_header(struct orb_http_request *request, const char *name, const char *value)
{
    struct orb_s3_op *op = (struct orb_s3_op *)request;
    struct orb_s3_reply *reply = &op->reply;
    if (strcmp(name, "etag") == 0) {
        reply->has_etag = true;
        orb_s3_note_etag(op->s3, value);
    }
    if (strcmp(name, "content-length") == 0) {
        reply->has_length = orb_parse_u64(value, &reply->length) && reply->length <= INT64_MAX;
    } else if (strcmp(name, "transfer-encoding") == 0) {
        reply->chunked = strcasecmp(value, "chunked") == 0;
    } else if (strcmp(name, "content-range") == 0) {
        parse_range(reply, value);
    } else if (strcmp(name, "date") == 0) {
        if (!orb_parse_time(value, &reply->date_ns))
            reply->date_ns = 0;
    } else if (strcmp(name, "x-amz-request-id") == 0) {
        copy_text(reply->request_id, sizeof reply->request_id, value);
    } else if (strcmp(name, "x-amz-bucket-region") == 0) {
        copy_text(reply->region, sizeof reply->region, value);
    } else if (strcmp(name, "retry-after") == 0) {
        retry_after(reply, value);
    } else if (strcmp(name, "x-amz-delete-marker") == 0) {
        reply->delete_marker = strcasecmp(value, "true") == 0;
    } else if (strcmp(name, "x-amz-checksum-type") == 0) {
        copy_text(reply->checksum_type, sizeof reply->checksum_type, value);
    } else if (op->metadata && request->http_status < 300) {
        reply->metadata_bytes += strlen(name) + strlen(value) + 2 * sizeof(orbit_pair);
        if (!keep_metadata(op->metadata, name, value))
            no_room(reply);
    }
}

orbit_status orb_s3_parse(struct orb_s3_op *op, const struct orb_xml_events *events, void *ctx, orbit_error *error)
{
    return orb_xml_read(&op->http.memory, events, ctx, error);
}

orbit_status orb_s3_parse_beside_key(struct orb_s3_op *op, const struct orb_xml_events *events, void *ctx,
                                     orbit_error *error)
{
    if (op->http.memory.length && !orb_xml_can_carry(op->path ? op->path : ""))
        orb_xml_blot(op->http.memory.bytes);
    return orb_s3_parse(op, events, ctx, error);
}
