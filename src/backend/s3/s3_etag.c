/* SPDX-License-Identifier: Apache-2.0
 * ETags: within Orbit what is between the quotes, on the wire what the store writes. Any thread.
 *
 * Some stores send them without quotes, and compare a condition with that, byte by byte. So what goes out has the
 * form in which they last came. A weak one (W/"…", what proxies that compress make of a store's own) can be no
 * condition: If-Match compares strongly, and by that nothing weak is ever the same (RFC 9110 section 13.1.1). Reads
 * then go without, and what they are answered with is compared here, as it is in any case. */
#include "backend/s3/s3.h"

static bool is_weak(const char *etag, size_t length)
{
    return length > 2 && (etag[0] == 'W' || etag[0] == 'w') && etag[1] == '/' && etag[2] == '"';
}

bool orb_s3_bare_etag(const char **value, size_t *length)
{
    if (is_weak(*value, *length))
        *value += 2, *length -= 2;
    if (*length >= 2 && (*value)[0] == '"' && (*value)[*length - 1] == '"')
        ++*value, *length -= 2;
    for (size_t i = 0; i < *length; i++)
        if ((unsigned char)(*value)[i] < ' ' || (*value)[i] == 127)
            return false;
    return *length && *length <= ORB_S3_ETAG_MAX;
}

const char *orb_s3_keep_etag(orbit_metadata *metadata, const char *value, size_t length)
{
    return orb_s3_bare_etag(&value, &length) ? orbit_metadata_keep(metadata, value, length) : NULL;
}

bool orb_s3_same_etag(const char *wanted, const char *etag)
{
    if (strcmp(wanted, "*") == 0)
        return true;
    size_t wanted_length = strlen(wanted), length = etag ? strlen(etag) : 0;
    return etag && orb_s3_bare_etag(&wanted, &wanted_length) && orb_s3_bare_etag(&etag, &length) &&
           wanted_length == length && memcmp(wanted, etag, length) == 0;
}

void orb_s3_note_etag(struct orb_s3 *s3, const char *value)
{
    size_t length = strlen(value);
    enum orb_s3_etags now = is_weak(value, length) ? ORB_S3_ETAGS_UNSENT
                            : *value == '"'        ? ORB_S3_ETAGS_QUOTED
                                                   : ORB_S3_ETAGS_BARE;
    if (length && atomic_load_explicit(&s3->etags, memory_order_relaxed) != ORB_S3_ETAGS_UNSENT)
        atomic_store_explicit(&s3->etags, now, memory_order_relaxed);
}

bool orb_s3_reads_conditioned(const struct orb_s3 *s3, const char *etag)
{
    return atomic_load(&s3->etags) != ORB_S3_ETAGS_UNSENT && !is_weak(etag, strlen(etag));
}

/* A weak one goes as the strong one that it was made of: to the store itself, which may know it. */
void orb_s3_etag_header(struct orb_s3_op *op, const struct orb_s3 *store, const char *name, const char *etag)
{
    char text[ORB_S3_ETAG_MAX + 3];
    size_t length = strlen(etag);
    bool bare = atomic_load(&store->etags) == ORB_S3_ETAGS_BARE;
    if (strcmp(etag, "*") == 0) {
        orb_s3_header(op, name, etag);
    } else if (!orb_s3_bare_etag(&etag, &length)) {
        op->bad_header = true;
    } else {
        (void)snprintf(text, sizeof text, bare ? "%.*s" : "\"%.*s\"", (int)length, etag);
        orb_s3_header(op, name, text);
    }
}
