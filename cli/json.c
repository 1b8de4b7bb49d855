/* SPDX-License-Identifier: Apache-2.0
 * The writer of JSON lines. */
#include "json.h"

#include <inttypes.h>
#include <string.h>

#include "output.h"

static void quoted(struct text *text, const char *bytes, size_t length)
{
    text_add(text, "\"", 1);
    for (size_t at = 0; at < length;) {
        uint32_t code;
        size_t step = utf8_length(bytes + at, length - at, &code);
        if (!step) {
            text_add_string(text, "\xef\xbf\xbd"); /* U+FFFD for a byte that is no UTF-8 */
            at++;
            continue;
        }
        if (code == '"' || code == '\\')
            text_format(text, "\\%c", (char)code);
        else if (code == '\n')
            text_add_string(text, "\\n");
        else if (code < 0x20 || code == 0x7f)
            text_format(text, "\\u%04x", (unsigned)code);
        else
            text_add(text, bytes + at, step);
        at += step;
    }
    text_add(text, "\"", 1);
}

static void name_of(struct json *json, const char *name)
{
    if (json->comma)
        text_add(&json->text, ",", 1);
    quoted(&json->text, name, strlen(name));
    text_add(&json->text, ":", 1);
    json->comma = true;
}

void json_begin(struct json *json)
{
    text_clear(&json->text);
    text_add(&json->text, "{", 1);
    json->comma = false;
}

void json_string(struct json *json, const char *name, const char *value)
{
    if (!value)
        return;
    name_of(json, name);
    quoted(&json->text, value, strlen(value));
}

static void base64(struct text *text, const unsigned char *bytes, size_t length)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t at = 0; at < length; at += 3) {
        uint32_t three = (uint32_t)bytes[at] << 16;
        if (at + 1 < length)
            three |= (uint32_t)bytes[at + 1] << 8;
        if (at + 2 < length)
            three |= bytes[at + 2];
        char four[4] = {digits[three >> 18], digits[three >> 12 & 63], digits[three >> 6 & 63], digits[three & 63]};
        if (at + 1 >= length)
            four[2] = '=';
        if (at + 2 >= length)
            four[3] = '=';
        text_add(text, four, sizeof four);
    }
}

void json_name(struct json *json, const char *name, const char *value)
{
    json_string(json, name, value);
    if (!value || utf8_valid(value, strlen(value)))
        return;
    text_format(&json->text, ",\"%s_base64\":\"", name);
    base64(&json->text, (const unsigned char *)value, strlen(value));
    text_add(&json->text, "\"", 1);
}

void json_number(struct json *json, const char *name, uint64_t value)
{
    name_of(json, name);
    text_format(&json->text, "%" PRIu64, value);
}

void json_decimal(struct json *json, const char *name, double value)
{
    name_of(json, name);
    text_format(&json->text, "%.3f", value);
}

void json_bool(struct json *json, const char *name, bool value)
{
    name_of(json, name);
    text_add_string(&json->text, value ? "true" : "false");
}

void json_object(struct json *json, const char *name)
{
    name_of(json, name);
    text_add(&json->text, "{", 1);
    json->comma = false;
}

void json_close(struct json *json)
{
    text_add(&json->text, "}", 1);
    json->comma = true;
}

void json_end(struct json *json, bool to_stderr)
{
    text_add(&json->text, "}", 1);
    if (to_stderr) {
        output_talk(text_string(&json->text));
    } else {
        text_add(&json->text, "\n", 1);
        output_bytes(json->text.bytes, json->text.length);
        output_end_line();
    }
    text_release(&json->text);
    json->comma = false;
}
