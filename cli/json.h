/* SPDX-License-Identifier: Apache-2.0
 * One JSON object a line, written as it is told. Orbit only ever writes small flat objects, and names may
 * be bytes that no JSON library would take as a string, so this is smaller and kinder than building trees. */
#ifndef CLI_JSON_H
#define CLI_JSON_H

#include "text.h"

/* jansson, which the library uses, has functions of these names, too: linked statically they would be taken for each
 * other. */
#define json_string command_json_string
#define json_object command_json_object

struct json {
    struct text text;
    bool comma;
};

void json_begin(struct json *json);
void json_string(struct json *json, const char *name, const char *value);
/* A name of a file or object: where it is not UTF-8, `name` is lossy and `name`_base64 holds the bytes. */
void json_name(struct json *json, const char *name, const char *value);
void json_number(struct json *json, const char *name, uint64_t value);
void json_decimal(struct json *json, const char *name, double value);
void json_bool(struct json *json, const char *name, bool value);
void json_object(struct json *json, const char *name); /* until json_close() */
void json_close(struct json *json);
/* Closes the object and writes it as one line: to standard output, or to standard error where standard
 * output carries bytes. */
void json_end(struct json *json, bool to_stderr);

#endif
