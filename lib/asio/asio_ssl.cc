// SPDX-License-Identifier: Apache-2.0
//
// What Boost.Asio has for TLS that is no template; see asio.cc.  A file of its own: who needs no TLS needs no OpenSSL.
//
// Place: lib/asio, linked with whatever uses Asio.  Thread: see Asio.
#include <boost/asio/ssl/impl/src.hpp>
