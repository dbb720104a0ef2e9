# SPDX-License-Identifier: Apache-2.0
# The two commands: `make run` and `make test`, on a bare Debian 12 as root.
# Everything else that can be typed stands in `make help`.

BUILD  := build
NPROC  := $(shell nproc)
PREFIX  ?= /usr/local
MODULES ?= /usr/lib/nginx/modules
export DESTDIR PREFIX MODULES

.PHONY: help run test chaos monotone bench build build-asan fuzz fuzz-build habit clean \
        install uninstall

help:
	@echo "make run          install what is missing, build, show a gray release; ONCE=1 ends by itself"
	@echo "make test         the same, then every test"
	@echo "make chaos        long (an hour): 10,000 kills while a release ramps; KILLS=n"
	@echo "make agree        a million decisions through nginx and libgray, the same to the byte"
	@echo "make bench        figures, one a line: name value unit"
	@echo "make bench-large  marks: a hundred million of them, where memory allows"
	@echo "make monotone     1,000 pairs of policies over a million ids: does gate 4 ever"
	@echo "                  say safe where somebody falls out?"
	@echo "make build        only build: build/bin/gray, build/lib/"
	@echo "make fuzz         every libFuzzer target for 60 seconds each (SECONDS=n)"
	@echo "make install      gray, libgray, manual page under PREFIX (/usr/local), the"
	@echo "                  module into MODULES (nginx's own folder); DESTDIR stages it"
	@echo "make uninstall    takes that away"
	@echo "make clean        remove what was built"

build:
	@tools/setup run
	@tools/build $(BUILD)

run: build
	@ONCE=$(ONCE) examples/shop/run

test: build
	@tools/setup run test
	@tools/build $(BUILD) test
	@tools/build build-asan asan
	@tools/build build-tsan tsan
	@tools/run-tests $(BUILD) build-asan build-tsan

chaos: build
	@tools/setup run test
	@tools/build $(BUILD) test
	@STORY_KILLS=$(or $(KILLS),10000) PYTHONDONTWRITEBYTECODE=1 \
	 python3 tests/story/nobody_flips_under_kill_9.py $(BUILD)

monotone: build
	@tools/setup run test
	@tools/build $(BUILD) test
	@$(BUILD)/tests/policy/test_policy_monotone 1000 1000000 600

agree: build
	@tools/setup run test
	@tools/build $(BUILD) test
	@STORY_REQUESTS=1050000 PYTHONDONTWRITEBYTECODE=1 \
	 python3 tests/story/a_million_decisions_agree.py $(BUILD)

habit: build
	@tests/habit/habit.py $(BUILD)

bench: build
	@tools/setup run bench
	@tools/build $(BUILD) test
	@bench/run $(BUILD)

# A hundred million marks: 10 GB of memory while it runs, or it says so.
bench-large: build
	@tools/setup run bench
	@tools/build $(BUILD) test
	@$(BUILD)/bench/bench_marks 100000000

fuzz:
	@tools/setup run test
	@tools/build build-fuzz fuzz
	@tools/fuzz build-fuzz $(or $(SECONDS),60)

install: build
	@tools/install $(BUILD)

uninstall:
	@tools/install $(BUILD) uninstall

clean:
	rm -rf build build-asan build-tsan build-fuzz
