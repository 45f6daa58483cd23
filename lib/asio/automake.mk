# SPDX-License-Identifier: Apache-2.0
# Goes with BOOST_ASIO_SEPARATE_COMPILATION in AM_CPPFLAGS: what of Asio is no template is compiled here
# and nowhere else.  Without it each file that uses Asio compiles it again; with sanitizers that was a third of its time.
noinst_LIBRARIES += lib/libnvo3asio.a
lib_libnvo3asio_a_SOURCES = \
	lib/asio/asio.cc \
	lib/asio/asio_ssl.cc
lib_libnvo3asio_a_CPPFLAGS = $(AM_CPPFLAGS) $(OPENSSL_CFLAGS)
