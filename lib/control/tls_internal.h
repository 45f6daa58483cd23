// SPDX-License-Identifier: Apache-2.0
//
// Between tls.cc and tls_record.cc only.
#ifndef NVO3_CONTROL_TLS_INTERNAL_H
#define NVO3_CONTROL_TLS_INTERNAL_H

#include "control/tls.h"

namespace nvo3::control {

// What attach_record() attached; may be null.
HandshakeRecord* record_of(const SSL* ssl);

// OpenSSL's message callback: counts handshake messages after the handshake.
void count_post_handshake(int write_p, int version, int content_type, const void* buffer,
                          size_t size, SSL* ssl, void* arg);

}  // namespace nvo3::control

#endif
