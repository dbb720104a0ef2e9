#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""gray_h_stands_alone.py - everybody's compiler takes gray.h as it is.

Why: the header goes into programs that have other warnings, another language
and other headers than we.  C11 and C17, C++11, C++17 and C++20, gcc and clang,
every warning an error, gray.h first, last, twice and between others; and a C++
program that is linked and run.

usage: gray_h_stands_alone.py LIBRARY HEADER [--offences]
"""
import os
import subprocess
import sys
import tempfile

WARN = ["-Wall", "-Wextra", "-pedantic", "-Werror", "-Wshadow", "-Wconversion",
        "-Wundef", "-Wcast-qual", "-Wpointer-arith"]
LANGUAGES = {
    "c": (("gcc", "clang"), ("c11", "c17"),
          ["-Wstrict-prototypes", "-Wmissing-prototypes", "-Wc++-compat"]),
    "cc": (("g++", "clang++"), ("c++11", "c++17", "c++20"),
           ["-Wold-style-cast", "-Wzero-as-null-pointer-constant"]),
}
ORDERS = [
    ["gray.h"],
    ["gray.h", "gray.h"],
    ["stdlib.h", "string.h", "errno.h", "gray.h"],
    ["gray.h", "stdint.h", "stdbool.h", "sys/types.h", "pthread.h", "unistd.h"],
    ["math.h", "gray.h", "signal.h", "gray.h", "stdio.h"],
]
C = """
int main(void)
{
    struct gray_client_request request = {.size = sizeof(request)};
    struct gray_client_mark mark = {{0}};
    return request.entrance == NULL && mark.bytes[0] == 0 ? 0 : 1;
}
"""
# Every function is called with what a program would have; without a folder.
CC = """
#include <cstring>
extern "C" {
static int twice(void *input, void *result)
{
    *static_cast<int *>(result) = *static_cast<int *>(input) * 2;
    return 0;
}
}
int main()
{
    gray_client *client = nullptr;
    gray_client_problem problem;
    if (gray_client_open(&client, "/nonexistent/graylane", &problem) == 0 ||
        std::strcmp(problem.code, "no-folder") != 0 || client != nullptr) {
        return 1;
    }
    gray_client_close(client);
    gray_client_pair header{"x-gray-lane", "red"};
    gray_client_colour colour{};
    colour.size = sizeof colour;
    gray_client_headers out{};
    out.size = sizeof out;
    if (gray_client_incoming(&header, 1, &colour) != 0 ||
        gray_client_outgoing(nullptr, colour.lane, colour.arms,
                             colour.traffic_class, "dubbo-tag", &out) != 0 ||
        out.count != 3) {
        return 2;
    }
    gray_client_counts counts{};
    counts.size = sizeof counts;
    gray_client_trial trial{};
    int input = 21, result = 0;
    trial.size = sizeof trial;
    trial.name = "twice";
    trial.control = twice;
    trial.input = &input;
    trial.input_size = trial.result_size = sizeof input;
    if (gray_client_experiment(client, &trial, &result) != 0 || result != 42) {
        return 3;
    }
    gray_client_decision decision{};
    decision.size = sizeof decision;
    gray_client_mark mark{};
    return sizeof mark.bytes == 16 && decision.says == GRAY_CLIENT_OUT ? 0 : 4;
}
"""


def compile_one(folder, compiler, words, suffix, order, body):
    source = os.path.join(folder, "program." + suffix)
    with open(source, "w", encoding="utf-8") as file:
        file.writelines(f"#include <{name}>\n" for name in order)
        file.write(body)
    done = subprocess.run([compiler, *words, "-I", folder, "-fsyntax-only",
                           source], capture_output=True, text=True,
                          check=False)
    return done.stderr if done.returncode != 0 else ""


def judge(folder):
    for suffix, (compilers, standards, more) in LANGUAGES.items():
        for compiler in compilers:
            for standard in standards:
                for order in ORDERS:
                    wrong = compile_one(
                        folder, compiler, ["-std=" + standard, *WARN, *more],
                        suffix, order, C if suffix == "c" else CC)
                    if wrong:
                        yield f"{compiler} {standard} {order}: {wrong}"
                        break


def cpp_runs(folder, library):
    program = os.path.join(folder, "program")
    compile_one(folder, "true", [], "cc", ["gray.h"], CC)
    subprocess.run(["g++", "-std=c++17", "-I", folder, "-o", program,
                    program + ".cc", library,
                    "-Wl,-rpath," + os.path.dirname(library)], check=True)
    code = subprocess.run([program], check=False).returncode
    if code != 0:
        yield f"the C++ program ends with {code}"


OFFENCES = [
    ("a word of C++", "    size_t count;\n", "    size_t count, class;\n"),
    ("an include that is missing", "#include <stdint.h>\n", ""),
    ("a prototype of old", "void gray_client_close(struct gray_client *client)",
     "void gray_client_close()"),
    ("an array without bounds", "    char text[9216];", "    char text[0];"),
]


def main():
    library, header = map(os.path.abspath, sys.argv[1:3])
    with open(header, encoding="utf-8") as file:
        text = file.read()
    bad = []
    with tempfile.TemporaryDirectory() as folder:
        def put(words):
            with open(folder + "/gray.h", "w", encoding="utf-8") as file:
                file.write(words)
        if "--offences" in sys.argv:
            for what, before, after in OFFENCES:
                assert text.count(before) >= 1, before
                put(text.replace(before, after, 1))
                if not next(judge(folder), ""):
                    bad.append(f"{what} is not noticed")
        else:
            put(text)
            bad += judge(folder)
            bad += cpp_runs(folder, library)
    print("\n".join(bad[:3]))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
