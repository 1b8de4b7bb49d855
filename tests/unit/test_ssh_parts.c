/* SPDX-License-Identifier: Apache-2.0
 * The parts of wire/ssh that need no host: what is run, who is told what, what ssh's words mean, the private
 * directory. */
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
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "wire/ssh_parts.h"

static void make_plan(struct orb_ssh_plan *plan, const struct orb_ssh_settings *settings)
{
    orbit_error error;
    assert_int_equal(orb_ssh_plan_make(plan, settings, &error), ORBIT_OK);
}

static size_t find_word(char *const *words, const char *word)
{
    size_t at = 0;
    while (words[at] && strcmp(words[at], word) != 0)
        at++;
    return words[at] ? at : SIZE_MAX;
}

/* ---- what is run ---- */

static void host_stands_behind_two_dashes_and_what_is_no_host_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"",     "-oProxyCommand=x",
                                      "a b",  "a\nb",
                                      "a;b",  "$(x)",
                                      "a`b`", "'a'",
                                      "a\\b", "a|b",
                                      "a&b",  "a>b",
                                      "a\tb", "{a}",
                                      "a*",   "-"};
    orbit_error error;
    struct orb_ssh_plan plan;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct orb_ssh_settings host = {.host = bad[i]}, user = {.host = "h", .user = bad[i]};
        assert_int_equal(orb_ssh_plan_make(&plan, &host, &error), ORBIT_E_CONFIG);
        assert_int_equal(orb_ssh_plan_make(&plan, &user, &error), ORBIT_E_CONFIG);
    }
    const char *const identities[] = {"/k/100%d", NULL}, *const options[] = {"ProxyJump=j", NULL};
    struct orb_ssh_settings settings = {
        .host = "[::1]", .user = "u", .port = 2222, .identities = identities, .options = options, .config_file = "/c"};
    make_plan(&plan, &settings);
    char **words = orb_ssh_plan_words(&plan, "/tmp/x/c");
    size_t dashes = find_word(words, "--");
    assert_string_equal(words[0], "ssh");
    assert_string_equal(words[dashes + 1], "::1");
    assert_null(words[dashes + 2]);
    assert_string_equal(words[find_word(words, "-l") + 1], "u");
    assert_string_equal(words[find_word(words, "-p") + 1], "2222");
    assert_string_equal(words[find_word(words, "-F") + 1], "/c");
    assert_string_equal(words[find_word(words, "-i") + 1], "/k/100%%d");
    assert_string_equal(plan.peer, "[::1]:2222");
    /* The first value counts: what must hold comes before what the user adds. */
    assert_true(find_word(words, "ClearAllForwardings=yes") < find_word(words, "ProxyJump=j"));
    assert_true(find_word(words, "BatchMode=yes") < find_word(words, "ProxyJump=j"));
    assert_true(find_word(words, "ServerAliveInterval=15") > find_word(words, "ProxyJump=j"));
    orb_ssh_list_free(words);
    orb_ssh_plan_release(&plan);
}

static orbit_status answer(void *ctx, const orbit_question *question, char *text, size_t room, orbit_error *error)
{
    (void)ctx;
    (void)question;
    (void)error;
    return snprintf(text, room, "42") > 0 ? ORBIT_OK : ORBIT_E_LIMIT;
}

static void ssh_asks_nobody_unless_it_may(void **state)
{
    (void)state;
    static const orbit_prompt prompt = {answer, NULL};
    static const struct {
        struct orb_ssh_settings settings;
        bool batch;
    } cases[] = {
        {{.host = "h"}, true},
        {{.host = "h", .prompt = &prompt}, false},
        {{.host = "h", .password = "p"}, false}, /* we are asked */
        {{.host = "h", .passphrase = "p"}, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct orb_ssh_plan plan;
        make_plan(&plan, &cases[i].settings);
        char **words = orb_ssh_plan_words(&plan, "/tmp/x/c");
        assert_int_equal(find_word(words, "BatchMode=yes") != SIZE_MAX, cases[i].batch);
        orb_ssh_list_free(words);
        orb_ssh_plan_release(&plan);
    }
}

/* ---- the cipher ---- */

static void write_config(char path[], const char *text)
{
    strcpy(path, "/tmp/orbit-ssh-config-XXXXXX");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
}

static void order_of_ciphers_is_open_until_somebody_chose_one(void **state)
{
    (void)state;
    char path[64];
    write_config(path, "Host chosen\n Ciphers aes256-ctr\nHost more\n Ciphers +aes128-cbc\nHost *\n User somebody\n");
    const char *const ciphers[] = {"Compression=no", "Ciphers=aes128-ctr", NULL}, *const other[] = {"Port=7", NULL};
    const struct {
        struct orb_ssh_settings settings;
        bool open;
    } cases[] = {
        {{.host = "h", .config_file = path}, true},
        {{.host = "h", .config_file = path, .options = other, .user = "u", .port = 22}, true},
        {{.host = "chosen", .config_file = path}, false},
        {{.host = "more", .config_file = path}, false},
        {{.host = "h", .config_file = path, .options = ciphers}, false},
        {{.host = "h", .config_file = "/nowhere"}, false},                          /* ssh will say what is wrong */
        {{.host = "h", .config_file = path, .program = "/bin/true"}, false},        /* says nothing */
        {{.host = "h", .config_file = path, .program = "orbit-no-program"}, false}, /* is not there */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct orb_ssh_plan plan;
        make_plan(&plan, &cases[i].settings);
        assert_int_equal(orb_ssh_cipher_is_open(&plan, -1), cases[i].open);
        orb_ssh_plan_release(&plan);
    }
    unlink(path);
}

static void who_stops_meanwhile_does_not_wait_for_the_answer(void **state)
{
    (void)state;
    char path[64];
    int wake[2];
    write_config(path, "#!/bin/sh\nsleep 0.2\necho ciphers one,two\n");
    assert_int_equal(chmod(path, 0700), 0);
    assert_int_equal(pipe(wake), 0);
    struct orb_ssh_settings settings = {.host = "h", .program = path};
    struct orb_ssh_plan plan;
    make_plan(&plan, &settings);
    assert_true(orb_ssh_cipher_is_open(&plan, wake[0]));
    assert_int_equal(write(wake[1], "", 1), 1);
    assert_false(orb_ssh_cipher_is_open(&plan, wake[0])); /* whose answer would have been the same */
    orb_ssh_plan_release(&plan);
    close(wake[0]);
    close(wake[1]);
    unlink(path);
}

static void aes_goes_first_where_it_was_chosen(void **state)
{
    (void)state;
    struct orb_ssh_settings settings = {.host = "h"};
    struct orb_ssh_plan plan;
    make_plan(&plan, &settings);
    for (enum orb_ssh_cipher cipher = ORB_SSH_CIPHER_UNKNOWN; cipher <= ORB_SSH_CIPHER_AES; cipher++) {
        plan.cipher = cipher;
        char **words = orb_ssh_plan_words(&plan, "/tmp/x/c");
        bool there = find_word(words, "Ciphers=^aes128-gcm@openssh.com,aes256-gcm@openssh.com") != SIZE_MAX;
        assert_int_equal(there, cipher == ORB_SSH_CIPHER_AES);
        orb_ssh_list_free(words);
    }
    orb_ssh_plan_release(&plan);
}

static void secrets_are_in_neither_command_line_nor_environment(void **state)
{
    (void)state;
    struct orb_ssh_settings settings = {.host = "h", .password = "hunter2", .passphrase = "correct horse"};
    struct orb_ssh_plan plan;
    setenv("SSH_ASKPASS", "/theirs", 1);
    setenv("LC_ALL", "de_DE.UTF-8", 1);
    make_plan(&plan, &settings);
    char **words = orb_ssh_plan_words(&plan, "/tmp/x/c"), **environment = orb_ssh_plan_environment(&plan, "/tmp/x/a");
    for (char **at = words; *at; at++)
        assert_true(!strstr(*at, "hunter2") && !strstr(*at, "correct horse"));
    for (char **at = environment; *at; at++)
        assert_true(!strstr(*at, "hunter2") && !strstr(*at, "correct horse"));
    assert_true(find_word(environment, "SSH_ASKPASS=/tmp/x/a") != SIZE_MAX);
    assert_true(find_word(environment, "SSH_ASKPASS_REQUIRE=force") != SIZE_MAX);
    assert_true(find_word(environment, "SSH_ASKPASS=/theirs") == SIZE_MAX);
    assert_true(find_word(environment, "LC_ALL=C") != SIZE_MAX);
    assert_true(find_word(environment, "MALLOC_MMAP_THRESHOLD_=131072") != SIZE_MAX);
    assert_true(find_word(environment, "LC_ALL=de_DE.UTF-8") == SIZE_MAX);
    orb_ssh_list_free(words);
    orb_ssh_list_free(environment);
    orb_ssh_plan_release(&plan);
    unsetenv("LC_ALL");
    orbit_error error;
    struct orb_ssh_settings two_lines = {.host = "h", .password = "a\nb"};
    assert_int_equal(orb_ssh_plan_make(&plan, &two_lines, &error), ORBIT_E_CONFIG);
    assert_null(strstr(error.message, "a\nb"));
}

/* ---- who is told what ---- */

#define HOST_KEY                                                                          \
    "The authenticity of host 'password (1.2.3.4)' can't be established.\n"               \
    "ED25519 key fingerprint is SHA256:abc.\nThis key is not known by any other names.\n" \
    "Are you sure you want to continue connecting (yes/no/[fingerprint])? "

static void questions_are_told_apart(void **state)
{
    (void)state;
    static const struct {
        const char *prompt;
        enum orb_ssh_question question;
        const char *text;
    } cases[] = {
        {"root@127.0.0.1's password: ", ORB_SSH_PASSWORD, "root@127.0.0.1's password"},
        {"(root@127.0.0.1) Password: ", ORB_SSH_PASSWORD, "(root@127.0.0.1) Password"},
        {"Enter passphrase for key '/k/id_password': ", ORB_SSH_PASSPHRASE,
         "Enter passphrase for key '/k/id_password'"},
        {"(u@h) Read this.\nVerification code: ", ORB_SSH_OTHER, "(u@h) Read this. Verification code"},
        {"Enter PIN for ED25519-SK key /k: ", ORB_SSH_OTHER, "Enter PIN for ED25519-SK key /k"},
        {HOST_KEY, ORB_SSH_HOST_KEY,
         "whether h:2222 is to be trusted, whose ED25519 key fingerprint is SHA256:abc (yes or no)"},
        {"Please type 'yes', 'no' or the fingerprint: ", ORB_SSH_HOST_KEY,
         "Please type 'yes', 'no' or the fingerprint"},
        {"", ORB_SSH_OTHER, ""},
    };
    struct orb_ssh_plan plan = {.peer = "h:2222"};
    char text[300];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(orb_ssh_question_of(cases[i].prompt), cases[i].question);
        orb_ssh_question_text(text, sizeof text, &plan, cases[i].prompt);
        assert_string_equal(text, cases[i].text);
    }
}

/* What the program that asks would read. */
static const char *ask(struct orb_ssh_asked *asked, int ends[2], const char *prompt)
{
    static char reply[300];
    assert_int_equal(send(ends[1], prompt, strlen(prompt) + 1, 0), (ssize_t)strlen(prompt) + 1);
    while (asked->length || recv(ends[1], reply, sizeof reply, MSG_PEEK | MSG_DONTWAIT) < 0)
        assert_true(orb_ssh_asked_read(asked, ends[0]));
    ssize_t length = recv(ends[1], reply, sizeof reply - 1, 0);
    assert_true(length > 0);
    reply[length] = '\0';
    return reply;
}

static void each_secret_is_told_for_its_own_question_and_once(void **state)
{
    (void)state;
    struct orb_ssh_settings settings = {.host = "h", .password = "pw", .passphrase = "pp"};
    struct orb_ssh_plan plan;
    _Atomic bool stopping = false;
    int ends[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    make_plan(&plan, &settings);
    struct orb_ssh_asked asked = {.plan = &plan, .stopping = &stopping, .child = -1};
    assert_string_equal(ask(&asked, ends, HOST_KEY), "-\n");
    assert_string_equal(ask(&asked, ends, "Code: "), "-\n");
    assert_string_equal(ask(&asked, ends, "u@h's password: "), "+pw\n");
    assert_string_equal(ask(&asked, ends, "u@h's password: "), "-\n");
    assert_string_equal(ask(&asked, ends, "Enter passphrase for key '/k': "), "+pp\n");
    orb_ssh_plan_release(&plan);

    /* A person answers everything, and what was right is kept: a second connection does not ask for it. */
    const orbit_prompt prompt = {answer, NULL};
    settings = (struct orb_ssh_settings){.host = "h", .prompt = &prompt};
    make_plan(&plan, &settings);
    asked = (struct orb_ssh_asked){.plan = &plan, .stopping = &stopping, .child = -1};
    assert_string_equal(ask(&asked, ends, "Code: "), "+42\n");
    assert_string_equal(ask(&asked, ends, "u@h's password: "), "+42\n");
    assert_null(plan.password);
    orb_ssh_asked_keep(&asked);
    assert_string_equal(plan.password, "42");
    assert_null(plan.passphrase);
    orb_ssh_plan_release(&plan);
    close(ends[0]);
    close(ends[1]);
}

/* ---- what ssh's words mean ---- */

static void ends_of_a_connection_are_told_in_one_sentence(void **state)
{
    (void)state;
    struct orb_ssh_plan plan = {.host = "h", .port = 2222, .peer = "h:2222", .connect_ns = 30000000000u};
    static const struct {
        const char *said;
        orbit_status status;
        bool retriable;
        const char *sentence;
        struct orb_ssh_end end;
    } cases[] = {
        {"Host key verification failed.\r\n",
         ORBIT_E_UNTRUSTED,
         false,
         "the host key of h:2222 is not known: run 'ssh -p 2222 h' once to see it and to accept it",
         {0}},
        {"@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @\n  remove with:\n"
         "  ssh-keygen -f \"/k h\" -R \"[h]:2222\"\nHost key verification failed.\n",
         ORBIT_E_UNTRUSTED,
         false,
         "the host key of h:2222 has changed: somebody may be listening in; if the change is known to be right, remove "
         "the "
         "old key with: ssh-keygen -f \"/k h\" -R \"[h]:2222\"",
         {0}},
        {"@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @\nHost key verification failed.\n",
         ORBIT_E_UNTRUSTED,
         false,
         "remove the old key with: ssh-keygen -R '[h]:2222'",
         {0}},
        {"@       WARNING: REVOKED HOST KEY DETECTED!               @\nHost key verification failed.\n",
         ORBIT_E_UNTRUSTED,
         false,
         "is revoked",
         {0}},
        {"u@h: Permission denied (publickey,password).\r\n",
         ORBIT_E_AUTH,
         false,
         "h:2222 refused user 'u' (it takes publickey,password): none of the keys and agents that ssh knows of was "
         "accepted",
         {0}},
        {"u@j: Permission denied (publickey).\r\nkex_exchange_identification: Connection closed by remote host\r\n",
         ORBIT_E_AUTH,
         false,
         "the host on the way to h:2222 refused user 'u' (it takes publickey): none of the keys and agents that ssh "
         "knows "
         "of was accepted",
         {0}},
        {"u@h: Permission denied (password).\n",
         ORBIT_E_AUTH,
         false,
         "h:2222 refused user 'u' (it takes password): the password is wrong",
         {.told_password = true}},
        {"u@h: Permission denied (publickey).\n",
         ORBIT_E_AUTH,
         false,
         "the passphrase is not that of its key",
         {.told_passphrase = true}},
        {"Warning: Identity file /k not accessible: No such file or directory.\nu@h: Permission denied (publickey).\n",
         ORBIT_E_AUTH,
         false,
         "there is no key /k",
         {0}},
        {"@         WARNING: UNPROTECTED PRIVATE KEY FILE!          @\nPermissions 0644 for '/k' are too open.\n"
         "Load key \"/k\": bad permissions\nu@h: Permission denied (publickey).\n",
         ORBIT_E_AUTH,
         false,
         "chmod 600 /k",
         {0}},
        {"Received disconnect from 1.2.3.4 port 22:2: Too many authentication failures\r\n",
         ORBIT_E_AUTH,
         false,
         "IdentitiesOnly=yes",
         {0}},
        {"ssh: connect to host h port 2222: Connection refused\r\n",
         ORBIT_E_CONNECT,
         false,
         "cannot connect to h:2222: connection refused: is its sshd running, and is the port right?",
         {0}},
        {"ssh: connect to host 10.1.1.1 port 22: Connection refused\r\n",
         ORBIT_E_CONNECT,
         false,
         "cannot connect to h:2222: 10.1.1.1 port 22: connection refused",
         {0}},
        {"ssh: connect to host h port 2222: No route to host\n", ORBIT_E_CONNECT, true, "no route to it", {0}},
        {"ssh: connect to host h port 2222: Network is unreachable\n", ORBIT_E_CONNECT, true, "no route to it", {0}},
        {"ssh: connect to host h port 2222: Connection timed out\n", ORBIT_E_TIMEOUT, true, "no answer", {0}},
        {"Connection timed out during banner exchange\n", ORBIT_E_TIMEOUT, true, "does not speak SSH in time", {0}},
        {"ssh: Could not resolve hostname h: Name or service not known\n",
         ORBIT_E_CONNECT,
         false,
         "the name does not resolve",
         {0}},
        {"ssh: Could not resolve hostname h: Temporary failure in name resolution\n",
         ORBIT_E_CONNECT,
         true,
         "cannot be looked up now",
         {0}},
        {"command-line: line 0: Bad configuration option: foo\n",
         ORBIT_E_CONFIG,
         false,
         "Bad configuration option: foo",
         {0}},
        {"/home/u/.ssh/config: line 3: Bad configuration option: foo\n/home/u/.ssh/config: terminating, 1 bad "
         "configuration options\n",
         ORBIT_E_CONFIG,
         false,
         "/home/u/.ssh/config: line 3: Bad configuration option: foo",
         {0}},
        {"Unable to negotiate with 1.2.3.4 port 22: no matching host key type found. Their offer: ssh-rsa\n",
         ORBIT_E_PROTOCOL,
         false,
         "Their offer: ssh-rsa",
         {0}},
        {"kex_exchange_identification: banner line contains invalid characters\n",
         ORBIT_E_PROTOCOL,
         false,
         "does not speak SSH",
         {0}},
        {"kex_exchange_identification: Connection closed by remote host\n", ORBIT_E_CONNECT, true, "MaxStartups", {0}},
        {"channel 0: open failed: connect failed: Connection refused\nstdio forwarding failed\n"
         "kex_exchange_identification: Connection closed by remote host\n",
         ORBIT_E_CONNECT,
         true,
         "the host on the way cannot reach it: Connection refused",
         {0}},
        {"something \x1b[31mnew\n\n", ORBIT_E_CONNECT, true, "cannot connect to h:2222: something ?[31mnew", {0}},
        {"", ORBIT_E_CONNECT, true, "cannot connect to h:2222: ssh did not say why", {0}},
        {"", ORBIT_E_CONNECT, false, "was ended by signal 9", {.result = 9}},
        {"", ORBIT_E_TIMEOUT, true, "did not stand within 30 seconds", {.too_long = true}},
        {"", ORBIT_E_NETWORK, true, "the connection to h:2222 was lost", {.was_up = true}},
        {"Timeout, server h not responding.\r\n",
         ORBIT_E_NETWORK,
         true,
         "the connection to h:2222 was lost: Timeout, server h not responding.",
         {.was_up = true}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        orbit_error error = {0};
        struct orb_ssh_end end = cases[i].end;
        end.said = cases[i].said;
        orb_ssh_explain(&error, &plan, &end);
        if (error.status != (int)cases[i].status || !strstr(error.message, cases[i].sentence))
            fail_msg("%s is told as %d: %s", cases[i].said, error.status, error.message);
        assert_int_equal(orbit_error_retriable(&error), cases[i].retriable);
        assert_null(strpbrk(error.message, "\r\n\x1b"));
    }
}

static void ends_of_a_session_are_told_in_one_sentence(void **state)
{
    (void)state;
    struct orb_ssh_plan plan = {.host = "h", .peer = "h"};
    orbit_error error = {0};
    orb_ssh_explain_session(&error, &plan, "sftp", false, "", -1);
    assert_int_equal(error.status, ORBIT_E_UNSUPPORTED);
    assert_non_null(strstr(error.message, "Subsystem sftp"));
    orb_ssh_explain_session(&error, &plan, "sftp", false, "sh: 1: /x: not found\n", 127);
    assert_int_equal(error.status, ORBIT_E_UNSUPPORTED);
    assert_non_null(strstr(error.message, "exit code 127): sh: 1: /x: not found"));
    orb_ssh_explain_session(&error, &plan, "sftp", true, "", -1);
    assert_int_equal(error.status, ORBIT_E_NETWORK);
    assert_true(orbit_error_retriable(&error));
    orb_ssh_explain_refused(&error, &plan, "Session open refused by peer");
    assert_int_equal(error.status, ORBIT_E_LIMIT);
    assert_non_null(strstr(error.message, "MaxSessions"));
}

static void what_is_said_at_length_keeps_its_beginning_and_its_end(void **state)
{
    (void)state;
    struct orb_ssh_said *said = calloc(1, sizeof *said);
    int ends[2];
    char line[64];
    assert_int_equal(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
    for (int i = 0; i < 20000; i++) {
        int length = snprintf(line, sizeof line, "line %d\n", i);
        assert_int_equal(write(ends[1], line, (size_t)length), length);
        if (i % 100 == 99)
            assert_true(orb_ssh_said_read(said, ends[0]));
    }
    close(ends[1]);
    assert_false(orb_ssh_said_read(said, ends[0]));
    close(ends[0]);
    assert_true(said->length < sizeof said->bytes);
    assert_memory_equal(said->bytes, "line 0\nline 1\n", 14);
    assert_string_equal(said->bytes + said->length - 11, "line 19999\n");
    free(said);
}

/* ---- the private directory ---- */

static void place_is_private_and_what_the_killed_left_is_removed(void **state)
{
    (void)state;
    char base[] = "/tmp/orb-place-XXXXXX", left[64], used[64], file[80], variable[64];
    assert_non_null(mkdtemp(base));
    (void)snprintf(left, sizeof left, "%s/orbit-ssh-left00", base);
    (void)snprintf(used, sizeof used, "%s/orbit-ssh-used00", base);
    (void)snprintf(file, sizeof file, "%s/c", left);
    (void)snprintf(variable, sizeof variable, "TMPDIR=%s", base);
    assert_int_equal(mkdir(left, 0700), 0);
    assert_int_equal(mkdir(used, 0700), 0);
    close(open(file, O_CREAT | O_WRONLY, 0600));
    struct timespec old[2] = {{time(NULL) - 3600, 0}, {time(NULL) - 3600, 0}};
    assert_int_equal(utimensat(AT_FDCWD, left, old, 0), 0);
    assert_int_equal(utimensat(AT_FDCWD, used, old, 0), 0);
    int lock = open(used, O_RDONLY | O_DIRECTORY);
    assert_int_equal(flock(lock, LOCK_EX), 0);

    char *environment[] = {"XDG_RUNTIME_DIR=/not there", variable, NULL};
    struct orb_ssh_place place;
    orbit_error error;
    struct stat about;
    assert_int_equal(orb_ssh_place_make(&place, environment, -1, &error), ORBIT_OK);
    assert_memory_equal(place.path, base, strlen(base));
    assert_int_equal(stat(place.path, &about), 0);
    assert_int_equal(about.st_mode & 07777, 0700);
    assert_true(strlen(place.control) + 17 < sizeof place.control); /* ssh appends 17 while it makes the socket */
    assert_int_equal(access(left, F_OK), -1);
    assert_int_equal(access(used, F_OK), 0);
    orb_ssh_place_remove(&place);
    close(lock);
    assert_int_equal(rmdir(used), 0);
    assert_int_equal(rmdir(base), 0); /* nothing else is in it */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(host_stands_behind_two_dashes_and_what_is_no_host_is_refused),
        cmocka_unit_test(ssh_asks_nobody_unless_it_may),
        cmocka_unit_test(order_of_ciphers_is_open_until_somebody_chose_one),
        cmocka_unit_test(who_stops_meanwhile_does_not_wait_for_the_answer),
        cmocka_unit_test(aes_goes_first_where_it_was_chosen),
        cmocka_unit_test(secrets_are_in_neither_command_line_nor_environment),
        cmocka_unit_test(questions_are_told_apart),
        cmocka_unit_test(each_secret_is_told_for_its_own_question_and_once),
        cmocka_unit_test(ends_of_a_connection_are_told_in_one_sentence),
        cmocka_unit_test(ends_of_a_session_are_told_in_one_sentence),
        cmocka_unit_test(what_is_said_at_length_keeps_its_beginning_and_its_end),
        cmocka_unit_test(place_is_private_and_what_the_killed_left_is_removed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
