// SPDX-License-Identifier: Apache-2.0
//
// See log.h.
#include "base/log.h"

#include <cstdio>
#include <memory>
#include <utility>

#include "base/snapshot.h"

namespace nvo3::base {
namespace {

const char*
word(LogLevel level)
{
    switch (level) {
    case LogLevel::error: return "ERR";
    case LogLevel::warn: return "WARN";
    case LogLevel::info: return "INFO";
    case LogLevel::debug: return "DBG";
    }
    return "?";
}

void
log_to_stderr(LogLevel level, const char* module, std::string_view text)
{
    if (level != LogLevel::debug) {
        std::fprintf(stderr, "%s|%s|%.*s\n", module, word(level),
                     static_cast<int>(text.size()), text.data());
    }
}

Snapshot<LogSink>&
current_sink()
{
    static Snapshot<LogSink> sink(std::make_shared<LogSink>(log_to_stderr));
    return sink;
}

}  // namespace

void
log(LogLevel level, const char* module, std::string_view text)
{
    (*current_sink().get())(level, module, text);
}

void
set_log_sink(LogSink sink)
{
    if (!sink) {
        sink = log_to_stderr;
    }
    current_sink().set(std::make_shared<LogSink>(std::move(sink)));
}

}  // namespace nvo3::base
