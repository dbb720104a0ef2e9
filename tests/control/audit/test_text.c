/* SPDX-License-Identifier: Apache-2.0
 * test_text.c - a text signed for one subject, by one key, and nothing else.
 *
 * Read next: control/audit/text.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/control/audit/log.h"

static const char said[] = "{\"bundle\":1}\n";

struct scene {
    struct log log;
    char *note;
    size_t length;
};

static void scene_new(struct scene *scene)
{
    log_new(&scene->log);
    scene->note = audit_sign_text(scene->log.signer, "bundle", said,
                                  strlen(said), &scene->length);
    assert_non_null(scene->note);
}

static void scene_end(struct scene *scene)
{
    free(scene->note);
    log_end(&scene->log);
}

static int read_as(const struct scene *scene, const char *subject,
                   const char *verifier)
{
    const char *text = NULL;
    size_t length = 0;
    int error = audit_read_text(scene->note, scene->length, subject, verifier,
                                &text, &length);

    if (error == 0) {
        assert_int_equal(length, strlen(said));
        assert_memory_equal(text, said, length);
        assert_ptr_equal(text, strstr(scene->note, said));
    } else {
        assert_null(text);
    }
    return error;
}

static void what_was_signed_is_read_again(void **state)
{
    struct scene scene;

    (void)state;
    scene_new(&scene);
    assert_int_equal(scene.length, strlen(scene.note));
    assert_memory_equal(scene.note, "test.example/log/bundle\n", 24);
    assert_true(audit_verifier_good(audit_signer_verifier(scene.log.signer)));
    assert_int_equal(
        read_as(&scene, "bundle", audit_signer_verifier(scene.log.signer)), 0);
    scene_end(&scene);
}

static void every_changed_byte_is_noticed(void **state)
{
    struct scene scene;
    const char *verifier;

    (void)state;
    scene_new(&scene);
    verifier = audit_signer_verifier(scene.log.signer);
    for (size_t i = 0; i < scene.length; i++) {
        scene.note[i] ^= 1;
        assert_int_not_equal(read_as(&scene, "bundle", verifier), 0);
        scene.note[i] ^= 1;
    }
    for (size_t i = scene.length; i > 0; i--) {
        scene.length = i - 1; /* torn */
        assert_int_not_equal(read_as(&scene, "bundle", verifier), 0);
    }
    scene_end(&scene);
}

static void another_subject_or_key_is_refused(void **state)
{
    static const char neumann[] = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbz"
                                  "hKqiBfsVkmqq/LDE4izWy10TW";
    struct scene scene;
    const char *verifier;

    (void)state;
    scene_new(&scene);
    verifier = audit_signer_verifier(scene.log.signer);
    assert_int_equal(read_as(&scene, "bundl", verifier), -1);
    assert_int_equal(read_as(&scene, "bundle2", verifier), -1);
    assert_int_equal(read_as(&scene, "bundle", neumann), -2);
    assert_int_equal(read_as(&scene, "bundle", "no key at all"), -1);
    assert_false(audit_verifier_good("no key at all"));
    scene_end(&scene);
}

/* A checkpoint and a bundle are signed by one key. */
static void a_bundle_is_no_checkpoint(void **state)
{
    struct scene scene;
    struct audit_verifier verifier;
    struct audit_note note;
    const char *line;

    (void)state;
    scene_new(&scene);
    line = audit_signer_verifier(scene.log.signer);
    assert_int_equal(audit_verifier_read(line, strlen(line), &verifier), 0);
    assert_int_not_equal(
        audit_note_read(scene.note, scene.length, &verifier, &note), 0);
    scene_end(&scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_signed_is_read_again),
        cmocka_unit_test(every_changed_byte_is_noticed),
        cmocka_unit_test(another_subject_or_key_is_refused),
        cmocka_unit_test(a_bundle_is_no_checkpoint),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
