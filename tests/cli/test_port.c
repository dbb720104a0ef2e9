/* SPDX-License-Identifier: Apache-2.0
 * test_port.c - lines of any length, and closed standard descriptors.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "cli/cli.h"

static void lines_come_without_their_end(void **state)
{
    static const char text[] = "a\r\n\nb \t\n x\0 \nlast";
    FILE *file = fmemopen((void *)text, sizeof(text) - 1, "r");
    struct line line = { 0 };

    (void)state;
    assert_int_equal(port_line(file, "f", 10, &line), 1);
    assert_string_equal(line.text, "a");
    assert_int_equal(port_line(file, "f", 10, &line), 1);
    assert_int_equal(line.length, 0);
    assert_string_equal(line.text, "");
    assert_int_equal(port_line(file, "f", 10, &line), 1);
    assert_string_equal(line.text, "b");
    assert_int_equal(port_line(file, "f", 10, &line), 1);
    assert_int_equal(line.length, 3); /* the NUL is a byte like others */
    assert_memory_equal(line.text, " x", 3);
    assert_int_equal(port_line(file, "f", 10, &line), 1);
    assert_string_equal(line.text, "last");
    assert_int_equal(line.number, 5);
    assert_int_equal(port_line(file, "f", 10, &line), 0);
    line_free(&line);
    fclose(file);
}

static void long_lines_take_no_memory(void **state)
{
    static const size_t most[] = { 0, 1, 254, 255, 256, 5000 };
    char text[20010];

    (void)state;
    for (size_t i = 0; i < sizeof(most) / sizeof(most[0]); i++) {
        for (size_t length = most[i]; length <= most[i] + 2; length++) {
            FILE *file;
            struct line line = { 0 };

            memset(text, 'a', sizeof(text));
            text[length] = '\n';
            text[length + 10001] = '\n';
            file = fmemopen(text, length + 10002, "r");
            assert_int_equal(port_line(file, "f", most[i], &line), 1);
            assert_int_equal(line.length,
                             length < most[i] + 1 ? length : most[i] + 1);
            assert_int_equal(port_line(file, "f", most[i], &line), 1);
            assert_int_equal(line.length, most[i] + 1);
            assert_true(line.capacity <= 2 * most[i] + 256);
            assert_int_equal(line.number, 2);
            assert_int_equal(port_line(file, "f", most[i], &line), 0);
            line_free(&line);
            fclose(file);
        }
    }
}

/* What is opened next must never become standard output or error: a message
 * would be written into it. */
static int child_without(int closed)
{
    for (int fd = 0; fd <= 2; fd++) {
        if ((closed & 1 << fd) != 0) {
            close(fd);
        }
    }
    port_keep_standard();
    if (open("/dev/null", O_RDWR) <= 2) {
        return 1;
    }
    if ((closed & 1) != 0 && read(0, &closed, 1) != 0) {
        return 2;
    }
    if ((closed & 2) != 0 && (write(1, "a", 1) >= 0 || errno != EBADF)) {
        return 3;
    }
    return (closed & 4) != 0 && write(2, "a", 1) != 1 ? 4 : 0;
}

static void closed_descriptors_are_taken(void **state)
{
    (void)state;
    for (int closed = 0; closed < 8; closed++) {
        pid_t child = fork();
        int status = -1;

        if (child == 0) {
            _exit(child_without(closed));
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_int_equal(status, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_come_without_their_end),
        cmocka_unit_test(long_lines_take_no_memory),
        cmocka_unit_test(closed_descriptors_are_taken),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
