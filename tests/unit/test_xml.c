/* SPDX-License-Identifier: Apache-2.0
 * XML as it arrives: whatever the pieces, and whatever a hostile peer sends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>

#include "wire/xml.h"

static struct orb_buf seen;

static void on_begin(void *ctx, unsigned depth, const char *name)
{
    (void)ctx;
    orb_buf_format(&seen, "<%u%s", depth, name);
}

static bool on_end(void *ctx, unsigned depth, const char *name, char *text, size_t length)
{
    assert_int_equal(strlen(text), length);
    orb_buf_format(&seen, "|%s>%u%s", text, depth, name);
    return !(ctx && strcmp(name, ctx) == 0);
}

static const struct orb_xml_events events = {on_begin, on_end};

/* Feeds `document` in pieces of `piece` bytes. */
static orbit_status read_all(const char *document, size_t length, size_t piece, const char *stop_at, uint64_t max,
                             orbit_error *error)
{
    struct orb_xml *xml = NULL;
    orb_buf_release(&seen);
    orb_buf_init(&seen, 1 << 20);
    assert_int_equal(orb_xml_new(&xml, error), ORBIT_OK);
    orbit_status status = orb_xml_start(xml, &events, (void *)(uintptr_t)stop_at, max, error);
    for (size_t at = 0; status == ORBIT_OK && at < length; at += piece)
        status = orb_xml_feed(xml, document + at, length - at < piece ? length - at : piece, error);
    if (status == ORBIT_OK)
        status = orb_xml_finish(xml, error);
    orb_xml_free(xml);
    return status;
}

static orbit_status read_text(const char *document, orbit_error *error)
{
    return read_all(document, strlen(document), 7, NULL, 1 << 20, error);
}

static void elements_are_told_whatever_the_pieces(void **state)
{
    (void)state;
    const char *document = "<?xml version=\"1.0\"?>\n<a xmlns=\"urn:x\"><s3:b>1 &lt; 2 &#38; \xc3\xa9</s3:b><c/></a>\n";
    for (size_t piece = 1; piece < 40; piece++) {
        assert_int_equal(read_all(document, strlen(document), piece, NULL, 1000, NULL), ORBIT_OK);
        assert_string_equal(orb_buf_string(&seen), "<1a<2b|1 < 2 & \xc3\xa9>2b<2c|>2c|>1a");
    }
}

static void a_document_in_memory_is_read_at_once(void **state)
{
    (void)state;
    struct orb_buf document;
    orbit_error error;
    orb_buf_init(&document, 1000);
    orb_buf_release(&seen);
    orb_buf_init(&seen, 1000);
    assert_true(orb_buf_text(&document, "<a><b>x</b></a>"));
    assert_int_equal(orb_xml_read(&document, &events, NULL, &error), ORBIT_OK);
    assert_string_equal(orb_buf_string(&seen), "<1a<2b|x>2b|>1a");
    assert_int_equal(orb_xml_read(&document, &events, (void *)(uintptr_t) "b", &error), ORBIT_END);
    document.length -= 4; /* its end has not come */
    assert_int_equal(orb_xml_read(&document, &events, NULL, &error), ORBIT_E_PROTOCOL);
    orb_buf_reset(&document);
    assert_int_equal(orb_xml_read(&document, &events, NULL, &error), ORBIT_E_PROTOCOL);
    orb_buf_release(&document);
}

static void a_parser_reads_one_document_after_another(void **state)
{
    (void)state;
    struct orb_xml *xml = NULL;
    orbit_error error;
    assert_int_equal(orb_xml_new(&xml, &error), ORBIT_OK);
    for (int i = 0; i < 3; i++) {
        orb_buf_release(&seen);
        orb_buf_init(&seen, 1000);
        assert_int_equal(orb_xml_start(xml, &events, NULL, 1000, &error), ORBIT_OK);
        assert_int_equal(orb_xml_feed(xml, "<a>x</a>", 8, &error), ORBIT_OK);
        assert_int_equal(orb_xml_finish(xml, &error), ORBIT_OK);
        assert_string_equal(orb_buf_string(&seen), "<1a|x>1a");
        assert_int_equal(orb_xml_start(xml, &events, NULL, 1000, &error), ORBIT_OK);
        assert_int_equal(orb_xml_feed(xml, "<a><b", 5, &error), ORBIT_OK); /* left in the middle */
    }
    orb_xml_free(xml);
}

static void blanks_before_the_document_are_life_signs(void **state)
{
    (void)state;
    assert_int_equal(read_text("   \r\n \n   \n\n <?xml version=\"1.0\"?><a>x</a>", NULL), ORBIT_OK);
    assert_string_equal(orb_buf_string(&seen), "<1a|x>1a");
}

static void a_cut_document_is_an_error(void **state)
{
    (void)state;
    const char *document = "<a><b>one</b><b>two</b></a>";
    for (size_t length = 0; length < strlen(document); length++) {
        orbit_error error = {0};
        assert_int_equal(read_all(document, length, 5, NULL, 1000, &error), ORBIT_E_PROTOCOL);
        assert_true(error.flags & ORBIT_ERROR_RETRIABLE);
    }
}

static void what_is_no_xml_is_an_error(void **state)
{
    (void)state;
    static const char *const bad[] = {"hello",       "<a>&nothing;</a>", "<a><b></a></b>", "<a>\x01</a>",
                                      "<a>\xff</a>", "<a></a><b></b>",   "{\"json\":1}"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(read_text(bad[i], NULL), ORBIT_E_PROTOCOL);
}

static void a_document_type_declaration_is_refused(void **state)
{
    (void)state;
    orbit_error error;
    assert_int_equal(read_text("<!DOCTYPE a [<!ENTITY x \"y\"><!ENTITY z \"&x;&x;&x;\">]><a>&z;</a>", &error),
                     ORBIT_E_PROTOCOL);
    assert_non_null(strstr(error.message, "document type"));
    assert_false(error.flags & ORBIT_ERROR_RETRIABLE);
    assert_int_equal(read_text("<!DOCTYPE a SYSTEM \"file:///etc/passwd\"><a></a>", &error), ORBIT_E_PROTOCOL);
}

static void a_tag_or_comment_without_end_is_refused(void **state)
{
    (void)state;
    static const char *const begins[] = {"<a b='", "<a ", "<a><!-- ", "<?pi "};
    orbit_error error;
    for (size_t i = 0; i < sizeof begins / sizeof *begins; i++) {
        struct orb_buf document;
        orb_buf_init(&document, 4 << 20);
        orb_buf_text(&document, begins[i]);
        for (int n = 0; n < 40000; n++)
            orb_buf_format(&document, i == 1 ? "a%d='x' " : "x%d      ", n);
        assert_int_equal(read_all(orb_buf_string(&document), document.length, 16 << 10, NULL, 4 << 20, &error),
                         ORBIT_E_PROTOCOL);
        assert_non_null(strstr(error.message, "too long"));
        orb_buf_release(&document);
    }
}

static void depth_text_and_document_are_limited(void **state)
{
    (void)state;
    struct orb_buf document;
    orbit_error error;
    orb_buf_init(&document, 1 << 20);
    for (int i = 0; i < 1000; i++)
        orb_buf_text(&document, "<a>");
    assert_int_equal(read_text(orb_buf_string(&document), &error), ORBIT_E_PROTOCOL);
    assert_non_null(strstr(error.message, "deep"));

    orb_buf_reset(&document);
    orb_buf_text(&document, "<a>");
    for (int i = 0; i < 20000; i++)
        orb_buf_text(&document, "0123456789");
    orb_buf_text(&document, "</a>");
    assert_int_equal(read_text(orb_buf_string(&document), &error), ORBIT_E_PROTOCOL);
    assert_int_equal(read_all("<a></a>", 7, 1, NULL, 6, &error), ORBIT_E_PROTOCOL);
    assert_int_equal(read_all("<a></a>", 7, 1, NULL, 7, &error), ORBIT_OK);
    orb_buf_release(&document);
}

static void a_reader_can_stop(void **state)
{
    (void)state;
    const char *document = "<a><b>1</b><c>2</c><d>3</d></a>";
    assert_int_equal(read_all(document, strlen(document), 100, "c", 1000, NULL), ORBIT_END);
    assert_string_equal(orb_buf_string(&seen), "<1a<2b|1>2b<2c|2>2c");
}

static void escaped_text_reads_as_it_was(void **state)
{
    (void)state;
    const char *text = "a<b>&\"quoted\" 'single'\r\n\ttab  \xe2\x82\xac";
    struct orb_buf document, expected;
    orb_buf_init(&document, 1000);
    orb_buf_init(&expected, 1000);
    orb_buf_text(&document, "<k>");
    assert_true(orb_xml_escape(&document, text));
    orb_buf_text(&document, "</k>");
    assert_int_equal(read_text(orb_buf_string(&document), NULL), ORBIT_OK);
    orb_buf_format(&expected, "<1k|%s>1k", text);
    assert_string_equal(orb_buf_string(&seen), orb_buf_string(&expected));
    orb_buf_release(&document);
    orb_buf_release(&expected);
}

static void what_xml_can_carry_is_known(void **state)
{
    (void)state;
    static const char *const yes[] = {"", "plain", "\t\r\n", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80", "\x7f"};
    static const char *const no[] = {"\x01",
                                     "a\x1f",
                                     "\xff",
                                     "\xc3",
                                     "\xc0\xaf",
                                     "\xed\xa0\x80",
                                     "\xef\xbf\xbe",
                                     "\xf4\x90\x80\x80",
                                     "\xe2\x82",
                                     "a\x80",
                                     "\xf8\x88\x80\x80\x80"};
    for (size_t i = 0; i < sizeof yes / sizeof *yes; i++)
        assert_true(orb_xml_can_carry(yes[i]));
    for (size_t i = 0; i < sizeof no / sizeof *no; i++)
        assert_false(orb_xml_can_carry(no[i]));
}

/* As a store writes keys that XML cannot hold: what can be read is read, whatever the pieces. */
static void what_xml_cannot_carry_is_blotted(void **state)
{
    (void)state;
    static const char document[] =
        "<a><b>&#x1;&#31;\x02 &#65;&amp;\xef\xbf\xbe.\xff\xc3</b><c>\xc3\xa9&#x00a;\xe2\x82\xac</c></a>";
    orbit_error error;
    assert_int_equal(read_all(document, strlen(document), 1000, NULL, 1000, &error), ORBIT_E_PROTOCOL);
    for (size_t piece = 1; piece < sizeof document; piece++) {
        struct orb_xml *xml = NULL;
        orb_buf_reset(&seen);
        assert_int_equal(orb_xml_new(&xml, &error), ORBIT_OK);
        assert_int_equal(orb_xml_start(xml, &events, NULL, 1000, &error), ORBIT_OK);
        orb_xml_blots(xml);
        for (size_t at = 0; at < strlen(document); at += piece) {
            size_t left = strlen(document) - at;
            assert_int_equal(orb_xml_feed(xml, document + at, left < piece ? left : piece, &error), ORBIT_OK);
        }
        assert_int_equal(orb_xml_finish(xml, &error), ORBIT_OK);
        assert_string_equal(orb_buf_string(&seen), "<1a<2b|??????????? A&???.\?\?>2b<2c|\xc3\xa9\n\xe2\x82\xac>2c|>1a");
        orb_xml_free(xml);
    }
}

static int release_seen(void **state)
{
    (void)state;
    orb_buf_release(&seen);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(elements_are_told_whatever_the_pieces),
        cmocka_unit_test(a_document_in_memory_is_read_at_once),
        cmocka_unit_test(a_parser_reads_one_document_after_another),
        cmocka_unit_test(blanks_before_the_document_are_life_signs),
        cmocka_unit_test(a_cut_document_is_an_error),
        cmocka_unit_test(what_is_no_xml_is_an_error),
        cmocka_unit_test(a_document_type_declaration_is_refused),
        cmocka_unit_test(depth_text_and_document_are_limited),
        cmocka_unit_test(a_tag_or_comment_without_end_is_refused),
        cmocka_unit_test(a_reader_can_stop),
        cmocka_unit_test(escaped_text_reads_as_it_was),
        cmocka_unit_test(what_xml_can_carry_is_known),
        cmocka_unit_test(what_xml_cannot_carry_is_blotted),
    };
    return cmocka_run_group_tests_name("xml", tests, NULL, release_seen);
}
