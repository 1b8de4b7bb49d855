/* SPDX-License-Identifier: Apache-2.0
 * S3 endpoints from a test's point of view: a scripted one of its own (started and ended with the test), or one that
 * a CTest fixture started. What cannot be started ends the test program with a message: nothing is skipped. */
#ifndef ORB_TESTS_ENDPOINT_H
#define ORB_TESTS_ENDPOINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define ENDPOINT_ACCESS "orbittestkey"
#define ENDPOINT_SECRET "orbittestsecret"

struct endpoint {
    pid_t pid; /* 0: not ours to end */
    int port;
    char url[128];
    char access[128], secret[128], region[64];
};

/* Starts the scripted endpoint with these options (NULL at the end). With --tls-cert its url is https://localhost. */
void endpoint_start(struct endpoint *endpoint, ...);
void endpoint_stop(struct endpoint *endpoint);
/* The one that the fixture ("rgw", "s3d") started; ORBIT_TEST_S3_ENDPOINT and AWS_* take the place of all but "s3d". */
void endpoint_of_fixture(struct endpoint *endpoint, const char *fixture);

/* The control API of a scripted endpoint without TLS: POST /_control/WHAT. Ends the program when it is refused. */
void endpoint_control(struct endpoint *endpoint, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Drops rules, counters, objects, uploads. */
void endpoint_reset(struct endpoint *endpoint);
/* A number from /_control/stats: "total", "requests.GetObject", "open_uploads", "failed.PutObject", … */
int64_t endpoint_count(struct endpoint *endpoint, const char *name);
/* Uploads that are open and whose keys begin with `prefix`. */
unsigned endpoint_uploads(struct endpoint *endpoint, const char *prefix);
/* The n-th (from 0) request of a kind in the log: fills what is asked for (nullable); false when there is none. */
struct endpoint_request {
    int status;
    int64_t part, sent, received, at_ms;
    char range[48], key[160], if_match[48];
};
bool endpoint_request(struct endpoint *endpoint, const char *op, unsigned n, struct endpoint_request *request);
/* The same of one whose reply was read: it is logged when all of it was sent, which may be a moment later. */
bool endpoint_await_request(struct endpoint *endpoint, const char *op, unsigned n, struct endpoint_request *request);

/* The bytes of a generated object ("gen-12M"): fills `length` bytes from `offset`. */
void endpoint_pattern(const char *key, uint64_t offset, void *bytes, size_t length);

/* Makes (once) a directory with ca.pem, server.pem, server.key, expired.*, stranger.*; returns its path. */
const char *endpoint_tls_dir(void);

#endif
