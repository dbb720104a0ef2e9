/* SPDX-License-Identifier: Apache-2.0
 * test_role.c - nothing is allowed that is not granted.
 *
 * Read next: control/identity/role.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "control/identity/internal.h"

static const unsigned rights[] = {RIGHT_READ, RIGHT_CHANGE, RIGHT_OVERRIDE,
                                  RIGHT_ADMINISTER, RIGHT_FOLLOW};

static struct identity somebody(enum role role)
{
    struct identity identity = {.name = "ci", .role = role};

    return identity;
}

static void every_role_has_its_rights_and_no_other(void **state)
{
    /* read, change, override, administer, follow: written out, not computed */
    static const struct {
        const char *word;
        bool has[5];
    } wanted[] = {
        {"viewer", {true, false, false, false, false}},
        {"operator", {true, true, false, false, false}},
        {"approver", {true, true, true, false, false}},
        {"admin", {true, true, true, true, false}},
        {"agent", {false, false, false, false, true}},
    };
    size_t r, i;

    (void)state;
    assert_int_equal(ROLE_COUNT, sizeof(wanted) / sizeof(wanted[0]));
    for (r = 0; r < ROLE_COUNT; r++) {
        struct identity identity;
        enum role role = ROLE_COUNT;
        unsigned all = 0;

        assert_int_equal(role_parse(wanted[r].word, &role), 0);
        assert_string_equal(role_word(role), wanted[r].word);
        identity = somebody(role);
        assert_true(identity_has(&identity, RIGHT_NONE));
        for (i = 0; i < 5; i++) {
            assert_int_equal(identity_has(&identity, rights[i]),
                             wanted[r].has[i]);
            all |= wanted[r].has[i] ? rights[i] : 0;
        }
        assert_true(identity_has(&identity, all));
        /* a right that no table knows is had by nobody */
        assert_false(identity_has(&identity, 1u << 9));
        assert_false(identity_has(&identity, all | 1u));
    }
}

static void nobody_has_nothing(void **state)
{
    struct identity zero = {.name = ""}, odd = somebody((enum role)77);
    enum role role = ROLE_VIEWER;

    (void)state;
    zero.scope_count = 1; /* "" in it: and still nobody */
    odd.scope_count = 1;
    assert_true(identity_has(NULL, RIGHT_NONE));
    assert_false(identity_has(NULL, RIGHT_READ));
    assert_false(identity_has(&zero, RIGHT_READ));
    assert_false(identity_has(&odd, RIGHT_READ));
    assert_false(identity_covers(NULL, "cart"));
    assert_false(identity_covers(&zero, "cart"));
    assert_string_equal(role_word((enum role)77), "?");
    assert_int_equal(role_parse("", &role), -1);
    assert_int_equal(role_parse("Admin", &role), -1);
    assert_int_equal(role_parse("admin ", &role), -1);
    assert_int_equal(role_parse("root", &role), -1);
    assert_int_equal(role, ROLE_VIEWER);
}

static void an_agent_is_one_host_and_none_that_begins_so(void **state)
{
    struct identity agent = somebody(ROLE_AGENT);

    (void)state;
    agent.scope_count = 1;
    strcpy(agent.scopes[0], "h1");
    assert_true(identity_covers(&agent, "h1"));
    assert_false(identity_covers(&agent, "h10"));
    assert_false(identity_covers(&agent, "h"));
    assert_false(identity_covers(&agent, "H1"));
    assert_false(identity_covers(&agent, ""));
    assert_false(identity_covers(&agent, NULL));
    agent.scopes[0][0] = '\0'; /* every name, for others */
    assert_false(identity_covers(&agent, "h1"));
    assert_false(identity_covers(&agent, ""));
    assert_false(identity_covers(&agent, NULL));
}

static void a_scope_is_the_beginning_of_a_name(void **state)
{
    /* scopes, name, covered */
    static const struct {
        const char *scopes[2];
        const char *name;
        bool covered;
    } cases[] = {
        {{NULL, NULL}, "cart", false},
        {{NULL, NULL}, "", false},
        {{NULL, NULL}, NULL, false},
        {{"", NULL}, "cart", true},
        {{"", NULL}, "", true},
        {{"", NULL}, NULL, true},
        {{"cart", NULL}, "cart", true},
        {{"cart", NULL}, "cart-2", true},
        {{"cart", NULL}, "car", false},
        {{"cart", NULL}, "Cart", false},
        {{"cart", NULL}, "xcart", false},
        {{"cart", NULL}, "", false},
        {{"cart", NULL}, NULL, false},
        {{"cart-", NULL}, "cart", false},
        {{"cart-", NULL}, "cart-2", true},
        {{"cart-", "pay-"}, "pay-7", true},
        {{"cart-", "pay-"}, "order-1", false},
        {{"cart-", "pay-"}, "", false},
        {{"cart-", ""}, "order-1", true},
    };
    size_t i, s;

    (void)state;
    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct identity identity = somebody(ROLE_ADMIN);

        for (s = 0; s < 2 && cases[i].scopes[s] != NULL; s++) {
            strcpy(identity.scopes[s], cases[i].scopes[s]);
            identity.scope_count++;
        }
        assert_int_equal(identity_covers(&identity, cases[i].name),
                         cases[i].covered);
    }
}

static void a_peer_is_root_or_grayds_own_user(void **state)
{
    struct identity peer = {.name = "untouched"};

    (void)state;
    assert_int_equal(identity_of_peer(1000, 998, "alice", &peer), -1);
    assert_int_equal(identity_of_peer((uid_t)-1, 998, NULL, &peer), -1);
    assert_string_equal(peer.name, "untouched");
    assert_int_equal(identity_of_peer(0, 998, NULL, &peer), 0);
    assert_string_equal(peer.name, "root");
    assert_string_equal(peer.via, "socket");
    assert_string_equal(peer.token_id, "");
    assert_int_equal(peer.role, ROLE_ADMIN);
    assert_int_equal(peer.expires, 0);
    assert_true(identity_covers(&peer, NULL));
    assert_true(identity_has(&peer, RIGHT_ADMINISTER));
    assert_int_equal(identity_of_peer(0, 998, "alice", &peer), 0);
    assert_string_equal(peer.name, "root (login alice)");
    assert_int_equal(identity_of_peer(998, 998, "bob", &peer), 0);
    assert_string_equal(peer.name, "uid 998 (login bob)");
    assert_int_equal(identity_of_peer(998, 998, NULL, &peer), 0);
    assert_string_equal(peer.name, "uid 998");
}

static void a_login_cannot_write_another_name(void **state)
{
    static const char *const bad[] = {
        "", "a) (login root", "a\nb", "\xff", "\342\200\256evil",
        "a-login-that-is-longer-than-32-byt",
    };
    struct identity peer;
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(identity_of_peer(0, 998, bad[i], &peer), 0);
        assert_string_equal(peer.name, "root (login ?)");
    }
    assert_int_equal(
        identity_of_peer(UINT32_MAX - 1, UINT32_MAX - 1,
                         "a-login-that-has-just-32-bytes--", &peer),
        0);
    assert_string_equal(
        peer.name,
        "uid 4294967294 (login a-login-that-has-just-32-bytes--)");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_role_has_its_rights_and_no_other),
        cmocka_unit_test(nobody_has_nothing),
        cmocka_unit_test(an_agent_is_one_host_and_none_that_begins_so),
        cmocka_unit_test(a_scope_is_the_beginning_of_a_name),
        cmocka_unit_test(a_peer_is_root_or_grayds_own_user),
        cmocka_unit_test(a_login_cannot_write_another_name),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
