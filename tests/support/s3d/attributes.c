/* SPDX-License-Identifier: Apache-2.0
 * GetObjectAttributes: sizes, checksums, and the parts of objects that were uploaded with an algorithm. */
#include "s3d.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool asked_for(const struct request *request, const char *name)
{
    const char *asked = header(request, "x-amz-object-attributes");
    size_t length = strlen(name);
    for (const char *at = asked == NULL ? "" : asked; *at != '\0'; at += strspn(at, ", ")) {
        size_t word = strcspn(at, ", ");
        if (word == length && memcmp(at, name, length) == 0)
            return true;
        at += word;
    }
    return false;
}

static int64_t header_number(const struct request *request, const char *name, int64_t otherwise)
{
    const char *value = header(request, name);
    return value == NULL ? otherwise : strtoll(value, NULL, 10);
}

static void add_checksum(struct text *out, const struct object *object)
{
    const char *name = sum_name(object->sum, true);
    text_format(out, "<Checksum><Checksum%s>%.*s</Checksum%s><ChecksumType>%s</ChecksumType></Checksum>", name,
                (int)strcspn(object->sum_text, "-"), object->sum_text, name,
                object->composite ? "COMPOSITE" : "FULL_OBJECT");
}

static void add_parts(struct text *out, const struct request *request, const struct object *object)
{
    int64_t after = header_number(request, "x-amz-part-number-marker", 0);
    int64_t most = header_number(request, "x-amz-max-parts", 1000), given = 0;
    const char *name = sum_name(object->sum, true);
    uint32_t last = 0;
    bool more = false;
    if (most > atomic_load(&settings.page_max))
        most = atomic_load(&settings.page_max);
    text_format(out, "<ObjectParts><PartsCount>%llu</PartsCount><PartNumberMarker>%lld</PartNumberMarker>",
                (unsigned long long)object->part_sum_count, (long long)after);
    for (size_t i = 0; i < object->part_sum_count; i++) {
        const struct part_sum *part = &object->part_sums[i];
        if ((int64_t)part->number <= after)
            continue;
        more = given == most;
        if (more)
            break;
        text_format(out, "<Part><PartNumber>%u</PartNumber><Size>%llu</Size>", part->number,
                    (unsigned long long)part->size);
        if (part->text[0] != '\0')
            text_format(out, "<Checksum%s>%s</Checksum%s>", name, part->text, name);
        text_str(out, "</Part>");
        last = part->number;
        given++;
    }
    text_format(out,
                "<NextPartNumberMarker>%u</NextPartNumberMarker><MaxParts>%lld</MaxParts><IsTruncated>%s</IsTruncated>"
                "</ObjectParts>",
                last, (long long)most, more ? "true" : "false");
}

void object_attributes(struct request *request)
{
    const char *code;
    bool generated;
    if (atomic_load(&settings.attributes) != 1) {
        if (atomic_load(&settings.attributes) == 2)
            reply(request, 500, "application/octet-stream", "bytes", 5);
        else
            reply_error(request, 501, "NotImplemented",
                        "A header you provided implies functionality that is not implemented");
        return;
    }
    struct object *object = store_get(request->bucket, request->key, request->key_length,
                                      query_value(request, "versionId"), &generated, &code);
    if (object == NULL || object->marker) {
        reply_error(request, 404, object == NULL ? code : "NoSuchKey", "there is no such object");
        object_drop(object);
        return;
    }
    if (!customer_key_fits(request, "x-amz-", generated ? NULL : object)) {
        object_drop(object);
        return;
    }
    struct text *out = &request->conn->body;
    text_clear(out);
    text_str(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
                  "<GetObjectAttributesResponse xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">");
    if (asked_for(request, "ETag"))
        text_format(out, "<ETag>%s</ETag>", object->etag);
    if (asked_for(request, "Checksum") && object->sum != 0 && !generated)
        add_checksum(out, object);
    if (asked_for(request, "ObjectParts") && object->part_sum_count > 0)
        add_parts(out, request, object);
    if (asked_for(request, "ObjectSize"))
        text_format(out, "<ObjectSize>%llu</ObjectSize>", (unsigned long long)object->size);
    text_str(out, "</GetObjectAttributesResponse>");
    version_header(request, object);
    reply_xml(request, 200);
    object_drop(object);
}
