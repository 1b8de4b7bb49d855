/* SPDX-License-Identifier: Apache-2.0
 * Text that grows, encodings, time. Owned by one thread at a time. */
#include "s3d.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

void *need(void *memory)
{
    if (memory == NULL) {
        fprintf(stderr, "s3d: out of memory\n");
        exit(1);
    }
    return memory;
}

void text_clear(struct text *text)
{
    text->length = 0;
    if (text->bytes != NULL)
        text->bytes[0] = '\0';
}

void text_free(struct text *text)
{
    free(text->bytes);
    memset(text, 0, sizeof(*text));
}

static void text_room(struct text *text, size_t more)
{
    size_t least = text->length + more + 1;
    if (least <= text->room)
        return;
    size_t room = text->room < 512 ? 512 : text->room;
    while (room < least)
        room *= 2;
    text->bytes = need(realloc(text->bytes, room));
    text->room = room;
}

void text_add(struct text *text, const char *bytes, size_t length)
{
    text_room(text, length);
    memcpy(text->bytes + text->length, bytes, length);
    text->length += length;
    text->bytes[text->length] = '\0';
}

void text_str(struct text *text, const char *string)
{
    text_add(text, string, strlen(string));
}

void text_format(struct text *text, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int length = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (length > 0) {
        text_room(text, (size_t)length);
        vsnprintf(text->bytes + text->length, (size_t)length + 1, format, again);
        text->length += (size_t)length;
    }
    va_end(again);
}

void text_number(struct text *text, uint64_t number)
{
    char digits[20];
    size_t count = 0;
    do {
        digits[19 - count++] = (char)('0' + number % 10);
        number /= 10;
    } while (number != 0);
    text_add(text, digits + 20 - count, count);
}

void text_xml(struct text *text, const char *bytes, size_t length)
{
    size_t plain = 0;
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)bytes[i];
        if (c >= 0x20 && c != '&' && c != '<' && c != '>' && c != '"' && c != '\'')
            continue;
        text_add(text, bytes + plain, i - plain);
        plain = i + 1;
        if (c == '&')
            text_str(text, "&amp;");
        else if (c == '<')
            text_str(text, "&lt;");
        else if (c == '>')
            text_str(text, "&gt;");
        else if (c == '"')
            text_str(text, "&quot;");
        else if (c == '\'')
            text_str(text, "&#39;");
        else
            text_format(text, "&#x%x;", c); /* XML 1.0 has no place for most of these, and stores send them so */
    }
    text_add(text, bytes + plain, length - plain);
}

static bool unreserved(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
           c == '_' || c == '~';
}

void text_url(struct text *text, const char *bytes, size_t length, bool keep_slash)
{
    text_room(text, length * 3);
    char *to = text->bytes + text->length;
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)bytes[i];
        if (unreserved(c) || (keep_slash && c == '/')) {
            *to++ = (char)c;
        } else {
            *to++ = '%';
            *to++ = "0123456789ABCDEF"[c >> 4];
            *to++ = "0123456789ABCDEF"[c & 15];
        }
    }
    *to = '\0';
    text->length = (size_t)(to - text->bytes);
}

void text_json(struct text *text, const char *string)
{
    text_str(text, "\"");
    for (const char *at = string; *at != '\0'; at++) {
        unsigned char c = (unsigned char)*at;
        if (c < 0x20 || c >= 0x7f)
            text_format(text, "\\u%04x", c);
        else if (c == '"' || c == '\\')
            text_format(text, "\\%c", c);
        else
            text_add(text, at, 1);
    }
    text_str(text, "\"");
}

void text_time(struct text *text, int64_t ms)
{
    time_t seconds = (time_t)(ms / 1000);
    struct tm tm;
    char line[64];
    gmtime_r(&seconds, &tm);
    size_t length = strftime(line, sizeof(line), "%Y-%m-%dT%H:%M:%S", &tm);
    text_add(text, line, length);
    text_format(text, ".%03dZ", (int)(ms % 1000));
}

void text_http_date(struct text *text, int64_t ms)
{
    time_t seconds = (time_t)(ms / 1000);
    struct tm tm;
    char line[64];
    gmtime_r(&seconds, &tm);
    size_t length = strftime(line, sizeof(line), "%a, %d %b %Y %H:%M:%S GMT", &tm);
    text_add(text, line, length);
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

size_t url_decode(char *bytes, size_t length, bool plus)
{
    size_t to = 0;
    for (size_t i = 0; i < length; i++) {
        int high = i + 2 < length ? hex_digit(bytes[i + 1]) : -1;
        int low = i + 2 < length ? hex_digit(bytes[i + 2]) : -1;
        if (bytes[i] == '%' && high >= 0 && low >= 0) {
            bytes[to++] = (char)(high * 16 + low);
            i += 2;
        } else {
            bytes[to++] = plus && bytes[i] == '+' ? ' ' : bytes[i];
        }
    }
    bytes[to] = '\0';
    return to;
}

int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int64_t tick_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

void sleep_us(uint64_t us)
{
    struct timespec left = {(time_t)(us / 1000000), (long)(us % 1000000) * 1000};
    while (nanosleep(&left, &left) != 0)
        ;
}

void sleep_ms(uint64_t ms)
{
    sleep_us(ms * 1000);
}
