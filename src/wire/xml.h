/* SPDX-License-Identifier: Apache-2.0
 * XML as it arrives: no tree, no entities of the peer's own, depth and sizes capped. The reader is told of each
 * element's begin and end; text is that of the innermost element. Any one thread at a time. */
#ifndef ORB_WIRE_XML_H
#define ORB_WIRE_XML_H

#include <orbit/error.h>

#include "base/buf.h"

struct orb_xml;

struct orb_xml_events {
    /* `depth` is 1 for the root. Names come without a namespace prefix. Nullable. */
    void (*begin)(void *ctx, unsigned depth, const char *name);
    /* `text` is what stood between this element's tags (only the part after its last child): NUL-terminated,
     * `length` bytes, the callee may change it in place. Returns false to stop reading. */
    bool (*end)(void *ctx, unsigned depth, const char *name, char *text, size_t length);
};

orbit_status orb_xml_new(struct orb_xml **xml, orbit_error *error);
void orb_xml_free(struct orb_xml *xml); /* NULL is fine */
/* Begins a document; the parser may have read others before. `max_bytes` caps the whole of it. */
orbit_status orb_xml_start(struct orb_xml *xml, const struct orb_xml_events *events, void *ctx, uint64_t max_bytes,
                           orbit_error *error);
/* After start: of this document whatever orb_xml_blot() overwrites is read as '?'. */
void orb_xml_blots(struct orb_xml *xml);
/* ORBIT_E_PROTOCOL (retriable: a reply may be damaged on its way) for what is not XML or goes beyond a limit;
 * ORBIT_END when end() returned false. */
orbit_status orb_xml_feed(struct orb_xml *xml, const void *bytes, size_t length, orbit_error *error);
/* The document must be complete here. */
orbit_status orb_xml_finish(struct orb_xml *xml, orbit_error *error);

/* A whole document that lies in memory. */
orbit_status orb_xml_read(const struct orb_buf *document, const struct orb_xml_events *events, void *ctx,
                          orbit_error *error);

/* Appends text with what XML reserves escaped. */
bool orb_xml_escape(struct orb_buf *out, const char *text);
/* Whether XML 1.0 can carry these bytes at all: valid UTF-8 without most control characters. */
bool orb_xml_can_carry(const char *text);
/* Overwrites with '?', in place, what XML 1.0 cannot carry and stores write all the same when they repeat a name:
 * control characters, bare or as numbers ("&#x1;"), U+FFFE and U+FFFF, broken UTF-8. NUL-terminated. */
void orb_xml_blot(char *text);

#endif
