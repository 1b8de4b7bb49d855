/* SPDX-License-Identifier: Apache-2.0
 * What wire/ssh is made of: the plan (what to run), the place (a private directory), the process (a thread that runs
 * it and waits), the link (one session by way of the control socket), and what ssh's words mean. For src/wire/ssh*.c
 * alone. */
#ifndef ORB_WIRE_SSH_PARTS_H
#define ORB_WIRE_SSH_PARTS_H

#include <stdatomic.h>
#include <sys/un.h>

#include "base/buf.h"
#include "wire/ssh.h"

/* ---- the plan: settings that were checked and copied. Any thread; the secrets are the process's while there is one. ---- */

enum orb_ssh_cipher { ORB_SSH_CIPHER_UNKNOWN = 0, ORB_SSH_CIPHER_THEIRS, ORB_SSH_CIPHER_AES };

struct orb_ssh_plan {
    char *host, *user, *config_file, *program, *password, *passphrase;
    char **identities, **options; /* NULL-terminated, never NULL */
    char **environment;           /* ours without what we set, NULL-terminated, with room for ORB_SSH_OURS more */
    unsigned port;
    orbit_prompt prompt;
    uint64_t connect_ns;
    enum orb_ssh_cipher cipher; /* which go first; the process's, found out with the first one */
    char peer[280];             /* the host, with its port where one is given */
};
enum { ORB_SSH_OURS = 4 };

orbit_status orb_ssh_plan_make(struct orb_ssh_plan *plan, const struct orb_ssh_settings *settings, orbit_error *error);
void orb_ssh_plan_release(struct orb_ssh_plan *plan);    /* wipes the secrets */
bool orb_ssh_plan_asks(const struct orb_ssh_plan *plan); /* whether we can answer anything */
/* The command line, NULL-terminated; freed with orb_ssh_list_free(). NULL when memory is out. */
char **orb_ssh_plan_words(const struct orb_ssh_plan *plan, const char *control_path);
/* The environment: `ask_path` is the program that ssh asks for secrets, nullable. As above. */
char **orb_ssh_plan_environment(const struct orb_ssh_plan *plan, const char *ask_path);
/* The command line that asks which configuration is in force for the host; `bare`: without any configuration. */
char **orb_ssh_plan_question(const struct orb_ssh_plan *plan, bool bare);
void orb_ssh_list_free(char **list);

/* ---- the cipher ---- */

bool orb_ssh_has_aes(void); /* whether this processor has instructions for AES-GCM */
/* Whether the configuration leaves ssh's own order of ciphers. Asks ssh: a few milliseconds, 2 s at most, less when
 * `wake` (-1: none) is readable. False where it cannot be told. */
bool orb_ssh_cipher_is_open(const struct orb_ssh_plan *plan, int wake);

/* ---- the place: a directory of our own, 0700, for the control socket and the program that asks ---- */

struct orb_ssh_place {
    int directory; /* locked as long as it is used; -1: none */
    char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
    char control[sizeof(((struct sockaddr_un *)0)->sun_path)]; /* the control socket's path */
    char ask[sizeof(((struct sockaddr_un *)0)->sun_path)];     /* the program that asks; "": none */
};

/* Makes it, and removes what processes left that were killed. `ask_input` is the socket that a program which asks will
 * find as its standard input, -1: there is none. Blocks. */
orbit_status orb_ssh_place_make(struct orb_ssh_place *place, char *const *environment, int ask_input,
                                orbit_error *error);
void orb_ssh_place_remove(struct orb_ssh_place *place); /* fine when nothing was made */

/* ---- what ssh asks, and what is told ---- */

enum orb_ssh_question { ORB_SSH_OTHER = 0, ORB_SSH_PASSWORD, ORB_SSH_PASSPHRASE, ORB_SSH_HOST_KEY, ORB_SSH_QUESTIONS };
enum orb_ssh_question orb_ssh_question_of(const char *prompt);
/* How a person is asked: one line, without the colon behind it. */
void orb_ssh_question_text(char *text, size_t room, const struct orb_ssh_plan *plan, const char *prompt);

/* Answers questions that come from the program that asks. The thread of the process. */
struct orb_ssh_asked {
    struct orb_ssh_plan *plan;
    const _Atomic bool *stopping; /* nobody wants the connection any more */
    int child;                    /* the pidfd of who asks */
    char prompt[1024];
    size_t length;
    bool told[ORB_SSH_QUESTIONS]; /* what is kept was told: once a connection, the next time it would be as wrong */
    char learned[ORB_SSH_QUESTIONS][256]; /* what a person answered last */
};
/* Reads from `fd` what is there, answers what is complete, which may take as long as a person does. False: it is at its
 * end. */
bool orb_ssh_asked_read(struct orb_ssh_asked *asked, int fd);
/* The answers were right: they are kept in the plan. */
void orb_ssh_asked_keep(struct orb_ssh_asked *asked);

/* ---- what ssh said ---- */

/* How a connection ended. */
struct orb_ssh_end {
    const char *said; /* what it wrote on standard error */
    int result;       /* of waitpid */
    bool was_up;      /* the connection had been standing */
    bool too_long;    /* we ended it, because it did not come to stand in time */
    bool told_password, told_passphrase;
};
void orb_ssh_explain(orbit_error *error, const struct orb_ssh_plan *plan, const struct orb_ssh_end *end);
/* A session that the host refused, `reason` as the control socket told it; and one that ended with `result` (-1:
 * without one), `spoken` when the host had said something on it. */
void orb_ssh_explain_refused(orbit_error *error, const struct orb_ssh_plan *plan, const char *reason);
void orb_ssh_explain_session(orbit_error *error, const struct orb_ssh_plan *plan, const char *subsystem, bool spoken,
                             const char *said, int64_t result);

/* What was said on a pipe: the first 4 KiB and, of what came later, the last 2 to 4 KiB. A string; zeroed before. */
struct orb_ssh_said {
    char bytes[8193];
    size_t length;
};
/* Reads what is there; false: it is at its end. */
bool orb_ssh_said_read(struct orb_ssh_said *said, int fd);

/* ---- the process: a thread that makes the place, starts ssh, waits for its end ---- */

/* A thread, because ssh is to die with its client: the death signal comes when the thread ends that started it, and a
 * loop's may be any thread of the caller's. So this one lives exactly as long as ssh does, and may block meanwhile. */
struct orb_ssh_process {
    /* Filled before start; what is pointed at stays until `ended`. */
    struct orb_loop *loop;
    struct orb_log *log;
    struct orb_ssh_plan *plan;
    void (*up)(struct orb_ssh_process *process);    /* loop: channels may be opened at place.control */
    void (*ended)(struct orb_ssh_process *process); /* loop, exactly once, the last; `error` says why */

    orbit_error error;
    struct orb_ssh_place place; /* the thread's; `control` is read by the loop from up until ended */

    /* Private. */
    pthread_t thread;
    _Atomic bool stopping;
    int wake; /* an eventfd: look at `stopping` */
    struct orb_message up_message, ended_message;
};

orbit_status orb_ssh_process_start(struct orb_ssh_process *process, orbit_error *error);
/* Ends soon; `ended` comes. Loop thread. */
void orb_ssh_process_stop(struct orb_ssh_process *process);

/* ---- the link: one session, from the control socket to its end. Loop thread only. ---- */

struct orb_ssh_link_events {
    void (*ready)(void *ctx, int fd);
    /* The last; the link is gone after it. `lost`: without a word, so perhaps the connection ended and says why. */
    void (*ended)(void *ctx, const orbit_error *error, bool lost);
};
/* NULL with `error` filled when it cannot be begun: ORBIT_E_NETWORK where ssh does not listen any more, since it is
 * ending. Nothing is called from inside. */
struct orb_ssh_link *orb_ssh_link_open(struct orb_loop *loop, const struct orb_ssh_plan *plan, const char *control,
                                       const struct orb_ssh_channel *channel, const struct orb_ssh_link_events *events,
                                       void *ctx, orbit_error *error);
void orb_ssh_link_close(struct orb_ssh_link *link); /* without a further event; NULL is fine */

#endif
