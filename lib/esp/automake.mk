# SPDX-License-Identifier: Apache-2.0
noinst_LIBRARIES += lib/libnvo3esp.a
lib_libnvo3esp_a_SOURCES = \
	lib/esp/aead.cc \
	lib/esp/aead.h \
	lib/esp/aead_ipsec_mb.cc \
	lib/esp/aead_openssl.cc \
	lib/esp/cipher.cc \
	lib/esp/cipher.h \
	lib/esp/decap.cc \
	lib/esp/decap.h \
	lib/esp/drop_reason.cc \
	lib/esp/drop_reason.h \
	lib/esp/encap.cc \
	lib/esp/encap.h \
	lib/esp/frame.cc \
	lib/esp/frame.h \
	lib/esp/replay_window.cc \
	lib/esp/replay_window.h \
	lib/esp/sa.cc \
	lib/esp/sa.h \
	lib/esp/sa_protocol.cc \
	lib/esp/sa_protocol.h \
	lib/esp/sa_runtime.cc \
	lib/esp/sa_runtime.h \
	lib/esp/sad.cc \
	lib/esp/sad.h \
	lib/esp/wire.cc \
	lib/esp/wire.h
lib_libnvo3esp_a_CPPFLAGS = $(AM_CPPFLAGS) $(OPENSSL_CFLAGS)
if HAVE_IPSEC_MB
lib_libnvo3esp_a_CPPFLAGS += -DHAVE_IPSEC_MB=1
endif
EXTRA_DIST += lib/esp/README.md

check_PROGRAMS += tests/unit/esp_tests
TESTS += tests/unit/esp_tests
tests_unit_esp_tests_SOURCES = \
	tests/support/esp_packets.cc \
	tests/support/esp_packets.h \
	tests/unit/esp/aead_test.cc \
	tests/unit/esp/decap_test.cc \
	tests/unit/esp/encap_test.cc \
	tests/unit/esp/replay_window_test.cc \
	tests/unit/esp/sa_protocol_test.cc \
	tests/unit/esp/sa_runtime_test.cc \
	tests/unit/esp/sad_test.cc \
	tests/unit/esp/wire_test.cc
tests_unit_esp_tests_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/tests/support $(GTEST_CFLAGS)
tests_unit_esp_tests_LDADD = \
	lib/libnvo3esp.a \
	lib/libnvo3base.a \
	$(IPSEC_MB_LIBS) $(OPENSSL_LIBS) $(GTEST_LIBS) -lgtest_main -lpthread
