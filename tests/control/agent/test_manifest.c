/* SPDX-License-Identifier: Apache-2.0
 * test_manifest.c - a bundle's list of contents: believed whole, or not at all.
 *
 * Read next: control/agent/manifest.h.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "control/agent/manifest.h"
#include "control/audit/audit.h"

#define SHA "\"sha256\":\"0123456789abcdef0123456789abcdef" \
            "0123456789abcdef0123456789abcdef\""
#define LIST "0123456789abcdef0123456789abcdef"

static const char whole[] =
    "{\"bundle\":1,\"effectiveAt\":1764600000000,\"epoch\":31,\"fleet\":null,"
    "\"keys\":{" SHA ",\"size\":90},"
    "\"lists\":[{\"name\":\"" LIST "\"," SHA ",\"size\":9}],"
    "\"maxSkewMs\":250,\"policy\":{" SHA ",\"size\":1234},\"revision\":88,"
    "\"sequence\":412,\"server\":\"one\","
    "\"words\":[{\"epoch\":31,\"scope\":\"00000000000000ff\","
    "\"word\":\"no-admit\"}]}";

static char folder[64];
static struct audit_signer *signer;

static int open_signer(void **state)
{
    (void)state;
    strcpy(folder, "/dev/shm/test-manifest-XXXXXX");
    assert_non_null(mkdtemp(folder));
    assert_int_equal(audit_signer_open(&signer, folder, "test.example/one",
                                       NULL), 0);
    return 0;
}

static int close_signer(void **state)
{
    char command[120];

    (void)state;
    audit_signer_close(signer);
    snprintf(command, sizeof(command), "rm -r %s", folder);
    return system(command);
}

static int read_text(const char *text, struct manifest *ret_manifest,
                     struct gray_problem *ret_problem)
{
    char line[4096];
    size_t length = 0;
    char *note;
    int error;

    snprintf(line, sizeof(line), "%s\n", text);
    note = audit_sign_text(signer, MANIFEST_SUBJECT, line, strlen(line),
                           &length);
    assert_non_null(note);
    error = manifest_read(ret_manifest, note, length,
                          audit_signer_verifier(signer), ret_problem);
    free(note);
    return error;
}

static void a_bundle_is_read_as_it_was_signed(void **state)
{
    struct manifest manifest;
    struct gray_problem problem = { 0 };
    const struct manifest_blob *blob;
    size_t at = 0, blobs = 0;

    (void)state;
    assert_int_equal(read_text(whole, &manifest, &problem), 0);
    assert_string_equal(manifest.server, "one");
    assert_int_equal(manifest.sequence, 412);
    assert_int_equal(manifest.revision, 88);
    assert_int_equal(manifest.epoch, 31);
    assert_int_equal(manifest.effective_at, INT64_C(1764600000000));
    assert_int_equal(manifest.max_skew_ms, 250);
    assert_int_equal(manifest.policy.size, 1234);
    assert_int_equal(manifest.fleet.size, 0);
    assert_int_equal(manifest.keys.size, 90);
    assert_int_equal(manifest.list_count, 1);
    assert_string_equal(manifest.lists[0].name, LIST);
    assert_int_equal(manifest.word_count, 1);
    assert_int_equal(manifest.words[0].scope, 255);
    assert_int_equal(manifest.words[0].word, GRAY_WORD_NO_ADMIT);
    assert_int_equal(manifest.words[0].epoch, 31);
    while ((blob = manifest_next(&manifest, &at)) != NULL) {
        blobs++;
        assert_non_null(manifest_blob(&manifest, blob->sha256));
    }
    assert_int_equal(blobs, 3); /* a list, keys, a policy */
    assert_null(manifest_blob(&manifest, "0123"));
    manifest_clear(&manifest);
    manifest_clear(&manifest);
}

/* One member changed. */
static void refused_with(const char *from, const char *to, const char *where)
{
    struct manifest manifest = { .sequence = 77 };
    struct gray_problem problem = { 0 };
    char text[4096];
    const char *at = strstr(whole, from);

    assert_non_null(at);
    snprintf(text, sizeof(text), "%.*s%s%s", (int)(at - whole), whole, to,
             at + strlen(from));
    if (read_text(text, &manifest, &problem) != -EINVAL) {
        fail_msg("taken: %s", text);
    }
    assert_string_equal(problem.code, "bad-bundle");
    if (strstr(problem.sentence, where) == NULL) {
        fail_msg("%s: %s", to, problem.sentence);
    }
    assert_int_equal(manifest.sequence, 77); /* untouched */
}

static void every_member_has_its_shape(void **state)
{
    (void)state;
    refused_with("\"bundle\":1", "\"bundle\":2", "bundle");
    refused_with("\"server\":\"one\"", "\"server\":\"\"", "server");
    refused_with("\"server\":\"one\"",
                 "\"server\":\"01234567890123456789012345678901234567890123456"
                 "789012345678901234\"", "server");
    refused_with("\"sequence\":412", "\"sequence\":0", "sequence");
    refused_with("\"sequence\":412", "\"sequence\":-1", "sequence");
    refused_with("\"sequence\":412", "\"sequence\":4.5", "sequence");
    refused_with("\"sequence\":412", "\"sequence\":9007199254740993",
                 "sequence");
    refused_with("\"sequence\":412", "\"sequence\":412,\"sequence\":1", "");
    refused_with("\"revision\":88", "\"revision\":\"88\"", "revision");
    refused_with("\"epoch\":31,\"fleet\"", "\"fleet\"", "epoch");
    refused_with("\"effectiveAt\":1764600000000", "\"effectiveAt\":null",
                 "effectiveAt");
    refused_with("\"maxSkewMs\":250", "\"maxSkewMs\":3600001", "maxSkewMs");
    refused_with("\"size\":1234", "\"size\":0", "policy");
    refused_with("\"size\":1234", "\"size\":8589934593", "policy");
    refused_with("\"fleet\":null", "\"fleet\":{}", "fleet");
    refused_with("\"keys\":{\"sha256\":\"0", "\"keys\":{\"sha256\":\"G",
                 "keys");
    refused_with("\"name\":\"0", "\"name\":\"../0", "lists");
    refused_with("\"name\":\"0", "\"name\":\"A", "lists");
    refused_with("\"lists\":[", "\"lists\":[1,", "lists");
    refused_with("\"word\":\"no-admit\"", "\"word\":\"No\"", "words");
    refused_with("\"scope\":\"00000000000000ff\"",
                 "\"scope\":\"0000000000000000\"", "words");
    refused_with("\"scope\":\"00000000000000ff\"", "\"scope\":\"ff\"",
                 "words");
    refused_with("\"words\":[", "\"words\":{},\"other\":[", "words");
}

static void what_is_not_known_is_left_alone(void **state)
{
    struct manifest manifest;
    char text[4096];

    (void)state;
    snprintf(text, sizeof(text), "{\"zones\":[1,2]%s", whole);
    text[strlen("{\"zones\":[1,2]")] = ','; /* for the brace of `whole` */
    assert_int_equal(read_text(text, &manifest, NULL), 0);
    manifest_clear(&manifest);
}

static void as_many_words_as_a_folder_has(void **state)
{
    static char text[GRAY_WORDS_MAX * 64 + 4096];
    char *line, *note;

    (void)state;
    for (unsigned over = 0; over < 2; over++) {
        struct manifest manifest = { .sequence = 0 };
        size_t length = 0, used;
        int error;

        used = (size_t)snprintf(text, sizeof(text),
                                "{\"bundle\":1,\"server\":\"s\",\"sequence\":1,"
                                "\"revision\":1,\"epoch\":1,\"lists\":[],"
                                "\"words\":[");
        for (unsigned i = 1; i <= GRAY_WORDS_MAX + over; i++) {
            used += (size_t)snprintf(text + used, sizeof(text) - used,
                                     "%s{\"scope\":\"%016x\",\"word\":\"open\","
                                     "\"epoch\":1}", i > 1 ? "," : "", i);
        }
        snprintf(text + used, sizeof(text) - used, "]}\n");
        line = text;
        note = audit_sign_text(signer, MANIFEST_SUBJECT, line, strlen(line),
                               &length);
        error = manifest_read(&manifest, note, length,
                              audit_signer_verifier(signer), NULL);
        assert_int_equal(error, over ? -EINVAL : 0);
        manifest_clear(&manifest);
        free(note);
    }
}

static void what_another_key_signed_is_forged_and_a_part_is_torn(void **state)
{
    static const char neumann[] = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbz"
                                  "hKqiBfsVkmqq/LDE4izWy10TW";
    struct manifest manifest = { .sequence = 77 };
    struct gray_problem problem = { 0 };
    size_t length = 0;
    char *note = audit_sign_text(signer, MANIFEST_SUBJECT, "{}\n", 3, &length);

    (void)state;
    assert_int_equal(manifest_read(&manifest, note, length, neumann,
                                   &problem), -EPERM);
    assert_string_equal(problem.code, "forged");
    for (size_t i = 0; i < length; i++) {
        int error = manifest_read(&manifest, note, i,
                                  audit_signer_verifier(signer), &problem);

        assert_true(error == -EBADMSG || error == -EPERM);
    }
    note[strlen("test.example/one/bundle\n")] = '[';
    assert_int_equal(manifest_read(&manifest, note, length,
                                   audit_signer_verifier(signer), &problem),
                     -EPERM);
    assert_int_equal(manifest.sequence, 77);
    free(note);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_bundle_is_read_as_it_was_signed),
        cmocka_unit_test(every_member_has_its_shape),
        cmocka_unit_test(what_is_not_known_is_left_alone),
        cmocka_unit_test(as_many_words_as_a_folder_has),
        cmocka_unit_test(what_another_key_signed_is_forged_and_a_part_is_torn),
    };

    return cmocka_run_group_tests(tests, open_signer, close_signer);
}
