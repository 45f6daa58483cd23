// SPDX-License-Identifier: Apache-2.0
//
// See fake_switch.h.
#include "fake_switch.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <stdexcept>

namespace nvo3::test {

using namespace std::chrono_literals;
namespace msg = esp::msg;

FakeSwitch::FakeSwitch(std::string path) : path_(std::move(path))
{
    start();
}

FakeSwitch::~FakeSwitch()
{
    kill();
}

void FakeSwitch::start()
{
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path_.size() >= sizeof address.sun_path) {
        throw std::runtime_error("path too long: " + path_);
    }
    memcpy(address.sun_path, path_.c_str(), path_.size());
    unlink(path_.c_str());
    std::lock_guard lock(mutex_);
    listener_.reset(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 || listen(listener_.get(), 1) != 0) {
        throw std::runtime_error(path_ + ": " + strerror(errno));
    }
    stopping_ = false;
    instance_ = std::max<uint64_t>(instance_ + 1, static_cast<uint64_t>(getpid()));
    sas_.clear();
    ports_.clear();
    thread_ = std::thread([this] { serve(); });
}

void FakeSwitch::kill()
{
    {
        std::lock_guard lock(mutex_);
        stopping_ = true;
        shutdown(listener_.get(), SHUT_RDWR);
        if (agent_ >= 0) {
            shutdown(agent_, SHUT_RDWR);
        }
    }
    if (thread_.joinable()) {
        thread_.join();
    }
    std::lock_guard lock(mutex_);
    listener_.reset();
    unlink(path_.c_str());
    sas_.clear();
}

void FakeSwitch::on_install(std::function<void(const Sa&)> hook)
{
    std::lock_guard lock(mutex_);
    on_install_ = std::move(hook);
}

std::vector<FakeSwitch::Sa> FakeSwitch::sas() const
{
    std::lock_guard lock(mutex_);
    return sas_;
}

std::vector<FakeSwitch::Sa> FakeSwitch::sas(esp::SaDirection direction) const
{
    auto all = sas();
    std::erase_if(all, [&](const Sa& sa) { return sa.direction != direction; });
    return all;
}

msg::PortStatus FakeSwitch::port(const std::string& name) const
{
    std::lock_guard lock(mutex_);
    auto it = ports_.find(name);
    return it == ports_.end() ? msg::PortStatus{} : it->second;
}

std::optional<std::vector<base::Vni>> FakeSwitch::served() const
{
    std::lock_guard lock(mutex_);
    return served_;
}

size_t FakeSwitch::times_served() const
{
    std::lock_guard lock(mutex_);
    return times_served_;
}

size_t FakeSwitch::agents() const
{
    std::lock_guard lock(mutex_);
    return agents_;
}

bool FakeSwitch::await(const std::function<bool()>& holds) const
{
    auto deadline = std::chrono::steady_clock::now() + 15s;
    while (!holds()) {
        if (std::chrono::steady_clock::now() > deadline) {
            return false;
        }
        std::unique_lock lock(mutex_);
        changed_.wait_for(lock, 20ms);
    }
    return true;
}

void FakeSwitch::serve()
{
    while (true) {
        int listener;
        {
            std::lock_guard lock(mutex_);
            if (stopping_) {
                return;
            }
            listener = listener_.get();
        }
        base::UniqueFd fd(accept4(listener, nullptr, nullptr, SOCK_CLOEXEC));
        if (!fd) {
            continue;
        }
        {
            std::lock_guard lock(mutex_);
            agent_ = fd.get();
            agents_++;
            if (stopping_) {
                return;
            }
        }
        serve_agent(fd.get());
        std::lock_guard lock(mutex_);
        agent_ = -1;
    }
}

void FakeSwitch::serve_agent(int fd)
{
    send(msg::SwitchHello{esp::kSaProtocolVersion, instance_, "fake"});
    esp::SaMessageReader reader;
    while (true) {
        ssize_t size = read(fd, reader.space(), reader.space_size());
        if (size <= 0) {
            return;
        }
        reader.added(static_cast<size_t>(size));
        for (auto next = reader.next(); next && *next; next = reader.next()) {
            handle(fd, **next);
        }
        changed_.notify_all();
    }
}

void FakeSwitch::handle(int, const esp::SaMessage& message)
{
    if (const auto* what = std::get_if<msg::InstallSa>(&message)) {
        uint32_t error = install(what->sa);
        send(msg::Result{what->request, error, error == 0 ? "" : "refused"});
    } else if (const auto* what = std::get_if<msg::RemoveSa>(&message)) {
        {
            std::lock_guard lock(mutex_);
            std::erase_if(sas_, [&](const Sa& sa) {
                return sa.direction == what->direction && sa.spi == what->spi && sa.remote == what->remote && sa.encap == what->encap &&
                       sa.vni == what->vni;
            });
        }
        send(msg::Result{what->request, 0, ""});
    } else if (const auto* what = std::get_if<msg::RemovePeer>(&message)) {
        {
            std::lock_guard lock(mutex_);
            std::erase_if(sas_, [&](const Sa& sa) { return sa.remote == what->remote && sa.group.is_unspecified(); });
        }
        send(msg::Result{what->request, 0, ""});
    } else if (const auto* what = std::get_if<msg::ListSas>(&message)) {
        for (const Sa& sa : sas()) {
            send(msg::SaRecord{what->request, sa.direction, sa.spi, sa.remote, {}, sa.group, sa.encap, sa.vni, sa.cipher,
                               sa.group.is_unspecified(), sa.generation, 0, 0, 1});
        }
        send(msg::Result{what->request, 0, ""});
    } else if (const auto* what = std::get_if<msg::PortStatus>(&message)) {
        std::lock_guard lock(mutex_);
        ports_[what->port] = *what;
    } else if (const auto* what = std::get_if<msg::ServedNetworks>(&message)) {
        std::lock_guard lock(mutex_);
        served_ = what->vnis;
        times_served_++;
    }
}

uint32_t FakeSwitch::install(const esp::SaConfig& config)
{
    Sa sa{config.direction, config.spi, config.remote, config.group, config.encap, config.vni, config.cipher, config.generation,
          config.limits, base::Bytes(config.key.view().begin(), config.key.view().end())};
    std::function<void(const Sa&)> hook;
    {
        std::lock_guard lock(mutex_);
        hook = on_install_;
    }
    if (hook) {
        hook(sa);
    }
    std::lock_guard lock(mutex_);
    if (sa.direction == esp::SaDirection::outbound) {
        std::erase_if(sas_, [&](const Sa& old) {
            return old.direction == sa.direction && old.remote == sa.remote && old.encap == sa.encap && old.vni == sa.vni;
        });
    } else if (std::ranges::any_of(sas_, [&](const Sa& old) { return old.direction == sa.direction && old.spi == sa.spi; })) {
        return EEXIST;
    }
    sas_.push_back(std::move(sa));
    return 0;
}

void FakeSwitch::send(const esp::SaMessage& message)
{
    base::Secret octets = esp::encode(message);
    std::lock_guard lock(mutex_);
    const uint8_t* at = octets.data();
    size_t rest = octets.size();
    while (agent_ >= 0 && rest > 0) {
        ssize_t size = ::send(agent_, at, rest, MSG_NOSIGNAL);
        if (size <= 0) {
            return;
        }
        at += size;
        rest -= static_cast<size_t>(size);
    }
}

}  // namespace nvo3::test
