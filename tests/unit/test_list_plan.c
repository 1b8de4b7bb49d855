/* SPDX-License-Identifier: Apache-2.0
 * The model of keys and the plan of a parallel listing, without a store and without time: requests take so many ticks
 * of a simulated clock, so what is asserted is how many rounds a listing takes and how many requests. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "stream/list_plan.h"

enum { PAGE = 100, TICKS = 1000, KEYS = 60000 };

static uint64_t mix(uint64_t value)
{
    value += 0x9e3779b97f4a7c15u;
    value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9u;
    value = (value ^ (value >> 27)) * 0x94d049bb133111ebu;
    return value ^ (value >> 31);
}

/* ---- key spaces ------------------------------------------------------------------------------------- */

static void word(uint64_t *random, char *to, size_t room, unsigned syllables)
{
    static const char *const parts[] = {"al", "be", "con", "da", "el", "fo", "gra", "in", "ka", "lu", "mi", "no"};
    to[0] = '\0';
    for (unsigned i = 0; i < syllables; i++) {
        *random = mix(*random);
        size_t length = strlen(to);
        (void)snprintf(to + length, room - length, "%s", parts[*random % 12 * (*random >> 20 & 15) / 15]);
    }
}

static void make_key(const char *shape, unsigned i, char *key, size_t room)
{
    uint64_t random = mix(i);
    unsigned a = (unsigned)(random >> 40), b = (unsigned)random;
    char one[48], two[48];
    if (strcmp(shape, "padded") == 0)
        (void)snprintf(key, room, "obj-%010u", i);
    else if (strcmp(shape, "numbers") == 0)
        (void)snprintf(key, room, "%u", i);
    else if (strcmp(shape, "uuid") == 0)
        (void)snprintf(key, room, "%08x-%04x-%04x-%08x", b, a & 0xffff, a >> 8 & 0xffff, (unsigned)mix(random));
    else if (strcmp(shape, "tree") == 0)
        (void)snprintf(key, room, "d%03u/d%03u/k%08u", i / 10000, i / 100 % 100, i);
    else if (strcmp(shape, "prefix") == 0)
        (void)snprintf(key, room, i % 100 ? "data/a/very/long/prefix/item-%08x" : "%08x", b);
    else if (strcmp(shape, "dates") == 0)
        (void)snprintf(key, room, "%04u/%02u/%02u/host-%u/%08x", 2018 + a % 7, 1 + a / 7 % 12, 1 + a / 84 % 28, b % 9,
                       b);
    else if (strcmp(shape, "parts") == 0)
        (void)snprintf(key, room, "dt=2024-%02u-%02u/part=%02u/%08x", 1 + a % 12, 1 + a / 12 % 28, b % 16, b);
    else if (strcmp(shape, "words") == 0) {
        word(&random, one, sizeof one, 2 + a % 3);
        word(&random, two, sizeof two, 1 + a / 3 % 3);
        (void)snprintf(key, room, "%s_%s.%x", one, two, b & 0xff);
    } else if (strcmp(shape, "bytes") == 0) { /* not UTF-8 at all */
        for (unsigned k = 0; k < 8; k++, random = mix(random))
            key[k] = (char)(1 + random % 255);
        key[8] = '\0';
    } else if (strcmp(shape, "controls") == 0)
        (void)snprintf(key, room, "%c%c%c%05u", 1 + b % 31, 1 + a % 31, 127, i);
    else if (strcmp(shape, "slashes") == 0)
        (void)snprintf(key, room, "%s//%u/%s", i % 2 ? "/a" : "a", b % 100000, i % 3 ? "" : "/");
    else
        (void)snprintf(key, room, "\xd0%c\xe6\x97\xa5\xf0\x9f\x98%c/%u", 0x90 + b % 32, 0x80 + a % 32, b % 4096);
}

struct space {
    char **key;
    size_t count;
};

static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static struct space make_space(const char *shape, unsigned count)
{
    struct space space = {calloc(count, sizeof(char *)), 0};
    assert_non_null(space.key);
    for (unsigned i = 0; i < count; i++) {
        char key[192];
        make_key(shape, i, key, sizeof key);
        space.key[i] = strdup(key);
    }
    qsort(space.key, count, sizeof *space.key, by_bytes);
    for (unsigned i = 0; i < count; i++) {
        if (space.count && strcmp(space.key[space.count - 1], space.key[i]) == 0)
            free(space.key[i]);
        else
            space.key[space.count++] = space.key[i];
    }
    return space;
}

static void free_space(struct space *space)
{
    for (size_t i = 0; i < space->count; i++)
        free(space->key[i]);
    free(space->key);
}

/* The first one behind `bound`. */
static size_t behind(const struct space *space, const char *bound)
{
    size_t low = 0, high = space->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (strcmp(space->key[middle], bound) <= 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* ---- a listing on a simulated clock ------------------------------------------------------------------ */

struct request {
    struct orb_list_segment *segment;
    size_t at;
    uint64_t due;
};

struct run {
    const struct space *space;
    struct orb_list_plan plan;
    struct request request[64];
    size_t under_way;
    uint64_t now, requests, given;
    uint32_t most_pages;
    size_t order; /* of the next key that must be given out */
};

static void ask(struct run *run)
{
    struct orb_list_segment *segment;
    while ((segment = orb_list_plan_next(&run->plan))) {
        size_t at = 0;
        if (segment->at.length)
            at = behind(run->space, orb_buf_string(&segment->at));
        else if (segment->has_lo)
            at = behind(run->space, orb_buf_string(&segment->lo));
        assert_true(run->under_way < 64);
        run->request[run->under_way++] =
            (struct request){segment, at, run->now + TICKS + mix(run->requests) % (TICKS / 20)};
        run->requests++;
        uint32_t pages = run->plan.buffered + run->plan.busy;
        run->most_pages = pages > run->most_pages ? pages : run->most_pages;
    }
}

static void learn(struct run *run, const struct orb_list_segment *segment, size_t at, size_t end)
{
    for (size_t i = at; i < end; i++) {
        bool known = i > at || segment->at.length;
        const char *before = known ? run->space->key[i - 1] : segment->has_lo ? orb_buf_string(&segment->lo) : NULL;
        orb_keys_learn(run->plan.model, before, before ? strlen(before) : 0, run->space->key[i],
                       strlen(run->space->key[i]), known);
    }
}

static void arrive(struct run *run)
{
    size_t first = 0;
    for (size_t i = 1; i < run->under_way; i++)
        if (run->request[i].due < run->request[first].due)
            first = i;
    struct request request = run->request[first];
    run->request[first] = run->request[--run->under_way];
    run->now = request.due > run->now ? request.due : run->now;

    struct orb_list_segment *segment = request.segment;
    size_t end = request.at + PAGE < run->space->count ? request.at + PAGE : run->space->count, kept = end;
    if (segment->has_hi) {
        kept = behind(run->space, orb_buf_string(&segment->hi));
        kept = kept > end ? end : kept < request.at ? request.at : kept;
    }
    learn(run, segment, request.at, end);
    struct orb_list_news news = {.count = end - request.at,
                                 .kept_count = kept - request.at,
                                 .buffered = kept > request.at,
                                 .more = end < run->space->count};
    if (news.count) {
        news.first = run->space->key[request.at];
        news.first_length = strlen(news.first);
        news.last = run->space->key[end - 1];
        news.last_length = strlen(news.last);
    }
    if (news.kept_count) {
        news.kept = run->space->key[kept - 1];
        news.kept_length = strlen(news.kept);
    }
    run->given += news.kept_count;
    orb_list_plan_arrived(&run->plan, segment, &news);
}

static void take(struct run *run)
{
    for (struct orb_list_segment *head; (head = run->plan.head);) {
        if (head->buffered) {
            orb_list_plan_given(&run->plan, head);
            continue;
        }
        struct orb_list_segment *finished = orb_list_plan_finished(&run->plan);
        if (!finished)
            return;
        size_t until = finished->has_hi ? behind(run->space, orb_buf_string(&finished->hi)) : run->space->count;
        assert_true(until >= run->order);
        run->order = until;
        orb_list_segment_free(finished);
    }
}

static struct run list(const struct space *space, uint32_t workers)
{
    struct run run = {.space = space};
    assert_true(orb_list_plan_init(&run.plan, workers, PAGE));
    for (unsigned pages = 0; run.plan.head; pages++) {
        run.plan.parallel = pages >= 2;
        ask(&run);
        assert_true(run.under_way > 0); /* never stands still */
        arrive(&run);
        take(&run);
    }
    assert_int_equal(run.given, space->count); /* every key once */
    assert_int_equal(run.order, space->count);
    orb_list_plan_release(&run.plan);
    return run;
}

/* ---- tests ------------------------------------------------------------------------------------------- */

static const struct {
    const char *shape;
    unsigned speed; /* at least so many times as fast as serially, with 16 workers */
} shapes[] = {{"padded", 12}, {"numbers", 10}, {"uuid", 10}, {"tree", 8},     {"prefix", 9},  {"dates", 8},
              {"parts", 9},   {"words", 3},    {"bytes", 0}, {"controls", 0}, {"slashes", 8}, {"utf8", 7}};

static void plan_lists_every_shape_of_keys_many_pages_at_a_time(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        struct space space = make_space(shapes[i].shape, KEYS);
        uint64_t pages = (space.count + PAGE - 1) / PAGE;
        struct run run = list(&space, 16);
        double speed = (double)(pages * TICKS) / (double)run.now;
        print_message("%-9s %5.1f times, %llu requests for %llu pages\n", shapes[i].shape, speed,
                      (unsigned long long)run.requests, (unsigned long long)pages);
        assert_true(speed >= shapes[i].speed);
        assert_true(run.requests <= 2 * pages);
        assert_true(run.most_pages <= 8 * 16);
        free_space(&space);
    }
}

static void plan_is_right_for_any_number_of_keys_and_workers(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (unsigned count = 1; count < 5000; count = count * 2 + 13) {
            struct space space = make_space(shapes[i].shape, count);
            (void)list(&space, 2 + count % 31);
            free_space(&space);
        }
}

static bool valid(const char *key, size_t length)
{
    for (size_t i = 0; i < length;) {
        unsigned char c = (unsigned char)key[i];
        size_t more = c < 0x80 ? 0 : c >= 0xf0 ? 3 : c >= 0xe0 ? 2 : 1;
        if (c < 0x20 || c == 0x7f || (c >= 0x80 && c < 0xc2) || c > 0xf4 || i + more >= length)
            return false;
        if (c == 0xed && (unsigned char)key[i + 1] >= 0xa0) /* surrogates */
            return false;
        for (size_t k = 1; k <= more; k++)
            if (((unsigned char)key[i + k] & 0xc0) != 0x80)
                return false;
        i += more + 1;
    }
    return true;
}

static void guess_is_behind_where_it_began_and_can_be_asked_for(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        struct space space = make_space(shapes[i].shape, 3000);
        struct orb_keys_model *model = orb_keys_model_new();
        assert_non_null(model);
        for (size_t k = 0; k < space.count; k += 1 + k % 3)
            orb_keys_learn(model, k ? space.key[k - 1] : NULL, k ? strlen(space.key[k - 1]) : 0, space.key[k],
                           strlen(space.key[k]), true);
        bool utf8 = strcmp(shapes[i].shape, "bytes") != 0 && strcmp(shapes[i].shape, "controls") != 0;
        for (size_t k = 0; k + 50 < space.count; k += 17) {
            const char *from = space.key[k], *to = space.key[k + 50];
            char key[ORB_KEY_ROOM];
            long double span = orb_keys_span(model, from, strlen(from), to, strlen(to));
            assert_true(span >= 0);
            assert_true(orb_keys_span(model, to, strlen(to), from, strlen(from)) == 0);
            size_t length = orb_keys_beyond(model, from, strlen(from), span * 3, key);
            if (!length)
                continue;
            assert_int_equal(strlen(key), length);
            assert_true(strcmp(key, from) > 0);
            if (utf8)
                assert_true(valid(key, length));
        }
        orb_keys_model_free(model);
        free_space(&space);
    }
}

static void counting_goes_on_where_listing_has_not_been(void **state)
{
    (void)state;
    struct orb_keys_model *model = orb_keys_model_new();
    char before[32] = "", now[32], key[ORB_KEY_ROOM];
    for (unsigned i = 0; i < 1000; i++) {
        (void)snprintf(now, sizeof now, "obj-%08u", i);
        orb_keys_learn(model, i ? before : NULL, strlen(before), now, strlen(now), true);
        memcpy(before, now, sizeof now);
    }
    long double span = orb_keys_span(model, "obj-00000000", 12, "obj-00000999", 12);
    size_t length = orb_keys_beyond(model, "obj-00000999", 12, span * 5000, key);
    assert_true(length >= 6);
    assert_memory_equal(key, "obj-0499", 8); /* five million further, digits unseen so far */
    orb_keys_model_free(model);
}

/* Where a guess was asked for, its own characters come back: they do not prove that there are no others. */
static void guesses_that_hit_do_not_end_the_space(void **state)
{
    (void)state;
    struct orb_keys_model *model = orb_keys_model_new();
    char now[32], key[ORB_KEY_ROOM];
    for (unsigned i = 0; i < 1000; i++) {
        char guess[32];
        (void)snprintf(guess, sizeof guess, "obj-%05u", i);
        (void)snprintf(now, sizeof now, "obj-%08u", i * 1000);
        orb_keys_learn(model, guess, strlen(guess), now, strlen(now), false);
    }
    long double span = orb_keys_span(model, "obj-00000000", 12, "obj-00999000", 12);
    assert_true(orb_keys_beyond(model, "obj-00999000", 12, span * 5, key) > 0);
    assert_memory_equal(key, "obj-0599", 8);
    orb_keys_model_free(model);
}

/* Names go on with characters that nobody saw yet: the next one is tried, at the first place where that is possible. */
static void going_over_tries_the_next_character(void **state)
{
    (void)state;
    struct orb_keys_model *model = orb_keys_model_new();
    const char *keys[] = {"ab/k1", "ab/k2", "zb/k1", "zb/k2", "\xc3\xb1/k1", "\xc3\xb1/k9"};
    char key[ORB_KEY_ROOM];
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        orb_keys_learn(model, i ? keys[i - 1] : NULL, i ? strlen(keys[i - 1]) : 0, keys[i], strlen(keys[i]), true);
    const char *last = keys[5];
    assert_int_equal(orb_keys_over(model, last, strlen(last), NULL, 0, key), 2);
    assert_string_equal(key, "\xc3\xb2");
    assert_int_equal(orb_keys_over(model, last, strlen(last), "\xc3\xb2", 2, key), 5); /* nothing lies behind it */
    assert_string_equal(key, "\xc3\xb1/k:");
    assert_int_equal(orb_keys_over(model, "ab/k2", 5, "ab/k3", 5, key), 0); /* larger ones are known everywhere else */
    orb_keys_model_free(model);
}

/* A character that was never seen, beside a complete set of others: both keys are measured with the same digits. */
static void span_up_to_an_unknown_character_is_not_nothing(void **state)
{
    (void)state;
    struct orb_keys_model *model = orb_keys_model_new();
    char before[32] = "", now[32];
    for (unsigned i = 0; i < 2000; i++) {
        (void)snprintf(now, sizeof now, "%c/item-%06u", 'a' + i / 500, i % 500);
        orb_keys_learn(model, i ? before : NULL, strlen(before), now, strlen(now), true);
        memcpy(before, now, sizeof now);
    }
    assert_true(orb_keys_span(model, "b/item-000100", 13, "b0", 2) > 0);
    assert_true(orb_keys_span(model, "b0", 2, "c/item-000100", 13) > 0);
    assert_true(orb_keys_span(model, "b0", 2, "b1", 2) >= 0);
    orb_keys_model_free(model);
}

/* Requests that failed far ahead must not keep the first segment from being asked for: its pages come before them. */
static void broken_segments_take_no_place(void **state)
{
    (void)state;
    for (int parallel = 0; parallel < 2; parallel++) {
        struct space space = make_space("padded", 20000);
        struct run run = {.space = &space};
        assert_true(orb_list_plan_init(&run.plan, 8, PAGE));
        for (unsigned pages = 0; pages < 60; pages++) {
            run.plan.parallel = pages >= 2;
            ask(&run);
            arrive(&run);
            take(&run);
        }
        struct orb_list_segment *head = run.plan.head;
        assert_true(run.under_way > 1);
        for (size_t i = 0; i < run.under_way; i++) {
            if (run.request[i].segment == head)
                orb_list_plan_failed(&run.plan, head);
            else
                orb_list_plan_broken(&run.plan, run.request[i].segment);
        }
        run.plan.parallel = parallel;
        assert_ptr_equal(orb_list_plan_next(&run.plan), head);
        for (struct orb_list_segment *next; (next = orb_list_plan_next(&run.plan));)
            assert_false(next->broken);
        orb_list_plan_release(&run.plan);
        free_space(&space);
    }
}

static void plan_survives_when_memory_is_out(void **state)
{
    (void)state;
    struct space space = make_space("dates", 3000);
    for (uint64_t n = 3; n < 400; n += 7) {
        struct run run = {.space = &space};
        assert_true(orb_list_plan_init(&run.plan, 8, PAGE));
        for (unsigned pages = 0; run.plan.head; pages++) {
            run.plan.parallel = pages >= 2;
            if (pages >= 2)
                orb_mem_fail_at(n % 5 + 1);
            ask(&run);
            arrive(&run);
            take(&run);
            orb_mem_fail_at(0);
        }
        assert_int_equal(run.given, space.count);
        orb_list_plan_release(&run.plan);
    }
    free_space(&space);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plan_lists_every_shape_of_keys_many_pages_at_a_time),
        cmocka_unit_test(plan_is_right_for_any_number_of_keys_and_workers),
        cmocka_unit_test(guess_is_behind_where_it_began_and_can_be_asked_for),
        cmocka_unit_test(counting_goes_on_where_listing_has_not_been),
        cmocka_unit_test(guesses_that_hit_do_not_end_the_space),
        cmocka_unit_test(going_over_tries_the_next_character),
        cmocka_unit_test(span_up_to_an_unknown_character_is_not_nothing),
        cmocka_unit_test(broken_segments_take_no_place),
        cmocka_unit_test(plan_survives_when_memory_is_out),
    };
    return cmocka_run_group_tests_name("list_plan", tests, NULL, NULL);
}
