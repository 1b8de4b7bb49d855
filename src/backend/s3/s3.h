/* SPDX-License-Identifier: Apache-2.0
 * The inside of the S3 backend: what its files share. An operation is a struct that embeds orb_s3_op; it sends
 * one request after the other, and `finished` is called on the main loop after each. From send to finished a
 * lane owns it. Everything else here is the main loop's. */
#ifndef ORB_BACKEND_S3_S3_H
#define ORB_BACKEND_S3_S3_H

#include "backend/backend.h"
#include "backend/s3/keys/keys.h"
#include "backend/s3/s3_address.h"
#include "backend/s3/s3_ways.h"
#include "base/buf.h"
#include "base/digest.h"
#include "base/mem.h"
#include "wire/http.h"
#include "wire/sigv4.h"
#include "wire/xml.h"

enum {
    ORB_S3_PARAMS_MAX = 24,
    ORB_S3_ERROR_BODY_MAX = 64 << 10,
    ORB_S3_KEY_MAX = 4096, /* S3 allows 1,024 bytes; other stores differ, none goes that far */
    ORB_S3_CHECKSUM_TEXT = 64,
    ORB_S3_TAGS_MAX = 64 << 10, /* ten tags of 384 characters, encoded */
    ORB_S3_ETAG_MAX = 255,
    ORB_S3_METADATA_MAX = 64 << 10, /* what orbit_metadata has room for; S3 allows 2 KiB */
    ORB_S3_COPY_TIMEOUT_MS = 300000
};

struct orb_s3 {
    struct orbit_host *host;
    struct orb_http *http;
    struct orb_http_site site;
    struct orb_sigv4 *signer;
    struct orb_keys_source *keys;    /* what requests are signed with; NULL: anonymous */
    struct orb_keys_source *session; /* of a directory bucket, for what is not asked for by own keys; nullable */

    /* From the configuration; strings are owned. */
    char *bucket, *prefix, *ca_bundle, *expected_bucket_owner;
    char *client_cert, *client_key, *unix_socket; /* nullable */
    char *proxy, *no_proxy;                       /* as the environment said; a secret may be in the first */
    bool secure, sign_payload, no_checksum, ask_checksums, request_payer;
    const struct orb_s3_store *store; /* what it is, as far as that is known */
    uint32_t checksum;                /* orbit_checksum_algorithm of uploads */
    uint32_t list_page_entries;
    struct orb_s3_address_request where; /* its bucket, region and endpoint are filled in when it is used */
    char *endpoint_host; /* "host" or "host:port", without the bucket; NULL for AWS: it follows from the region */
    char *endpoint_path; /* "" or "/…" that goes before every path */
    char site_name[ORB_S3_AUTHORITY_MAX + 16]; /* scheme, host and port without the bucket */

    /* Learned from replies. */
    char region[ORB_S3_REGION_MAX];
    struct orb_s3_address address, control; /* of the bucket, and where it is made and removed */
    int64_t clock_offset_s;                 /* the store's clock minus ours */
    unsigned lessons;                       /* how often region or clock were corrected */
    bool reached;                           /* it has answered before: a refused connection is then worth another try */
    bool written;                           /* it has taken a change */
    struct orb_s3_ways ways;
    struct orb_s3_ways told;         /* of them what is remembered, or was known at the beginning */
    _Atomic enum orb_s3_etags etags; /* as they came last; lanes write it, too */

    struct orb_buf scratch, authorization; /* for signing */
};

/* Header values of a reply that are not metadata. Filled on the lane. */
struct orb_s3_reply {
    char request_id[72];
    char region[ORB_S3_REGION_MAX];
    char checksum_type[16];
    uint32_t retry_after_ms;
    int64_t date_ns; /* 0: none */
    bool has_length, has_range, has_etag, delete_marker;
    bool chunked;                            /* without a length: the body says where it ends */
    uint64_t length;                         /* Content-Length */
    uint64_t range_first, range_last, total; /* Content-Range; total UINT64_MAX: "*" */
    bool range_unsatisfied;                  /* "bytes * /total" */
    size_t metadata_bytes;                   /* that came, with what keeping them costs at most */
    bool no_memory, too_much_metadata;
};

struct orb_s3_op {
    struct orb_http_request http; /* first */
    struct orb_s3 *s3;
    orbit_op *op;
    const struct orb_s3_address *address; /* of the backend's */
    const char *verb;                     /* "read", for messages */
    const char *path;                     /* nullable: messages then speak of the bucket */
    const struct orb_s3 *holder;          /* the store that has `path`, where it is another one: a copy's source */
    bool wants_new;                       /* If-None-Match: * was sent: 412 means that it exists */
    bool conditional;                     /* it was, or If-Match with a write */
    bool keyless;                         /* what is looked at is kept without the customer's key */
    bool listing;                         /* by ListObjectsV2 */
    bool changes;                         /* the request has an effect: a lost reply leaves it open */
    bool sent_checksum;                   /* the request carried checksum headers */
    bool asked_checksum, spared_checksum; /* it asked for the object's; it did not, for once or for good */
    bool bare;                            /* its body has a checksum that is not sent with it */
    bool trailed;                         /* … that was sent behind it */
    unsigned lessons;                     /* s3->lessons when it was signed */
    unsigned keys;                        /* the generation of keys it was signed with */
    bool own_keys;                        /* its requests are signed with them also where there are sessions */
    struct orb_keys_source *awaited;      /* of keys, nullable */
    struct orb_keys_wait wait;
    void (*ready)(struct orb_s3_op *op); /* what needed them */
    bool bad_header;                     /* a value that no header can carry */
    bool running, ended;
    void (*finished)(struct orb_s3_op *op); /* http.status says whether there is a reply */
    void (*release)(struct orb_s3_op *op);  /* nullable: frees what the operation holds */
    void (*cancel)(struct orb_s3_op *op);   /* nullable: cancelled while no request is under way */

    orbit_metadata *metadata; /* nullable: where headers of a good reply go; lane */
    struct orb_s3_reply reply;

    struct orb_buf url;
    orbit_pair params[ORB_S3_PARAMS_MAX];
    size_t param_count;
    size_t query;                     /* where it begins in url; 0: there is none */
    char payload_hash[65];            /* "" : unsigned */
    struct orb_sigv4_chunks **chunks; /* nullable: where signing leaves what signs the body's chunks */
    struct orb_message free_message, step_message;
};

/* s3_request.c ------------------------------------------------------------------------------------ */

/* Turns an operation to another backend, whose request comes next. */
void orb_s3_op_turn(struct orb_s3_op *op, struct orb_s3 *s3);
/* Allocates an operation of `bytes` for `op`, op->state set. NULL: out of memory, `op` is done. */
void *orb_s3_op_new(struct orb_s3 *s3, orbit_op *op, size_t bytes, const char *verb, const char *path);
/* Ends it; the memory goes when the engine has heard of the end. */
void orb_s3_op_end(struct orb_s3_op *op, orbit_status status, const orbit_error *error);
/* op->resume for operations with a body or a sink. */
void orb_s3_op_resume(orbit_op *op);
/* From a worker back to the main loop: step(op) is called there. */
void orb_s3_op_step(struct orb_s3_op *op, void (*step)(struct orb_message *message));

/* A request is made by: one begin, any params and headers, one send. `path` NULL: the bucket. Values of params
 * are borrowed until send; headers are copied. NULL values leave the param or header out. */
void orb_s3_begin(struct orb_s3_op *op, const char *method, const char *path);
void orb_s3_param(struct orb_s3_op *op, const char *name, const char *value);
void orb_s3_header(struct orb_s3_op *op, const char *name, const char *value);
/* Asks for the object's checksum, but of a store that refuses the question, and not where nobody wants to know. */
void orb_s3_ask_checksum(struct orb_s3_op *op);
/* Appends what a store can be asked for of a prefix: where it takes only whole directories, these. */
void orb_s3_asked_prefix(const struct orb_s3 *s3, const struct orb_buf *prefix, struct orb_buf *asked);
/* What a listing of keys has first: its kind, as the store knows it. */
void orb_s3_list_params(struct orb_s3_op *op);
/* Signs and starts. What fails here ends the operation. */
void orb_s3_send(struct orb_s3_op *op, void (*finished)(struct orb_s3_op *op));
/* Calls ready() when there are keys, perhaps at once; ends the operation where none can be had. */
void orb_s3_with_keys(struct orb_s3_op *op, void (*ready)(struct orb_s3_op *op));
/* What its next request is signed with; NULL: nothing. */
struct orb_keys_source *orb_s3_op_keys(const struct orb_s3_op *op);
/* Ends an operation that waits for keys, as cancelled. */
void orb_s3_stop_waiting(struct orb_s3_op *op);
/* The done event, for operations that have events of their own (op->http.events set before send). */
void orb_s3_on_done(struct orb_http_request *request);
void orb_s3_on_silent(struct orb_http_request *request, uint64_t since_ns);
/* The same with a small body in memory that outlives the request; its hash is signed. */
void orb_s3_send_bytes(struct orb_s3_op *op, struct orb_http_bytes *body, const void *bytes, size_t length,
                       void (*finished)(struct orb_s3_op *op));
/* The store's addresses from region, bucket and endpoint. ORBIT_E_CONFIG when there is none. */
orbit_status orb_s3_locate(struct orb_s3 *s3, orbit_error *error);
/* "s3://bucket/key" for messages, cut where it is long. */
const char *orb_s3_name(const struct orb_s3 *s3, const char *path, char *out, size_t room);
/* Appends the full key of a path. */
bool orb_s3_key(const struct orb_s3 *s3, const char *path, struct orb_buf *out);

/* s3_learned.c: region, clock and ways as replies taught them, for backends that the client opens later. remember_…
 * when they were learned (ways: loop thread, at the end of every operation), recall when host, bucket, region and
 * the store's ways are configured, before orb_s3_locate(). What cannot be remembered is learned again. Any thread. */
void orb_s3_remember_region(struct orb_s3 *s3);
void orb_s3_remember_clock(struct orb_s3 *s3);
void orb_s3_remember_ways(struct orb_s3 *s3);
void orb_s3_recall(struct orb_s3 *s3);

/* s3_reply.c: the header event of all requests, and what replies are made of. */
void orb_s3_on_header(struct orb_http_request *request, const char *name, const char *value);
/* Reads a small XML reply from op->http.memory. ORBIT_END: an event stopped it. */
orbit_status orb_s3_parse(struct orb_s3_op *op, const struct orb_xml_events *events, void *ctx, orbit_error *error);
/* The same of one that repeats the operation's key or prefix, which is not looked at: stores write there what no XML
 * may hold. */
orbit_status orb_s3_parse_beside_key(struct orb_s3_op *op, const struct orb_xml_events *events, void *ctx,
                                     orbit_error *error);
/* What IsTruncated says. Only a clear no ends a listing: the rest of one that was cut in silence would be missed. */
bool orb_s3_says_more(const char *text);
/* Whether the root of a reply is that of the answer: the documented name, or what some stores make of the operation's
 * ("ListPartsResponse", "…Result", "…Output"). Any other document (a proxy's page) is none, however empty it is. */
bool orb_s3_answers(const char *root, const char *documented, const char *operation);

/* s3_etag.c ---------------------------------------------------------------------------------------- */

/* Cuts an ETag to what is between its quotes; false for none, such as one that could not be sent back to the store. */
bool orb_s3_bare_etag(const char **value, size_t *length);
/* Keeps that; NULL when memory is out or it is none. */
const char *orb_s3_keep_etag(orbit_metadata *metadata, const char *value, size_t length);
/* `wanted` as If-Match takes it: may be quoted, weak, or "*". `etag` is nullable. */
bool orb_s3_same_etag(const char *wanted, const char *etag);
/* A header of the store's: how it writes them. */
void orb_s3_note_etag(struct orb_s3 *s3, const char *value);
/* Whether a read can have this one for a condition; else what comes has to be compared. */
bool orb_s3_reads_conditioned(const struct orb_s3 *s3, const char *etag);
/* A condition, as `store` writes its ETags. */
void orb_s3_etag_header(struct orb_s3_op *op, const struct orb_s3 *store, const char *name, const char *etag);

/* s3_error.c ---------------------------------------------------------------------------------------- */

/* After a request: ORBIT_OK for a 2xx reply whose body in http.memory is no <Error>, else what went wrong. Learns
 * region, clock and what the endpoint can do. */
orbit_status orb_s3_check(struct orb_s3_op *op, orbit_error *error);
/* The same, and ends the operation with it unless it is ORBIT_OK; false when it has ended. */
bool orb_s3_fine(struct orb_s3_op *op);
/* An error the store told by code, in a reply that was good as a whole (batch remove, 200 with <Error>). */
orbit_status orb_s3_fail_code(struct orb_s3_op *op, const char *path, const char *code, const char *message,
                              int http_status, orbit_error *error);

/* s3_checksum.c ------------------------------------------------------------------------------------- */

/* Header names of an algorithm: "x-amz-checksum-crc64nvme", and its word "CRC64NVME"; NULL for none. MD5 has a header
 * (Content-MD5) and no word: it is compared and not kept. */
const char *orb_s3_checksum_header(uint32_t algorithm);
const char *orb_s3_checksum_word(uint32_t algorithm);
uint32_t orb_s3_checksum_from_word(const char *word);
uint8_t orb_s3_checksum_bytes(uint32_t algorithm); /* of its value */
/* Base64 of it, as the headers carry it. */
void orb_s3_checksum_text(const orbit_checksum *checksum, char text[ORB_S3_CHECKSUM_TEXT]);
/* The other way; "…-12" is a composite. False for what is none. */
bool orb_s3_checksum_parse(orbit_checksum *checksum, uint32_t algorithm, const char *text);
/* Whether it is made of those of parts, by all that the reply says. */
void orb_s3_note_composite(const struct orb_s3_reply *reply, orbit_metadata *metadata);
/* That, and the size, which is the length of what a HEAD does not bring. */
void orb_s3_note_head(const struct orb_s3_reply *reply, orbit_metadata *metadata);
/* Whether the checksum of a whole follows from those of its parts (CRCs). Of the others S3 keeps a checksum of the
 * parts' checksums: a "composite" one. */
bool orb_s3_combines(uint32_t algorithm);
/* Whether it has to be known before the first byte goes: a hash, whose body then is read twice. */
bool orb_s3_checksum_comes_first(uint32_t algorithm);
/* A checksum of any kind that is computed on the way. */
struct orb_s3_sum {
    uint32_t algorithm;        /* 0: none */
    uint64_t crc;              /* of CRCs, so far */
    struct orb_digest *digest; /* of the others, from start on */
    orbit_checksum finished;   /* of the others: the value, once it was asked for */
    bool failed;               /* the system's cryptography did */
};
/* Its algorithm is set. False when memory is out. Begins anew where it had begun. */
bool orb_s3_sum_start(struct orb_s3_sum *sum);
void orb_s3_sum_release(struct orb_s3_sum *sum);
void orb_s3_sum_update(struct orb_s3_sum *sum, const void *bytes, size_t length);
orbit_checksum orb_s3_sum_checksum(struct orb_s3_sum *sum); /* no update after it */
orbit_checksum orb_s3_crc_checksum(uint32_t algorithm, uint64_t crc);
uint64_t orb_s3_crc_combine(uint32_t algorithm, uint64_t a, uint64_t b, uint64_t length_b);
/* The algorithm of an upload with these options, nullable, of which `asked` is the checksum; ORBIT_E_UNSUPPORTED for
 * one that cannot be done. 0: none. */
orbit_status orb_s3_upload_checksum(const struct orb_s3 *s3, const orbit_write_options *options, uint32_t asked,
                                    uint32_t *algorithm, orbit_error *error);
void orb_s3_base64(const void *bytes, size_t length, char *text /* 4 × ceil(length / 3) + 1 */);
bool orb_s3_md5(const void *bytes, size_t length, uint8_t out[16]);
/* For requests whose body S3 wants a digest of: Content-MD5, or a CRC where the system's cryptography has no MD5. */
void orb_s3_digest_header(struct orb_s3_op *op, const struct orb_buf *body);

/* s3_put.c: an operation with a body, put or part. --------------------------------------------------- */

/* s3_trailer.c */
enum { ORB_S3_TRAILER_PIECE = 160 };
struct orb_s3_trailer {
    orbit_body body; /* first */
    orbit_body *inner;
    struct orb_s3_sum *sum;           /* of the bytes so far */
    uint64_t left, chunk;             /* of the body after this chunk; of the chunk */
    const void *lent;                 /* the inner body's bytes that were lent last */
    char piece[ORB_S3_TRAILER_PIECE]; /* between the bytes */
    size_t length, used;
    bool begun, last;
};
/* `inner`'s bytes as chunks, with `sum` (a CRC, its algorithm is set) behind them. */
orbit_body *orb_s3_trailer_init(struct orb_s3_trailer *trailer, orbit_body *inner, struct orb_s3_sum *sum);

/* s3_signed.c */
enum { ORB_S3_SIGNED_PIECE = 400 };
struct orb_s3_signed {
    orbit_body body; /* first */
    orbit_body *inner;
    struct orb_s3_sum *sum;          /* of the bytes so far */
    struct orb_sigv4_chunks *chunks; /* from the moment the request is signed; owned, as `room` */
    uint8_t *room;                   /* a chunk */
    size_t filled, given;            /* of it */
    uint64_t sent;                   /* of the inner body, in whole chunks */
    bool trailing, ready, last;
    char piece[ORB_S3_SIGNED_PIECE]; /* between the chunks */
    size_t length, used;
};
/* `inner`'s bytes as signed chunks, with `sum` behind them where `trailing`. NULL: memory is out. */
orbit_body *orb_s3_signed_init(struct orb_s3_signed *body, orbit_body *inner, struct orb_s3_sum *sum, bool trailing);
void orb_s3_signed_release(struct orb_s3_signed *body); /* zeroed is fine */

struct orb_s3_sending {
    struct orb_s3_op base; /* first */
    orbit_body *body;
    struct orb_s3_trailer trailer;
    struct orb_s3_signed signed_body;
    bool sum_first;        /* set before the start: its checksum is to be known when ready */
    bool signs;            /* the chunks, because the hash of the whole is not known ahead */
    bool trailing;         /* the checksum is sent behind the body */
    struct orb_s3_sum sum; /* of the body, complete when it was sent (or before) */
    bool sum_known;        /* before sending: it goes into a header */
    struct orb_sha256 *sha;
    _Atomic int pass; /* of the pass over the body before it is sent */
    orbit_status pass_status;
    /* Builds the request and sends it; all that must be known before is. Loop thread. */
    void (*ready)(struct orb_s3_sending *sending);
};
/* With body, sum.algorithm and ready filled. Reads the body beforehand where its hash has to be known. */
void orb_s3_sending_start(struct orb_s3_sending *sending);
/* In ready: whether the body goes in chunks, because they are signed, or its checksum goes behind it: where that
 * must come along, or the store wants it so, and it is not known ahead. The caller adds "aws-chunked" as content
 * encoding. */
bool orb_s3_sending_in_chunks(struct orb_s3_sending *sending, bool must);
/* Adds body and checksum headers, sends. */
void orb_s3_sending_send(struct orb_s3_sending *sending, void (*finished)(struct orb_s3_op *op));
/* After a good reply: ORBIT_E_CHECKSUM (retriable) when the store computed another checksum than we. */
orbit_status orb_s3_sending_compare(struct orb_s3_sending *sending, const orbit_checksum *stored, orbit_error *error);
/* If-None-Match and If-Match for the options of a write, where the store takes them. */
void orb_s3_condition_headers(struct orb_s3_op *op, bool overwrite, const char *if_match);
bool orb_s3_is_conditional(const orbit_write_options *options);

/* s3_upload.c: a multipart upload. Loop thread. ------------------------------------------------------- */

struct orb_s3_part {
    uint64_t length, crc;
    uint8_t *hash; /* owned: the checksum where it is no CRC */
    bool known, has_sum;
    char etag[38]; /* "" : long_etag */
    char *long_etag;
};
enum { ORB_S3_PART_BLOCK = 64, ORB_S3_PART_NUMBER_MAX = 1000000 };

struct orb_s3_upload {
    struct orb_s3 *s3;
    char *path, *upload_id, *if_match, *expected_bucket_owner; /* owned; the last two nullable */
    char *tagging;                                             /* owned, nullable: the object is to have these tags */
    char *lock_mode, *lock_until, *lock_hold;                  /* and this lock; owned, nullable */
    uint32_t algorithm;                                        /* of the checksum; 0: none */
    bool overwrite, request_payer, has_key, locks;
    uint8_t customer_key[32];
    int64_t begun_ns;
    struct orb_s3_part **blocks; /* by number: block (number - 1) / 64. Parts stay where they are */
    size_t block_count;
};
/* The part's place, made when `make`; NULL: not there, or memory is out. */
struct orb_s3_part *orb_s3_upload_at(struct orb_s3_upload *upload, uint32_t number, bool make);
const char *orb_s3_part_etag(const struct orb_s3_part *part);
bool orb_s3_part_set(struct orb_s3_part *part, const char *etag, uint64_t length);
/* Its checksum, where that is of the upload's algorithm. False when memory is out. */
bool orb_s3_part_set_sum(struct orb_s3_part *part, const struct orb_s3_upload *upload, const orbit_checksum *checksum);
orbit_checksum orb_s3_part_sum(const struct orb_s3_part *part, const struct orb_s3_upload *upload); /* NONE: unknown */
/* Headers that every request of an upload carries. */
void orb_s3_upload_headers(struct orb_s3_op *op, const struct orb_s3_upload *upload, bool with_key);

/* s3_lost.c: what a write whose reply was lost may have left ------------------------------------------- */

/* Looks at the target of a write; what there is goes to `seen`. `resolves`: so that it can be compared. */
void orb_s3_look(struct orb_s3_op *op, const char *path, const orbit_write_options *options, bool resolves,
                 orbit_metadata *seen, void (*looked)(struct orb_s3_op *op));
/* The customer's key was refused, as it is for what is kept without one: then it is to be looked at once more. */
bool orb_s3_looks_keyless(struct orb_s3_op *op, const uint8_t *key);
/* It is what was to be written: `seen` is given away to `out`. */
void orb_s3_take_seen(orbit_metadata *out, orbit_metadata *seen);
/* It is not, so the condition was rightly refused; or nobody could look (`looked`), which is told. */
void orb_s3_end_refused(struct orb_s3_op *op, orbit_error *refused, orbit_status looked);
/* By the store's clock, which `since_ns` is of. */
bool orb_s3_written_since(const orbit_metadata *seen, int64_t since_ns);
/* Whether they can be compared; then `*same` says how that went. */
bool orb_s3_same_sum(const orbit_metadata *seen, const orbit_checksum *own, bool *same);
/* What an earlier attempt would have written, and when it began by our clock. It is there where checksum or ETag say so,
 * and where they say nothing, if size and time fit. */
struct orb_s3_written {
    uint64_t size;
    orbit_checksum checksum; /* algorithm 0: unknown */
    const char *etag;        /* nullable */
    int64_t since_ns;
};
bool orb_s3_is_written(const struct orb_s3 *s3, const orbit_metadata *seen, const struct orb_s3_written *written);

/* s3_options.c: headers that follow from options ------------------------------------------------------ */

void orb_s3_write_headers(struct orb_s3_op *op, const char *path, const orbit_write_options *options,
                          const orbit_metadata *preserve);
/* Of these, what says how the object is kept and not what it is: class, ACL, tags, encryption, accounts. */
void orb_s3_storage_headers(struct orb_s3_op *op, const orbit_write_options *options);
/* x-amz-server-side-encryption-customer-…, or with "copy-source-" before it. NULL key: nothing. */
void orb_s3_customer_key_headers(struct orb_s3_op *op, const uint8_t *key, bool copy_source);
/* x-amz-request-payer and x-amz-expected-bucket-owner; options nullable. */
void orb_s3_account_headers(struct orb_s3_op *op, const orbit_write_options *options);
/* Object Lock: whether the options ask for it (then bytes go with a checksum), and whether they do so in full. */
bool orb_s3_locks(const orbit_write_options *options);
orbit_status orb_s3_lock_check(const orbit_write_options *options, orbit_error *error);
const char *orb_s3_content_type(const char *path); /* by extension; "application/octet-stream" otherwise */

/* s3_tags.c: ask on an operation, then read in finished(): no tags are an empty text. */
struct orb_s3_tags {
    struct orb_buf text; /* as x-amz-tagging takes it */
    struct orb_buf key, value;
    bool is_tagging;
};
void orb_s3_tags_init(struct orb_s3_tags *tags);
void orb_s3_tags_release(struct orb_s3_tags *tags);
void orb_s3_tags_ask(struct orb_s3_op *op, const char *path, const char *version_id,
                     void (*finished)(struct orb_s3_op *op));
orbit_status orb_s3_tags_read(struct orb_s3_op *op, struct orb_s3_tags *tags, orbit_error *error);
/* s3_tagging.c: sets them all. False: they are not of the form that they have to have. */
bool orb_s3_tags_body(struct orb_buf *body, struct orb_s3_tags *scratch, const char *tagging);
void orb_s3_tags_send(struct orb_s3_op *op, const char *path, const char *version_id, const struct orb_buf *body,
                      struct orb_http_bytes *bytes, void (*finished)(struct orb_s3_op *op));

/* s3_after.c: what an upload in parts was begun with beside its bytes and some stores drop: tags and locks. Set when
 * the object is there. It is the first thing of the operation, which start() ends. */
struct orb_s3_after {
    struct orb_s3_op base; /* first */
    const struct orb_s3_upload *upload;
    const char *version;     /* that was written; NULL: the latest */
    struct orb_s3_tags tags; /* of the object, while they are compared with those it is to have */
    orbit_metadata seen;     /* the same for its lock */
    struct orb_buf body;
    struct orb_http_bytes bytes;
};
void orb_s3_after_init(struct orb_s3_after *after, const struct orb_s3_upload *upload);
void orb_s3_after_release(struct orb_s3_after *after);
void orb_s3_after_start(struct orb_s3_after *after, const char *version_id);

/* s3_attributes.c: a page of the parts an object was made of: ask on an operation, then read in finished(), which calls
 * `each` for the parts after `last`, in order. ORBIT_E_UNSUPPORTED where the store does not offer that. */
struct orb_s3_attributes {
    void (*each)(void *ctx, const orbit_object_part *part);
    void *ctx;
    uint32_t last; /* number of the last one told */
    bool more;     /* others follow it */
    bool is_reply, in_parts;
    orbit_object_part part;
};
void orb_s3_attributes_ask(struct orb_s3_op *op, const char *path, const char *version_id, const uint8_t *customer_key,
                           uint32_t after, void (*finished)(struct orb_s3_op *op));
orbit_status orb_s3_attributes_read(struct orb_s3_op *op, struct orb_s3_attributes *page, orbit_error *error);
/* The CRC of a whole from those of its parts, page by page. end: whether it follows from them. */
struct orb_s3_whole {
    struct orb_s3_attributes page;
    uint32_t algorithm, count;
    uint64_t crc, bytes;
    bool broken; /* a part has no such CRC, or is missing */
};
void orb_s3_whole_begin(struct orb_s3_whole *whole, uint32_t algorithm);
bool orb_s3_whole_end(const struct orb_s3_whole *whole, uint64_t size, orbit_checksum *checksum);

/* s3_part_copy.c: what says where a copy comes from, and how long it may take. */
void orb_s3_copy_headers(struct orb_s3_op *op, const orbit_copy_request *request);
const char *orb_s3_copy_version(const orbit_copy_request *request); /* NULL: the current one */
/* An element of CopyObjectResult or CopyPartResult. */
bool orb_s3_copy_result(orbit_metadata *result, const char *name, const char *text, size_t length);

/* s3_config.c ----------------------------------------------------------------------------------------- */

orbit_status orb_s3_configure(struct orb_s3 *s3, const orbit_open_request *request, orbit_capabilities *capabilities,
                              orbit_error *error);

/* s3_site.c: ca_bundle, expected_bucket_owner and what is between us and the store. */
orbit_status orb_s3_take_site(struct orb_s3 *s3, const orbit_open_options *options, const orbit_s3_config *config,
                              orbit_error *error);
void orb_s3_release_site(struct orb_s3 *s3);

/* The operations, by file ------------------------------------------------------------------------------ */

void orb_s3_stat(void *self, orbit_op *op, const orbit_stat_request *request, orbit_metadata *reply);
void orb_s3_read(void *self, orbit_op *op, const orbit_read_request *request, orbit_sink *sink,
                 orbit_read_reply *reply);
void orb_s3_put(void *self, orbit_op *op, const orbit_put_request *request, orbit_body *body, orbit_metadata *reply);
void orb_s3_upload_begin(void *self, orbit_op *op, const orbit_begin_request *request, orbit_begin_reply *reply);
void orb_s3_upload_part(void *self, orbit_op *op, void *handle, const orbit_part *request, orbit_body *body,
                        orbit_part_reply *reply);
void orb_s3_upload_part_copy(void *self, orbit_op *op, void *handle, const orbit_part_copy_request *request,
                             orbit_part_reply *reply);
void orb_s3_upload_finish(void *self, orbit_op *op, void *handle, const orbit_finish_request *request,
                          orbit_metadata *reply);
void orb_s3_upload_abort(void *self, orbit_op *op, void *handle);
void orb_s3_upload_release(void *self, void *handle);
orbit_status orb_s3_upload_adopt(void *self, void *handle, const orbit_stored_part *stored, orbit_error *error);
orbit_status orb_s3_locate_path(void *self, const char *path, char *store, size_t store_room, char *key,
                                size_t key_room);
void orb_s3_upload_parts(void *self, orbit_op *op, const orbit_parts_request *request, orbit_more_reply *reply);
void orb_s3_uploads(void *self, orbit_op *op, const orbit_uploads_request *request, orbit_more_reply *reply);
/* s3_buckets.c: a backend without a bucket is the service, whose buckets can be listed and no more. */
#define ORB_S3_SERVICE_VERB "list the buckets of" /* the one operation it has, for orb_s3_op_new() */
bool orb_s3_is_service(const struct orb_s3 *s3);
void orb_s3_buckets_begin(struct orb_s3 *s3, orbit_op *op, const orbit_list_request *request, void **handle);
void orb_s3_buckets_page(struct orb_s3 *s3, orbit_op *op, void *handle, orbit_page *page);
void orb_s3_buckets_end(void *handle);
void orb_s3_list_begin(void *self, orbit_op *op, const orbit_list_request *request, void **handle);
void orb_s3_list_page(void *self, orbit_op *op, void *handle, orbit_page *page);
void orb_s3_list_end(void *self, void *handle);
void orb_s3_remove(void *self, orbit_op *op, const orbit_remove_request *request);
void orb_s3_copy(void *self, orbit_op *op, const orbit_copy_request *request, orbit_metadata *reply);
void orb_s3_presign(void *self, orbit_op *op, const orbit_presign_request *request);
void orb_s3_probe(void *self, orbit_op *op, const orbit_probe_request *request);
void orb_s3_tags_get(void *self, orbit_op *op, const orbit_bytes_request *request);
void orb_s3_tags_set(void *self, orbit_op *op, const orbit_tags_request *request);
void orb_s3_mkdir(void *self, orbit_op *op, const orbit_mkdir_request *request);
void orb_s3_container_create(void *self, orbit_op *op);
void orb_s3_container_remove(void *self, orbit_op *op);
void orb_s3_object_parts(void *self, orbit_op *op, const orbit_object_parts_request *request,
                         orbit_object_parts_reply *reply);
void orb_s3_versioning_get(void *self, orbit_op *op, uint32_t *versioning);
void orb_s3_versioning_set(void *self, orbit_op *op, uint32_t versioning);

#endif
