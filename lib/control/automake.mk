# SPDX-License-Identifier: Apache-2.0
noinst_LIBRARIES += lib/libnvo3control.a
lib_libnvo3control_a_SOURCES = \
	lib/control/audit.cc \
	lib/control/audit.h \
	lib/control/authorization.cc \
	lib/control/authorization.h \
	lib/control/connector.cc \
	lib/control/connector.h \
	lib/control/endpoint.cc \
	lib/control/endpoint.h \
	lib/control/framer.cc \
	lib/control/framer.h \
	lib/control/identity.cc \
	lib/control/identity.h \
	lib/control/keying.cc \
	lib/control/keying.h \
	lib/control/listener.cc \
	lib/control/listener.h \
	lib/control/pem.cc \
	lib/control/pem.h \
	lib/control/rate_limiter.cc \
	lib/control/rate_limiter.h \
	lib/control/session.cc \
	lib/control/session.h \
	lib/control/tls.cc \
	lib/control/tls.h \
	lib/control/tls_internal.h \
	lib/control/tls_record.cc
nodist_lib_libnvo3control_a_SOURCES = \
	lib/control/control.pb.cc \
	lib/control/control.pb.h
lib_libnvo3control_a_CPPFLAGS = $(AM_CPPFLAGS) $(PROTOBUF_CFLAGS) $(OPENSSL_CFLAGS)

EXTRA_DIST += lib/control/control.proto lib/control/README.md
BUILT_SOURCES += lib/control/control.pb.h
CLEANFILES += lib/control/control.pb.h lib/control/control.pb.cc

lib/control/control.pb.cc: lib/control/control.proto
	$(AM_V_GEN)$(MKDIR_P) lib/control && \
	$(PROTOC) --proto_path=$(top_srcdir)/lib --cpp_out=lib $(top_srcdir)/lib/control/control.proto
lib/control/control.pb.h: lib/control/control.pb.cc
	@test -f $@ || { rm -f lib/control/control.pb.cc && $(MAKE) $(AM_MAKEFLAGS) lib/control/control.pb.cc; }
# BUILT_SOURCES alone helps only "make all" and "make check".  Every object of
# whoever includes control/authorization.h or session.h needs this line as well.
$(lib_libnvo3control_a_OBJECTS): lib/control/control.pb.h

nvo3_control_libs = lib/libnvo3control.a lib/libnvo3base.a \
	$(PROTOBUF_LIBS) $(OPENSSL_LIBS) -lpthread
