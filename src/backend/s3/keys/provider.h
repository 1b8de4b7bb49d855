/* SPDX-License-Identifier: Apache-2.0
 * The inside of the credential chain. An origin is what was configured: read once, when a backend is opened. A
 * provider is one place keys may come from; it runs on the fetch's own thread and may block, but not for long: every
 * wait has a limit and looks at `cancelled`. chain.c asks them in order. Nothing here ever logs or tells a secret. */
#ifndef ORB_BACKEND_S3_KEYS_PROVIDER_H
#define ORB_BACKEND_S3_KEYS_PROVIDER_H

#include <stdatomic.h>

#include "backend/s3/keys/keys.h"
#include "backend/s3/keys/profiles.h"
#include "base/buf.h"
#include "base/str.h"
#include "wire/ask.h"
#include "wire/sigv4.h"

enum {
    ORB_KEYS_REPLY_MAX = 256 << 10, /* an answer, a token file, a program's output */
    ORB_KEYS_TIMEOUT_MS = 60000,    /* a program, an STS call */
    ORB_KEYS_NEAR_MS = 1000,        /* connecting to a metadata service on this machine */
};

/* X(field, variable): what makes the identity, each an owned string, NULL when it is not set. */
#define ORB_KEYS_TEXTS(X)                                             \
    X(access_key_id, "AWS_ACCESS_KEY_ID")                             \
    X(secret_access_key, "AWS_SECRET_ACCESS_KEY")                     \
    X(session_token, "AWS_SESSION_TOKEN")                             \
    X(profile, "AWS_PROFILE")                                         \
    X(config_file, "AWS_CONFIG_FILE")                                 \
    X(credentials_file, "AWS_SHARED_CREDENTIALS_FILE")                \
    X(role_arn, "AWS_ROLE_ARN")                                       \
    X(token_file, "AWS_WEB_IDENTITY_TOKEN_FILE")                      \
    X(session_name, "AWS_ROLE_SESSION_NAME")                          \
    X(container_path, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI")       \
    X(container_url, "AWS_CONTAINER_CREDENTIALS_FULL_URI")            \
    X(container_token, "AWS_CONTAINER_AUTHORIZATION_TOKEN")           \
    X(container_token_file, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE") \
    X(metadata_disabled, "AWS_EC2_METADATA_DISABLED")                 \
    X(metadata_endpoint, "AWS_EC2_METADATA_SERVICE_ENDPOINT")         \
    X(metadata_mode, "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE")        \
    X(sts_endpoint, "AWS_ENDPOINT_URL_STS")                           \
    X(sso_endpoint, "AWS_ENDPOINT_URL_SSO")                           \
    X(oidc_endpoint, "AWS_ENDPOINT_URL_SSO_OIDC")                     \
    X(any_endpoint, "AWS_ENDPOINT_URL")                               \
    X(home, "HOME")

/* Whose keys ask for a session, and where. `asking` is a copy of theirs, made on the loop before each fetch. */
struct orb_keys_session {
    struct orb_keys_source *by; /* held */
    char *url, *region;         /* owned */
    struct orb_keys asking;
    unsigned generation; /* of them */
};

struct orb_keys_origin {
#define X(field, variable) char *field;
    ORB_KEYS_TEXTS(X)
#undef X
    /* Not part of the identity. */
    char *region, *ca_bundle; /* owned; nullable */
    bool no_verify_tls;
    uint32_t timeout_ms;
    struct orb_keys_session *session; /* owned; nullable: the keys are those of a session, nothing else counts */
    bool keys_given;                  /* explicit ones: access_key_id and so on are they, not the environment's */
    bool profile_given;               /* by option: goes before the environment's keys */
    bool profile_named;               /* by option or AWS_PROFILE: it must be there */
};
/* Reads the environment, with what was configured over it. The caller's thread: getenv() is not for others. */
orbit_status orb_keys_origin_new(struct orb_keys_origin **origin, const orbit_s3_config *config, orbit_error *error);
void orb_keys_origin_free(struct orb_keys_origin *origin); /* wipes; NULL is fine */
/* Both files; names nothing that is not there as an error but a profile that was asked for. */
orbit_status orb_keys_origin_profiles(struct orb_profiles **profiles, const struct orb_keys_origin *origin,
                                      orbit_error *error);

/* ---- one fetch --------------------------------------------------------------------------------------- */

struct orb_keys_fetch {
    const struct orb_keys_origin *origin;
    struct orb_log *log;
    const _Atomic bool *cancelled;
    const orbit_prompt *prompt;      /* function NULL: nobody can be asked */
    struct orb_profiles *profiles;   /* owned, read when first needed */
    const char *from;                /* who gave the keys, for the log */
    char without[256];               /* what a service that was reached said instead; "": none was */
    _Atomic int64_t *clock_offset_s; /* the clock of services that want signatures minus ours, as learned */
};

/* ORBIT_OK: keys. ORBIT_END: not configured here, ask the next one. Negative: configured, and it failed. */
typedef orbit_status orb_keys_provider(struct orb_keys_fetch *fetch, struct orb_keys *keys, orbit_error *error);

orb_keys_provider orb_keys_explicit, orb_keys_environment, orb_keys_web_identity, orb_keys_profile, orb_keys_container,
    orb_keys_instance;
/* The chain: the first one that has some. ORBIT_E_AUTH when none has. */
orb_keys_provider orb_keys_chain;

/* session.c */
orb_keys_provider orb_keys_session_fetch;
orbit_status orb_keys_session_prepare(struct orb_keys_session *session, orbit_error *error);
void orb_keys_session_free(struct orb_keys_session *session); /* NULL is fine */

/* sts.c. `session_name` nullable, `external_id` nullable; `signer` are the keys of who asks, NULL: `token` says it. */
struct orb_keys_role {
    const char *role_arn, *session_name, *external_id, *token, *duration_s, *region;
    const char *mfa_serial, *mfa_code; /* nullable: of who asks */
};
orbit_status orb_keys_assume_role(struct orb_keys_fetch *fetch, const struct orb_keys_role *role,
                                  const struct orb_keys *signer, struct orb_keys *keys, orbit_error *error);
/* Whose these keys are, as an ARN; no right is needed to ask. */
orbit_status orb_keys_caller(struct orb_keys_fetch *fetch, const struct orb_keys *signer, const char *region, char *arn,
                             size_t room, orbit_error *error);
/* The token is read anew with every fetch: whoever writes the file replaces it. */
orbit_status orb_keys_assume_by_token_file(struct orb_keys_fetch *fetch, struct orb_keys_role *role, const char *path,
                                           struct orb_keys *keys, orbit_error *error);

/* process.c: credential_process. */
orbit_status orb_keys_process(struct orb_keys_fetch *fetch, const char *command, struct orb_keys *keys,
                              orbit_error *error);

/* sso.c */
orbit_status orb_keys_sso(struct orb_keys_fetch *fetch, const char *profile, struct orb_keys *keys, orbit_error *error);

/* sso_token.c: the access token in the file at `path`, renewed at the region's service where it is about to end and
 * can be. ORBIT_END: there is none; `*over`: because it has expired. ORBIT_E_NOT_FOUND: no file. */
orbit_status orb_keys_sso_token(struct orb_keys_fetch *fetch, const char *path, const char *region,
                                struct orb_buf *token, bool *over, orbit_error *error);

/* container.c: whether keys may be asked for at this URL: over TLS, or on this machine and the container agents'
 * addresses. */
bool orb_keys_container_allowed(const char *url);

/* ---- shared by providers (answer.c) ------------------------------------------------------------------ */

/* For asking: reserves the cap at once, so that no copy of a secret is left behind by growing. */
bool orb_keys_buf_init(struct orb_buf *buf);
void orb_keys_buf_release(struct orb_buf *buf); /* wipes */
/* A small file, without the blanks at its end. `what` is for the message: "the web identity token". */
orbit_status orb_keys_read_file(const char *path, const char *what, struct orb_buf *out, orbit_error *error);
bool orb_keys_set(char **text, const char *value);
/* Fills in an expiry that the giver's clock tells: `now_ns` is that clock (0: ours). ORBIT_E_AUTH when it is over. */
orbit_status orb_keys_expire(struct orb_keys *keys, int64_t expires_ns, int64_t now_ns, const char *who,
                             orbit_error *error);
/* Names of members in a JSON answer. */
struct orb_keys_names {
    const char *inside; /* nullable: the object that holds the others */
    const char *id, *secret, *token, *expiration;
    bool needs_version; /* "Version": 1 */
};
orbit_status orb_keys_from_json(struct orb_keys *keys, const struct orb_buf *json, const struct orb_keys_names *names,
                                int64_t now_ns, const char *who, orbit_error *error);
/* What STS and CreateSession say in XML; empty or 0 what they do not. */
struct orb_keys_answer {
    struct orb_keys *keys; /* set by the caller: where the keys go */
    int64_t expires_ns;
    char code[64], message[200], arn[256];
    bool no_memory;
};
orbit_status orb_keys_from_xml(struct orb_keys_answer *answer, const struct orb_buf *xml, int http_status,
                               const char *who, orbit_error *error);
/* An answer that is no success, as an error: `text` is the service's own word, cleaned. */
orbit_status orb_keys_refused(const char *who, int http_status, const char *code, const char *text, orbit_error *error);
/* A status of orb_keys_ask(): an error that says whom nobody reached. */
orbit_status orb_keys_unreached(const char *who, orbit_status status, orbit_error *error);
/* One request with the fetch's cancel, CA and time-out. */
orbit_status orb_keys_ask(struct orb_keys_fetch *fetch, struct orb_ask *ask, struct orb_buf *reply, int *http_status,
                          int64_t *date_ns, orbit_error *error);
/* A signed one. ask() signs by our clock and `offset_s`, and fills http_status and date_ns. A refusal by a clock
 * that is far from that is asked once more by the answerer's clock, which the client remembers. */
struct orb_keys_signed {
    struct orb_keys_fetch *fetch;
    const char *who; /* "STS" */
    int http_status;
    int64_t date_ns;
    orbit_status (*ask)(struct orb_keys_signed *call, int64_t offset_s, orbit_error *error);
};
orbit_status orb_keys_ask_signed(struct orb_keys_signed *call, orbit_error *error);

#endif
