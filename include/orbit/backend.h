/* SPDX-License-Identifier: Apache-2.0
 * A backend: a store that was opened, usable from any thread until it is closed.
 *
 *     orbit_open(&store, client, "s3://bucket?region=eu-west-1", NULL, &error);
 *
 * Opening checks the configuration and does no I/O; connecting happens with the first call. */
#ifndef ORBIT_BACKEND_H
#define ORBIT_BACKEND_H

#include <orbit/client.h>
#include <orbit/error.h>
#include <orbit/export.h>
#include <orbit/metadata.h>

ORBIT_BEGIN_DECLS

typedef struct orbit_backend orbit_backend;
typedef struct orbit_reader orbit_reader;
typedef struct orbit_backend_ops orbit_backend_ops; /* <orbit/backend_ops.h> */

/* Zero means Orbit chooses, here and in the configs below. All of it is copied. */
typedef struct orbit_open_options {
    size_t size;
    uint32_t connect_timeout_ms;    /* 5,000 */
    uint32_t first_byte_timeout_ms; /* 15,000 (300,000 for requests that assemble or copy) */
    uint32_t stall_timeout_ms;      /* 15,000 below 1 KiB/s */
    uint32_t retry_attempts;        /* 10 in all, anew after good progress; 1: never try again */
    uint32_t retry_deadline_ms;     /* 900,000 without progress */
    uint64_t chunk_size;            /* bytes a part or range */
    uint32_t parallel_operations;   /* parts in flight of one stream */
    const orbit_pair *settings;     /* any non-secret setting of the backend by name */
    size_t setting_count;
} orbit_open_options;

#define ORBIT_OPEN_OPTIONS_INIT                               \
    {                                                         \
        sizeof(orbit_open_options), 0, 0, 0, 0, 0, 0, 0, 0, 0 \
    }
ORBIT_API void orbit_open_options_init(orbit_open_options *options);

/* Opens the store that `url` names: "s3://bucket", "file:///dir" (paths and symlinks cannot leave /dir), "file:" (paths
 * as the operating system takes them), "sftp://user@host:port", "mem://name", or a registered scheme. A path in the URL
 * becomes the root of all paths. No secret belongs in a URL; one is refused. */
ORBIT_API orbit_status orbit_open(orbit_backend **backend, orbit_client *client, const char *url,
                                  const orbit_open_options *options, orbit_error *error);

typedef struct orbit_local_config {
    size_t size;
    const char *root; /* NULL: the whole file system, paths as the operating system takes them */
    bool create_root;
    uint32_t open_directories_max; /* of one walk; 0: 64, fewer under a small limit on descriptors */
} orbit_local_config;
#define ORBIT_LOCAL_CONFIG_INIT                 \
    {                                           \
        sizeof(orbit_local_config), 0, false, 0 \
    }

typedef struct orbit_mem_config {
    size_t size;
    const char *name;        /* stores of one name in one client are one store; NULL: a store of its own */
    const char *profile;     /* "object" (default), "files", "sequential", "dropping" */
    uint64_t capacity_bytes; /* 0: unlimited */
} orbit_mem_config;
#define ORBIT_MEM_CONFIG_INIT             \
    {                                     \
        sizeof(orbit_mem_config), 0, 0, 0 \
    }

typedef enum orbit_addressing {
    ORBIT_ADDRESSING_AUTO = 0,
    ORBIT_ADDRESSING_PATH,
    ORBIT_ADDRESSING_VIRTUAL
} orbit_addressing;

/* A switch that may be left to the environment. */
typedef enum orbit_choice { ORBIT_CHOICE_DEFAULT = 0, ORBIT_CHOICE_ON, ORBIT_CHOICE_OFF } orbit_choice;

typedef struct orbit_s3_config {
    size_t size;
    /* A name, an alias or the ARN of an access point (its region is where it is). NULL or "": the service, whose
     * buckets can be listed */
    const char *bucket;
    const char *prefix; /* put before every key, literally; NULL: none */
    const char *region; /* NULL: AWS_REGION, AWS_DEFAULT_REGION, the profile's, else us-east-1 */
    /* "http://host:port"; NULL: AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL, the profile's endpoint_url, S3_ENDPOINT_URL,
     * else AWS */
    const char *endpoint;
    /* NULL: the environment, a web identity, a profile, the container's or the instance's endpoint, in this order. They
     * are asked when the first request needs keys, and again before those expire. */
    const char *access_key_id;
    const char *secret_access_key;
    const char *session_token;
    bool anonymous;        /* unsigned requests */
    uint32_t addressing;   /* orbit_addressing; auto: the profile's, else virtual on AWS, path elsewhere */
    bool no_verify_tls;    /* accept any certificate: for tests only */
    const char *ca_bundle; /* PEM file; NULL: AWS_CA_BUNDLE, else the system's */
    /* SHA-256 of every body also where it costs (plain HTTP stores that ask for it): ahead of bytes in memory, chunk by
     * chunk (STREAMING-AWS4-HMAC-SHA256-PAYLOAD) of those that pass once */
    bool sign_payload;
    uint32_t checksum; /* orbit_checksum_algorithm for uploads; 0: CRC64NVME */
    bool no_checksum;  /* false: AWS_REQUEST_CHECKSUM_CALCULATION, the profile's request_checksum_calculation say */
    bool request_payer;
    const char *expected_bucket_owner;
    uint64_t put_max_bytes;     /* single PUT up to this; 0: chunk_size */
    uint64_t part_min_bytes;    /* 0: 5 MiB */
    uint64_t part_max_bytes;    /* 0: 5 GiB */
    uint32_t part_count_max;    /* 0: 10,000 */
    bool equal_parts;           /* the store wants parts of one size */
    uint32_t list_page_entries; /* 0: 1,000 */
    bool list_v1;
    const char *profile;          /* NULL: AWS_PROFILE, else "default". A name given here goes before the environment */
    const char *config_file;      /* NULL: AWS_CONFIG_FILE, else ~/.aws/config */
    const char *credentials_file; /* NULL: AWS_SHARED_CREDENTIALS_FILE, else ~/.aws/credentials */
    uint32_t identity_timeout_ms; /* of a credential_process, or of a role that is asked for; 0: 60,000 */
    uint64_t copy_max_bytes;      /* what the store copies in one request; larger objects in parts. 0: 5 GiB */
    /* What the store is, where its endpoint does not tell: "aws", "minio", "ceph", "r2", "b2", "wasabi",
     * "digitalocean", "gcs", "swift" or "other". It says how to begin (docs/s3.md); what replies teach goes before it.
     * NULL: by the endpoint */
    const char *provider;
    /* PEM files without a password, for endpoints that want to know who connects. NULL: ORBIT_CLIENT_CERT and
     * ORBIT_CLIENT_KEY, else none. A NULL key is in the certificate's file. */
    const char *client_cert;
    const char *client_key;
    /* The endpoint listens on this path; its URL then only names it (NULL: http://localhost). */
    const char *unix_socket;
    /* orbit_choice, each: which of AWS's own addresses. By default AWS_USE_DUALSTACK_ENDPOINT, AWS_USE_FIPS_ENDPOINT
     * and the profile (use_dualstack_endpoint, use_fips_endpoint, s3.use_accelerate_endpoint) say so where no endpoint
     * is given, else off */
    uint32_t use_dualstack;
    uint32_t use_fips;
    uint32_t use_accelerate;
    uint32_t use_arn_region; /* off: an ARN must be of `region`; default: AWS_S3_USE_ARN_REGION, the profile, else on */
    /* orbit_choice: whether reads ask for the stored checksum; off: nothing that is read is verified, and stats tell
     * none. Default: AWS_RESPONSE_CHECKSUM_VALIDATION, the profile's response_checksum_validation, else on */
    uint32_t ask_checksums;
} orbit_s3_config;
#ifndef __cplusplus
#define ORBIT_S3_CONFIG_INIT            \
    {                                   \
        .size = sizeof(orbit_s3_config) \
    }
#endif
ORBIT_API void orbit_s3_config_init(orbit_s3_config *config);

/* A host that the system's ssh reaches: all that it knows (its configuration, agent, jump hosts, certificates, known
 * hosts) applies. Nothing of it is read before the first operation. What ssh would ask at a terminal the client's
 * prompt is asked for. */
typedef struct orbit_ssh_config {
    size_t size;
    const char *host; /* a name, an address, an alias of ssh's configuration */
    const char *user; /* NULL: as ssh's configuration has it */
    uint32_t port;    /* 0: as ssh's configuration has it */
    /* A directory: "/srv/data", or "~/data" in the home directory; paths are relative to it then, and do not leave it.
     * NULL: paths as the host takes them, relative ones from the home directory */
    const char *root;
    const char *const *identity_files; /* private keys, NULL-terminated; nullable */
    const char *const
        *options;            /* "Key=value" as in ssh_config(5), NULL-terminated; nullable. ORBIT_SSH_OPTIONS follow */
    const char *config_file; /* in place of ~/.ssh/config and the system's; NULL: those */
    const char *program;     /* an OpenSSH client; NULL: "ssh" from PATH */
    /* Told to ssh through a socket, in answer to the question for it: never in a command line, an environment, a file,
     * a log. For the host itself, not for one on the way to it. NULL: the prompt is asked. */
    const char *password;
    const char *passphrase; /* of the private key */
    uint32_t channels;      /* sessions on the connection at most; 0: 10, fewer where the host allows fewer */
    bool no_prompt;         /* nobody is asked, though the client has a prompt */
} orbit_ssh_config;
#ifndef __cplusplus
#define ORBIT_SSH_CONFIG_INIT            \
    {                                    \
        .size = sizeof(orbit_ssh_config) \
    }
#endif
ORBIT_API void orbit_ssh_config_init(orbit_ssh_config *config);

ORBIT_API orbit_status orbit_open_local(orbit_backend **backend, orbit_client *client, const orbit_local_config *config,
                                        const orbit_open_options *options, orbit_error *error);
ORBIT_API orbit_status orbit_open_mem(orbit_backend **backend, orbit_client *client, const orbit_mem_config *config,
                                      const orbit_open_options *options, orbit_error *error);
ORBIT_API orbit_status orbit_open_s3(orbit_backend **backend, orbit_client *client, const orbit_s3_config *config,
                                     const orbit_open_options *options, orbit_error *error);

ORBIT_API orbit_status orbit_open_ssh(orbit_backend **backend, orbit_client *client, const orbit_ssh_config *config,
                                      const orbit_open_options *options, orbit_error *error);

/* Closes the handle; what was started through it ends first (cancelled). NULL is fine. Not from a callback. */
ORBIT_API void orbit_backend_close(orbit_backend *backend);

/* "s3", "local", "sftp", "mem", or the registered name; borrowed while the backend lives. */
ORBIT_API const char *orbit_backend_name(const orbit_backend *backend);

typedef enum orbit_operation {
    ORBIT_OPERATION_STAT = 1,
    ORBIT_OPERATION_LIST,
    ORBIT_OPERATION_READ,
    ORBIT_OPERATION_WRITE,
    ORBIT_OPERATION_REMOVE,
    ORBIT_OPERATION_MKDIR,
    ORBIT_OPERATION_RENAME,
    ORBIT_OPERATION_COPY, /* on the server */
    ORBIT_OPERATION_SET_METADATA,
    ORBIT_OPERATION_SYMLINK,
    ORBIT_OPERATION_XATTR,
    ORBIT_OPERATION_SPACE,
    ORBIT_OPERATION_CONTAINER,
    ORBIT_OPERATION_NO_OVERWRITE, /* writes with overwrite = false are atomic */
    ORBIT_OPERATION_TAGS,
    ORBIT_OPERATION_VERSIONING,
    ORBIT_OPERATION_DIRECTORIES /* there are real ones: an empty one stays, a name is a directory or a file, never both */
} orbit_operation;
ORBIT_API bool orbit_backend_supports(const orbit_backend *backend, orbit_operation operation);

/* Makes `scheme` known to orbit_open() in this client. `ops` and `ctx` live as long as the client.
 * ORBIT_E_EXISTS for a scheme that is taken. */
ORBIT_API orbit_status orbit_register(orbit_client *client, const char *scheme, const orbit_backend_ops *ops, void *ctx,
                                      orbit_error *error);

ORBIT_END_DECLS

#endif
