# SPDX-License-Identifier: Apache-2.0
noinst_LIBRARIES += lib/libnvo3base.a
lib_libnvo3base_a_SOURCES = \
	lib/base/bytes.cc \
	lib/base/bytes.h \
	lib/base/clock.cc \
	lib/base/clock.h \
	lib/base/ids.cc \
	lib/base/ids.h \
	lib/base/ip_address.cc \
	lib/base/ip_address.h \
	lib/base/log.cc \
	lib/base/log.h \
	lib/base/mac_address.cc \
	lib/base/mac_address.h \
	lib/base/metrics.cc \
	lib/base/metrics.h \
	lib/base/result.h \
	lib/base/secret.cc \
	lib/base/secret.h \
	lib/base/snapshot.h \
	lib/base/unique_fd.h
EXTRA_DIST += lib/base/README.md

check_PROGRAMS += tests/unit/base_tests
TESTS += tests/unit/base_tests
tests_unit_base_tests_SOURCES = \
	tests/support/fake_clock.h \
	tests/unit/base/bytes_test.cc \
	tests/unit/base/ids_test.cc \
	tests/unit/base/ip_address_test.cc \
	tests/unit/base/mac_address_test.cc \
	tests/unit/base/metrics_test.cc \
	tests/unit/base/misc_test.cc \
	tests/unit/base/secret_test.cc
tests_unit_base_tests_CPPFLAGS = $(AM_CPPFLAGS) $(GTEST_CFLAGS)
tests_unit_base_tests_LDADD = lib/libnvo3base.a $(GTEST_LIBS) -lgtest_main
