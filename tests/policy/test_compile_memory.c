/* SPDX-License-Identifier: Apache-2.0
 * test_compile_memory.c - the compiler without enough memory.
 *
 * Why: grayd compiles in the process that everything else hangs on.  Every
 * allocation is made to fail in turn, by the linker's --wrap: the compiler says
 * so, hands out nothing, leaks nothing (as the sanitizers see) and is right
 * again the next time.
 * Read next: ../../policy/compile.c.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/policy/craft_model.h"
#include "tests/failing_memory.h"

/* Something of everything that the compiler allocates for. */
static struct gray_model *rich_model(void)
{
    static const char *const nets[] = {"10.0.0.0/8", "::/0", NULL};
    static const uint32_t members[] = {0, 1, GRAY_NONE};
    struct gray_model *model = craft_model();
    struct model_text *ids = craft(20 * sizeof(*ids));
    struct cond *conds[36];
    uint32_t i;

    model->lanes = craft(2 * sizeof(*model->lanes));
    model->lanes[0] = craft_lane("blue", members);
    model->lanes[1] = craft_lane("red", members);
    model->lane_count = 2;
    for (i = 0; i < 20; i++) {
        ids[i] = craft_text(craft_print(i % 2 ? "%u" : "u%u", i));
    }
    model->lists = craft(sizeof(*model->lists));
    model->lists[0] = (struct model_list){"l", true, ids, 20};
    model->list_count = 1;
    for (i = 0; i < 24; i++) {
        conds[i] = craft_test(GRAY_SOURCE_HEADER, craft_print("x-%u", i),
                              i % 3 ? GRAY_CONDITION_EXACT
                                    : GRAY_CONDITION_GLOB,
                              craft_print("a%u*b", i));
        conds[i]->ignore_case = i % 5 == 0;
    }
    conds[3] = craft_texts(GRAY_SOURCE_ADDRESS, "", GRAY_CONDITION_CIDR, nets);
    conds[4] = craft_test(GRAY_SOURCE_TIME, "", GRAY_CONDITION_TIME, NULL);
    conds[4]->zone = "Europe/Berlin";
    conds[4]->from = INT64_MIN;
    conds[4]->until = INT64_MAX;
    conds[4]->days = 127;
    conds[4]->day_end = 86400;
    conds[5] = craft_test(GRAY_SOURCE_UNIT, "", GRAY_CONDITION_LIST, NULL);
    for (i = 24; i < 36; i++) { /* prefixes of more lengths than are kept */
        conds[i] = craft_test(GRAY_SOURCE_PATH, "", GRAY_CONDITION_PREFIX,
                              craft_print("/%0*u", (int)i - 20, i));
    }
    craft_lane_rules(model, conds, 36);
    craft_allow(&model->releases[0], &conds[3], 3);
    model->releases[0].stages = craft(2 * sizeof(struct model_stage));
    model->releases[0].stages[0] = (struct model_stage){
        .name = "create", .when = conds[30], .writes = true};
    model->releases[0].stages[1] = (struct model_stage){.name = "update"};
    model->releases[0].stage_count = 2;
    model->releases[0].alias = (struct model_unit){
        .source = GRAY_SOURCE_COOKIE, .name = craft_text("did")};
    return model;
}

static void every_allocation_may_fail(void **state)
{
    struct gray_model *model = rich_model();
    struct gray_compile_options options = {.revision = 1};
    long number, failures = 0;
    int result = -1;

    (void)state;
    for (number = 0; result != 0; number++) {
        struct gray_findings findings = {NULL, 0, 0, 0};
        struct gray_compiled compiled;

        memset(&compiled, 0x5a, sizeof(compiled));
        until = number;
        result = gray_compile(model, &options, &compiled, &findings);
        if (result == 0 && until >= 0) {
            gray_compiled_free(&compiled); /* none was left to fail */
        } else {
            until = -1;
            assert_int_equal(result, -1);
            assert_int_equal(((unsigned char *)&compiled)[0], 0x5a);
            failures++;
        }
        until = -1;
        gray_findings_free(&findings);
    }
    assert_true(failures > 100);
    craft_free();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_allocation_may_fail),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
