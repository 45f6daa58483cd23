// SPDX-License-Identifier: Apache-2.0
//
// What Boost.Asio has that is no template, compiled once and not in each file that includes its headers.
//
// Place: lib/asio, linked with whatever uses Asio.  Thread: see Asio.
#include <boost/asio/impl/src.hpp>
