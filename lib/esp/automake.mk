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
	tests/unit/esp/decap_damage_test.cc \
	tests/unit/esp/decap_test.cc \
	tests/unit/esp/encap_test.cc \
	tests/unit/esp/group_test.cc \
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

check_PROGRAMS += tests/fuzz/esp_open.fuzz tests/fuzz/esp_open_corpus
TESTS += tests/fuzz/esp_open.fuzz
tests_fuzz_esp_open_fuzz_SOURCES = \
	tests/fuzz/esp_open_fuzz.cc \
	tests/support/esp_packets.cc \
	tests/support/esp_packets.h \
	$(FUZZ_MAIN)
tests_fuzz_esp_open_fuzz_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/tests/support
tests_fuzz_esp_open_fuzz_LDFLAGS = $(FUZZ_LINK)
tests_fuzz_esp_open_fuzz_LDADD = lib/libnvo3esp.a lib/libnvo3base.a $(IPSEC_MB_LIBS) $(OPENSSL_LIBS)
tests_fuzz_esp_open_corpus_SOURCES = \
	tests/fuzz/esp_open_corpus.cc \
	tests/support/esp_packets.cc \
	tests/support/esp_packets.h
tests_fuzz_esp_open_corpus_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/tests/support
tests_fuzz_esp_open_corpus_LDADD = lib/libnvo3esp.a lib/libnvo3base.a $(IPSEC_MB_LIBS) $(OPENSSL_LIBS)
EXTRA_DIST += tests/fuzz/corpus/esp_open

# Built by "make check", run by hand.
if HAVE_BENCHMARK
check_PROGRAMS += tests/bench/esp_bench
tests_bench_esp_bench_SOURCES = \
	tests/bench/esp_bench.cc \
	tests/support/esp_packets.cc \
	tests/support/esp_packets.h
tests_bench_esp_bench_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/tests/support $(BENCHMARK_CFLAGS) $(OPENSSL_CFLAGS)
if HAVE_IPSEC_MB
tests_bench_esp_bench_CPPFLAGS += -DHAVE_IPSEC_MB=1
endif
tests_bench_esp_bench_LDADD = lib/libnvo3esp.a lib/libnvo3base.a $(IPSEC_MB_LIBS) $(OPENSSL_LIBS) $(BENCHMARK_LIBS) -lpthread
endif
