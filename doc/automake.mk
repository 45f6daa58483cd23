# SPDX-License-Identifier: Apache-2.0
EXTRA_DIST += README.md NEWS CONTRIBUTING.md \
	doc/architecture.md doc/packet-walk.md doc/threading.md doc/security.md \
	doc/decisions/0001-vxlan-on-udp-4501.md \
	doc/decisions/0002-no-udp-checksums.md \
	doc/decisions/0003-peer-index-in-the-prebuilt-header.md \
	doc/decisions/0004-status-through-the-sa-socket.md
