# SPDX-License-Identifier: Apache-2.0
noinst_LIBRARIES += lib/libnvo3daemon.a
lib_libnvo3daemon_a_SOURCES = \
	lib/daemon/commands.cc \
	lib/daemon/commands.h \
	lib/daemon/io_thread.cc \
	lib/daemon/io_thread.h \
	lib/daemon/options.cc \
	lib/daemon/options.h \
	lib/daemon/program.cc \
	lib/daemon/program.h \
	lib/daemon/privileges.cc \
	lib/daemon/privileges.h

# What touches OVS, in a library of its own: tests need none of it.
noinst_LIBRARIES += lib/libnvo3daemonovs.a
lib_libnvo3daemonovs_a_SOURCES = \
	lib/daemon/ovs_daemon.c \
	lib/daemon/ovs_daemon.h
lib_libnvo3daemonovs_a_CPPFLAGS = $(AM_CPPFLAGS) $(OVS_CPPFLAGS)
$(lib_libnvo3daemonovs_a_OBJECTS): $(OVS_STAMP)

check_PROGRAMS += tests/unit/daemon_tests
TESTS += tests/unit/daemon_tests
tests_unit_daemon_tests_SOURCES = tests/unit/daemon/io_thread_test.cc tests/unit/daemon/options_test.cc
tests_unit_daemon_tests_CPPFLAGS = $(AM_CPPFLAGS) $(GTEST_CFLAGS)
tests_unit_daemon_tests_LDADD = lib/libnvo3daemon.a lib/libnvo3asio.a lib/libnvo3base.a $(BOOST_LIBS) $(GTEST_LIBS) -lgtest_main -lpthread

check_PROGRAMS += tests/unit/daemon/ovs_log_test
TESTS += tests/unit/daemon/ovs_log_test
tests_unit_daemon_ovs_log_test_SOURCES = tests/unit/daemon/ovs_log_test.c
tests_unit_daemon_ovs_log_test_CPPFLAGS = $(AM_CPPFLAGS) $(OVS_CPPFLAGS)
tests_unit_daemon_ovs_log_test_LDADD = lib/libnvo3daemonovs.a $(OVS_LIBS)
$(tests_unit_daemon_ovs_log_test_OBJECTS): $(OVS_STAMP)

check_PROGRAMS += tests/unit/daemon/commands_test
TESTS += tests/unit/daemon/commands_test
tests_unit_daemon_commands_test_SOURCES = tests/unit/daemon/commands_test.cc
tests_unit_daemon_commands_test_CPPFLAGS = $(AM_CPPFLAGS) $(GTEST_CFLAGS)
tests_unit_daemon_commands_test_LDADD = lib/libnvo3daemon.a lib/libnvo3daemonovs.a lib/libnvo3base.a $(OVS_LIBS) $(BOOST_LIBS) \
	$(GTEST_LIBS) -lpthread
EXTRA_tests_unit_daemon_commands_test_DEPENDENCIES = $(OVS_STAMP) lib/libnvo3daemon.a lib/libnvo3daemonovs.a lib/libnvo3base.a
