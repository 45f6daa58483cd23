// SPDX-License-Identifier: Apache-2.0
//
// See policy_keeper.h.
#include "hvagent/policy_keeper.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "base/log.h"
#include "base/unique_fd.h"

namespace nvo3::agent {
namespace {

constexpr const char* kModule = "policy";

}  // namespace

void PolicyKeeper::say(const std::string& why)
{
    if (std::exchange(error_, why) != why) {
        base::log(base::LogLevel::error, kModule, why);
    }
}

bool PolicyKeeper::take(const std::string& source, const std::string& text, uint64_t version)
{
    if (policy_ && source == source_ && text == text_) {
        version_ = version;
        error_.clear();
        return false;
    }
    auto parsed = policy::parse_policy(text);
    if (!parsed) {
        miss(source, source + ", " + parsed.error().text);
        return false;
    }
    policy_ = std::make_shared<const policy::Policy>(*std::move(parsed));
    source_ = source;
    text_ = text;
    version_ = version;
    error_.clear();
    base::log(base::LogLevel::info, kModule, source + ": " + std::to_string(policy_->gateways.size()) + " gateways and " +
                                                 std::to_string(policy_->rules.size()) + " rules are in force");
    return true;
}

void PolicyKeeper::miss(const std::string& source, const std::string& why)
{
    if (source != source_) {
        // What another place said is not to be had under this one's name.
        const bool had = policy_ != nullptr;
        say(why + (had ? "; the policy of " + source_ + " stays in force" : "; no policy is in force, nothing leaves its network"));
        return;
    }
    say(why + "; the former policy stays in force");
}

bool PolicyKeeper::clear()
{
    const bool had = policy_ != nullptr;
    *this = {};
    if (had) {
        base::log(base::LogLevel::info, kModule, "there is no policy any more: nothing leaves its network");
    }
    return had;
}

base::Result<std::string> read_policy(const std::string& file)
{
    auto failed = [&](const std::string& why) { return base::Error{EINVAL, "file " + file + " cannot be read: " + why}; };
    // Not one that never ends, or that waits for somebody to write.
    const base::UniqueFd fd(::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
    if (!fd) {
        return failed(std::strerror(errno));
    }
    struct stat status {};
    if (::fstat(fd.get(), &status) != 0 || !S_ISREG(status.st_mode)) {
        return failed("it is not a regular file");
    }
    std::string text;
    char part[65536];
    ssize_t got = 0;
    while (text.size() <= policy::kMaxText && (got = ::read(fd.get(), part, sizeof part)) > 0) {
        text.append(part, static_cast<size_t>(got));
    }
    if (got < 0) {
        return failed(std::strerror(errno));
    }
    return text;
}

}  // namespace nvo3::agent
