/* SPDX-License-Identifier: Apache-2.0
 * Growable text, sizes, times, UTF-8. */
#include "text.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define DAY_NS INT64_C(86400000000000)

static _Noreturn void out_of_memory(void)
{
    static const char message[] = "orbit: out of memory\n";
    ssize_t ignored = write(STDERR_FILENO, message, sizeof message - 1);
    (void)ignored;
    _exit(1); /* nothing half-written has a name: temporary files are swept later */
}

void *memory_zeroed(size_t count, size_t bytes)
{
    void *memory = calloc(count ? count : 1, bytes ? bytes : 1);
    if (!memory)
        out_of_memory();
    return memory;
}

char *string_copy_length(const char *string, size_t length)
{
    char *copy = memory_zeroed(length + 1, 1);
    if (length)
        memcpy(copy, string, length);
    return copy;
}

char *string_copy(const char *string)
{
    return string_copy_length(string, strlen(string));
}

char *path_join(const char *directory, const char *name)
{
    struct text joined = {0};
    path_put(&joined, directory, name);
    return joined.bytes;
}

const char *path_put(struct text *text, const char *directory, const char *name)
{
    size_t length = strlen(directory);
    text_clear(text);
    text_add(text, directory, length);
    if (length && directory[length - 1] != '/')
        text_add(text, "/", 1);
    text_add_string(text, name);
    return text_string(text);
}

const char *path_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

void text_release(struct text *text)
{
    free(text->bytes);
    *text = (struct text){0};
}

void text_clear(struct text *text)
{
    text->length = 0;
    if (text->bytes)
        text->bytes[0] = '\0';
}

static void text_reserve(struct text *text, size_t more)
{
    if (text->room - text->length > more && text->bytes)
        return;
    size_t room = text->room ? text->room : 256;
    while (room - text->length <= more) {
        if (room > SIZE_MAX / 2)
            out_of_memory();
        room *= 2;
    }
    char *bytes = realloc(text->bytes, room);
    if (!bytes)
        out_of_memory();
    text->bytes = bytes;
    text->room = room;
}

void text_add(struct text *text, const char *bytes, size_t length)
{
    text_reserve(text, length);
    if (length)
        memcpy(text->bytes + text->length, bytes, length);
    text->length += length;
    text->bytes[text->length] = '\0';
}

void text_add_string(struct text *text, const char *string)
{
    text_add(text, string, strlen(string));
}

void text_format(struct text *text, const char *format, ...)
{
    char room[512];
    va_list arguments, again;

    va_start(arguments, format);
    va_copy(again, arguments);
    int length = vsnprintf(room, sizeof room, format, arguments);
    va_end(arguments);
    if (length > 0 && (size_t)length < sizeof room) {
        text_add(text, room, (size_t)length);
    } else if (length > 0) {
        char *longer = memory_zeroed((size_t)length + 1, 1);
        vsnprintf(longer, (size_t)length + 1, format, again);
        text_add(text, longer, (size_t)length);
        free(longer);
    }
    va_end(again);
}

const char *text_string(const struct text *text)
{
    return text->bytes ? text->bytes : "";
}

size_t utf8_length(const char *bytes, size_t length, uint32_t *code)
{
    const unsigned char *b = (const unsigned char *)bytes;
    if (!length)
        return 0;
    if (b[0] < 0x80) {
        *code = b[0];
        return 1;
    }
    size_t need = b[0] >= 0xf0 ? 4 : b[0] >= 0xe0 ? 3 : 2;
    uint32_t least = need == 4 ? 0x10000 : need == 3 ? 0x800 : 0x80;
    if (b[0] < 0xc2 || b[0] > 0xf4 || length < need)
        return 0;
    uint32_t value = b[0] & (0x7fu >> need);
    for (size_t i = 1; i < need; i++) {
        if ((b[i] & 0xc0) != 0x80)
            return 0;
        value = value << 6 | (b[i] & 0x3fu);
    }
    if (value < least || value > 0x10ffff || (value >= 0xd800 && value <= 0xdfff))
        return 0;
    *code = value;
    return need;
}

bool utf8_valid(const char *bytes, size_t length)
{
    uint32_t code;
    for (size_t at = 0, step; at < length; at += step) {
        step = utf8_length(bytes + at, length - at, &code);
        if (!step)
            return false;
    }
    return true;
}

/* C1 controls and the bidirectional overrides can change what a terminal shows as surely as an escape. */
static bool is_unsafe(uint32_t code)
{
    return code < 0x20 || (code >= 0x7f && code < 0xa0) || (code >= 0x202a && code <= 0x202e) ||
           (code >= 0x2066 && code <= 0x2069) || code == 0x200e || code == 0x200f;
}

void text_add_escaped(struct text *text, const char *bytes, size_t length)
{
    for (size_t at = 0; at < length;) {
        uint32_t code;
        size_t step = utf8_length(bytes + at, length - at, &code);
        if (step && !is_unsafe(code)) {
            text_add(text, bytes + at, step);
            at += step;
            continue;
        }
        for (size_t end = at + (step ? step : 1); at < end; at++) {
            unsigned char byte = (unsigned char)bytes[at];
            if (byte == '\n')
                text_add_string(text, "\\n");
            else if (byte == '\t')
                text_add_string(text, "\\t");
            else if (byte == '\r')
                text_add_string(text, "\\r");
            else
                text_format(text, "\\x%02x", byte);
        }
    }
}

bool number_parse(const char *text, uint64_t most, uint64_t *number)
{
    uint64_t value = 0;
    if (!*text)
        return false;
    for (; *text; text++) {
        if (*text < '0' || *text > '9')
            return false;
        uint64_t digit = (uint64_t)(*text - '0');
        if (value > (UINT64_MAX - digit) / 10)
            return false;
        value = value * 10 + digit;
    }
    if (value > most)
        return false;
    *number = value;
    return true;
}

bool size_parse(const char *text, uint64_t unit, uint64_t *bytes)
{
    uint64_t whole = 0, fraction = 0, scale = 1;
    bool digits = false;

    for (; *text >= '0' && *text <= '9'; text++, digits = true) {
        uint64_t digit = (uint64_t)(*text - '0');
        if (whole > (UINT64_MAX - digit) / 10)
            return false;
        whole = whole * 10 + digit;
    }
    if (*text == '.') {
        for (text++; *text >= '0' && *text <= '9'; text++, digits = true) {
            if (scale < 1000) { /* three decimals are plenty */
                fraction = fraction * 10 + (uint64_t)(*text - '0');
                scale *= 10;
            }
        }
    }
    if (!digits)
        return false;
    if (*text) {
        static const char letters[] = "BKMGTPE";
        char letter = (char)(*text >= 'a' && *text <= 'z' ? *text - 32 : *text);
        const char *found = strchr(letters, letter);
        if (!found)
            return false;
        unit = (uint64_t)1 << (10 * (found - letters));
        text++;
        if (found != letters && *text == 'i' && text[1] == 'B')
            text += 2;
        else if (found != letters && *text == 'B')
            text++;
        if (*text)
            return false;
    }
    if (unit && whole > UINT64_MAX / unit)
        return false;
    uint64_t total = whole * unit;
    uint64_t rest = unit / scale * fraction + unit % scale * fraction / scale;
    if (total > UINT64_MAX - rest)
        return false;
    *bytes = total + rest;
    return true;
}

int64_t time_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static bool age_parse(const char *text, int64_t now_ns, int64_t *time_ns)
{
    static const struct {
        char letter;
        int64_t seconds;
    } units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}, {'w', 604800}};
    char digits[24];
    uint64_t number;
    size_t length = strspn(text, "0123456789");

    if (!length || length >= sizeof digits || !text[length] || text[length + 1])
        return false;
    memcpy(digits, text, length);
    digits[length] = '\0';
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        int64_t age;
        if (units[i].letter != text[length])
            continue;
        return number_parse(digits, INT64_MAX, &number) &&
               !__builtin_mul_overflow((int64_t)number, units[i].seconds * 1000000000, &age) &&
               !__builtin_sub_overflow(now_ns, age, time_ns);
    }
    return false;
}

/* Exactly `count` digits that make a number of `least` to `most`. */
static bool digits_parse(const char **text, size_t count, int least, int most, int *number)
{
    *number = 0;
    for (size_t i = 0; i < count; i++, ++*text) {
        if (**text < '0' || **text > '9')
            return false;
        *number = *number * 10 + (**text - '0');
    }
    return *number >= least && *number <= most;
}

static bool taken(const char **text, char wanted)
{
    if (**text != wanted)
        return false;
    ++*text;
    return true;
}

/* ".25" as nanoseconds; further digits than nine say nothing. */
static bool fraction_parse(const char **text, int64_t *ns)
{
    int64_t unit = 100000000;
    if (**text < '0' || **text > '9')
        return false;
    for (; **text >= '0' && **text <= '9'; ++*text, unit /= 10)
        *ns += (**text - '0') * unit;
    return true;
}

bool time_parse(const char *text, int64_t now_ns, int64_t *time_ns)
{
    struct tm utc = {0};
    int64_t rest = 0;

    if (age_parse(text, now_ns, time_ns))
        return true;
    if (!digits_parse(&text, 4, 1678, 2261, &utc.tm_year) || !taken(&text, '-') || /* what 64 bits of ns hold */
        !digits_parse(&text, 2, 1, 12, &utc.tm_mon) || !taken(&text, '-') ||
        !digits_parse(&text, 2, 1, 31, &utc.tm_mday))
        return false;
    if (*text) {
        if ((!taken(&text, 'T') && !taken(&text, ' ')) || !digits_parse(&text, 2, 0, 23, &utc.tm_hour) ||
            !taken(&text, ':') || !digits_parse(&text, 2, 0, 59, &utc.tm_min))
            return false;
        if (taken(&text, ':') &&
            (!digits_parse(&text, 2, 0, 59, &utc.tm_sec) || (taken(&text, '.') && !fraction_parse(&text, &rest))))
            return false;
        (void)taken(&text, 'Z');
    }
    int day = utc.tm_mday;
    utc.tm_year -= 1900;
    utc.tm_mon -= 1;
    time_t seconds = timegm(&utc);
    if (*text || utc.tm_mday < day) /* the 31st of February became another day */
        return false;
    *time_ns = (int64_t)seconds * 1000000000 + rest;
    return true;
}

const char *size_text(char room[SIZE_TEXT_ROOM], uint64_t bytes, bool spaced)
{
    static const char *const long_units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    static const char *const short_units[] = {"", "K", "M", "G", "T", "P", "E"};
    double value = (double)bytes;
    size_t unit = 0;
    while (value >= 1023.95 && unit < 6) {
        value /= 1024;
        unit++;
    }
    const char *name = spaced ? long_units[unit] : short_units[unit];
    const char *space = spaced ? " " : "";
    if (!unit)
        snprintf(room, SIZE_TEXT_ROOM, "%" PRIu64 "%s%s", bytes, space, name);
    else
        snprintf(room, SIZE_TEXT_ROOM, "%.1f%s%s", value, space, name);
    return room;
}

const char *bytes_text(char room[SIZE_TEXT_ROOM], uint64_t bytes, bool humanize)
{
    if (humanize)
        return size_text(room, bytes, false);
    snprintf(room, SIZE_TEXT_ROOM, "%" PRIu64, bytes);
    return room;
}

/* "2026-11-22"; NULL where the C library knows no such year. A listing's entries share few days. */
static const char *day_text(int64_t day)
{
    static _Thread_local struct {
        int64_t day;
        char text[TIME_TEXT_ROOM / 2];
    } last;
    if (last.text[0] && last.day == day)
        return last.text;
    time_t time = (time_t)(day * 86400);
    struct tm utc;
    last.day = day;
    last.text[0] = '\0';
    return gmtime_r(&time, &utc) && strftime(last.text, sizeof last.text, "%Y-%m-%d", &utc) ? last.text : NULL;
}

static void put_two(char *to, int64_t number)
{
    to[0] = (char)('0' + number / 10);
    to[1] = (char)('0' + number % 10);
}

const char *time_text(char room[TIME_TEXT_ROOM], int64_t time_ns, bool precise)
{
    int64_t day = time_ns / DAY_NS - (time_ns % DAY_NS < 0), of_day = time_ns - day * DAY_NS;
    int64_t second = of_day / 1000000000, rest = of_day % 1000000000;
    const char *date = day_text(day);
    if (!date) {
        snprintf(room, TIME_TEXT_ROOM, "%s", "-");
        return room;
    }
    char *at = stpcpy(room, date);
    memcpy(at, precise ? "T00:00:00" : " 00:00:00", 10);
    put_two(at + 1, second / 3600);
    put_two(at + 4, second / 60 % 60);
    put_two(at + 7, second % 60);
    at += 9;
    if (precise && rest)
        snprintf(at, TIME_TEXT_ROOM - (size_t)(at - room), ".%09" PRId64 "Z", rest);
    else if (precise)
        memcpy(at, "Z", 2);
    return room;
}
