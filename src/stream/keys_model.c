/* SPDX-License-Identifier: Apache-2.0
 * Keys as numbers. At each place of a key (which piece of it, how far into the piece, behind which character) a node
 * remembers the characters that were seen, in order: the digits of that place. The end of a key is a digit, too, the
 * smallest. A key is then a fraction of the space of all keys, each digit an R-th of what the digit before left.
 *
 * Only what changed from the key before is learned: the places behind a change begin anew, and that is a visit of
 * their nodes; so is what follows a place where the store had nothing that a guess asked for, but not what the guess
 * itself imposed. A set of characters that many visits added nothing to is complete; to others the rest of their class
 * is added in thought (a place where only '0' was seen so far will see '9'), or counting would end where listing is.
 *
 * Characters are code points: whatever is put together from them is valid UTF-8, which stores insist on. */
#include "stream/keys_model.h"

#include <stdint.h>
#include <string.h>

#include "base/mem.h"

enum {
    NODES = 4096,      /* a power of two */
    NODES_MAX = 3000,  /* then no new ones: what is unknown is guessed from its coarse node */
    SYMBOLS_MAX = 160, /* then every second one is forgotten */
    DEPTH_MAX = 160,   /* characters of a key that count; beyond, spans are far below a page */
    LEARN_BEHIND = 24, /* characters behind a change that are learned */
    PIECES_MAX = 40,   /* further pieces share their nodes */
    FINENESS = 64      /* guesses are spelled out to a 64th of the span */
};
#define END_SYMBOL 0u /* the key ends here; keys hold no NUL */

struct node {
    uint32_t id;       /* 0: free */
    uint32_t *symbols; /* ascending */
    uint16_t count, room;
    uint32_t quiet; /* visits since a symbol was new */
};

struct orb_keys_model {
    struct node nodes[NODES];
    size_t used;
};

struct orb_keys_model *orb_keys_model_new(void)
{
    return orb_calloc(1, sizeof(struct orb_keys_model));
}

void orb_keys_model_free(struct orb_keys_model *model)
{
    if (!model)
        return;
    for (size_t i = 0; i < NODES; i++)
        orb_free(model->nodes[i].symbols);
    orb_free(model);
}

int orb_keys_compare(const char *a, size_t a_length, const char *b, size_t b_length)
{
    int order = memcmp(a, b, a_length < b_length ? a_length : b_length);
    return order ? order : (a_length > b_length) - (a_length < b_length);
}

/* ---- characters ------------------------------------------------------------------------------------ */

/* The code point at `at`, and where the next one begins. What is not valid UTF-8 counts as the key's end. */
static uint32_t next_symbol(const char *key, size_t length, size_t *at)
{
    const unsigned char *c = (const unsigned char *)key + *at;
    size_t left = length - *at;
    if (!left)
        return END_SYMBOL;
    if (c[0] < 0x80) {
        ++*at;
        return c[0];
    }
    size_t more = c[0] >= 0xf0 ? 3 : c[0] >= 0xe0 ? 2 : 1;
    static const uint32_t least[] = {0, 0x80, 0x800, 0x10000};
    if (c[0] < 0xc2 || c[0] > 0xf4 || left <= more)
        return END_SYMBOL;
    uint32_t symbol = c[0] & (0x3fu >> more);
    for (size_t i = 1; i <= more; i++) {
        if ((c[i] & 0xc0) != 0x80)
            return END_SYMBOL;
        symbol = symbol << 6 | (c[i] & 0x3fu);
    }
    if (symbol < least[more] || symbol > 0x10ffff || (symbol >= 0xd800 && symbol < 0xe000))
        return END_SYMBOL;
    *at += more + 1;
    return symbol;
}

static size_t spell(uint32_t symbol, char *to)
{
    if (symbol < 0x80) {
        to[0] = (char)symbol;
        return 1;
    }
    size_t more = symbol >= 0x10000 ? 3 : symbol >= 0x800 ? 2 : 1;
    static const unsigned lead[] = {0, 0xc0, 0xe0, 0xf0};
    to[0] = (char)(lead[more] | symbol >> (6 * more));
    for (size_t i = 1; i <= more; i++)
        to[i] = (char)(0x80 | (symbol >> (6 * (more - i)) & 0x3f));
    return more + 1;
}

/* Safe in a URL, in the XML that may echo it, and no half of a pair. */
static bool may_be_guessed(uint32_t symbol)
{
    return symbol >= 0x20 && symbol != 0x7f && !(symbol >= 0x80 && symbol < 0xa0) && (symbol & 0xfffe) != 0xfffe;
}

static bool is_separator(uint32_t symbol)
{
    return symbol < 0x80 && !(symbol >= '0' && symbol <= '9') && !((symbol | 32) >= 'a' && (symbol | 32) <= 'z');
}

/* ---- places and nodes ------------------------------------------------------------------------------ */

/* Where one is in a key. */
struct place {
    uint32_t piece, offset, before;
};

static void place_step(struct place *place, uint32_t symbol)
{
    if (is_separator(symbol)) {
        if (place->piece < PIECES_MAX)
            place->piece++;
        place->offset = 0;
    } else {
        place->offset++;
    }
    place->before = symbol;
}

static uint32_t place_id(const struct place *place, bool coarse)
{
    uint64_t id =
        (uint64_t)place->piece << 42 | (uint64_t)(place->offset & 0x3ff) << 22 | (coarse ? 0x3fffff : place->before);
    id *= 0x9e3779b97f4a7c15u;
    return (uint32_t)(id >> 32) | 1u;
}

static struct node *find_node(const struct orb_keys_model *model, uint32_t id)
{
    for (uint32_t at = id >> 4;; at++) {
        const struct node *node = &model->nodes[at % NODES];
        if (node->id == id || !node->id)
            return (struct node *)(uintptr_t)node;
    }
}

static uint32_t rank(const struct node *node, uint32_t symbol)
{
    uint32_t low = 0, high = node->count;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (node->symbols[middle] < symbol)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool make_room(struct node *node)
{
    if (node->count < node->room)
        return true;
    if (node->room >= SYMBOLS_MAX) { /* every second one spans the same range */
        uint16_t kept = 0;
        for (uint16_t i = 0; i < node->count; i += 2)
            node->symbols[kept++] = node->symbols[i];
        node->count = kept;
        return true;
    }
    uint16_t room = (uint16_t)(node->room ? node->room * 2 : 10);
    uint32_t *symbols = orb_realloc(node->symbols, room * sizeof *symbols);
    if (!symbols)
        return false;
    node->symbols = symbols;
    node->room = room;
    return true;
}

static void visit(struct orb_keys_model *model, uint32_t id, uint32_t symbol, bool changed)
{
    struct node *node = find_node(model, id);
    if (!node->id) {
        if (model->used >= NODES_MAX)
            return;
        model->used++;
        node->id = id;
    }
    uint32_t at = rank(node, symbol);
    if (at < node->count && node->symbols[at] == symbol) {
        if (changed && node->quiet < UINT32_MAX)
            node->quiet++;
        return;
    }
    if (!make_room(node))
        return;
    at = rank(node, symbol);
    memmove(node->symbols + at + 1, node->symbols + at, (node->count - at) * sizeof *node->symbols);
    node->symbols[at] = symbol;
    node->count++;
    node->quiet = 0;
}

static bool is_complete(const struct node *node)
{
    return node->quiet > 2u * node->count;
}

void orb_keys_learn(struct orb_keys_model *model, const char *previous, size_t previous_length, const char *key,
                    size_t length, bool known)
{
    struct place place = {0};
    size_t at = 0, behind = 0;
    bool same = previous != NULL;
    for (size_t depth = 0; depth < DEPTH_MAX && behind < LEARN_BEHIND; depth++) {
        size_t begin = at;
        uint32_t symbol = next_symbol(key, length, &at);
        if (same) {
            size_t size = at - begin;
            same = symbol != END_SYMBOL && begin + size <= previous_length &&
                   memcmp(previous + begin, key + begin, size) == 0;
        }
        if (!same || !known) {
            visit(model, place_id(&place, false), symbol, !same);
            visit(model, place_id(&place, true), symbol, !same);
            behind += !same && previous != NULL;
        }
        if (symbol == END_SYMBOL)
            return;
        place_step(&place, symbol);
    }
}

/* ---- digits ---------------------------------------------------------------------------------------- */

/* The digits of a place: the node's symbols, and ranges of classes that are taken for possible. */
struct digits {
    const struct node *node; /* nullable */
    struct {
        uint32_t first, last;
    } range[3]; /* ascending, disjoint; the node's symbols within them are not counted again */
    unsigned ranges;
    uint32_t radix;
};

static void add_range(struct digits *digits, uint32_t first, uint32_t last)
{
    digits->range[digits->ranges].first = first;
    digits->range[digits->ranges].last = last;
    digits->ranges++;
}

static bool in_ranges(const struct digits *digits, uint32_t symbol)
{
    for (unsigned i = 0; i < digits->ranges; i++)
        if (symbol >= digits->range[i].first && symbol <= digits->range[i].last)
            return true;
    return false;
}

static void extend(struct digits *digits)
{
    const struct node *node = digits->node;
    bool number = false;
    uint32_t upper = 0, lower = 0; /* the largest of each */
    for (uint16_t i = 0; i < node->count; i++) {
        uint32_t symbol = node->symbols[i];
        number |= symbol >= '0' && symbol <= '9';
        if (symbol >= 'A' && symbol <= 'Z')
            upper = symbol;
        if (symbol >= 'a' && symbol <= 'z')
            lower = symbol;
    }
    if (number)
        add_range(digits, '0', '9');
    if (upper)
        add_range(digits, 'A', number && upper <= 'F' ? 'F' : 'Z');
    if (lower)
        add_range(digits, 'a', number && lower <= 'f' ? 'f' : 'z');
}

/* How many digits are smaller than `symbol`. */
static uint32_t digits_below(const struct digits *digits, uint32_t symbol)
{
    uint32_t below = 0;
    for (unsigned i = 0; i < digits->ranges; i++)
        if (symbol > digits->range[i].first)
            below += (symbol <= digits->range[i].last ? symbol : digits->range[i].last + 1) - digits->range[i].first;
    if (!digits->node)
        return below;
    if (!digits->ranges)
        return rank(digits->node, symbol);
    for (uint16_t i = 0; i < digits->node->count && digits->node->symbols[i] < symbol; i++)
        below += !in_ranges(digits, digits->node->symbols[i]);
    return below;
}

static bool is_digit(const struct digits *digits, uint32_t symbol)
{
    if (in_ranges(digits, symbol))
        return true;
    if (!digits->node)
        return false;
    uint32_t at = rank(digits->node, symbol);
    return at < digits->node->count && digits->node->symbols[at] == symbol;
}

static uint32_t digit_at(const struct digits *digits, uint32_t number)
{
    if (digits->node && !digits->ranges)
        return digits->node->symbols[number];
    uint32_t at = 0; /* the node's symbols and the ranges, in order */
    for (unsigned i = 0; i <= digits->ranges; i++) {
        uint32_t until = i < digits->ranges ? digits->range[i].first : UINT32_MAX;
        for (; digits->node && at < digits->node->count && digits->node->symbols[at] < until; at++) {
            if (in_ranges(digits, digits->node->symbols[at]))
                continue;
            if (!number--)
                return digits->node->symbols[at];
        }
        if (i == digits->ranges)
            break;
        uint32_t size = digits->range[i].last - digits->range[i].first + 1;
        if (number < size)
            return digits->range[i].first + number;
        number -= size;
    }
    return END_SYMBOL;
}

static void digits_of(const struct orb_keys_model *model, const struct place *place, struct digits *digits)
{
    const struct node *fine = find_node(model, place_id(place, false));
    const struct node *coarse = find_node(model, place_id(place, true));
    *digits = (struct digits){0};
    digits->node = fine->id && (is_complete(fine) || !coarse->id) ? fine : coarse->id ? coarse : NULL;
    if (!digits->node) { /* nobody was here before */
        add_range(digits, '0', '9');
        add_range(digits, 'a', 'z');
    } else if (!is_complete(digits->node)) {
        extend(digits);
    }
    digits->radix = digits_below(digits, UINT32_MAX);
}

/* ---- counting -------------------------------------------------------------------------------------- */

/* A key taken apart: its digits until they are finer than long double can tell. */
struct number {
    struct place place[DEPTH_MAX + 1]; /* before the digit */
    size_t offset[DEPTH_MAX + 1];
    long double weight[DEPTH_MAX + 1]; /* what all digits behind it are worth together */
    uint32_t radix[DEPTH_MAX + 1], digit[DEPTH_MAX + 1];
    bool between[DEPTH_MAX + 1]; /* the character is none of the digits: it stands between two, and is one more */
    size_t depth;
};

static void take_apart(const struct orb_keys_model *model, const char *key, size_t length, size_t skip,
                       struct number *number)
{
    struct place place = {0};
    long double weight = 1, floor = 0;
    size_t at = 0;
    number->depth = 0;
    while (number->depth < DEPTH_MAX) {
        struct digits digits;
        size_t i = number->depth;
        number->place[i] = place;
        number->offset[i] = at;
        number->weight[i] = weight;
        if (at >= length)
            break;
        digits_of(model, &place, &digits);
        uint32_t symbol = next_symbol(key, length, &at);
        number->radix[i] = digits.radix ? digits.radix : 1;
        number->digit[i] = digits_below(&digits, symbol);
        number->between[i] = symbol != END_SYMBOL && !is_digit(&digits, symbol);
        number->radix[i] += number->between[i];
        if (symbol == END_SYMBOL)
            break;
        weight /= number->radix[i];
        place_step(&place, symbol);
        number->depth++;
        if (at >= skip && floor == 0)
            floor = weight / 1e12L;
        if (weight < floor || weight < 1e-4800L)
            break;
    }
    number->place[number->depth] = place;
    number->offset[number->depth] = at;
    number->weight[number->depth] = weight;
}

static size_t common_prefix(const char *a, size_t a_length, const char *b, size_t b_length)
{
    size_t shorter = a_length < b_length ? a_length : b_length, at = 0;
    while (at < shorter && a[at] == b[at])
        at++;
    while (at && ((unsigned char)a[at] & 0xc0) == 0x80 && at < a_length)
        at--; /* at the beginning of a character */
    return at;
}

/* The part of the number behind its first `level` digits, as a fraction of what these leave. */
static long double fraction(const struct number *number, size_t level)
{
    long double value = 0;
    for (size_t i = number->depth; i-- > level;)
        value = (number->digit[i] + value) / number->radix[i];
    return value;
}

long double orb_keys_span(const struct orb_keys_model *model, const char *from, size_t from_length, const char *to,
                          size_t to_length)
{
    if (orb_keys_compare(from, from_length, to, to_length) >= 0)
        return 0;
    struct number a, b;
    size_t same = common_prefix(from, from_length, to, to_length), level = 0;
    take_apart(model, from, from_length, same, &a);
    take_apart(model, to, to_length, same, &b);
    while (level < a.depth && level < b.depth && a.offset[level + 1] <= same && b.offset[level + 1] <= same)
        level++;
    /* Here they part: the digits that either has of its own count for both. */
    long double low = level < a.depth ? a.digit[level] + fraction(&a, level + 1) : 0;
    long double high = level < b.depth ? b.digit[level] + fraction(&b, level + 1) : 0;
    uint32_t radix = level < b.depth ? b.radix[level] : 1;
    if (level < a.depth && a.between[level]) {
        high++;
        radix = a.radix[level] + (level < b.depth && b.between[level]);
    }
    long double span = (high - low) / radix * a.weight[level];
    return span > 0 ? span : 0;
}

/* Spells out `value` of what is left behind `key`, until a digit is worth less than `fine`. */
static size_t spell_out(const struct orb_keys_model *model, struct place place, long double weight, long double value,
                        long double fine, char *key, size_t length)
{
    for (size_t depth = 0; depth < DEPTH_MAX && length + 4 < ORB_KEY_ROOM; depth++) {
        struct digits digits;
        digits_of(model, &place, &digits);
        if (!digits.radix)
            break;
        value *= digits.radix;
        uint32_t number = value >= digits.radix ? digits.radix - 1 : (uint32_t)value;
        uint32_t symbol = digit_at(&digits, number);
        if (!may_be_guessed(symbol)) /* the end of a key, too */
            break;
        value -= number;
        weight /= digits.radix;
        length += spell(symbol, key + length);
        place_step(&place, symbol);
        if (weight < fine)
            break;
    }
    return length;
}

size_t orb_keys_beyond(const struct orb_keys_model *model, const char *from, size_t from_length, long double span,
                       char key[ORB_KEY_ROOM])
{
    struct number number;
    if (from_length >= ORB_KEY_ROOM || !(span > 0))
        return 0;
    take_apart(model, from, from_length, from_length, &number);
    /* The deepest place that the addition does not run over. */
    long double value = 0, found = -1;
    size_t level = 0;
    for (size_t i = number.depth + 1; i-- > 0;) {
        if (i < number.depth)
            value = (number.digit[i] + value) / number.radix[i];
        if (number.weight[i] > 0 && value + span / number.weight[i] < 1) {
            found = value + span / number.weight[i];
            level = i;
            break;
        }
    }
    if (found < 0)
        return 0;
    size_t length = number.offset[level];
    memcpy(key, from, length);
    length = spell_out(model, number.place[level], number.weight[level], found, span / FINENESS, key, length);
    key[length] = '\0';
    return orb_keys_compare(key, length, from, from_length) > 0 ? length : 0;
}

/* The next character that may be guessed; 0: none. */
static uint32_t symbol_behind(uint32_t symbol)
{
    do
        symbol++;
    while (symbol <= 0x10ffff && ((symbol >= 0xd800 && symbol < 0xe000) || !may_be_guessed(symbol)));
    return symbol <= 0x10ffff ? symbol : 0;
}

size_t orb_keys_over(const struct orb_keys_model *model, const char *from, size_t from_length, const char *limit,
                     size_t limit_length, char key[ORB_KEY_ROOM])
{
    struct number number;
    if (from_length >= ORB_KEY_ROOM)
        return 0;
    take_apart(model, from, from_length, from_length, &number);
    for (size_t i = 0; i < number.depth && number.offset[i] + 4 < ORB_KEY_ROOM; i++) {
        struct digits digits;
        size_t at = number.offset[i];
        digits_of(model, &number.place[i], &digits);
        uint32_t symbol = next_symbol(from, from_length, &at), next = symbol_behind(symbol);
        if (!digits.node || is_complete(digits.node) || !next || digits_below(&digits, symbol) + 1 < digits.radix)
            continue;
        memcpy(key, from, number.offset[i]);
        size_t length = number.offset[i] + spell(next, key + number.offset[i]);
        key[length] = '\0';
        if (!limit || orb_keys_compare(key, length, limit, limit_length) < 0)
            return length;
    }
    return 0;
}
