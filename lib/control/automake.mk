# SPDX-License-Identifier: Apache-2.0
noinst_HEADERS += \
	lib/control/audit.h \
	lib/control/authorization.h \
	lib/control/connector.h \
	lib/control/framer.h \
	lib/control/identity.h \
	lib/control/keying.h \
	lib/control/listener.h \
	lib/control/rate_limiter.h \
	lib/control/session.h \
	lib/control/tls.h
EXTRA_DIST += lib/control/control.proto
