// SPDX-License-Identifier: Apache-2.0
//
// Log lines, into whatever the program logs with (OVS's vlog in both daemons).
// Never from a packet thread; never with a secret in the text.
// Place: lib/base.  Threads: any; the sink is called under no lock.
#ifndef NVO3_BASE_LOG_H
#define NVO3_BASE_LOG_H

#include <functional>
#include <string_view>

namespace nvo3::base {

enum class LogLevel { error, warn, info, debug };

using LogSink =
    std::function<void(LogLevel, const char* module, std::string_view text)>;

// 'module' is a string literal; 'text' is one line without its end.
void log(LogLevel level, const char* module, std::string_view text);

// The default (also for an empty 'sink') is the standard error, without debug.
void set_log_sink(LogSink sink);

}  // namespace nvo3::base

#endif
