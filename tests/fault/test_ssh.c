/* SPDX-License-Identifier: Apache-2.0
 * Connections by the system's ssh to private servers: sessions, the ways in, refusals, secrets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "ssh_site.h"
#include "support/descriptors.h"

/* ---- sessions ---- */

static void sessions_share_one_connection(void **state)
{
    (void)state;
    struct sshd sshd;
    struct site site;
    pid_t pid;
    unsigned descriptors = open_descriptors();
    sshd_of_fixture(&sshd, "sshd");
    site_open(&site, (struct orb_ssh_settings){.host = "direct"}, &sshd);
    for (unsigned i = 0; i < 3; i++)
        site_run(&site, site_start, i);
    for (unsigned i = 0; i < 3; i++) {
        site_wait_for(&site, &site.sessions[i].ready);
        assert_true(speaks_sftp(&site.sessions[i]));
        assert_int_equal(site_children(&pid), 1);
    }
    for (unsigned i = 0; i < 3; i++)
        end_well(&site.sessions[i]);
    assert_true(speaks_sftp(site_begin(&site, 3))); /* it still stands */
    assert_int_equal(site_children(&pid), 1);
    site_close(&site);
    assert_int_equal(site.sessions[3].error.status, ORBIT_E_CANCELLED);
    nothing_is_left(descriptors);
}

static void every_way_in_that_ssh_knows_is_a_way_in(void **state)
{
    (void)state;
    static const struct {
        const char *fixture, *host;
    } cases[] = {{"sshd", "behind"},         {"sshd_external", "direct"},
                 {"sshd_chroot", "direct"},  {"sshd_certificate", "direct"},
                 {"sshd_proftpd", "direct"}, {"sshd_slow", "direct"}};
    unsigned descriptors = open_descriptors();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sshd sshd;
        struct site site;
        sshd_of_fixture(&sshd, cases[i].fixture);
        site_open(&site, (struct orb_ssh_settings){.host = cases[i].host}, &sshd);
        struct session *session = site_begin(&site, 0);
        if (!speaks_sftp(session))
            fail_msg("%s: %s", cases[i].fixture, session->error.message);
        site_close(&site);
    }
    nothing_is_left(descriptors);
}

static void refusals_say_what_to_do(void **state)
{
    (void)state;
    static const struct {
        const char *fixture;
        struct orb_ssh_settings settings;
        orbit_status status;
        const char *sentence;
    } cases[] = {
        {"sshd", {.host = "unknown"}, ORBIT_E_UNTRUSTED, "the host key of unknown is not known"},
        {"sshd", {.host = "changed"}, ORBIT_E_UNTRUSTED, "remove the old key with: ssh-keygen -f "},
        {"sshd", {.host = "stranger"}, ORBIT_E_AUTH, "(it takes publickey)"},
        {"sshd", {.host = "locked"}, ORBIT_E_AUTH, "(it takes publickey)"},
        {"sshd", {.host = "locked", .passphrase = "wrong"}, ORBIT_E_AUTH, "the passphrase is not that of its key"},
        {"sshd", {.host = "unknown", .password = "yes"}, ORBIT_E_UNTRUSTED, "the host key of unknown is not known"},
        {"sshd", {.host = "direct", .port = 1}, ORBIT_E_CONNECT, "connection refused"},
        {"sshd", {.host = "name.invalid"}, ORBIT_E_CONNECT, "does not resolve"},
        {"sshd", {.host = "direct", .program = "orbit-no-ssh"}, ORBIT_E_CONFIG, "install the OpenSSH client"},
        {"sshd_password", {.host = "direct"}, ORBIT_E_AUTH, "'orbittest' (it takes password)"},
        {"sshd_password", {.host = "direct", .password = "wrong"}, ORBIT_E_AUTH, "the password is wrong"},
        {"sshd_nosftp", {.host = "direct"}, ORBIT_E_UNSUPPORTED, "'Subsystem sftp internal-sftp'"},
        {"sshd_slow", {.host = "direct", .connect_ns = ORB_S / 2}, ORBIT_E_TIMEOUT, "did not stand within 0.5 seconds"},
    };
    unsigned descriptors = open_descriptors();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sshd sshd;
        struct site site;
        sshd_of_fixture(&sshd, cases[i].fixture);
        site_open(&site, cases[i].settings, &sshd);
        struct session *session = site_begin(&site, 0);
        site_wait_for(&site, &session->ended);
        if (session->error.status != (int)cases[i].status || !strstr(session->error.message, cases[i].sentence))
            fail_msg("%s on %s: %d: %s", cases[i].settings.host, cases[i].fixture, session->error.status,
                     session->error.message);
        site_close(&site);
    }
    nothing_is_left(descriptors);
}

static void session_beyond_the_hosts_limit_is_refused_and_others_go_on(void **state)
{
    (void)state;
    struct sshd sshd;
    struct site site;
    sshd_of_fixture(&sshd, "sshd_one");
    site_open(&site, (struct orb_ssh_settings){.host = "direct"}, &sshd);
    struct session *one = site_begin(&site, 0), *two = site_begin(&site, 1);
    site_wait_for(&site, &two->ended);
    assert_int_equal(two->error.status, ORBIT_E_LIMIT);
    assert_true(speaks_sftp(one));
    end_well(one);
    for (;;) { /* the host counts a session that has ended for a moment longer */
        struct session *next = site_begin(&site, 1);
        if (next->fd >= 0)
            break;
        site_wait_for(&site, &next->ended);
        assert_int_equal(next->error.status, ORBIT_E_LIMIT);
        struct timespec nap = {0, 10000000};
        nanosleep(&nap, NULL);
    }
    assert_true(speaks_sftp(&site.sessions[1]));
    site_close(&site);
}

/* ---- secrets ---- */

/* Reads a file of /proc whole. */
static size_t slurp(const char *path, char *bytes, size_t room)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    size_t length = 0;
    for (ssize_t got; fd >= 0 && (got = read(fd, bytes + length, room - length)) > 0;)
        length += (size_t)got;
    if (fd >= 0)
        close(fd);
    return length;
}

static void secret_is_in_no_command_line_environment_or_file(pid_t pid, const char *secret)
{
    static char bytes[1 << 20];
    char path[64];
    static const char *const files[] = {"cmdline", "environ"};
    for (size_t i = 0; i < 2; i++) {
        (void)snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, files[i]);
        size_t length = slurp(path, bytes, sizeof bytes);
        assert_true(length > 0);
        assert_null(memmem(bytes, length, secret, strlen(secret)));
    }
    const char *base = getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp";
    DIR *dir = opendir(base);
    unsigned looked_at = 0;
    for (const struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        char name[512];
        (void)snprintf(name, sizeof name, "%s/%.100s/a", base, entry->d_name);
        if (strncmp(entry->d_name, "orbit-ssh-", 10) != 0)
            continue;
        size_t length = slurp(name, bytes, sizeof bytes);
        assert_true(length > 0);
        assert_null(memmem(bytes, length, secret, strlen(secret)));
        looked_at++;
    }
    closedir(dir);
    assert_int_equal(looked_at, 1);
}

static void secrets_are_told_to_nobody_else(void **state)
{
    (void)state;
    static const struct {
        const char *fixture;
        struct orb_ssh_settings settings;
    } cases[] = {
        {"sshd_password", {.host = "direct", .password = "orbittestsecret"}},
        {"sshd", {.host = "locked", .passphrase = "orbittestphrase"}},
    };
    unsigned descriptors = open_descriptors();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sshd sshd;
        struct site site;
        pid_t pid = 0;
        const char *secret = cases[i].settings.password ? cases[i].settings.password : cases[i].settings.passphrase;
        sshd_of_fixture(&sshd, cases[i].fixture);
        site_open(&site, cases[i].settings, &sshd);
        if (!speaks_sftp(site_begin(&site, 0)))
            fail_msg("%s", site.sessions[0].error.message);
        assert_int_equal(site_children(&pid), 1);
        secret_is_in_no_command_line_environment_or_file(pid, secret);
        site_close(&site);
    }
    nothing_is_left(descriptors);
}

/* A person who answers, and what was asked. */
struct person {
    unsigned asked;
    char text[4][300];
    bool secret[4];
    const char *answers[4];
};

static orbit_status person_answers(void *ctx, const orbit_question *question, char *answer, size_t room,
                                   orbit_error *error)
{
    struct person *person = ctx;
    unsigned number = person->asked++;
    if (number >= 4 || !person->answers[number])
        return orb_fail(error, ORBIT_E_CANCELLED, 0, "nobody is there");
    (void)snprintf(person->text[number], sizeof person->text[number], "%s", question->text);
    person->secret[number] = question->secret;
    return snprintf(answer, room, "%s", person->answers[number]) > 0 ? ORBIT_OK : ORBIT_E_LIMIT;
}

static void person_is_asked_for_what_was_not_given_and_once(void **state)
{
    (void)state;
    struct sshd sshd;
    struct site site;
    struct delay delay;
    char alias[64];
    struct person person = {.answers = {"yes", "wrong", "orbittestsecret"}};
    const orbit_prompt prompt = {person_answers, &person};
    const char *const options[] = {"UserKnownHostsFile=/dev/null", alias, NULL};
    sshd_of_fixture(&sshd, "sshd_password");
    delay_start(&delay, sshd.port, 0, 0, 0);
    (void)snprintf(alias, sizeof alias, "HostKeyAlias=[127.0.0.1]:%d", sshd.port);
    struct orb_ssh_settings settings = {
        .host = "unknown", .port = (unsigned)delay.port, .options = options, .prompt = &prompt};
    site_open(&site, settings, &sshd);
    struct session *session = site_begin(&site, 0);
    if (!speaks_sftp(session))
        fail_msg("%s", session->error.message);
    assert_int_equal(person.asked, 3);
    assert_non_null(strstr(person.text[0], "is to be trusted, whose ED25519 key fingerprint is SHA256:"));
    assert_false(person.secret[0]);
    assert_non_null(strstr(person.text[1], "'s password"));
    assert_true(person.secret[1]);
    /* A connection that takes the place of a lost one asks for no password again. */
    delay_reset(&delay);
    site_wait_for(&site, &session->ended);
    close(session->fd);
    person.answers[3] = "yes"; /* the key was kept in /dev/null */
    assert_true(speaks_sftp(site_begin(&site, 0)));
    assert_int_equal(person.asked, 4);
    site_close(&site);
    delay_stop(&delay);
}

int main(void)
{
    if (!site_enter())
        return 99;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sessions_share_one_connection),
        cmocka_unit_test(every_way_in_that_ssh_knows_is_a_way_in),
        cmocka_unit_test(refusals_say_what_to_do),
        cmocka_unit_test(session_beyond_the_hosts_limit_is_refused_and_others_go_on),
        cmocka_unit_test(secrets_are_told_to_nobody_else),
        cmocka_unit_test(person_is_asked_for_what_was_not_given_and_once),
    };
    return site_leave(cmocka_run_group_tests(tests, site_warm_up, NULL));
}
