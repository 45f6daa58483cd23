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
