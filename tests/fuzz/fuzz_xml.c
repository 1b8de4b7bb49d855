/* SPDX-License-Identifier: Apache-2.0
 * Replies in XML, in pieces of any size: however the bytes are cut, the events and the outcome are the same. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "wire/xml.h"

FUZZ_FAILED_HERE

enum { DOCUMENT_MAX = 1 << 20 };

struct heard {
    uint64_t sum; /* of all that was told */
    unsigned depth;
};

static void add(struct heard *heard, const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++)
        heard->sum = (heard->sum ^ (uint8_t)text[i]) * 0x100000001b3u;
    heard->sum = (heard->sum ^ length) * 0x100000001b3u;
}

static void on_begin(void *ctx, unsigned depth, const char *name)
{
    struct heard *heard = ctx;
    HOLDS(depth == heard->depth + 1);
    heard->depth = depth;
    add(heard, name, strlen(name));
}

static bool on_end(void *ctx, unsigned depth, const char *name, char *text, size_t length)
{
    struct heard *heard = ctx;
    HOLDS(depth == heard->depth);
    HOLDS(text[length] == '\0');
    heard->depth = depth - 1;
    add(heard, name, strlen(name));
    add(heard, text, length);
    memset(text, 'x', length); /* it is ours */
    return true;
}

static orbit_status parse(struct orb_xml *xml, const uint8_t *bytes, size_t length, size_t piece, bool blots,
                          struct heard *heard)
{
    static const struct orb_xml_events events = {on_begin, on_end};
    orbit_error error;
    *heard = (struct heard){0};
    orbit_status status = orb_xml_start(xml, &events, heard, DOCUMENT_MAX, &error);
    if (blots)
        orb_xml_blots(xml);
    for (size_t at = 0; status == ORBIT_OK && at < length; at += piece)
        status = orb_xml_feed(xml, bytes + at, length - at < piece ? length - at : piece, &error);
    return status == ORBIT_OK ? orb_xml_finish(xml, &error) : status;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length)
{
    static struct orb_xml *xml;
    struct heard whole, cut;
    orbit_error error;
    if (!xml && orb_xml_new(&xml, &error) < 0)
        return 0;
    size_t piece = length ? 1 + bytes[0] % 7 : 1;
    for (unsigned blots = 0; blots < 2; blots++) {
        orbit_status first = parse(xml, bytes, length, length ? length : 1, blots, &whole);
        orbit_status second = parse(xml, bytes, length, piece, blots, &cut);
        HOLDS(first == second);
        HOLDS(first != ORBIT_OK || (whole.sum == cut.sum && whole.depth == 0));
    }
    return 0;
}
