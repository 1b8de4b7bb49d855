/* SPDX-License-Identifier: Apache-2.0
 * A thin layer over expat. A document type declaration ends the reading: replies have none, and everything
 * dangerous in XML begins with one. */
#include "wire/xml.h"

#include <expat.h>
#include <stdlib.h>

#include "base/error.h"
#include "base/mem.h"

enum { DEPTH_MAX = 24, TEXT_MAX = 64 << 10, PIECE = 64 << 10, QUIET_MAX = 256 << 10, HELD_MAX = 12 };

struct orb_xml {
    XML_Parser parser;
    const struct orb_xml_events *events;
    void *ctx;
    struct orb_buf text;
    unsigned depth;
    uint64_t left; /* bytes the document may still have */
    size_t quiet;  /* bytes since an event: expat keeps all of a tag or comment until it ends */
    bool stopped;
    bool too_large, has_dtd, no_memory;
    bool root_seen, blots;
    char held[HELD_MAX + 1]; /* what may be the begin of something to be blotted */
    size_t held_length;
};

static const XML_Memory_Handling_Suite memory = {orb_malloc, orb_realloc, orb_free};

static const char *local_name(const char *name)
{
    const char *colon = strchr(name, ':');
    return colon ? colon + 1 : name;
}

static void XMLCALL on_begin(void *user, const XML_Char *name, const XML_Char **attributes)
{
    struct orb_xml *xml = user;
    (void)attributes;
    xml->quiet = 0;
    if (xml->stopped)
        return;
    if (++xml->depth > DEPTH_MAX) {
        xml->too_large = true;
        XML_StopParser(xml->parser, XML_FALSE);
        return;
    }
    orb_buf_reset(&xml->text);
    if (xml->events->begin)
        xml->events->begin(xml->ctx, xml->depth, local_name(name));
}

static void XMLCALL on_end(void *user, const XML_Char *name)
{
    struct orb_xml *xml = user;
    xml->quiet = 0;
    if (xml->stopped || xml->too_large)
        return;
    char none[1] = "";
    char *text = xml->text.length ? xml->text.bytes : none;
    if (!xml->events->end(xml->ctx, xml->depth, local_name(name), text, xml->text.length)) {
        xml->stopped = true;
        XML_StopParser(xml->parser, XML_FALSE);
    }
    xml->depth--;
    orb_buf_reset(&xml->text);
}

static void XMLCALL on_text(void *user, const XML_Char *text, int length)
{
    struct orb_xml *xml = user;
    xml->quiet = 0;
    if (xml->stopped || xml->too_large)
        return;
    if (!orb_buf_append(&xml->text, text, (size_t)length)) {
        xml->no_memory = xml->text.length + (size_t)length <= TEXT_MAX;
        xml->too_large = true;
        XML_StopParser(xml->parser, XML_FALSE);
    }
}

static void XMLCALL on_doctype(void *user, const XML_Char *name, const XML_Char *system, const XML_Char *public_id,
                               int internal)
{
    struct orb_xml *xml = user;
    (void)name, (void)system, (void)public_id, (void)internal;
    xml->has_dtd = true;
    XML_StopParser(xml->parser, XML_FALSE);
}

orbit_status orb_xml_new(struct orb_xml **xml, orbit_error *error)
{
    *xml = NULL;
    struct orb_xml *made = orb_calloc(1, sizeof *made);
    if (!made)
        return orb_fail_memory(error);
    orb_buf_init(&made->text, TEXT_MAX);
    made->parser = XML_ParserCreate_MM(NULL, &memory, NULL);
    if (!made->parser) {
        orb_xml_free(made);
        return orb_fail_memory(error);
    }
    *xml = made;
    return ORBIT_OK;
}

void orb_xml_free(struct orb_xml *xml)
{
    if (!xml)
        return;
    if (xml->parser)
        XML_ParserFree(xml->parser);
    orb_buf_release(&xml->text);
    orb_free(xml);
}

orbit_status orb_xml_start(struct orb_xml *xml, const struct orb_xml_events *events, void *ctx, uint64_t max_bytes,
                           orbit_error *error)
{
    if (!XML_ParserReset(xml->parser, NULL))
        return orb_fail_memory(error);
    XML_SetUserData(xml->parser, xml);
    XML_SetElementHandler(xml->parser, on_begin, on_end);
    XML_SetCharacterDataHandler(xml->parser, on_text);
    XML_SetStartDoctypeDeclHandler(xml->parser, on_doctype);
    xml->events = events;
    xml->ctx = ctx;
    xml->depth = 0;
    xml->left = max_bytes;
    xml->quiet = 0;
    xml->stopped = xml->too_large = xml->has_dtd = xml->no_memory = xml->root_seen = xml->blots = false;
    xml->held_length = 0;
    orb_buf_reset(&xml->text);
    return ORBIT_OK;
}

static orbit_status broken(struct orb_xml *xml, orbit_error *error)
{
    enum XML_Error code = XML_GetErrorCode(xml->parser);
    orbit_status status;
    if (xml->stopped)
        return ORBIT_END;
    if (code == XML_ERROR_NO_MEMORY || xml->no_memory)
        return orb_fail_memory(error);
    if (xml->has_dtd)
        return orb_fail(error, ORBIT_E_PROTOCOL, (int)code, "the reply's XML holds a document type declaration");
    if (xml->too_large)
        return orb_fail(error, ORBIT_E_PROTOCOL, (int)code,
                        "the reply's XML is nested too deeply or holds too long a text");
    if (code == XML_ERROR_NO_ELEMENTS || code == XML_ERROR_UNCLOSED_TOKEN || code == XML_ERROR_PARTIAL_CHAR)
        status = orb_fail(error, ORBIT_E_PROTOCOL, (int)code, "the reply's XML is cut short");
    else
        status = orb_fail(error, ORBIT_E_PROTOCOL, (int)code, "the reply is not well-formed XML: %s at line %lu",
                          XML_ErrorString(code), (unsigned long)XML_GetCurrentLineNumber(xml->parser));
    if (error)
        error->flags |= ORBIT_ERROR_RETRIABLE;
    return status;
}

static orbit_status parse(struct orb_xml *xml, const char *bytes, size_t length, bool last, orbit_error *error)
{
    do {
        int piece = length > PIECE ? PIECE : (int)length;
        length -= (size_t)piece;
        xml->quiet += (size_t)piece;
        if (xml->quiet > QUIET_MAX)
            return orb_fail(error, ORBIT_E_PROTOCOL, 0, "the reply's XML holds a tag or a comment that is too long");
        if (XML_Parse(xml->parser, bytes, piece, last && !length) != XML_STATUS_OK)
            return broken(xml, error);
        bytes += piece;
    } while (length);
    return ORBIT_OK;
}

bool orb_xml_escape(struct orb_buf *out, const char *text)
{
    for (; *text; text++) {
        size_t plain = strcspn(text, "&<>\"'\r\n\t");
        orb_buf_append(out, text, plain);
        text += plain;
        switch (*text) {
        case '&':
            orb_buf_text(out, "&amp;");
            break;
        case '<':
            orb_buf_text(out, "&lt;");
            break;
        case '>':
            orb_buf_text(out, "&gt;");
            break;
        case '"':
            orb_buf_text(out, "&quot;");
            break;
        case '\0':
            return !out->failed;
        default: /* ends of lines are normalised away unless written as numbers (XML 1.0, section 2.11) */
            orb_buf_format(out, "&#%d;", *text);
        }
    }
    return !out->failed;
}

/* The length of the valid UTF-8 sequence at `text`, 0 when there is none. */
static size_t utf8_length(const unsigned char *text, uint32_t *code)
{
    static const uint32_t least[5] = {0, 0, 0x80, 0x800, 0x10000};
    size_t length = text[0] < 0x80 ? 1 : text[0] >= 0xf0 ? 4 : text[0] >= 0xe0 ? 3 : 2;
    if (text[0] >= 0xf8 || (text[0] >= 0x80 && text[0] < 0xc0))
        return 0;
    *code = length == 1 ? text[0] : text[0] & (0x7fu >> length);
    for (size_t i = 1; i < length; i++) {
        if ((text[i] & 0xc0) != 0x80)
            return 0;
        *code = *code << 6 | (text[i] & 0x3f);
    }
    return *code < least[length] || *code > 0x10ffff ? 0 : length;
}

static bool is_character(uint32_t code)
{
    return code == '\t' || code == '\n' || code == '\r' || (code >= 0x20 && code < 0xd800) ||
           (code >= 0xe000 && code < 0xfffe) || (code >= 0x10000 && code <= 0x10ffff);
}

bool orb_xml_can_carry(const char *text)
{
    const unsigned char *at = (const unsigned char *)text;
    while (*at) {
        uint32_t code = 0;
        size_t length = utf8_length(at, &code);
        if (!length || !is_character(code))
            return false;
        at += length;
    }
    return true;
}

/* The length of a reference by number, "&#31;" or "&#x1F;", to what is no character; 0: none such stands here. */
static size_t wrong_reference(const char *text)
{
    if (text[0] != '&' || text[1] != '#')
        return 0;
    bool hex = text[2] == 'x';
    const char *digits = text + (hex ? 3 : 2);
    size_t length = hex ? strspn(digits, "0123456789abcdefABCDEF") : strspn(digits, "0123456789");
    if (!length || length > 7 || digits[length] != ';')
        return 0;
    return is_character((uint32_t)strtoul(digits, NULL, hex ? 16 : 10)) ? 0 : (size_t)(digits - text) + length + 1;
}

void orb_xml_blot(char *text)
{
    while (*text) {
        uint32_t code = 0;
        size_t length = utf8_length((const unsigned char *)text, &code), wrong = 0;
        if (!length)
            length = wrong = 1;
        else if (!is_character(code))
            wrong = length;
        else if (*text == '&' && (wrong = wrong_reference(text)))
            length = wrong;
        memset(text, '?', wrong);
        text += length;
    }
}

void orb_xml_blots(struct orb_xml *xml)
{
    xml->blots = true;
}

/* How many bytes at the end may go on in what comes next: a reference without its ';', a character that is cut. */
static size_t unfinished(const char *bytes, size_t length)
{
    size_t most = length < HELD_MAX ? length : HELD_MAX;
    for (size_t back = 1; back <= most && bytes[length - back] != ';'; back++)
        if (bytes[length - back] == '&')
            return back;
    for (size_t back = 1; back <= most && back < 4; back++) {
        unsigned char byte = (unsigned char)bytes[length - back];
        if (byte >= 0xc0)
            return back < (byte >= 0xf0 ? 4u : byte >= 0xe0 ? 3u : 2u) ? back : 0;
        if (byte < 0x80)
            break;
    }
    return 0;
}

static orbit_status feed_blotted(struct orb_xml *xml, const char *bytes, size_t length, orbit_error *error)
{
    char room[2048 + HELD_MAX + 1];
    orbit_status status = ORBIT_OK;
    while (status >= 0 && length) {
        size_t piece = length < 2048 ? length : 2048, have = xml->held_length + piece;
        memcpy(room, xml->held, xml->held_length);
        memcpy(room + xml->held_length, bytes, piece);
        bytes += piece;
        length -= piece;
        xml->held_length = unfinished(room, have);
        have -= xml->held_length;
        memcpy(xml->held, room + have, xml->held_length);
        room[have] = '\0';
        orb_xml_blot(room);
        if (have)
            status = parse(xml, room, have, false, error);
        if (status == ORBIT_END)
            break;
    }
    return status;
}

orbit_status orb_xml_feed(struct orb_xml *xml, const void *bytes, size_t length, orbit_error *error)
{
    const char *from = bytes;
    if (length > xml->left)
        return orb_fail(error, ORBIT_E_PROTOCOL, 0, "the reply's XML is longer than any such reply may be");
    xml->left -= length;
    /* Some stores send blanks to keep the connection alive before a document that begins with a declaration,
     * which must come first. */
    if (!xml->root_seen) {
        while (length && (*from == ' ' || *from == '\n' || *from == '\r' || *from == '\t'))
            from++, length--;
        if (!length)
            return ORBIT_OK;
        xml->root_seen = true;
    }
    if (!length)
        return ORBIT_OK;
    return xml->blots ? feed_blotted(xml, from, length, error) : parse(xml, from, length, false, error);
}

orbit_status orb_xml_finish(struct orb_xml *xml, orbit_error *error)
{
    xml->held[xml->held_length] = '\0';
    orb_xml_blot(xml->held);
    return parse(xml, xml->held, xml->held_length, true, error);
}

orbit_status orb_xml_read(const struct orb_buf *document, const struct orb_xml_events *events, void *ctx,
                          orbit_error *error)
{
    struct orb_xml *xml = NULL;
    orbit_status status = orb_xml_new(&xml, error);
    if (status >= 0)
        status = orb_xml_start(xml, events, ctx, document->max, error);
    if (status >= 0)
        status = orb_xml_feed(xml, document->bytes, document->length, error);
    if (status == ORBIT_OK)
        status = orb_xml_finish(xml, error);
    orb_xml_free(xml);
    return status;
}
