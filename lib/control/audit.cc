// SPDX-License-Identifier: Apache-2.0
//
// The audit log, see audit.h.
#include "control/audit.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <nlohmann/json.hpp>

#include "base/log.h"

namespace nvo3::control {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kModule = "audit";
constexpr size_t kMaxText = 512;
// Of one kind from one address (IPv6: its /64), and of one kind in all.  The first
// is well below the second: one address alone never gets there.
constexpr Rate kAddressRate{20, 200};
constexpr Rate kKindRate{100, 1000};
constexpr size_t kAddresses = 1024;

// DEL and what is not ASCII; JSON itself escapes the other control characters.
std::string
printable(std::string_view text)
{
    std::string result(text.substr(0, kMaxText));
    std::replace(result.begin(), result.end(), '\x7f', '?');
    if (text.size() > kMaxText) {
        result += "...";
    }
    return result;
}

std::string
rfc3339(std::chrono::system_clock::time_point time)
{
    const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(time.time_since_epoch());
    const std::time_t seconds = static_cast<std::time_t>(ms.count() / 1000);
    std::tm utc{};
    gmtime_r(&seconds, &utc);
    char text[40];
    const size_t size = std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &utc);
    std::snprintf(text + size, sizeof text - size, ".%03dZ", static_cast<int>(ms.count() % 1000));
    return text;
}

base::Result<base::UniqueFd>
open_file(const std::string& path)
{
    // No symbolic link at the last place: the directory may be shared.
    base::UniqueFd fd(::open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640));
    if (!fd) {
        const int error = errno;
        return base::Error{error, "cannot open audit log " + path + ": " + std::strerror(error) +
                                      "; create its directory or name another file"};
    }
    struct stat status{};
    if (fstat(fd.get(), &status) != 0 || !(S_ISREG(status.st_mode) || S_ISCHR(status.st_mode))) {
        return base::Error{EINVAL, "audit log " + path + " is not a regular file: name another"};
    }
    return fd;
}

}  // namespace

const char*
to_string(AuditKind kind) noexcept
{
    switch (kind) {
    case AuditKind::started: return "started";
    case AuditKind::stopped: return "stopped";
    case AuditKind::authenticated: return "authenticated";
    case AuditKind::refused: return "refused";
    case AuditKind::session_closed: return "session_closed";
    case AuditKind::sa_installed: return "sa_installed";
    case AuditKind::sa_removed: return "sa_removed";
    case AuditKind::config_changed: return "config_changed";
    case AuditKind::alarm: return "alarm";
    case AuditKind::tsi_changed: return "tsi_changed";
    case AuditKind::rule_refused: return "rule_refused";
    case AuditKind::rule_suspect: return "rule_suspect";
    }
    return "unknown";
}

AuditLog::AuditLog(std::string path, const base::Clock& clock)
    : path_(std::move(path)), clock_(clock)
{
}

base::Result<std::unique_ptr<AuditLog>>
AuditLog::open(const std::string& path, const base::Clock& clock)
{
    std::unique_ptr<AuditLog> log(new AuditLog(path, clock));
    if (!path.empty()) {
        auto fd = open_file(path);
        if (!fd.ok()) {
            return fd.error();
        }
        log->fd_ = std::move(*fd);
    }
    return log;
}

// Under mutex_.  logrotate(8) of Open vSwitch renames every log in its directory, and
// tells the log alone.  On failure the old file stays in use.
base::Status
AuditLog::follow_rotation()
{
    struct stat named{}, ours{};
    if (!fd_ || fstat(fd_.get(), &ours) != 0 ||
        (::stat(path_.c_str(), &named) == 0 && named.st_ino == ours.st_ino && named.st_dev == ours.st_dev)) {
        rotation_failed_ = false;
        return {};
    }
    auto fd = open_file(path_);
    if (!fd.ok()) {
        return std::exchange(rotation_failed_, true) ? base::Status{} : fd.error();
    }
    fd_ = std::move(*fd);
    rotation_failed_ = false;
    return {};
}

void
AuditLog::write(const AuditEvent& event)
{
    Json object;
    object["time"] = rfc3339(clock_.wall());
    object["event"] = to_string(event.kind);
    if (!event.peer.empty()) {
        object["peer"] = printable(event.peer);
    }
    if (!event.address.is_unspecified()) {
        object["address"] = event.address.to_string();
    }
    if (event.vni) {
        object["vni"] = event.vni->value;
    }
    if (!event.reason.empty()) {
        object["reason"] = printable(event.reason);
    }
    for (const auto& [key, value] : event.text) {
        object[key] = printable(value);
    }
    for (const auto& [key, value] : event.numbers) {
        object[key] = value;
    }

    int error = 0;
    base::Status rotation;
    {
        const std::lock_guard lock(mutex_);
        counts_[event.kind]++;
        const auto [found, fresh] = floods_.try_emplace(
            event.kind, Flood{AddressLimiter(kAddressRate, kAddresses, clock_), TokenBucket(kKindRate, clock_)});
        Flood& flood = found->second;
        const auto suppressed = flood.each.pass(event.address);
        if (!suppressed) {
            return;
        }
        if (!flood.all.take()) {
            flood.suppressed += 1 + *suppressed;
            return;
        }
        if (*suppressed) {
            object["suppressed"] = *suppressed;
        }
        if (const uint64_t of_all = std::exchange(flood.suppressed, 0)) {
            object["suppressed_of_all"] = of_all;
        }
        // Broken UTF-8 of a peer must not throw here.
        std::string line = object.dump(-1, ' ', true, Json::error_handler_t::replace);
        if (ring_.size() >= kRingSize) {
            ring_.pop_front();
        }
        ring_.push_back(line);
        line += '\n';
        rotation = follow_rotation();
        // One write: lines of several writers do not mix (O_APPEND).
        if (fd_ && ::write(fd_.get(), line.data(), line.size()) !=
                       static_cast<ssize_t>(line.size())) {
            error = write_failed_ ? 0 : (errno ? errno : EIO);
            write_failed_ = true;
        } else {
            write_failed_ = false;
        }
    }
    if (!rotation) {
        base::log(base::LogLevel::error, kModule, "the former file goes on: " + rotation.error().text);
    }
    if (error != 0) {
        base::log(base::LogLevel::error, kModule,
                  "cannot write audit log " + path_ + ": " + std::strerror(error));
    }
}

std::map<AuditKind, uint64_t>
AuditLog::counts() const
{
    const std::lock_guard lock(mutex_);
    std::map<AuditKind, uint64_t> all;
    // Those that never happened too: a series that begins with its first event has no rate.
    for (int kind = 0; std::strcmp(to_string(static_cast<AuditKind>(kind)), "unknown") != 0; kind++) {
        all[static_cast<AuditKind>(kind)] = 0;
    }
    for (const auto& [kind, count] : counts_) {
        all[kind] = count;
    }
    return all;
}

std::vector<std::string>
AuditLog::recent(size_t max) const
{
    const std::lock_guard lock(mutex_);
    const size_t count = std::min(max, ring_.size());
    return {ring_.end() - static_cast<std::ptrdiff_t>(count), ring_.end()};
}

std::string
show_audit(const std::vector<std::string>& lines, bool as_json)
{
    std::string text;
    if (!as_json) {
        for (const std::string& line : lines) {
            text += line + "\n";
        }
        return text.empty() ? "no events\n" : text;
    }
    for (const std::string& line : lines) {
        text += (text.empty() ? "  " : ",\n  ") + line;
    }
    return "[\n" + text + "\n]\n";
}

}  // namespace nvo3::control
