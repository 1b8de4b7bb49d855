/* SPDX-License-Identifier: Apache-2.0
 * The scripted S3 endpoint: what its files share. A thread a connection, blocking I/O; one reader-writer lock over
 * the store, one mutex over faults and settings. It knows nothing of the library that it tests. */
#ifndef S3D_H
#define S3D_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <openssl/ssl.h>

#include "sums.h"

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

/* ---- text that grows (text.c) -------------------------------------------------------------------- */

struct text {
    char *bytes; /* NUL-terminated when not NULL */
    size_t length, room;
};
void text_clear(struct text *text);
void text_free(struct text *text);
void text_add(struct text *text, const char *bytes, size_t length);
void text_str(struct text *text, const char *string);
void text_format(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
void text_number(struct text *text, uint64_t number);
void text_xml(struct text *text, const char *bytes, size_t length); /* entities for what XML needs */
void text_url(struct text *text, const char *bytes, size_t length, bool keep_slash);
void text_json(struct text *text, const char *string); /* with quotes */
void text_time(struct text *text, int64_t ms);         /* 2026-11-22T05:41:00.000Z */
void text_http_date(struct text *text, int64_t ms);
/* Decodes %XX (and + where asked) in place; returns the new length. */
size_t url_decode(char *bytes, size_t length, bool plus);
void *need(void *memory); /* ends the process when NULL: a test tool has no other way out */
int64_t now_ms(void);
int64_t tick_us(void); /* monotonic */
void sleep_ms(uint64_t ms);
void sleep_us(uint64_t us);

/* ---- settings (fault.c) --------------------------------------------------------------------------- */

/* X(name, default): every number that --set and the control API can change. */
#define SETTINGS(X)                                                                                                   \
    X(store, 0)              /* keep small objects */                                                                 \
    X(auth, 1)               /* check signatures */                                                                   \
    X(anonymous, 0)          /* unsigned requests are fine */                                                         \
    X(verify, 1)             /* check checksums */                                                                    \
    X(checksums, 1)          /* 0: refuse x-amz-checksum-* with 501 */                                                \
    X(checksum_types, 1)     /* 0: not said whether it is one of parts */                                             \
    X(range_checksum, 1)     /* tell the checksum also with a range */                                                \
    X(gen_checksum, 1)       /* generated objects have one */                                                         \
    X(own_checksum, 1)       /* what is put without one gets a CRC64NVME, as the service has it */                    \
    X(etags, 0)              /* 1: without quotes, and compared so; 2: weak; 3: quoted, but compared without */       \
    X(md5, -1)               /* ETags are MD5: 1, 0, -1 as store says */                                              \
    X(keep_bytes, 1 << 30)   /* contents kept in all */                                                               \
    X(keep_object, 64 << 20) /* contents of one object or part kept up to */                                          \
    X(objects_max, 1000000)                                                                                           \
    X(part_min, 5 << 20)                                                                                              \
    X(part_max, (int64_t)5 << 30)                                                                                     \
    X(parts_max, 10000)                                                                                               \
    X(equal_parts, 0)       /* all but the last of one size */                                                        \
    X(drop_upload_tags, 0)  /* uploads in parts lose them, as at some stores */                                       \
    X(drop_upload_locks, 0) /* and these */                                                                           \
    X(sum_with_part, 0)     /* a part comes with its checksum, or not at all, where the upload has an algorithm */    \
    X(attributes, 1)        /* 0: GetObjectAttributes is not implemented; 2: it is status 500 and the object */       \
    X(part_sums, 0)         /* a Complete must give each part's checksum where the upload has an algorithm */         \
    X(put_max, (int64_t)5 << 30)                                                                                      \
    X(copy_max, (int64_t)5 << 30)                                                                                     \
    X(lock, 0)      /* the bucket locks objects by default */                                                         \
    X(need_md5, 0)  /* bodies come with Content-MD5 */                                                                \
    X(copy_sums, 1) /* the reply to the copy of a part tells its checksum; 2: that of the source */                   \
    X(page_max, 1000)                                                                                                 \
    X(token_circle, 0)   /* continuation tokens come again after so many pages */                                     \
    X(token_salt, 0)     /* and are other ones each time, whatever they stand for */                                  \
    X(clock_offset_s, 0) /* the server's clock against ours */                                                        \
    X(region_check, 1)                                                                                                \
    X(region_redirect, 0)      /* 0: 400 AuthorizationHeaderMalformed; 1: 301 PermanentRedirect */                    \
    X(conditional_complete, 1) /* 0: If-None-Match on Complete is ignored, as some stores do */                       \
    X(conditions, 1) /* 0: writes with a condition are not implemented; -1: their condition is passed over */         \
    X(latency_ms, 0)                                                                                                  \
    X(list_latency_ms, 0)                                                                                             \
    X(bandwidth, 0)            /* bytes a second and connection, of bodies */                                         \
    X(rate, 0)                 /* requests a second; above: 503 SlowDown */                                           \
    X(unordered, 0)            /* listings come out of order, as directory buckets' */                                \
    X(list_v2, 1)              /* 0: ListObjectsV2 is 501 */                                                          \
    X(encoding, 1)             /* EncodingType is told: 1 before the keys, 2 behind them; 0: keys come as they are */ \
    X(grant_life_ms, 3600000)  /* of the keys that are granted, as they tell */                                       \
    X(grant_true_ms, 0)        /* after which they are refused, if that is another time */                            \
    X(express, 0)              /* buckets whose names end in --x-s3 are directory buckets */                          \
    X(session_life_ms, 300000) /* of their sessions, as they tell */                                                  \
    X(session_epoch, 0)        /* sessions of another one than this have expired */                                   \
    X(checksum_mode, 1)        /* 0: reads with x-amz-checksum-mode are 501 */                                        \
    X(object_tags, 1)          /* 0: what is asked about tags is taken for the object's */                            \
    X(sizes, 1)                /* 0: listings have <Size/>, and so tell none */                                       \
    X(echo, 0)                 /* HEAD tells options of the write as x-amz-meta-echo-… */                           \
    X(start_after, 1)          /* 0: a listing begins at its beginning, whatever start-after says; -1: it is refused */

struct settings {
#define X(name, value) _Atomic int64_t name;
    SETTINGS(X)
#undef X
};
extern struct settings settings;
struct identity {
    const char *access, *secret, *region, *domain; /* domain: of virtual-host style, nullable */
};
extern struct identity identity;
bool setting_set(const char *name, const char *value);
bool parse_size(const char *text, int64_t *size); /* 12, 4K, 8M, 1G, 2T */

/* ---- kinds of requests ---------------------------------------------------------------------------- */

/* clang-format off */
#define KINDS(X)                                                                                          \
    X(GetObject) X(HeadObject) X(PutObject) X(DeleteObject) X(DeleteObjects) X(CopyObject) X(ListObjects) \
    X(ListObjectsV2) X(ListObjectVersions) X(ListBuckets) X(CreateBucket) X(DeleteBucket) X(HeadBucket)   \
    X(CreateMultipartUpload) X(UploadPart) X(UploadPartCopy) X(CompleteMultipartUpload)                   \
    X(AbortMultipartUpload) X(ListParts) X(ListMultipartUploads) X(GetObjectTagging) X(PutObjectTagging)  \
    X(DeleteObjectTagging) X(GetBucketLocation) X(PutObjectRetention) X(PutObjectLegalHold) X(GetObjectAttributes) X(GetBucketVersioning) X(PutBucketVersioning)            \
    X(CreateSession) X(Grant) X(Other)
/* clang-format on */

enum kind {
#define X(name) KIND_##name,
    KINDS(X)
#undef X
        KIND_COUNT
};
extern const char *const kind_names[KIND_COUNT];

/* ---- faults (fault.c) ------------------------------------------------------------------------------ */

/* What is to go wrong with one request: several rules that match are merged. */
struct fault {
    int status; /* 0: none */
    char code[48];
    int retry_after; /* seconds; -1 none */
    bool reset_before, reset_after, error_200, lost;
    int64_t cut;   /* bytes of the body, then the connection ends; -1 none */
    int64_t stall; /* bytes of the body, then nothing for stall_ms; -1 none */
    uint64_t stall_ms;
    uint64_t latency_ms;
    uint64_t tail_ms; /* heavy-tailed latency: this is its median */
    int64_t bandwidth;
    bool ignore_range, close;
    int64_t wrong_length; /* added to Content-Length */
    int no_length;  /* of an object: 1: it comes in chunks, 2: until the connection ends; of a HEAD: none is told */
    bool empty_206; /* a range is answered with 206 and nothing */
    int64_t wrong_range; /* added to Content-Range's start */
    int64_t corrupt;     /* the byte at this place of the body is flipped; -1 none */
    bool wrong_checksum, wrong_etag;
    bool change; /* the object is another one after this request */
    bool repeat_token, no_token;
    int range_200;       /* ranges are answered 200; 2: without Content-Range, too */
    int false_end;       /* 1: to every start-after; 2: to those with a slash */
    int64_t truncate;    /* bytes of an XML body that are sent, with a matching length; -1 none */
    int64_t upload_stop; /* the request's body is read up to here, then the connection is reset; -1 none */
    bool no_continue;    /* Expect: 100-continue is not answered */
    bool garbage;        /* the reply is not HTTP */
    struct said *said;   /* the reply, word for word; nullable */
};
void fault_none(struct fault *fault);
/* "op=GetObject&key=a*&nth=3&count=1&probability=0.5&seed=7&status=503&…"; false and `why` when it is wrong. */
bool fault_add(const char *query, char why[128]);
void fault_clear(void);
/* The merged effect on this request; counts it for the rules. */
void fault_match(struct fault *fault, enum kind kind, const char *bucket, const char *key, int64_t part);
bool fault_over_rate(void);
void fault_json(struct text *out);

/* Replies word for word (said.c): bytes, others so many times, and then more; the connection ends where fault.close
 * is on. */
struct request;
void said_first(struct fault *fault, const char *bytes, size_t length);
void said_again(struct fault *fault, const char *bytes, size_t length);
void said_times(struct fault *fault, uint64_t times);
void said_last(struct fault *fault, const char *bytes, size_t length);
void said_reply(struct request *request);

/* ---- connections and requests (conn.c) ------------------------------------------------------------- */

#define HEAD_MAX (64 * 1024)
#define SCRATCH  (256 * 1024)

struct pair {
    char *name, *value;
};

enum framing { FRAMING_NONE, FRAMING_LENGTH, FRAMING_CHUNKED };

struct conn {
    int fd;
    SSL *ssl; /* nullable */
    char *in; /* HEAD_MAX + 1 bytes */
    size_t in_start, in_end;
    char *scratch; /* SCRATCH bytes, made when first needed */
    struct text head, body, work;
    EVP_MD_CTX *md; /* of a signed chunk, made when first needed */
    bool dead;      /* nothing more can be sent or read */
};

/* What is known of the signatures of a body's chunks (sign.c). */
struct chunk_sign {
    bool on, wrong;
    uint8_t key[32];
    char date[24], scope[128], before[65], given[65];
};

struct request {
    struct conn *conn;
    char *head_copy; /* what names and values point into */
    char *method;
    char *path; /* decoded */
    size_t path_length;
    char *bucket; /* "" for the service itself */
    char *key;    /* "" for the bucket itself */
    size_t key_length;
    struct pair headers[128];
    size_t header_count;
    struct pair query[64];
    size_t query_count;
    enum kind kind;
    struct fault fault;
    int64_t started_ms;
    int64_t link_us; /* when the bytes so far have crossed a link of fault.bandwidth; 0: none have */

    /* The body. */
    enum framing framing;
    uint64_t length;     /* Content-Length */
    uint64_t frame_left; /* of the length, or of the chunk under way */
    bool frame_end;
    bool aws_chunked;
    uint64_t aws_left;
    bool aws_begun, aws_end;
    char trailer_name[64], trailer_value[128];
    struct chunk_sign chunks;
    bool expect_continue;
    uint64_t body_read;
    bool body_broken;

    bool replied;
    bool lengthless; /* the reply's body is an object, and fault.no_length is on */
    bool keep_alive;
    int status;        /* that was sent */
    uint64_t sent;     /* bytes of the body */
    struct text extra; /* header lines for the reply */
};

const char *header(const struct request *request, const char *name);      /* NULL: none */
const char *query_value(const struct request *request, const char *name); /* NULL: none, "" without value */
bool query_has(const struct request *request, const char *name);
int64_t query_number(const struct request *request, const char *name, int64_t otherwise);

void conn_serve(struct conn *conn);
/* Decoded bytes of the request's body: 0 at the end, -1 when the connection or the framing broke. */
ssize_t body_read(struct request *request, void *buffer, size_t room);
/* Reads the rest away. */
bool body_drain(struct request *request);
/* All of a small body into conn->work; false when it is too large or broken. */
bool body_all(struct request *request, size_t max);
bool conn_write(struct conn *conn, const void *bytes, size_t length);
/* So many bytes of a body cross a link of fault.bandwidth (0: at once), either way. */
void conn_carry(struct request *request, uint64_t bytes);

/* ---- replies (reply.c) ------------------------------------------------------------------------------ */

struct object;
void reply_header(struct request *request, const char *format, ...) __attribute__((format(printf, 2, 3)));
void reply(struct request *request, int status, const char *type, const void *body, size_t length);
void reply_empty(struct request *request, int status);
void reply_xml(struct request *request, int status); /* conn->body */
void reply_error(struct request *request, int status, const char *code, const char *message);
/* Status line and headers for a body of `length` bytes that the caller sends. */
bool reply_head(struct request *request, int status, const char *type, uint64_t length);
/* Applies the faults of bodies: sends a piece, `give` copies bytes of it (NULL: from the pattern). */
struct stream_source {
    const struct object *object; /* or generated: */
    uint64_t seed;
};
void reply_stream(struct request *request, const struct stream_source *source, uint64_t offset, uint64_t length);

/* ---- the pattern of generated objects (pattern.c) --------------------------------------------------- */

#define PATTERN_PERIOD 1048573u /* a prime: no two chunks are alike */
#define PATTERN_ROOM   (8u * 1048576u)
void pattern_setup(void);
const uint8_t *pattern_bytes(void); /* PATTERN_ROOM bytes of the repeated block */
int pattern_fd(void);               /* the same in a memfd */
uint64_t pattern_seed(const char *key);
/* Makes a generated object another one from now on. */
void pattern_change(const char *key);
uint64_t pattern_crc64(uint64_t seed, uint64_t size);
/* Whether the key names a generated object: its last component begins with gen-SIZE. */
bool pattern_size(const char *key, uint64_t *size);

/* ---- the store (store.c) ----------------------------------------------------------------------------- */

struct blob {
    atomic_int refs;
    size_t length;
    uint8_t bytes[];
};
struct segment {
    struct blob *blob; /* NULL: contents were not kept */
    uint64_t length;
    uint32_t part; /* number; 0 for a single put */
};
struct part_sum { /* of a part that an object was made of */
    uint32_t number;
    uint64_t size;
    char text[64];
};
struct object {
    atomic_int refs;
    uint64_t size;
    int64_t mtime_ms;
    char etag[48];
    unsigned sum; /* SUM_…; 0: none */
    bool composite;
    char sum_text[96];
    struct part_sum *part_sums; /* nullable: where the upload had an algorithm */
    size_t part_sum_count;
    struct pair headers[64]; /* content-type, x-amz-meta-…: owned */
    size_t header_count;
    char *tagging;        /* nullable */
    char version[24];     /* "": of a bucket that keeps none, or of before it did */
    bool marker;          /* of a removal */
    struct object *older; /* the version before, owned; under store.lock */
    struct segment *segments;
    size_t segment_count;
    size_t key_length;
    char *key;
    uint64_t seed; /* of a generated object's bytes */
};
struct part {
    uint32_t number;
    uint64_t size;
    int64_t mtime_ms;
    char etag[48];
    struct sums sums;
    struct segment *segments; /* of a copied part: several */
    size_t segment_count;
};
struct upload {
    struct upload *next;
    char id[40];
    char *bucket, *key;
    int64_t started_ms;
    unsigned algorithm; /* SUM_…; 0: none named */
    bool full_object;
    struct object *meta; /* headers for the object */
    struct part *parts;  /* sorted by number */
    size_t part_count, part_room;
    int users; /* requests that are at it */
    bool gone;
};
struct bucket {
    struct bucket *next;
    char *name;
    int64_t made_ms;
    struct object **objects; /* sorted by key: the latest version of each, which may be a marker */
    size_t count, room;
    enum { VERSIONS_NEVER, VERSIONS_KEPT, VERSIONS_SUSPENDED } versioning;
};
struct store {
    pthread_rwlock_t lock;
    struct bucket *buckets;
    struct upload *uploads;
    uint64_t object_count;
    uint64_t rewritten; /* objects that took the place of one with other contents */
    atomic_uint_fast64_t kept_bytes;
    uint64_t id_counter;
};
extern struct store store;

struct blob *blob_new(const void *bytes, size_t length); /* NULL above the caps */
void blob_drop(struct blob *blob);
void segments_copy(struct segment **to, size_t *to_count, const struct segment *from, size_t from_count);
void segments_free(struct segment *segments, size_t count);
struct object *object_new(const char *key, size_t key_length);
struct object *object_ref(struct object *object);
void object_drop(struct object *object);
void object_header(struct object *object, const char *name, const char *value);
void object_drop_unnamed(struct object *object); /* headers whose name is "" */
const char *object_get_header(const struct object *object, const char *name);
/* Under store.lock. */
struct bucket *store_bucket(const char *name);
struct bucket *store_make_bucket(const char *name);
size_t bucket_lower_bound(const struct bucket *bucket, const char *key, size_t length);
/* The latest version, unless that is a marker. */
struct object *bucket_find(const struct bucket *bucket, const char *key, size_t length);
/* What ?versionId= names, a marker too; `id` NULL: as bucket_find(). */
struct object *bucket_find_version(const struct bucket *bucket, const char *key, size_t length, const char *id);
void bucket_put(struct bucket *bucket, struct object *object); /* takes the reference */
/* Removes it, or puts a marker over it where versions are kept: its id then, else "". */
void bucket_remove(struct bucket *bucket, const char *key, size_t length, char marker[24]);
/* Removes one version; whether that was a marker. */
bool bucket_remove_version(struct bucket *bucket, const char *key, size_t length, const char *id);
/* What a version is called: "null" where it has no id of its own. */
const char *object_version(const struct object *object);
struct upload *upload_find(const char *bucket, const char *key, const char *id);
void upload_unlink(struct upload *upload); /* freed when the last user leaves */
void upload_leave(struct upload *upload);
struct part *upload_part(struct upload *upload, uint32_t number, bool make);
void store_clear(void); /* takes the lock itself */
/* Takes the lock; a referenced object (stored or generated; a marker where `version` names it), or NULL with `code`
 * set. */
struct object *store_get(const char *bucket, const char *key, size_t key_length, const char *version, bool *generated,
                         const char **code);
bool bucket_exists(const char *name); /* takes the lock */
void store_setup(void);

/* ---- keys that are listed (keys.c) ------------------------------------------------------------------- */

#define KEY_MAX 1024
struct listed {
    uint64_t size;
    int64_t mtime_ms;
    const char *etag; /* valid until the next */
    char etag_room[48];
    const char *storage_class;
    unsigned sum;
};
/* Keys in byte order, by index. */
struct keyspace {
    uint64_t count;
    size_t (*key)(const struct keyspace *space, uint64_t index, char *key);
    void (*about)(const struct keyspace *space, uint64_t index, struct listed *listed);
    const struct bucket *bucket; /* of stored ones */
    uint64_t number;             /* of generated ones */
};
/* A bucket of generated keys, "keys-1000[-shape]": false when the name is none. */
bool keyspace_generated(struct keyspace *space, const char *bucket);
void keyspace_stored(struct keyspace *space, const struct bucket *bucket);
/* The first index whose key is not below (or, with `after`, is above) `bound`. */
uint64_t keyspace_bound(const struct keyspace *space, const char *bound, size_t length, bool after);
/* The index of a key, or count. */
uint64_t keyspace_find(const struct keyspace *space, const char *key, size_t length);

/* ---- counters (stats.c) -------------------------------------------------------------------------------- */

void stats_connection(int change);
void stats_begin(enum kind kind);
void stats_end(const struct request *request);
void stats_reset(void);
void stats_json(struct text *out);
void stats_log_json(struct text *out);

/* ---- what requests do ------------------------------------------------------------------------------------ */

/* For a form that goes to the token service; its hash is that of these bytes. */
bool sign_check_form(struct request *request, const char *form, size_t length);
/* Keys that were granted tell in their id when they end. 0: not such keys, or another token than belongs to them. */
int64_t grant_end_ms(const char *access, const char *token);
/* The services that grant keys, below /_grant/ (grant.c). */
void grant_serve(struct request *request);
/* Directory buckets (express.c): whether it is one, and whether a request is signed as such a bucket wants it and
 * asks for what it has; replies itself when not. */
bool express_bucket(const struct request *request);
bool express_fits(struct request *request, const char *service);
/* As grant_end_ms(), of a session's keys. */
int64_t express_end_ms(const struct request *request, const char *access);
void create_session(struct request *request);
/* Of a body in signed chunks: the line before a chunk, its bytes, its end; the trailer's lines and signature. */
void chunk_begin(struct request *request, const char *line);
void chunk_bytes(struct request *request, const void *bytes, size_t length);
void chunk_end(struct request *request);
void chunk_trailer(struct request *request, const char *lines, const char *given);
bool sign_check(struct request *request); /* replies itself when it is wrong */
void control_serve(struct request *request);
void route(struct request *request);
void get_object(struct request *request);
void put_object(struct request *request);
void copy_object(struct request *request);
void delete_object(struct request *request);
void delete_objects(struct request *request);
void object_tagging(struct request *request);
void object_lock(struct request *request); /* lock.c: PutObjectRetention and PutObjectLegalHold */
void object_attributes(struct request *request);
void list_objects(struct request *request, bool v2);
void list_versions(struct request *request);
void version_header(struct request *request, const struct object *object); /* where it has one */
void bucket_versioning(struct request *request);
void list_buckets(struct request *request);
void list_parts(struct request *request);
void list_uploads(struct request *request);
void bucket_request(struct request *request);
void create_upload(struct request *request);
void put_part(struct request *request);
void put_part_copy(struct request *request);
void complete_upload(struct request *request);
void abort_upload(struct request *request);

void object_unlock(struct object *object);
/* Parts of the above that several use (object.c). */
void no_such(struct request *request, const char *code); /* a reply: bucket, version or key */
struct received {
    struct sums sums;
    struct blob *blob; /* nullable */
    unsigned named;    /* the algorithm whose value the request gave, else 0 */
};
/* Reads the body, checks its length and every checksum that came with it; replies itself when it fails. */
bool lock_fits(struct request *request, const struct object *meta); /* replies itself when not */
bool receive_body(struct request *request, unsigned also, bool keep, struct received *received);
void received_free(struct received *received);
/* If-Match and friends of a write, under the lock; NULL or the error's code, with its status. */
const char *write_condition(struct request *request, struct bucket *bucket, int *status);
void take_headers(struct request *request, struct object *object);
void make_etag(char etag[48], const struct sums *sums);
bool wants_md5(void);
void sum_header(struct request *request, unsigned which, const char *text, bool composite);
bool sum_supported(struct request *request); /* replies itself when not */
/* options.c: what goes with a write beside its bytes; reply themselves when it is wrong. */
bool options_fit(struct request *request);
bool owner_fits(struct request *request);
void options_echo(struct request *request, const struct object *object);
/* SSE-C; replies itself. prefix: "x-amz-", of a copy's source "x-amz-copy-source-". */
bool customer_key_fits(struct request *request, const char *prefix, const struct object *object);
/* A piece of an object as segments of its own. `sums`, begun, gets its checksums; the bits of those that are known are
 * returned: where contents are not kept none, of a generated object CRC64. */
unsigned take_range(const struct object *object, bool generated, uint64_t offset, uint64_t length, struct segment **to,
                    size_t *count, struct sums *sums);
/* It is another one from now on. */
void change_object(const char *bucket, const struct object *object, bool generated);
/* "bytes=A-B" and its kin against a size: 1 a range, 0 none that counts, -1 not satisfiable. */
int parse_range(const char *text, uint64_t size, uint64_t *offset, uint64_t *length);
bool same_etag(const char *list, const char *etag); /* quotes and "*" understood */
/* The object that x-amz-copy-source names, referenced, and its bucket; replies itself when there is none. */
struct object *copy_source(struct request *request, bool *generated, char bucket[64]);

/* XML that comes in (xmlin.c). */
struct xml_part {
    uint32_t number;
    char etag[64];
    char algorithm[16], sum[64]; /* the part's checksum, "" where none is given */
};
bool xml_complete(const char *xml, size_t length, struct xml_part **parts, size_t *count);
struct xml_key {
    char *key;
    size_t length;
    char version[40]; /* "": none named */
};
bool xml_delete(const char *xml, size_t length, struct xml_key **keys, size_t *count, bool *quiet);
void xml_keys_free(struct xml_key *keys, size_t count);

#endif
