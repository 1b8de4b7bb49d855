/* SPDX-License-Identifier: Apache-2.0
 * Request headers that follow from a caller's options. Loop thread. */
#include <openssl/crypto.h>
#include <strings.h>

#include "backend/s3/s3.h"
#include "base/str.h"

/* What browsers and tools care about; guessing from the bytes would cost more than a small upload. */
static const struct type {
    const char *extension, *name;
} types[] = {
    {"7z", "application/x-7z-compressed"},
    {"aac", "audio/aac"},
    {"avi", "video/x-msvideo"},
    {"avif", "image/avif"},
    {"avro", "application/avro"},
    {"bin", "application/octet-stream"},
    {"bmp", "image/bmp"},
    {"bz2", "application/x-bzip2"},
    {"css", "text/css"},
    {"csv", "text/csv"},
    {"doc", "application/msword"},
    {"docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"},
    {"epub", "application/epub+zip"},
    {"flac", "audio/flac"},
    {"gif", "image/gif"},
    {"gz", "application/gzip"},
    {"heic", "image/heic"},
    {"htm", "text/html"},
    {"html", "text/html"},
    {"ico", "image/vnd.microsoft.icon"},
    {"jar", "application/java-archive"},
    {"jpeg", "image/jpeg"},
    {"jpg", "image/jpeg"},
    {"js", "text/javascript"},
    {"json", "application/json"},
    {"jsonl", "application/jsonl"},
    {"log", "text/plain"},
    {"m4a", "audio/mp4"},
    {"md", "text/markdown"},
    {"mjs", "text/javascript"},
    {"mkv", "video/x-matroska"},
    {"mov", "video/quicktime"},
    {"mp3", "audio/mpeg"},
    {"mp4", "video/mp4"},
    {"mpeg", "video/mpeg"},
    {"odt", "application/vnd.oasis.opendocument.text"},
    {"ogg", "audio/ogg"},
    {"otf", "font/otf"},
    {"parquet", "application/vnd.apache.parquet"},
    {"pdf", "application/pdf"},
    {"png", "image/png"},
    {"ppt", "application/vnd.ms-powerpoint"},
    {"pptx", "application/vnd.openxmlformats-officedocument.presentationml.presentation"},
    {"rar", "application/vnd.rar"},
    {"rtf", "application/rtf"},
    {"sh", "application/x-sh"},
    {"svg", "image/svg+xml"},
    {"tar", "application/x-tar"},
    {"tgz", "application/gzip"},
    {"tif", "image/tiff"},
    {"tiff", "image/tiff"},
    {"tsv", "text/tab-separated-values"},
    {"ttf", "font/ttf"},
    {"txt", "text/plain"},
    {"wasm", "application/wasm"},
    {"wav", "audio/wav"},
    {"webm", "video/webm"},
    {"webp", "image/webp"},
    {"woff", "font/woff"},
    {"woff2", "font/woff2"},
    {"xls", "application/vnd.ms-excel"},
    {"xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"},
    {"xml", "application/xml"},
    {"xz", "application/x-xz"},
    {"yaml", "application/yaml"},
    {"yml", "application/yaml"},
    {"zip", "application/zip"},
    {"zst", "application/zstd"},
};

static int compare_extension(const void *extension, const void *row)
{
    return strcasecmp(extension, ((const struct type *)row)->extension);
}

const char *orb_s3_content_type(const char *path)
{
    const char *base = orb_path_base(path), *dot = strrchr(base, '.');
    if (dot && dot != base) {
        const struct type *type =
            bsearch(dot + 1, types, sizeof types / sizeof *types, sizeof *types, compare_extension);
        if (type)
            return type->name;
    }
    return "application/octet-stream";
}

void orb_s3_customer_key_headers(struct orb_s3_op *op, const uint8_t *key, bool copy_source)
{
    char text[48], name[80];
    uint8_t md5[16];
    if (!key)
        return;
    const char *before =
        copy_source ? "x-amz-copy-source-server-side-encryption-customer" : "x-amz-server-side-encryption-customer";
    (void)snprintf(name, sizeof name, "%s-algorithm", before);
    orb_s3_header(op, name, "AES256");
    (void)snprintf(name, sizeof name, "%s-key", before);
    orb_s3_base64(key, 32, text);
    orb_s3_header(op, name, text);
    OPENSSL_cleanse(text, sizeof text);
    (void)snprintf(name, sizeof name, "%s-key-md5", before);
    if (!orb_s3_md5(key, 32, md5)) {
        op->http.headers.failed = true;
        return;
    }
    orb_s3_base64(md5, sizeof md5, text);
    orb_s3_header(op, name, text);
}

void orb_s3_account_headers(struct orb_s3_op *op, const orbit_write_options *options)
{
    const char *owner =
        options && options->expected_bucket_owner ? options->expected_bucket_owner : op->s3->expected_bucket_owner;
    if (op->s3->request_payer || (options && options->request_payer))
        orb_s3_header(op, "x-amz-request-payer", "requester");
    orb_s3_header(op, "x-amz-expected-bucket-owner", owner);
}

/* Names on the wire are tokens, in lower case: that is how S3 keeps them, and what is signed. */
static void user_header(struct orb_s3_op *op, const orbit_pair *pair)
{
    char name[256] = "x-amz-meta-";
    size_t at = strlen(name);
    for (const char *c = pair->name; *c; c++) {
        char lower = (char)(*c >= 'A' && *c <= 'Z' ? *c + 32 : *c);
        bool token =
            (lower >= 'a' && lower <= 'z') || (lower >= '0' && lower <= '9') || strchr("!#$%&'*+-.^_`|~", lower);
        if (!token || at + 1 >= sizeof name) {
            op->bad_header = true;
            return;
        }
        name[at++] = lower;
    }
    name[at] = '\0';
    orb_s3_header(op, name, pair->value ? pair->value : "");
}

static const char *first(const char *a, const char *b)
{
    return a ? a : b;
}

void orb_s3_storage_headers(struct orb_s3_op *op, const orbit_write_options *options)
{
    orb_s3_header(op, "x-amz-storage-class", options->storage_class);
    orb_s3_header(op, "x-amz-acl", options->acl);
    orb_s3_header(op, "x-amz-tagging", options->tagging);
    orb_s3_header(op, "x-amz-server-side-encryption", options->sse);
    orb_s3_header(op, "x-amz-server-side-encryption-aws-kms-key-id", options->sse_kms_key_id);
    orb_s3_header(op, "x-amz-server-side-encryption-context", options->sse_kms_context);
    if (options->sse_bucket_key)
        orb_s3_header(op, "x-amz-server-side-encryption-bucket-key-enabled", "true");
    orb_s3_header(op, "x-amz-object-lock-mode", options->object_lock_mode);
    orb_s3_header(op, "x-amz-object-lock-retain-until-date", options->object_lock_until);
    orb_s3_header(op, "x-amz-object-lock-legal-hold", options->object_lock_legal_hold);
    orb_s3_customer_key_headers(op, options->sse_customer_key, false);
    orb_s3_account_headers(op, options);
}

bool orb_s3_locks(const orbit_write_options *options)
{
    return options->object_lock_mode || options->object_lock_until || options->object_lock_legal_hold;
}

static bool one_of(const char *word, const char *a, const char *b)
{
    return !word || strcmp(word, a) == 0 || strcmp(word, b) == 0;
}

orbit_status orb_s3_lock_check(const orbit_write_options *options, orbit_error *error)
{
    int64_t until;
    if (!one_of(options->object_lock_mode, "GOVERNANCE", "COMPLIANCE"))
        return orb_fail(error, ORBIT_E_CONFIG, 0, "the object lock's mode is GOVERNANCE or COMPLIANCE, not '%.60s'",
                        options->object_lock_mode);
    if (!one_of(options->object_lock_legal_hold, "ON", "OFF"))
        return orb_fail(error, ORBIT_E_CONFIG, 0, "the object lock's legal hold is ON or OFF, not '%.60s'",
                        options->object_lock_legal_hold);
    if (!options->object_lock_mode != !options->object_lock_until)
        return orb_fail(error, ORBIT_E_CONFIG, 0, "an object lock needs both its mode and the time it ends");
    if (options->object_lock_until && !orb_parse_time(options->object_lock_until, &until))
        return orb_fail(error, ORBIT_E_CONFIG, 0,
                        "the object lock ends at a time such as 2030-01-31T00:00:00Z, not at '%.60s'",
                        options->object_lock_until);
    return ORBIT_OK;
}

void orb_s3_write_headers(struct orb_s3_op *op, const char *path, const orbit_write_options *options,
                          const orbit_metadata *preserve)
{
    static const orbit_metadata none;
    const orbit_metadata *from = preserve ? preserve : &none;
    const char *type = first(options->content_type, from->content_type);
    if (!type)
        type = orb_s3_content_type(options->no_guess_content_type ? "" : path);
    orb_s3_header(op, "content-type", type);
    orb_s3_header(op, "content-encoding", first(options->content_encoding, from->content_encoding));
    orb_s3_header(op, "content-disposition", first(options->content_disposition, from->content_disposition));
    orb_s3_header(op, "content-language", first(options->content_language, from->content_language));
    orb_s3_header(op, "cache-control", first(options->cache_control, from->cache_control));
    orb_s3_header(op, "expires", first(options->expires, from->expires));
    if (options->metadata_count || !preserve) {
        for (size_t i = 0; i < options->metadata_count; i++)
            user_header(op, &options->metadata[i]);
    } else {
        for (size_t i = 0; i < from->user_count; i++)
            user_header(op, &from->user[i]);
    }
    orb_s3_storage_headers(op, options);
}
