# The front door; meson and ninja do the work. HACKING.md explains the targets.
#
#   make            build/bin/ringfence and its programs    make check       everything a change must pass
#   make demo       see it work                             make check-long  sanitizers, clang-tidy, long loops
#   make install    DESTDIR=, PREFIX=; packaging/           make lint        all static checks
#   make deps       install missing Debian packages         make format      let clang-format lay out the code
#   make asan       unit tests under sanitizers             make fuzz T=json SECONDS=30
#   make cov        coverage report                         make bench       measure, beside the peers

BUILD = build
PREFIX ?= /usr/local
SECONDS ?= 30
MESON = /usr/bin/meson
NINJA = /usr/bin/ninja
RUN_TESTS = /usr/bin/python3 tools/run_tests.py
# Warnings are errors with the compiler that we develop with; another one may know new ones.
WERROR := $(shell gcc -dumpversion 2>/dev/null | grep -qx 12 && echo true || echo false)
SANITIZE = -Db_sanitize=address,undefined -Db_lundef=false -Dlean_libc=glibc

.NOTPARALLEL:
.PHONY: all deps check check-long lint format asan fuzz cov bench demo install clean

all: $(BUILD)/build.ninja
	@$(NINJA) -C $(BUILD) --quiet

$(BUILD)/build.ninja:
	@test -x $(MESON) && test -x $(NINJA) || { echo 'meson and ninja are missing; run: make deps' >&2; exit 1; }
	@$(MESON) setup --prefix=$(PREFIX) -Dwerror=$(WERROR) $(BUILD) >$(BUILD).log 2>&1 || { tail -n 5 $(BUILD).log >&2; exit 1; }
	@mv $(BUILD).log $(BUILD)/setup.log

deps:
	@tools/deps.sh build check long bench

check:
	@tools/deps.sh build check
	@$(MAKE) --no-print-directory all
	@$(RUN_TESTS) $(BUILD) lint unit system

# Two summaries: the sanitizers' and, last, that of everything else.
check-long:
	@tools/deps.sh build check long
	@$(MAKE) --no-print-directory all
	@status=0; $(MAKE) --no-print-directory asan || status=1; \
		$(RUN_TESTS) $(BUILD) lint unit system long || status=1; exit $$status

lint: all
	@tools/deps.sh build check long
	@$(RUN_TESTS) $(BUILD) lint
	@tools/lint_long.sh

format:
	@tools/check_format.sh --fix

asan:
	@tools/setup.sh build-asan $(SANITIZE)
	@$(NINJA) -C build-asan --quiet
	@UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 $(RUN_TESTS) build-asan unit

fuzz:
	@test -n '$(T)' || { echo 'say which: make fuzz T=json' >&2; exit 1; }
	@tools/deps.sh build long
	@CC=clang tools/setup.sh build-fuzz $(SANITIZE) -Dfuzzers=true -Dc_args=-fsanitize=fuzzer-no-link
	@$(NINJA) -C build-fuzz --quiet fuzz/fuzz_$(T)
	@mkdir -p build-fuzz/found/$(T)
	@build-fuzz/fuzz/fuzz_$(T) -max_total_time=$(SECONDS) -timeout=10 -rss_limit_mb=2048 \
		-artifact_prefix=build-fuzz/found/ build-fuzz/found/$(T) fuzz/corpus/$(T)

# Unit tests only: a confined program may not write its counters, so the system tests would count nothing.
cov:
	@tools/setup.sh build-cov -Db_coverage=true -Dbuildtype=debug -Dlean_libc=glibc
	@$(NINJA) -C build-cov --quiet
	@$(RUN_TESTS) build-cov unit || true
	@gcovr --root . --filter src/ build-cov --print-summary --txt build-cov/coverage.txt
	@echo 'by file: build-cov/coverage.txt'

bench: all
	@tools/deps.sh build bench
	@bench/run

demo:
	@tools/deps.sh build demo
	@$(MAKE) --no-print-directory all
	@demo/run

# The units and the AppArmor profile name the prefix: another one than the build was made for is configured first.
install: all
ifeq ($(origin PREFIX),command line)
	@$(MESON) configure --prefix=$(PREFIX) $(BUILD) >/dev/null && $(NINJA) -C $(BUILD) --quiet >/dev/null
endif
	@$(MESON) install -C $(BUILD) --no-rebuild --quiet

clean:
	rm -rf build build-*
