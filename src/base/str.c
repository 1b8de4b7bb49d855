/* SPDX-License-Identifier: Apache-2.0
 * Small things about strings: percent-encoding, numbers, times, paths. Locale-free. Any thread. */
#include "base/str.h"

#include <string.h>
#include <strings.h>

bool orb_str_prefix(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

bool orb_str_suffix(const char *text, const char *suffix)
{
    size_t length = strlen(text), tail = strlen(suffix);
    return tail <= length && memcmp(text + length - tail, suffix, tail) == 0;
}

bool orb_str_equal(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_unreserved(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' || c == '.' || c == '_' ||
           c == '~';
}

bool orb_percent_encode(struct orb_buf *out, const char *bytes, size_t length, const char *keep)
{
    static const char digits[] = "0123456789ABCDEF";
    size_t plain = 0; /* bytes before `i` that are taken as they are */
    for (size_t i = 0; i < length; i++) {
        char c = bytes[i];
        if (is_unreserved(c) || (c && keep && strchr(keep, c))) {
            plain++;
            continue;
        }
        char escape[3] = {'%', digits[(unsigned char)c >> 4], digits[(unsigned char)c & 15]};
        if (!orb_buf_append(out, bytes + i - plain, plain) || !orb_buf_append(out, escape, 3))
            return false;
        plain = 0;
    }
    return orb_buf_append(out, bytes + length - plain, plain);
}

static int hex_digit(char c)
{
    if (is_digit(c))
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

size_t orb_percent_decode(char *bytes, size_t length, bool plus_is_space)
{
    size_t to = 0;
    for (size_t from = 0; from < length; from++) {
        char c = bytes[from];
        if (c == '%') {
            int high = length - from > 2 ? hex_digit(bytes[from + 1]) : -1;
            int low = high >= 0 ? hex_digit(bytes[from + 2]) : -1;
            if (low < 0 || (high == 0 && low == 0))
                return SIZE_MAX;
            c = (char)(high << 4 | low);
            from += 2;
        } else if (c == '+' && plus_is_space) {
            c = ' ';
        }
        bytes[to++] = c;
    }
    if (to < length)
        bytes[to] = '\0';
    return to;
}

/* Reads digits from *text on; false when there are none or they overflow. */
static bool take_u64(const char **text, uint64_t *number)
{
    const char *at = *text;
    uint64_t value = 0;
    if (!is_digit(*at))
        return false;
    for (; is_digit(*at); at++) {
        uint64_t digit = (uint64_t)(*at - '0');
        if (value > (UINT64_MAX - digit) / 10)
            return false;
        value = value * 10 + digit;
    }
    *text = at;
    *number = value;
    return true;
}

bool orb_parse_u64(const char *text, uint64_t *number)
{
    uint64_t value;
    if (!text || !take_u64(&text, &value) || *text)
        return false;
    *number = value;
    return true;
}

bool orb_parse_size(const char *text, uint64_t *bytes)
{
    static const char units[] = "KMGTPE";
    uint64_t value;
    if (!text || !take_u64(&text, &value))
        return false;
    unsigned shift = 0;
    if (*text) {
        char unit = *text >= 'a' && *text <= 'z' ? (char)(*text - 'a' + 'A') : *text;
        const char *found = strchr(units, unit);
        if (found) {
            shift = 10 * (unsigned)(found - units + 1);
            text++;
            if ((text[0] == 'i' || text[0] == 'I') && (text[1] == 'B' || text[1] == 'b'))
                text++;
        }
        if (*text == 'B' || *text == 'b')
            text++;
        if (*text)
            return false;
    }
    if (shift && value > UINT64_MAX >> shift)
        return false;
    *bytes = value << shift;
    return true;
}

bool orb_parse_bool(const char *text, bool *value)
{
    static const struct {
        const char *word;
        bool value;
    } words[] = {{"true", true}, {"false", false}, {"1", true},  {"0", false},
                 {"yes", true},  {"no", false},    {"on", true}, {"off", false}};
    for (size_t i = 0; text && i < sizeof(words) / sizeof(words[0]); i++) {
        if (strcasecmp(text, words[i].word) == 0) {
            *value = words[i].value;
            return true;
        }
    }
    return false;
}

const char *orb_path_base(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

void orb_hex(char *out, const uint8_t *bytes, size_t length)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < length; i++) {
        out[2 * i] = digits[bytes[i] >> 4];
        out[2 * i + 1] = digits[bytes[i] & 15];
    }
    out[2 * length] = '\0';
}

/* ---- times ---------------------------------------------------------------------------------------- */

struct civil {
    int year, month, day, hour, minute, second;
    int64_t ns;
    int east_minutes; /* of UTC */
};

/* Days from 1970-01-01 in the Gregorian calendar. Years begin in March, so that leap days end them; 400 of them
 * are 146,097 days. */
static int64_t days_from_1970(int64_t year, int64_t month, int64_t day)
{
    if (month <= 2)
        year--;
    int64_t era = (year >= 0 ? year : year - 399) / 400;
    int64_t year_of_era = year - era * 400;
    int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return era * 146097 + day_of_era - 719468;
}

static bool civil_ns(const struct civil *t, int64_t *ns)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    if (t->month < 1 || t->month > 12 || t->day < 1 || t->hour > 23 || t->minute > 59 || t->second > 60)
        return false;
    bool leap = t->year % 4 == 0 && (t->year % 100 != 0 || t->year % 400 == 0);
    if (t->day > days[t->month - 1] + (t->month == 2 && leap ? 1 : 0))
        return false;
    int64_t seconds = days_from_1970(t->year, t->month, t->day) * 86400 + (int64_t)t->hour * 3600 +
                      (int64_t)t->minute * 60 + t->second - (int64_t)t->east_minutes * 60;
    const int64_t most = INT64_MAX / 1000000000 - 1;
    if (seconds > most || seconds < -most)
        return false;
    *ns = seconds * 1000000000 + t->ns;
    return true;
}

static bool take_digits(const char **text, int count, int *value)
{
    *value = 0;
    for (int i = 0; i < count; i++) {
        if (!is_digit(**text))
            return false;
        *value = *value * 10 + (*(*text)++ - '0');
    }
    return true;
}

static bool take_char(const char **text, char c)
{
    if (**text != c)
        return false;
    (*text)++;
    return true;
}

static bool take_word(const char **text, const char *word)
{
    if (!orb_str_prefix(*text, word))
        return false;
    *text += strlen(word);
    return true;
}

static bool take_clock(const char **text, struct civil *t)
{
    return take_digits(text, 2, &t->hour) && take_char(text, ':') && take_digits(text, 2, &t->minute) &&
           take_char(text, ':') && take_digits(text, 2, &t->second);
}

static bool take_month(const char **text, struct civil *t)
{
    static const char names[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                      "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    for (int i = 0; i < 12; i++) {
        if (take_word(text, names[i])) {
            t->month = i + 1;
            return true;
        }
    }
    return false;
}

/* The three forms of RFC 9110, 5.6.7; the day of the week is not looked at. */
static bool parse_http_date(const char *text, struct civil *t)
{
    while ((*text >= 'A' && *text <= 'Z') || (*text >= 'a' && *text <= 'z'))
        text++;
    if (take_word(&text, ", ")) {
        if (!take_digits(&text, 2, &t->day))
            return false;
        if (take_char(&text, ' ')) /* Sun, 06 Nov 1994 08:49:37 GMT */
            return take_month(&text, t) && take_char(&text, ' ') && take_digits(&text, 4, &t->year) &&
                   take_char(&text, ' ') && take_clock(&text, t) && take_word(&text, " GMT") && !*text;
        if (!(take_char(&text, '-') && take_month(&text, t) && take_char(&text, '-') && /* Sunday, 06-Nov-94 … */
              take_digits(&text, 2, &t->year) && take_char(&text, ' ') && take_clock(&text, t) &&
              take_word(&text, " GMT") && !*text))
            return false;
        t->year += t->year < 70 ? 2000 : 1900;
        return true;
    }
    if (!take_char(&text, ' ') || !take_month(&text, t) || !take_char(&text, ' ')) /* Sun Nov  6 08:49:37 1994 */
        return false;
    if (!(take_char(&text, ' ') ? take_digits(&text, 1, &t->day) : take_digits(&text, 2, &t->day)))
        return false;
    return take_char(&text, ' ') && take_clock(&text, t) && take_char(&text, ' ') && take_digits(&text, 4, &t->year) &&
           !*text;
}

static bool parse_iso_date(const char *text, struct civil *t)
{
    if (!(take_digits(&text, 4, &t->year) && take_char(&text, '-') && take_digits(&text, 2, &t->month) &&
          take_char(&text, '-') && take_digits(&text, 2, &t->day)))
        return false;
    if (!take_char(&text, 'T') && !take_char(&text, ' '))
        return false;
    if (!take_clock(&text, t))
        return false;
    if (take_char(&text, '.')) {
        if (!is_digit(*text))
            return false;
        int64_t unit = 100000000;
        for (; is_digit(*text); text++, unit /= 10) /* more than nine digits add nothing */
            t->ns += (*text - '0') * unit;
    }
    if (take_char(&text, 'Z') || take_char(&text, 'z'))
        return !*text;
    if (*text != '+' && *text != '-')
        return false;
    int sign = *text++ == '-' ? -1 : 1, hours, minutes;
    if (!take_digits(&text, 2, &hours))
        return false;
    take_char(&text, ':');
    if (!take_digits(&text, 2, &minutes) || minutes > 59 || hours > 23)
        return false;
    t->east_minutes = sign * (hours * 60 + minutes);
    return !*text;
}

bool orb_parse_time(const char *text, int64_t *ns)
{
    if (!text)
        return false;
    struct civil t = {0};
    bool good = is_digit(*text) ? parse_iso_date(text, &t) : parse_http_date(text, &t);
    return good && civil_ns(&t, ns);
}

size_t orb_split_words(char *line, char **words, size_t max)
{
    size_t count = 0;
    char *in = line, *out = line;
    for (;;) {
        while (*in == ' ' || *in == '\t')
            in++;
        if (!*in)
            return count;
        if (count == max)
            return 0;
        words[count++] = out;
        char quote = '\0';
        for (; *in && (quote || (*in != ' ' && *in != '\t')); in++) {
            bool bare = *in == '\\' && quote != '\'' && in[1] && (!quote || in[1] == '"' || in[1] == '\\');
            if (bare)
                *out++ = *++in;
            else if (quote ? *in == quote : *in == '"' || *in == '\'')
                quote = quote ? '\0' : *in;
            else
                *out++ = *in;
        }
        if (quote)
            return 0;
        bool more = *in != '\0';
        *out++ = '\0'; /* never beyond `in`: a word is at least as long as what is made of it */
        if (!more)
            return count;
        in++;
    }
}
