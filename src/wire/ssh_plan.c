/* SPDX-License-Identifier: Apache-2.0
 * What is run: settings checked and copied, the command line and the environment made of them. Secrets are in neither.
 * Any thread. */
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/str.h"
#include "wire/ssh_parts.h"

enum { NAME_MAX_BYTES = 255, LIST_MAX = 256, CONNECT_S = 30 };

static void wipe(char *secret)
{
    if (secret)
        explicit_bzero(secret, strlen(secret));
    orb_free(secret);
}

void orb_ssh_list_free(char **list)
{
    for (char **at = list; at && *at; at++)
        orb_free(*at);
    orb_free(list);
}

/* ssh hands host and user to a shell where a ProxyCommand names them (%h, %r), so that what a shell takes for more
 * than a name is no name; and an option in the place of a host is none either. */
static bool is_name(const char *name)
{
    if (!*name || *name == '-' || strlen(name) > NAME_MAX_BYTES)
        return false;
    for (const char *at = name; *at; at++)
        if ((unsigned char)*at <= ' ' || *at == 0x7f || strchr("'`\"$\\;&<>|(){}!*?#", *at))
            return false;
    return true;
}

static bool is_line(const char *text)
{
    for (; *text; text++)
        if (*text == '\n' || *text == '\r')
            return false;
    return true;
}

static orbit_status copy_list(char ***copied, const char *const *list, const char *what, orbit_error *error)
{
    size_t count = 0;
    for (; list && list[count]; count++)
        if (!*list[count] || !is_line(list[count]))
            return orb_fail(error, ORBIT_E_CONFIG, 0, "%s of ssh is empty or longer than a line", what);
    if (count > LIST_MAX)
        return orb_fail(error, ORBIT_E_CONFIG, 0, "more than %d times %s of ssh", LIST_MAX, what);
    *copied = orb_calloc(count + 1, sizeof(char *));
    for (size_t i = 0; *copied && i < count; i++)
        if (!((*copied)[i] = orb_strdup(list[i])))
            return orb_fail_memory(error);
    return *copied ? ORBIT_OK : orb_fail_memory(error);
}

/* LC_ALL: what ssh says is read by us (ssh_said.c). Where we answer nobody else is asked. The threshold: a channel's
 * buffer in ssh grows to 2 MiB by being copied into larger and larger ones; glibc begins to keep blocks of that size
 * in its heap once one was freed, and the holes between those of several channels were a third of ssh's memory. */
static const char smaller_heap[] = "MALLOC_MMAP_THRESHOLD_=131072";

static bool is_ours(const char *variable, bool asks)
{
    return orb_str_prefix(variable, "LC_ALL=") || orb_str_prefix(variable, "LANGUAGE=") ||
           orb_str_prefix(variable, "MALLOC_MMAP_THRESHOLD_=") ||
           (asks && (orb_str_prefix(variable, "SSH_ASKPASS=") || orb_str_prefix(variable, "SSH_ASKPASS_REQUIRE=")));
}

static char **copy_environment(char *const *from, size_t more, bool asks)
{
    size_t count = 0, kept = 0;
    while (from[count])
        count++;
    char **list = orb_calloc(count + more + 1, sizeof(char *));
    for (size_t i = 0; list && i < count; i++) {
        if (is_ours(from[i], asks))
            continue;
        if (!(list[kept++] = orb_strdup(from[i]))) {
            orb_ssh_list_free(list);
            return NULL;
        }
    }
    return list;
}

static orbit_status check(const struct orb_ssh_settings *settings, orbit_error *error)
{
    if (!settings->host || !is_name(settings->host))
        return orb_fail(error, ORBIT_E_CONFIG, 0, "'%.200s' is no name of a host",
                        settings->host ? settings->host : "");
    if (settings->user && !is_name(settings->user))
        return orb_fail(error, ORBIT_E_CONFIG, 0, "'%.200s' is no name of a user", settings->user);
    if (settings->port > 65535)
        return orb_fail(error, ORBIT_E_CONFIG, 0, "%u is no port: they end at 65535", settings->port);
    if (settings->password && !is_line(settings->password))
        return orb_fail(error, ORBIT_E_CONFIG, 0, "a password for ssh cannot be longer than a line");
    if (settings->passphrase && !is_line(settings->passphrase))
        return orb_fail(error, ORBIT_E_CONFIG, 0, "a passphrase for ssh cannot be longer than a line");
    return ORBIT_OK;
}

static bool copy_text(char **to, const char *from)
{
    return !from || (*to = orb_strdup(from)) != NULL;
}

/* An address in brackets is one without, for ssh. */
static char *copy_host(const char *host)
{
    size_t length = strlen(host);
    bool brackets = *host == '[' && host[length - 1] == ']';
    return brackets ? orb_strndup(host + 1, length - 2) : orb_strdup(host);
}

orbit_status orb_ssh_plan_make(struct orb_ssh_plan *plan, const struct orb_ssh_settings *settings, orbit_error *error)
{
    *plan = (struct orb_ssh_plan){.port = settings->port};
    orbit_status status = check(settings, error);
    if (status < 0)
        return status;
    bool asks = settings->password || settings->passphrase || (settings->prompt && settings->prompt->function);
    plan->connect_ns = settings->connect_ns ? settings->connect_ns : CONNECT_S * ORB_S;
    if (settings->prompt)
        plan->prompt = *settings->prompt;
    if (!(plan->host = copy_host(settings->host)) || !copy_text(&plan->user, settings->user) ||
        !copy_text(&plan->config_file, settings->config_file) || !copy_text(&plan->password, settings->password) ||
        !copy_text(&plan->passphrase, settings->passphrase) ||
        !copy_text(&plan->program, settings->program ? settings->program : "ssh") ||
        !(plan->environment = copy_environment(environ, ORB_SSH_OURS, asks)))
        status = orb_fail_memory(error);
    if (status >= 0)
        status = copy_list(&plan->identities, settings->identities, "an identity file", error);
    if (status >= 0)
        status = copy_list(&plan->options, settings->options, "an option", error);
    if (status < 0) {
        orb_ssh_plan_release(plan);
        return status;
    }
    const char *format = !plan->port ? "%.250s" : strchr(plan->host, ':') ? "[%.250s]:%u" : "%.250s:%u";
    (void)snprintf(plan->peer, sizeof plan->peer, format, plan->host, plan->port);
    return ORBIT_OK;
}

void orb_ssh_plan_release(struct orb_ssh_plan *plan)
{
    wipe(plan->password);
    wipe(plan->passphrase);
    orb_ssh_list_free(plan->identities);
    orb_ssh_list_free(plan->options);
    orb_ssh_list_free(plan->environment);
    orb_free(plan->host);
    orb_free(plan->user);
    orb_free(plan->config_file);
    orb_free(plan->program);
    *plan = (struct orb_ssh_plan){0};
}

bool orb_ssh_plan_asks(const struct orb_ssh_plan *plan)
{
    return plan->password || plan->passphrase || plan->prompt.function;
}

/* ---- the command line ---- */

struct words {
    char **list;
    size_t count, room;
    bool failed;
};

static void add(struct words *words, const char *word)
{
    if (words->failed)
        return;
    if (words->count + 1 >= words->room) {
        size_t room = words->room ? words->room * 2 : 64;
        char **list = orb_realloc(words->list, room * sizeof(*list));
        if (!list) {
            words->failed = true;
            return;
        }
        words->list = list;
        words->room = room;
    }
    if (!(words->list[words->count] = orb_strdup(word)))
        words->failed = true;
    else
        words->list[++words->count] = NULL;
}

static void add_option(struct words *words, const char *option)
{
    add(words, "-o");
    add(words, option);
}

/* In the name of an identity file ssh replaces %d, %u and others. */
static void add_identity(struct words *words, const char *path)
{
    struct orb_buf escaped;
    orb_buf_init(&escaped, 8192);
    for (const char *at = path; *at; at++)
        (void)(*at == '%' ? orb_buf_text(&escaped, "%%") : orb_buf_char(&escaped, *at));
    words->failed = words->failed || escaped.failed;
    add(words, "-i");
    add(words, orb_buf_string(&escaped));
    orb_buf_release(&escaped);
}

/* What must hold whatever the user's configuration says: ssh takes the first value that it hears. A log at ERROR
 * keeps the host's banner, which can say anything, from being read as ssh's own words. */
static const char *const firm[] = {
    "ControlMaster=yes",
    "ControlPersist=no",
    "ForkAfterAuthentication=no",
    "StdinNull=no",
    "ClearAllForwardings=yes",
    "ForwardAgent=no",
    "ForwardX11=no",
    "Tunnel=no",
    "RemoteCommand=none",
    "RequestTTY=no",
    "PermitLocalCommand=no",
    "LogLevel=ERROR",
};

static void add_config(struct words *words, const char *file)
{
    if (!file)
        return;
    add(words, "-F");
    add(words, file);
}

static void add_host(struct words *words, const struct orb_ssh_plan *plan)
{
    char text[16];
    if (plan->port) {
        (void)snprintf(text, sizeof text, "%u", plan->port);
        add(words, "-p");
        add(words, text);
    }
    if (plan->user) {
        add(words, "-l");
        add(words, plan->user);
    }
    add(words, "--");
    add(words, plan->host);
}

static char **end_words(struct words *words)
{
    if (!words->failed)
        return words->list;
    orb_ssh_list_free(words->list);
    return NULL;
}

char **orb_ssh_plan_question(const struct orb_ssh_plan *plan, bool bare)
{
    struct words words = {0};
    add(&words, plan->program);
    add(&words, "-G");
    add_config(&words, bare ? "none" : plan->config_file);
    for (char **option = plan->options; !bare && *option; option++)
        add_option(&words, *option);
    add_host(&words, plan);
    return end_words(&words);
}

char **orb_ssh_plan_words(const struct orb_ssh_plan *plan, const char *control_path)
{
    struct words words = {0};
    char text[sizeof(((struct orb_ssh_place *)0)->control) + 32];
    add(&words, plan->program);
    add(&words, "-N");
    add_config(&words, plan->config_file);
    (void)snprintf(text, sizeof text, "ControlPath=%s", control_path);
    add_option(&words, text);
    for (size_t i = 0; i < sizeof firm / sizeof *firm; i++)
        add_option(&words, firm[i]);
    if (!orb_ssh_plan_asks(plan))
        add_option(&words, "BatchMode=yes");
    else if (!plan->prompt.function)
        add_option(&words, "NumberOfPasswordPrompts=1"); /* a second answer would be the first one */
    for (char **option = plan->options; *option; option++)
        add_option(&words, *option);
    /* A peer that is gone without a word is noticed, and one that never answers, too. */
    add_option(&words, "ServerAliveInterval=15");
    add_option(&words, "ServerAliveCountMax=3");
    /* The first word of the host, which may come by way of others; the rest is for them to prove who they are. */
    uint64_t seconds = (plan->connect_ns / 2 + ORB_S - 1) / ORB_S;
    (void)snprintf(text, sizeof text, "ConnectTimeout=%llu",
                   (unsigned long long)(seconds < 1 << 20 ? seconds : 1 << 20));
    add_option(&words, text);
    if (plan->cipher == ORB_SSH_CIPHER_AES)
        add_option(&words, "Ciphers=^aes128-gcm@openssh.com,aes256-gcm@openssh.com");
    for (char **identity = plan->identities; *identity; identity++)
        add_identity(&words, *identity);
    add_host(&words, plan);
    return end_words(&words);
}

char **orb_ssh_plan_environment(const struct orb_ssh_plan *plan, const char *ask_path)
{
    struct orb_buf ask;
    orb_buf_init(&ask, 256);
    bool fine = true;
    char **list = copy_environment(plan->environment, ORB_SSH_OURS, ask_path != NULL);
    size_t count = 0;
    while (list && list[count])
        count++;
    if (list) {
        fine = (list[count++] = orb_strdup("LC_ALL=C")) && (list[count++] = orb_strdup(smaller_heap));
        if (fine && ask_path)
            fine = orb_buf_format(&ask, "SSH_ASKPASS=%s", ask_path) && (list[count++] = orb_buf_take(&ask)) &&
                   (list[count] = orb_strdup("SSH_ASKPASS_REQUIRE=force"));
    }
    orb_buf_release(&ask);
    if (fine)
        return list;
    orb_ssh_list_free(list);
    return NULL;
}
