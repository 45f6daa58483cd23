# SPDX-License-Identifier: Apache-2.0
noinst_LIBRARIES += lib/libnvo3policy.a
lib_libnvo3policy_a_SOURCES = \
	lib/policy/check.cc \
	lib/policy/decide.cc \
	lib/policy/decide.h \
	lib/policy/parse.cc \
	lib/policy/policy.cc \
	lib/policy/policy.h \
	lib/policy/prefix.cc \
	lib/policy/prefix.h
EXTRA_DIST += lib/policy/README.md

check_PROGRAMS += tests/unit/policy_tests
TESTS += tests/unit/policy_tests
tests_unit_policy_tests_SOURCES = \
	tests/unit/policy/decide_test.cc \
	tests/unit/policy/parse_test.cc \
	tests/unit/policy/prefix_test.cc
tests_unit_policy_tests_CPPFLAGS = $(AM_CPPFLAGS) $(GTEST_CFLAGS)
tests_unit_policy_tests_LDADD = lib/libnvo3policy.a lib/libnvo3base.a $(GTEST_LIBS) -lgtest_main

check_PROGRAMS += tests/fuzz/policy_text.fuzz
TESTS += tests/fuzz/policy_text.fuzz
tests_fuzz_policy_text_fuzz_SOURCES = tests/fuzz/policy_text_fuzz.cc $(FUZZ_MAIN)
tests_fuzz_policy_text_fuzz_LDFLAGS = $(FUZZ_LINK)
tests_fuzz_policy_text_fuzz_LDADD = lib/libnvo3policy.a lib/libnvo3base.a
EXTRA_DIST += tests/fuzz/corpus/policy_text
