# Everything that is done with this repository, by name. Needs python3 (3.10 or later, with venv and its C
# headers), a C compiler and make; CMake, Ninja and the linters come from PyPI into .venv. What is built lies in
# build/; the tools' own caches are left where they put them.
#
#   make run        install into .venv and let the bundled model speak
#   make test       C and Python tests
#   make lint       formatters, type checker, warnings as errors, the rules of tests/lint
#   make sanitize   C tests with AddressSanitizer and UndefinedBehaviorSanitizer
#   make tsan       C tests with ThreadSanitizer
#   make cross      C tests of what depends on the CPU, on others in qemu; needs x86-64 and Debian's
#                   gcc-aarch64-linux-gnu, libc6-dev-arm64-cross and qemu-user
#   make fuzz       every fuzz target for FUZZ_SECONDS (60); needs clang with libFuzzer
#   make soak       long: slow tests, 20000 requests at once, ten minutes at full load, 50000 mutants, and ten
#                   minutes of each fuzz target
#   make clean      remove .venv/ and build/

PYTHON ?= python3
PROMPT ?= Once upon a time
FUZZ_SECONDS ?= 60

VENV := .venv
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
export PIP_DISABLE_PIP_VERSION_CHECK := 1

BUILD_TOOLS := 'pip>=23.1' 'scikit-build-core>=0.10' 'cffi>=1.17' 'cmake>=3.22,<5' 'ninja>=1.11'
# Formatters change their minds between versions, so theirs are fixed.
LINT_TOOLS := 'ruff==0.17.*' 'mypy==2.4.*' 'clang-format==14.*'

# What the installed package is made of.
PACKAGE := CMakeLists.txt pyproject.toml $(wildcard README.md LICENSE models/*.gguf) \
	$(shell find native quantize python -type f ! -name '*.pyc')
C_FILES = $(shell find native quantize tests -name '*.[ch]')

.PHONY: run test sanitize tsan cross fuzz soak clean \
	lint lint-python lint-c lint-gcc lint-clang lint-rules
.DELETE_ON_ERROR:

run: $(VENV)/installed
	ingot run -p "$(PROMPT)" -n 48

# ---------------------------------------------------------------------------------------------- .venv

$(VENV)/tools: Makefile
	$(PYTHON) -m venv $(VENV)
	pip install --quiet $(BUILD_TOOLS)
	touch $@

# A warning of a stranger's compiler fails nothing; one of the gate's does.
WERROR := $(if $(filter true,$(CI)),ON,OFF)

# Without isolation the build folder can be kept: only what changed is compiled again, and the C tests take the
# same objects.
INSTALL := pip install --quiet --no-build-isolation -C build-dir=build/test -C cmake.define.INGOT_WERROR=$(WERROR)

$(VENV)/installed: $(VENV)/tools $(PACKAGE)
	$(INSTALL) .
	touch $@

$(VENV)/installed-test: $(VENV)/tools $(PACKAGE)
	$(INSTALL) '.[test]'
	touch $(VENV)/installed $@

$(VENV)/lint-tools: $(VENV)/tools | $(VENV)/installed-test
	pip install --quiet $(LINT_TOOLS)
	touch $@

# ---------------------------------------------------------------------------------------------- tests

# $(call build,NAME,OPTIONS): the library and its C tests in build/NAME.
define build
cmake -S . -B build/$(1) -G Ninja --log-level=NOTICE -DINGOT_TESTS=ON $(2)
cmake --build build/$(1) -- --quiet
endef

CTEST := ctest --output-on-failure --parallel 2

# Both runners run, whatever the first one finds.
test: $(VENV)/installed-test
	$(call build,test,-DINGOT_WERROR=$(WERROR))
	@$(CTEST) --test-dir build/test; c=$$?; INGOT_BUILD=build/test python -m pytest && exit $$c

comma := ,
SANITIZED := -DCMAKE_BUILD_TYPE=RelWithDebInfo '-DINGOT_SANITIZE=address$(comma)undefined'

sanitize: $(VENV)/tools
	$(call build,sanitize,$(SANITIZED))
	UBSAN_OPTIONS=print_stacktrace=1 $(CTEST) --test-dir build/sanitize

tsan: $(VENV)/tools
	$(call build,tsan,-DCMAKE_BUILD_TYPE=RelWithDebInfo -DINGOT_SANITIZE=thread)
	TSAN_OPTIONS=suppressions=$(CURDIR)/tests/unit/tsan.supp $(CTEST) --test-dir build/tsan

cross: $(VENV)/installed-test
	$(call build,test,-DINGOT_WERROR=$(WERROR))
	$(call build,aarch64,-DCMAKE_TOOLCHAIN_FILE=tests/cross/aarch64.cmake -DINGOT_WERROR=ON)
	tests/cross/run.sh build/test build/aarch64

fuzz: $(VENV)/installed-test
	tests/fuzz/run.sh $(FUZZ_SECONDS)

# Mutants of another seed each time: the tests have had the same ones often enough.
soak: $(VENV)/installed-test
	$(call build,sanitize,$(SANITIZED))
	INGOT_LONG=1 $(CTEST) --test-dir build/sanitize
	build/sanitize/test_schedule_random 5000 "$$(date +%s)"
	build/sanitize/mutate --seed "$$(date +%s)" --count 50000 \
		tests/fuzz/corpus/gguf/*.gguf tests/golden/arch/*/model.gguf
	python tests/bench/flat_memory.py
	INGOT_LONG=1 python -m pytest
	$(MAKE) fuzz FUZZ_SECONDS=600

# ---------------------------------------------------------------------------------------------- lint

lint: lint-python lint-c lint-gcc lint-clang lint-rules

lint-python: $(VENV)/lint-tools
	ruff check
	ruff format --check
	mypy --strict python/ tests/api
	mypy --strict tests/conftest.py tests/bench tests/fuzz tests/golden tests/lint docs/plots

lint-c: $(VENV)/lint-tools
	clang-format --dry-run -Werror $(C_FILES)

# Few warnings need optimisation, which takes minutes here: the gate sees those when it builds for tests.
WARNED := -DCMAKE_BUILD_TYPE=Debug -DINGOT_WERROR=ON

lint-gcc: $(VENV)/tools
	$(call build,gcc,-DCMAKE_C_COMPILER=gcc $(WARNED))

ifeq ($(shell command -v clang),)
lint-clang:
	@echo "clang is not installed: its warnings were not looked at (an error with CI=true)"; [ "$$CI" != true ]
else
lint-clang: $(VENV)/tools
	$(call build,clang,-DCMAKE_C_COMPILER=clang $(WARNED))
endif

lint-rules: $(VENV)/installed-test
	INGOT_BUILD=build/gcc python -m pytest tests/lint

clean:
	rm -rf build $(VENV) .hypothesis .mypy_cache .pytest_cache .ruff_cache
