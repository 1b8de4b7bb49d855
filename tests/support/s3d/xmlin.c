/* SPDX-License-Identifier: Apache-2.0
 * The two kinds of XML that clients send: the parts of a Complete and the keys of a batch delete. */
#include "s3d.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <expat.h>

struct reading {
    struct text text;
    struct xml_part *parts;
    struct xml_key *keys;
    size_t count, room;
    bool deletes, quiet, broken, root_seen;
    int depth;
    XML_Parser parser;
};

static const char *local(const char *name)
{
    const char *colon = strrchr(name, ':');
    return colon == NULL ? name : colon + 1;
}

static void add_item(struct reading *reading)
{
    if (reading->count >= 10001) {
        reading->broken = true;
        return;
    }
    if (reading->count == reading->room) {
        reading->room = reading->room == 0 ? 64 : reading->room * 2;
        if (reading->deletes)
            reading->keys = need(realloc(reading->keys, reading->room * sizeof(*reading->keys)));
        else
            reading->parts = need(realloc(reading->parts, reading->room * sizeof(*reading->parts)));
    }
    if (reading->deletes)
        reading->keys[reading->count++] = (struct xml_key){NULL, 0, ""};
    else
        memset(&reading->parts[reading->count++], 0, sizeof(*reading->parts));
}

static void on_start(void *ctx, const char *name, const char **attributes)
{
    struct reading *reading = ctx;
    (void)attributes;
    name = local(name);
    text_clear(&reading->text);
    if (reading->depth++ == 0)
        reading->broken |= strcmp(name, reading->deletes ? "Delete" : "CompleteMultipartUpload") != 0;
    else if (reading->depth == 2 && strcmp(name, reading->deletes ? "Object" : "Part") == 0)
        add_item(reading);
}

static void on_text(void *ctx, const char *bytes, int length)
{
    struct reading *reading = ctx;
    if (reading->text.length + (size_t)length < 8192)
        text_add(&reading->text, bytes, (size_t)length);
}

static void on_end(void *ctx, const char *name)
{
    struct reading *reading = ctx;
    const char *value = reading->text.bytes == NULL ? "" : reading->text.bytes;
    name = local(name);
    if (reading->depth == 2 && reading->deletes && strcmp(name, "Quiet") == 0)
        reading->quiet = strcmp(value, "true") == 0;
    if (reading->depth == 3 && reading->count > 0) {
        if (reading->deletes && strcmp(name, "Key") == 0 && reading->keys[reading->count - 1].key == NULL) {
            reading->keys[reading->count - 1].key = need(strdup(value));
            reading->keys[reading->count - 1].length = strlen(value);
        } else if (reading->deletes && strcmp(name, "VersionId") == 0) {
            struct xml_key *key = &reading->keys[reading->count - 1];
            snprintf(key->version, sizeof(key->version), "%s", value);
        } else if (!reading->deletes && strcmp(name, "PartNumber") == 0) {
            reading->parts[reading->count - 1].number = (uint32_t)strtoul(value, NULL, 10);
        } else if (!reading->deletes && strcmp(name, "ETag") == 0) {
            size_t length = strlen(value) < 63 ? strlen(value) : 63;
            memcpy(reading->parts[reading->count - 1].etag, value, length);
        } else if (!reading->deletes && strncmp(name, "Checksum", 8) == 0) {
            struct xml_part *part = &reading->parts[reading->count - 1];
            snprintf(part->algorithm, sizeof(part->algorithm), "%s", name + 8);
            snprintf(part->sum, sizeof(part->sum), "%s", value);
        }
    }
    reading->depth--;
    text_clear(&reading->text);
}

static void on_doctype(void *ctx, const char *name, const char *system, const char *public, int internal)
{
    struct reading *reading = ctx;
    (void)name, (void)system, (void)public, (void)internal;
    reading->broken = true;
    XML_StopParser(reading->parser, XML_FALSE);
}

static bool read_xml(struct reading *reading, const char *xml, size_t length)
{
    reading->parser = need(XML_ParserCreate(NULL));
    XML_SetUserData(reading->parser, reading);
    XML_SetElementHandler(reading->parser, on_start, on_end);
    XML_SetCharacterDataHandler(reading->parser, on_text);
    XML_SetStartDoctypeDeclHandler(reading->parser, on_doctype);
    bool right = XML_Parse(reading->parser, xml, (int)length, 1) == XML_STATUS_OK && !reading->broken;
    XML_ParserFree(reading->parser);
    text_free(&reading->text);
    return right;
}

bool xml_complete(const char *xml, size_t length, struct xml_part **parts, size_t *count)
{
    struct reading reading = {0};
    bool right = read_xml(&reading, xml, length);
    for (size_t i = 0; i < reading.count; i++)
        right = right && reading.parts[i].number != 0 && reading.parts[i].etag[0] != '\0';
    *parts = reading.parts;
    *count = reading.count;
    return right;
}

bool xml_delete(const char *xml, size_t length, struct xml_key **keys, size_t *count, bool *quiet)
{
    struct reading reading = {.deletes = true};
    bool right = read_xml(&reading, xml, length);
    for (size_t i = 0; i < reading.count; i++)
        right = right && reading.keys[i].key != NULL && reading.keys[i].length > 0;
    *keys = reading.keys;
    *count = reading.count;
    *quiet = reading.quiet;
    return right;
}

void xml_keys_free(struct xml_key *keys, size_t count)
{
    for (size_t i = 0; keys != NULL && i < count; i++)
        free(keys[i].key);
    free(keys);
}
