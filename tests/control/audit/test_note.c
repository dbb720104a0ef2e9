/* SPDX-License-Identifier: Apache-2.0
 * test_note.c - signed notes that others can read, and no second spelling.
 *
 * The note of "PeterNeumann" is the example of the format's first
 * implementation (golang.org/x/mod/sumdb/note); `openssl` on the command line
 * is the other independent judge of our signatures.
 * Read next: control/audit/note.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/control/audit/log.h"

static const char neumann[] =
    "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
static const char neumann_text[] =
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n";
static const char neumann_signature[] =
    "\n" NOTE_DASH "PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNI"
    "uGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";

static void a_published_note_verifies(void **state)
{
    char text[512], line[VERIFIER_MAX];
    struct audit_verifier verifier;
    size_t body = strlen(neumann_text);

    (void)state;
    assert_int_equal(audit_verifier_read(neumann, strlen(neumann), &verifier),
                     0);
    assert_string_equal(verifier.origin, "PeterNeumann");
    audit_verifier_write(&verifier, line);
    assert_string_equal(line, neumann);
    snprintf(text, sizeof(text), "%s%s", neumann_text, neumann_signature);
    assert_int_equal(
        audit_note_signatures(text, strlen(text), body, &verifier), 0);
    text[3] ^= 1;
    assert_int_equal(
        audit_note_signatures(text, strlen(text), body, &verifier), -2);
}

static void a_verifier_has_one_spelling(void **state)
{
    struct audit_verifier verifier;
    char line[VERIFIER_MAX + 8], origin[NOTE_ORIGIN_MAX + 2];
    size_t i;

    (void)state;
    for (i = 0; i < strlen(neumann); i++) {
        strcpy(line, neumann);
        line[i] ^= 1;
        assert_int_equal(audit_verifier_read(line, strlen(line), &verifier),
                         -1);
        assert_int_equal(audit_verifier_read(neumann, i, &verifier), -1);
    }
    snprintf(line, sizeof(line), "%s\n", neumann);
    assert_int_equal(audit_verifier_read(line, strlen(line), &verifier), 0);
    strcat(line, "\n");
    assert_int_equal(audit_verifier_read(line, strlen(line), &verifier), -1);

    memset(origin, 'o', sizeof(origin));
    origin[NOTE_ORIGIN_MAX + 1] = '\0';
    assert_false(audit_origin_good(origin));
    origin[NOTE_ORIGIN_MAX] = '\0';
    assert_true(audit_origin_good(origin));
    audit_verifier_make(
        origin, (const uint8_t *)"32 bytes that are no real key...", &verifier);
    audit_verifier_write(&verifier, line);
    assert_int_equal(audit_verifier_read(line, strlen(line), &verifier), 0);
    assert_string_equal(verifier.origin, origin);
    assert_false(audit_origin_good(""));
    assert_false(audit_origin_good("a b"));
    assert_false(audit_origin_good("a+b"));
    assert_false(audit_origin_good("a\n"));
    assert_false(audit_origin_good("\xc3\xa4"));
}

static char *one_note(struct log *log, struct audit_verifier *ret_verifier)
{
    const char *line;
    char *note = NULL;

    log_new(log);
    log_add(log, 7);
    assert_int_equal(audit_checkpoint(log->signer, &log->tree, log->chain,
                                      1767225600123, &note, NULL),
                     0);
    line = audit_signer_verifier(log->signer);
    assert_int_equal(audit_verifier_read(line, strlen(line), ret_verifier), 0);
    return note;
}

static void a_note_says_what_was_signed(void **state)
{
    static struct log log;
    struct audit_verifier verifier;
    struct audit_note note;
    uint8_t root[AUDIT_HASH];
    char *text = one_note(&log, &verifier);

    (void)state;
    assert_int_equal(audit_note_read(text, strlen(text), &verifier, &note), 0);
    audit_tree_root(&log.tree, root);
    assert_string_equal(note.origin, "test.example/log");
    assert_int_equal(note.size, 7);
    assert_int_equal(note.at, 1767225600123);
    assert_memory_equal(note.root, root, AUDIT_HASH);
    assert_memory_equal(note.chain, log.chain, AUDIT_HASH);
    assert_int_equal(strncmp(text, "test.example/log\n7\n", 19), 0);
    assert_non_null(strstr(text, "\nat 1767225600123\n\n" NOTE_DASH
                                 "test.example/log "));
    free(text);
    log_end(&log);
}

static void no_other_byte_is_a_note(void **state)
{
    static struct log log;
    struct audit_verifier verifier;
    struct audit_note note;
    char *text = one_note(&log, &verifier);
    size_t length = strlen(text), i;
    int bit;

    (void)state;
    for (i = 0; i < length; i++) {
        for (bit = 0; bit < 8; bit++) {
            text[i] ^= (char)(1 << bit);
            assert_true(audit_note_read(text, length, &verifier, &note) < 0);
            text[i] ^= (char)(1 << bit);
        }
        assert_true(audit_note_read(text, i, &verifier, &note) < 0);
    }
    assert_int_equal(audit_note_read(text, length, &verifier, &note), 0);
    free(text);
    log_end(&log);
}

static void a_number_has_one_spelling(void **state)
{
    static const char *const sizes[] = {"007", "+7", "-7", " 7", "7 ", "0x7",
                                        "", "9223372036854775808"};
    static struct log log;
    struct audit_verifier verifier;
    struct audit_note note;
    char *text = one_note(&log, &verifier), other[2 * NOTE_MAX];
    const char *rest = strstr(text, "\n7\n") + 2;
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        snprintf(other, sizeof(other), "test.example/log\n%s%s", sizes[i],
                 rest);
        assert_int_equal(audit_note_read(other, strlen(other), NULL, &note),
                         -1);
    }
    snprintf(other, sizeof(other), "test.example/log\n%s%s",
             "9223372036854775807", rest);
    assert_int_equal(audit_note_read(other, strlen(other), NULL, &note), 0);
    assert_int_equal(audit_note_read(other, strlen(other), &verifier, &note),
                     -2);
    free(text);
    log_end(&log);
}

static void signatures_of_others_may_follow(void **state)
{
    static struct log log;
    struct audit_verifier verifier, other;
    struct audit_note note;
    char *text = one_note(&log, &verifier), more[4 * NOTE_MAX];

    (void)state;
    snprintf(more, sizeof(more), "%s%s", text, neumann_signature + 1);
    assert_int_equal(audit_note_read(more, strlen(more), &verifier, &note), 0);
    /* but theirs alone is not ours, even under our text */
    assert_int_equal(audit_verifier_read(neumann, strlen(neumann), &other), 0);
    assert_int_equal(audit_note_read(more, strlen(more), &other, &note), -2);
    strcat(more, "a line that is no signature\n");
    assert_int_equal(audit_note_read(more, strlen(more), &verifier, &note),
                     -1);
    free(text);
    log_end(&log);
}

/* ---- openssl as the judge ---------------------------------------------- */

static void write_named(const struct log *log, const char *name,
                        const void *bytes, size_t length)
{
    log_write_file(log_path(log, name), bytes, length);
}

static int openssl_says(const struct log *log)
{
    char command[512];

    snprintf(command, sizeof(command),
             "cd '%s/audit' && openssl pkeyutl -verify -rawin -pubin -inkey "
             "pub.der -keyform DER -sigfile sig -in body >/dev/null 2>&1",
             log->state);
    return system(command);
}

static void openssl_verifies_our_notes(void **state)
{
    /* SubjectPublicKeyInfo of an Ed25519 key, RFC 8410 */
    static const uint8_t head[12] = {0x30, 0x2a, 0x30, 0x05, 0x06, 0x03,
                                     0x2b, 0x65, 0x70, 0x03, 0x21, 0x00};
    static struct log log;
    struct audit_verifier verifier;
    uint8_t key[sizeof(head) + NOTE_KEY], bytes[4 + NOTE_SIGNATURE];
    char *text = one_note(&log, &verifier), *signature;
    size_t body;

    (void)state;
    memcpy(key, head, sizeof(head));
    memcpy(key + sizeof(head), verifier.key, NOTE_KEY);
    body = (size_t)(strstr(text, "\n\n") + 1 - text);
    signature = strrchr(text, ' ') + 1;
    assert_int_equal(audit_base64_read(signature, strlen(signature) - 1,
                                       bytes, sizeof(bytes)),
                     0);
    write_named(&log, "pub.der", key, sizeof(key));
    write_named(&log, "sig", bytes + 4, NOTE_SIGNATURE);
    write_named(&log, "body", text, body);
    assert_int_equal(openssl_says(&log), 0);
    write_named(&log, "body", text, body - 1); /* and can say no */
    assert_int_not_equal(openssl_says(&log), 0);
    free(text);
    log_end(&log);
}

static void base64_has_one_spelling(void **state)
{
    uint8_t bytes[4] = {0};
    char text[BASE64_MAX(4)];

    (void)state;
    audit_base64_write((const uint8_t *)"\xfb\xff\x00\x01", 4, text);
    assert_string_equal(text, "+/8AAQ==");
    assert_int_equal(audit_base64_read(text, 8, bytes, 4), 0);
    assert_memory_equal(bytes, "\xfb\xff\x00\x01", 4);
    assert_int_equal(audit_base64_read("+/8AAR==", 8, bytes, 4), -1);
    assert_int_equal(audit_base64_read("-_8AAQ==", 8, bytes, 4), -1);
    assert_int_equal(audit_base64_read("+/8AAQ=A", 8, bytes, 4), -1);
    assert_int_equal(audit_base64_read("+/8AAQ=", 7, bytes, 4), -1);
    assert_int_equal(audit_base64_read(" +/8AAQ=", 8, bytes, 4), -1);
    assert_int_equal(audit_base64_read("+/8AAQ==", 8, bytes, 5), -1);
    assert_int_equal(audit_base64_read("+/8AAQAA", 8, bytes, 4), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_published_note_verifies),
        cmocka_unit_test(a_verifier_has_one_spelling),
        cmocka_unit_test(a_note_says_what_was_signed),
        cmocka_unit_test(no_other_byte_is_a_note),
        cmocka_unit_test(a_number_has_one_spelling),
        cmocka_unit_test(signatures_of_others_may_follow),
        cmocka_unit_test(openssl_verifies_our_notes),
        cmocka_unit_test(base64_has_one_spelling),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
