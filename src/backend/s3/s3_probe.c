/* SPDX-License-Identifier: Apache-2.0
 * probe: the way to the store, step by step. A worker resolves and connects; then, on the loop, keys are asked for
 * and one look at the bucket tells its region, the store's clock, and whether it lets us in. */
#include <inttypes.h>
#include <time.h>

#include "backend/s3/s3.h"
#include "base/clock.h"
#include "wire/reach.h"

enum { TRIES = 4, SKEW_FINE_S = 5, SKEW_MAX_S = 900, EXPIRES_SOON_S = 14 * 24 * 3600 };

struct probe_op {
    struct orb_s3_op base; /* first */
    const orbit_probe_request *request;
    char url[280];                      /* of the endpoint, without a path */
    char configured[ORB_S3_REGION_MAX]; /* the region before anything was learned */
    struct orb_keys keys;               /* a copy, while STS is asked whose they are */
    char arn[256];
    orbit_status identity;
    orbit_error identity_error;
    bool connected, proxied, told_certificate;
    unsigned tries;
};

#define OK(what, ...) orbit_probe_tell(probe->request, ORBIT_FINDING_OK, ORBIT_OK, what, NULL, __VA_ARGS__)
#define WARN(status, what, advice, ...) \
    orbit_probe_tell(probe->request, ORBIT_FINDING_WARNING, status, what, advice, __VA_ARGS__)
#define FAIL(status, what, advice, ...) \
    orbit_probe_tell(probe->request, ORBIT_FINDING_FAILURE, status, what, advice, __VA_ARGS__)

/* ---- connecting: a worker ------------------------------------------------------------------------------ */

static bool is_stopped(void *ctx)
{
    return orbit_op_cancelled(ctx);
}

static const char *advice_for(orbit_status status)
{
    switch (status) {
    case ORBIT_E_UNTRUSTED:
        return "name the CA that signed it with --ca-bundle or AWS_CA_BUNDLE, if the store is yours";
    case ORBIT_E_TIMEOUT:
        return "look for a firewall in between, and whether the address is right";
    case ORBIT_E_CONNECT:
        return "check --endpoint-url, and whether the server runs";
    default:
        return "check --endpoint-url, and what answers there";
    }
}

static void tell_certificate(struct probe_op *probe, const struct orb_reach *reach)
{
    char day[24] = "an unknown day";
    time_t expires = (time_t)(reach->expires_ns / (int64_t)ORB_S);
    struct tm parts;
    if (probe->told_certificate || !reach->subject[0])
        return;
    probe->told_certificate = true;
    if (expires && gmtime_r(&expires, &parts))
        (void)strftime(day, sizeof day, "%Y-%m-%d", &parts);
    int64_t left_s = (int64_t)expires - orb_realtime_ns() / (int64_t)ORB_S;
    if (probe->base.s3->site.no_verify_tls)
        WARN(ORBIT_E_UNTRUSTED, "certificate", "leave out --no-verify-ssl, so that nobody can stand in for the store",
             "%s, valid until %s, is not verified", reach->subject, day);
    else if (expires && left_s > 0 && left_s < EXPIRES_SOON_S)
        WARN(ORBIT_OK, "certificate", "renew it", "%s is valid only until %s", reach->subject, day);
    else
        OK("certificate", "%s, valid until %s", reach->subject, day);
}

/* One connection; true when it stands. `others`: it is one of several addresses, of which one is enough. */
static bool connect_to(struct probe_op *probe, const char *address, bool others, struct orb_reach *reach)
{
    orbit_error error;
    *reach = (struct orb_reach){.site = &probe->base.s3->site,
                                .url = probe->url,
                                .address = address,
                                .stopped = is_stopped,
                                .ctx = probe->base.op};
    orbit_status status = orb_reach(reach, &error);
    if (status == ORBIT_E_CANCELLED)
        return false;
    if (status >= 0) {
        const char *unix_socket = probe->base.s3->unix_socket;
        double connect_ms = (double)reach->connect_ns / ORB_MS, tls_ms = (double)reach->tls_ns / ORB_MS;
        if (tls_ms > 0)
            OK("connect", "%s in %.1f ms, TLS in %.1f ms", unix_socket ? unix_socket : reach->peer, connect_ms, tls_ms);
        else
            OK("connect", "%s in %.1f ms, without TLS", unix_socket ? unix_socket : reach->peer, connect_ms);
        tell_certificate(probe, reach);
        probe->connected = true;
        return true;
    }
    const char *which = address ? address : "";
    if (status == ORBIT_E_UNTRUSTED && reach->subject[0])
        FAIL(status, "certificate", advice_for(status), "%s%s%s (it is of %s)", which, *which ? ": " : "",
             error.message, reach->subject);
    else if (others)
        WARN(status, "connect", advice_for(status), "%s%s%s", which, *which ? ": " : "", error.message);
    else
        FAIL(status, "connect", advice_for(status), "%s%s%s", which, *which ? ": " : "", error.message);
    return false;
}

static bool among(char addresses[][ORB_REACH_ADDRESS], size_t count, const char *peer)
{
    size_t skip = *peer == '[';
    for (size_t i = 0; i < count; i++) {
        size_t length = strlen(addresses[i]);
        if (strncmp(peer + skip, addresses[i], length) == 0 && strchr("]:", peer[skip + length]))
            return true;
    }
    return false;
}

/* "localhost" of "localhost:9000", "::1" of "[::1]:9000". */
static void host_of(const char *authority, char host[256])
{
    bool six = *authority == '[';
    size_t length = six ? strcspn(++authority, "]") : strcspn(authority, ":");
    (void)snprintf(host, 256, "%.*s", (int)length, authority);
}

static void list_addresses(struct probe_op *probe, const char *host, char addresses[][ORB_REACH_ADDRESS], size_t count)
{
    char text[240] = "";
    size_t used = 0, shown = 0;
    for (; shown < count && used + strlen(addresses[shown]) + 3 < sizeof text; shown++)
        used += (size_t)snprintf(text + used, sizeof text - used, "%s%s", shown ? ", " : "", addresses[shown]);
    OK("resolve", "%.60s has %zu address%s: %s%s", host, count, count == 1 ? "" : "es", text,
       shown < count ? ", …" : "");
}

/* All addresses of the name, or the proxy or socket that stands for them. */
static void look_at_the_way(struct probe_op *probe)
{
    char addresses[ORB_REACH_ADDRESSES][ORB_REACH_ADDRESS], host[256];
    struct orb_s3 *s3 = probe->base.s3;
    struct orb_reach reach;
    orbit_error error;
    size_t count = 0;
    host_of(s3->address.authority, host);
    if (s3->unix_socket) {
        connect_to(probe, NULL, false, &reach);
        return;
    }
    orbit_status status = orb_reach_resolve(host, addresses, &count, &error);
    if (*s3->proxy) {
        bool fine = connect_to(probe, NULL, false, &reach);
        probe->proxied = *reach.peer && !among(addresses, count, reach.peer);
        if (fine && probe->proxied)
            OK("proxy", "requests go by way of the proxy at %s", reach.peer);
        if (fine || probe->proxied)
            return; /* a name that only the proxy can resolve is fine */
    }
    if (status < 0) {
        FAIL(status, "resolve", "check the spelling of --endpoint-url and --region, and the name server", "%s",
             error.message);
        return;
    }
    list_addresses(probe, host, addresses, count);
    bool literal = count == 1 && strcmp(addresses[0], host) == 0;
    for (size_t i = 0; i < count && !orbit_op_cancelled(probe->base.op); i++)
        connect_to(probe, literal ? NULL : addresses[i], count > 1, &reach);
    if (!probe->connected && count > 1)
        FAIL(ORBIT_E_CONNECT, "connect", "check --endpoint-url, firewalls, and whether the server runs",
             "none of the addresses of %.100s can be used", host);
}

/* ---- keys and bucket: the loop -------------------------------------------------------------------------- */

static void end(struct probe_op *probe)
{
    orb_s3_op_end(&probe->base, orbit_op_cancelled(probe->base.op) ? ORBIT_E_CANCELLED : ORBIT_OK, NULL);
}

static void look_at_bucket(struct probe_op *probe);
static void on_identity(struct orb_message *message);

static void tell_clock(struct probe_op *probe, int64_t date_ns)
{
    if (!date_ns)
        return;
    int64_t skew = (date_ns - orb_realtime_ns()) / (int64_t)ORB_S, far = skew < 0 ? -skew : skew;
    const char *side = skew > 0 ? "behind" : "ahead of";
    if (far <= SKEW_FINE_S)
        OK("clock", "this machine's clock and the store's agree");
    else
        WARN(ORBIT_OK, "clock", "let this machine set its clock by NTP",
             "this machine's clock is %" PRId64 " s %s the store's%s", far, side,
             far > SKEW_MAX_S ? ", which is more than stores allow: requests are signed by the store's" : "");
}

static void tell_region(struct probe_op *probe)
{
    const char *region = probe->base.s3->region;
    char advice[160];
    if (strcmp(region, probe->configured) == 0) {
        OK("region", "%s", region);
        return;
    }
    (void)snprintf(advice, sizeof advice, "say --region %s, or AWS_REGION, which saves a request", region);
    WARN(ORBIT_OK, "region", advice, "the bucket is in %s, not in %s", region, probe->configured);
}

static void on_bucket(struct orb_s3_op *op)
{
    struct probe_op *probe = (struct probe_op *)op;
    orbit_error error = {0};
    orbit_status status = orb_s3_check(op, &error);
    if (status < 0 && (error.flags & ORBIT_ERROR_RETRIABLE) && ++probe->tries < TRIES && !orbit_op_cancelled(op->op)) {
        look_at_bucket(probe); /* region or clock were learned, or it was busy */
        return;
    }
    const char *bucket = op->s3->bucket;
    tell_clock(probe, op->reply.date_ns);
    if (status >= 0 || status == ORBIT_E_PERMISSION)
        tell_region(probe);
    if (status >= 0 && !*bucket)
        OK("bucket", "none is named: its buckets can be listed");
    else if (status >= 0)
        OK("bucket", "%.100s is there", bucket);
    else if (status == ORBIT_E_PERMISSION)
        WARN(status, "bucket", "ask for s3:ListBucket, unless only single keys are needed", "%s", error.message);
    else if (status == ORBIT_E_NOT_FOUND)
        FAIL(status, "bucket", "check its name; 'orbit ls s3://' lists those of the account", "%s", error.message);
    else if (status != ORBIT_E_CANCELLED)
        FAIL(status, "bucket", status == ORBIT_E_AUTH ? "check the keys and the profile" : "", "%s", error.message);
    end(probe);
}

static void look_at_bucket(struct probe_op *probe)
{
    struct orb_s3_op *base = &probe->base;
    base->own_keys = true; /* what there is to be looked at is never asked for by a session */
    orb_s3_begin(base, orb_s3_is_service(base->s3) ? "GET" : "HEAD", NULL);
    orb_s3_account_headers(base, NULL);
    orb_s3_send(base, on_bucket);
}

/* "AKIA…WXYZ": enough to know it by, not more. */
static void shorten(const char *id, char text[24])
{
    size_t length = strlen(id);
    if (length >= 12)
        (void)snprintf(text, 24, "%.4s…%s", id, id + length - 4);
    else
        (void)snprintf(text, 24, "%.2s…", id);
}

/* A worker. */
static void identify(void *self, orbit_op *op)
{
    struct probe_op *probe = op->state;
    const struct orb_s3 *s3 = self;
    probe->identity = orb_keys_source_whose(s3->keys, &probe->keys, probe->configured, probe->arn, sizeof probe->arn,
                                            &probe->identity_error);
    orb_s3_op_step(&probe->base, on_identity);
}

static void on_identity(struct orb_message *message)
{
    struct orb_s3_op *op = (struct orb_s3_op *)((char *)message - offsetof(struct orb_s3_op, step_message));
    struct probe_op *probe = (struct probe_op *)op;
    op->op->resume = orb_s3_op_resume;
    orb_keys_release(&probe->keys);
    if (probe->identity >= 0)
        OK("identity", "%s", probe->arn);
    else
        WARN(probe->identity, "identity", "nothing else needs the answer, if the rest is well", "%s",
             probe->identity_error.message);
    if (orbit_op_cancelled(op->op))
        end(probe);
    else
        look_at_bucket(probe);
}

static void release_probe(struct orb_s3_op *op)
{
    orb_keys_release(&((struct probe_op *)op)->keys);
}

static void on_keys(struct orb_s3_op *op)
{
    struct probe_op *probe = (struct probe_op *)op;
    unsigned generation;
    const struct orb_keys *keys = orb_keys_source_current(op->s3->keys, &generation);
    const char *from = orb_keys_source_from(op->s3->keys);
    char id[24];
    if (keys) {
        shorten(keys->access_key_id, id);
        uint64_t now_ns = orb_now_ns();
        if (keys->expires_ns)
            OK("credentials", "from %s: the access key id %s, valid for %" PRIu64 " s more", from, id,
               keys->expires_ns > now_ns ? (uint64_t)((keys->expires_ns - now_ns) / ORB_S) : 0);
        else
            OK("credentials", "from %s: the access key id %s%s", from, id,
               keys->session_token ? ", with a session token whose end is not known" : "");
    }
    if (keys && orb_keys_source_can_ask(op->s3->keys, op->s3->store->is_aws) && orb_keys_copy(&probe->keys, keys))
        orbit_op_run(op->op, identify);
    else
        look_at_bucket(probe);
}

static void on_fetched(struct orb_keys_wait *wait, orbit_status status, const orbit_error *error)
{
    struct orb_s3_op *op = (struct orb_s3_op *)((char *)wait - offsetof(struct orb_s3_op, wait));
    struct probe_op *probe = (struct probe_op *)op;
    op->awaited = NULL;
    if (status >= 0) {
        on_keys(op);
        return;
    }
    FAIL(status, "credentials", "docs/s3.md and orbit(1) tell where keys are looked for", "%s", error->message);
    end(probe);
}

static void on_way_looked_at(struct orb_message *message)
{
    struct orb_s3_op *op = (struct orb_s3_op *)((char *)message - offsetof(struct orb_s3_op, step_message));
    struct probe_op *probe = (struct probe_op *)op;
    struct orb_keys_source *keys = op->s3->keys;
    op->op->resume = orb_s3_op_resume;
    if (orbit_op_cancelled(op->op)) {
        end(probe);
        return;
    }
    if (!keys)
        OK("credentials", "none: requests are not signed");
    if (!probe->connected) {
        end(probe); /* nobody would be asked with keys */
    } else if (!keys) {
        look_at_bucket(probe);
    } else if (orb_keys_source_current(keys, &op->keys)) {
        on_keys(op);
    } else {
        op->awaited = keys;
        op->wait.done = on_fetched;
        orb_keys_source_wait(keys, &op->wait);
    }
}

static void work(void *self, orbit_op *op)
{
    struct probe_op *probe = op->state;
    (void)self;
    look_at_the_way(probe);
    orb_s3_op_step(&probe->base, on_way_looked_at);
}

void orb_s3_probe(void *self, orbit_op *op, const orbit_probe_request *request)
{
    struct orb_s3 *s3 = self;
    struct probe_op *probe =
        orb_s3_op_new(s3, op, sizeof *probe, orb_s3_is_service(s3) ? ORB_S3_SERVICE_VERB : "look at", NULL);
    if (!probe)
        return;
    probe->request = request;
    probe->base.release = release_probe;
    memcpy(probe->configured, s3->region, sizeof probe->configured);
    (void)snprintf(probe->url, sizeof probe->url, "%s://%s/", s3->secure ? "https" : "http", s3->address.authority);
    orbit_op_run(op, work);
}
