// SPDX-License-Identifier: Apache-2.0
//
// See agent_socket.h.  The agent is trusted with keys but not with the switch's
// time or memory: what is read and queued for it is bounded.
#include "ovs-ext/engine/agent_socket.h"

#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <optional>
#include <utility>

namespace nvo3::engine {
namespace {

using base::Error;
using base::Status;
using base::UniqueFd;
using esp::SaMessage;

// With so much unread by the agent, events are lost, ...
constexpr size_t kEventQueueMax = 256 * 1024;
// ... and no request of it is read that would add an answer.
constexpr size_t kAnswerQueueMax = 512 * 1024;
// In one run, so that a busy agent does not stop the main loop.
constexpr int kMessagesPerRun = 256;
constexpr int kSendsPerRun = 16;
constexpr int kAcceptsPerRun = 8;
// Who says nothing is not waited for, and not by many at a time.
constexpr size_t kGuestsMax = 8;
constexpr long long kGreetingMs = 5000;
// How often to look whether the socket's file is still ours.
constexpr long long kPlaceCheckMs = 2000;

std::string
errno_text()
{
    return strerror(errno);
}

std::optional<sockaddr_un>
socket_address(const std::string& path)
{
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.size() >= sizeof address.sun_path) {
        return std::nullopt;
    }
    memcpy(address.sun_path, path.data(), path.size());
    return address;
}

UniqueFd
make_socket()
{
    return UniqueFd(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
}

}  // namespace

AgentSocket::AgentSocket(const nvo3_host& host, std::string path,
                         esp::msg::SwitchHello hello, Handler& handler)
    : host_(host), path_(std::move(path)), hello_(std::move(hello)), handler_(handler)
{
}

AgentSocket::~AgentSocket()
{
    // Not what a younger switch may have put there.
    if (listener_ && is_in_place()) {
        unlink(path_.c_str());
    }
}

// ---- Listening ----

Status
AgentSocket::remove_stale()
{
    struct stat there;
    if (lstat(path_.c_str(), &there) != 0) {
        return {};      // bind() will tell of anything but "not there"
    }
    if (!S_ISSOCK(there.st_mode)) {
        return Error{EEXIST, path_ + " is not a socket; remove it, the SA socket belongs there"};
    }
    if (there.st_uid != geteuid() && geteuid() != 0) {
        return Error{EEXIST, path_ + " belongs to uid " + std::to_string(there.st_uid)
                                 + "; remove it, the SA socket belongs there"};
    }
    UniqueFd probe = make_socket();
    const auto address = socket_address(path_);
    if (connect(probe.get(), reinterpret_cast<const sockaddr*>(&*address), sizeof *address) == 0
        || errno == EAGAIN) {
        return Error{EADDRINUSE, path_ + " is in use by another switch; give each its own run directory"};
    }
    if (errno != ECONNREFUSED) {
        return Error{errno, "cannot tell whether " + path_ + " is in use: " + errno_text()};
    }
    unlink(path_.c_str());
    return {};
}

Status
AgentSocket::open()
{
    const auto address = socket_address(path_);
    if (!address) {
        return Error{ENAMETOOLONG, path_ + " is too long for a socket's path (at most "
                                       + std::to_string(sizeof address->sun_path - 1)
                                       + " octets); use a shorter run directory"};
    }
    if (Status removed = remove_stale(); !removed) {
        return removed;
    }
    UniqueFd fd = make_socket();
    // Before bind(), which makes the file with this mode: it is never open to
    // others, not even for a moment.
    struct stat made;
    if (!fd || fchmod(fd.get(), 0600) != 0
        || bind(fd.get(), reinterpret_cast<const sockaddr*>(&*address), sizeof *address) != 0
        || chmod(path_.c_str(), 0600) != 0 || lstat(path_.c_str(), &made) != 0
        || listen(fd.get(), kAcceptsPerRun) != 0) {
        return Error{errno, "cannot listen on " + path_ + ": " + errno_text()};
    }
    device_ = made.st_dev;
    inode_ = made.st_ino;
    listener_ = std::move(fd);
    check_ms_ = host_.now_ms() + kPlaceCheckMs;
    return {};
}

bool
AgentSocket::is_in_place() const
{
    struct stat now;
    return lstat(path_.c_str(), &now) == 0 && now.st_dev == device_ && now.st_ino == inode_;
}

// Whoever cleans up run directories must not cut off the next agent for good.
void
AgentSocket::check_place()
{
    if (host_.now_ms() < check_ms_) {
        return;
    }
    check_ms_ = host_.now_ms() + kPlaceCheckMs;
    if (is_in_place()) {
        return;
    }
    host_.log(NVO3_LOG_WARN, (path_ + " was removed or replaced; making it again").c_str());
    listener_.reset();
    // If not now, the engine tries again and tells why not.
    (void)open();
}

void
AgentSocket::accept_agents()
{
    for (int i = 0; i < kAcceptsPerRun; i++) {
        UniqueFd fd(accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
        if (!fd) {
            return;
        }
        take(std::move(fd));
    }
}

void
AgentSocket::take(UniqueFd fd)
{
    ucred peer{};
    socklen_t size = sizeof peer;
    if (getsockopt(fd.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0
        || (peer.uid != 0 && peer.uid != geteuid())) {
        const std::string text = "refused uid " + std::to_string(peer.uid) + " (pid "
                                 + std::to_string(peer.pid) + ") on " + path_
                                 + ": only root and the switch's own user may install SAs";
        host_.log(NVO3_LOG_WARN, text.c_str());
        return;
    }
    if (guests_.size() >= kGuestsMax) {
        log_end(*guests_.front(), "too many that have said no hello");
        guests_.erase(guests_.begin());
    }
    auto guest = std::make_unique<Connection>();
    guest->fd = std::move(fd);
    guest->pid = peer.pid;
    guest->greet_until_ms = host_.now_ms() + kGreetingMs;
    queue(*guest, hello_);
    guests_.push_back(std::move(guest));
}

// ---- Guests ----

void
AgentSocket::run_guests()
{
    for (size_t i = 0; i < guests_.size();) {
        Connection& guest = *guests_[i];
        std::string end;
        if (const int error = flush(guest)) {
            end = strerror(error);
        } else if (auto greeted = greet(guest); !greeted) {
            end = greeted.error().text;
        } else if (*greeted) {
            std::unique_ptr<Connection> agent = std::move(guests_[i]);
            guests_.erase(guests_.begin() + static_cast<ptrdiff_t>(i));
            welcome(std::move(agent), **greeted);
            continue;
        } else if (host_.now_ms() >= guest.greet_until_ms) {
            end = "it has not said hello";
        } else {
            i++;
            continue;
        }
        log_end(guest, end);
        guests_.erase(guests_.begin() + static_cast<ptrdiff_t>(i));
    }
}

base::Result<std::optional<uint64_t>>
AgentSocket::greet(Connection& guest)
{
    auto message = receive(guest);
    if (!message) {
        return message.error();
    }
    if (!*message) {
        return std::optional<uint64_t>();
    }
    const auto* hello = std::get_if<esp::msg::AgentHello>(&**message);
    if (!hello) {
        return Error{EPROTO, "it did not begin with a hello"};
    }
    if (hello->version != esp::kSaProtocolVersion) {
        return Error{EPROTO, "it speaks version " + std::to_string(hello->version)
                                 + " of the SA socket, not " + std::to_string(esp::kSaProtocolVersion)
                                 + "; install agent and switch of one version"};
    }
    return std::optional<uint64_t>(hello->agent_instance);
}

void
AgentSocket::welcome(std::unique_ptr<Connection> guest, uint64_t agent_instance)
{
    if (connection_) {
        drop("another agent has connected");
    }
    connection_ = std::move(guest);
    handler_.on_agent_up(agent_instance);
}

// ---- One agent ----

void
AgentSocket::run()
{
    if (listener_) {
        check_place();
    }
    if (listener_) {
        accept_agents();
    }
    run_guests();
    if (connection_) {
        read_messages();
    }
    if (connection_) {
        flush();
    }
}

void
AgentSocket::wait()
{
    if (listener_) {
        host_.wait_fd(listener_.get(), POLLIN);
        host_.wait_until(check_ms_);
    }
    for (const auto& guest : guests_) {
        host_.wait_fd(guest->fd.get(), static_cast<short>(POLLIN | (guest->queued() ? POLLOUT : 0)));
        host_.wait_until(guest->greet_until_ms);
    }
    if (!connection_) {
        return;
    }
    const bool full = connection_->queued() >= kAnswerQueueMax || connection_->listing;
    if (connection_->more_input && !full) {
        host_.wait_until(0);
    }
    const int events = (full ? 0 : POLLIN) | (connection_->queued() ? POLLOUT : 0);
    host_.wait_fd(connection_->fd.get(), static_cast<short>(events));
}

void
AgentSocket::read_messages()
{
    connection_->more_input = false;
    for (int i = 0; i < kMessagesPerRun; i++) {
        if (connection_->queued() >= kAnswerQueueMax || connection_->listing) {
            connection_->more_input = true;
            return;
        }
        if (!next_message()) {
            return;
        }
    }
    connection_->more_input = true;
}

// False if there is none, for now or because the connection has ended.
bool
AgentSocket::next_message()
{
    auto next = receive(*connection_);
    if (!next) {
        drop(next.error().text);
        return false;
    }
    if (!*next) {
        return false;
    }
    handler_.on_agent_message(**next);
    return connection_ != nullptr;
}

// Nothing if no whole message is there yet; an error ends the connection.
base::Result<std::optional<SaMessage>>
AgentSocket::receive(Connection& from)
{
    auto next = from.reader.next();
    while (next && !next->has_value()) {
        const ssize_t size = recv(from.fd.get(), from.reader.space(), from.reader.space_size(), 0);
        if (size == 0) {
            return Error{ECONNRESET, "it has closed the connection"};
        }
        if (size < 0) {
            if (errno != EAGAIN && errno != EINTR) {
                return Error{errno, errno_text()};
            }
            return std::optional<SaMessage>();
        }
        from.reader.added(static_cast<size_t>(size));
        next = from.reader.next();
    }
    return next;
}

void
AgentSocket::drop(const std::string& why)
{
    const std::unique_ptr<Connection> ended = std::exchange(connection_, nullptr);
    log_end(*ended, why);
    handler_.on_agent_down();
}

void
AgentSocket::log_end(const Connection& ended, const std::string& why)
{
    const std::string text = "agent (pid " + std::to_string(ended.pid) + ") disconnected: " + why;
    host_.log(NVO3_LOG_INFO, text.c_str());
}

// ---- Output ----

void
AgentSocket::queue(Connection& to, const SaMessage& message)
{
    const base::Secret wire = esp::encode(message);
    to.out.insert(to.out.end(), wire.view().begin(), wire.view().end());
}

void
AgentSocket::send(const SaMessage& message)
{
    if (connected()) {
        queue(*connection_, message);
    }
}

void
AgentSocket::send_event(const SaMessage& message)
{
    if (connected() && connection_->queued() < kEventQueueMax) {
        queue(*connection_, message);
    }
}

void
AgentSocket::send_list(std::vector<esp::msg::SaRecord> records, esp::msg::Result end)
{
    if (connected()) {
        std::reverse(records.begin(), records.end());
        connection_->list = std::move(records);
        connection_->list_end = std::move(end);
        connection_->listing = true;
    }
}

// A host with a million SAs must not need memory for all their records at once.
void
AgentSocket::fill_from_list(Connection& to)
{
    while (to.listing && to.queued() < kAnswerQueueMax) {
        if (to.list.empty()) {
            queue(to, to.list_end);
            to.listing = false;
        } else {
            queue(to, to.list.back());
            to.list.pop_back();
        }
    }
}

void
AgentSocket::flush()
{
    if (const int error = flush(*connection_)) {
        drop(strerror(error));
    }
}

int
AgentSocket::flush(Connection& to)
{
    for (int i = 0; i < kSendsPerRun; i++) {
        fill_from_list(to);
        if (to.queued() == 0) {
            return 0;
        }
        size_t& begin = to.out_begin;
        const ssize_t size = ::send(to.fd.get(), to.out.data() + begin, to.queued(), MSG_NOSIGNAL);
        if (size < 0) {
            return errno == EAGAIN || errno == EINTR ? 0 : errno;
        }
        begin += static_cast<size_t>(size);
        if (begin == to.out.size() || begin >= kEventQueueMax) {
            to.out.erase(to.out.begin(), to.out.begin() + static_cast<ptrdiff_t>(begin));
            begin = 0;
        }
    }
    return 0;
}

}  // namespace nvo3::engine
