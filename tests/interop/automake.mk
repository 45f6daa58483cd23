# SPDX-License-Identifier: Apache-2.0
# Tests against other implementations; run by utilities/run-tests, not by make check, which builds the program that they need.
check_PROGRAMS += tests/support/esp_tool
tests_support_esp_tool_SOURCES = tests/support/esp_tool.cc
tests_support_esp_tool_LDADD = lib/libnvo3esp.a lib/libnvo3base.a $(IPSEC_MB_LIBS) $(OPENSSL_LIBS)

EXTRA_DIST += \
	tests/interop/README.md \
	tests/interop/conftest.py \
	tests/interop/esp_tool.py \
	tests/interop/guest.py \
	tests/interop/guest/espinudp.c \
	tests/interop/guest/init \
	tests/interop/linux_peer.py \
	tests/interop/packets.py \
	tests/interop/responder.py \
	tests/interop/test_linux.py \
	tests/interop/test_scapy.py \
	tests/interop/test_switch.py \
	tests/interop/test_tshark.py
