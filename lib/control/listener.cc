// SPDX-License-Identifier: Apache-2.0
//
// Accepts control connections, see listener.h.
#include "control/listener.h"

#include <boost/asio/ip/v6_only.hpp>
#include <unordered_map>

#include "base/log.h"

namespace nvo3::control {
namespace {

using ErrorCode = boost::system::error_code;
using boost::asio::ip::tcp;

constexpr const char* kModule = "listener";
// After an error of accept(), say no file descriptor left.
constexpr std::chrono::milliseconds kAcceptPause{200};
// A refused connection costs its maker nothing: how often it may cost a line.
constexpr Rate kRefusalsTold{1.0 / 60, 1};

}  // namespace

struct Listener::Impl : std::enable_shared_from_this<Impl> {
    Impl(boost::asio::io_context& io, Options opts, Factory make, Refused on_refused)
        : options(std::move(opts)),
          factory(std::move(make)),
          refused(std::move(on_refused)),
          acceptor(io),
          pause(io),
          rate(options.handshakes_per_address, options.addresses,
               options.clock ? *options.clock : base::system_clock()),
          told(kRefusalsTold, options.addresses,
               options.clock ? *options.clock : base::system_clock())
    {
    }

    // Counts a handshake while it lives.
    struct Slot {
        std::shared_ptr<Impl> impl;
        base::IpAddress source;
        ~Slot()
        {
            impl->at_once--;
            const auto entry = impl->sources.find(source);
            if (--entry->second == 0) {
                impl->sources.erase(entry);
            }
        }
    };

    base::Status open();
    void accept();
    void take(tcp::socket socket);
    std::shared_ptr<Slot> slot_for(const base::IpAddress& remote, std::string* why);
    void refuse(const base::IpAddress& remote, const std::string& reason);

    Options options;
    Factory factory;
    Refused refused;
    tcp::acceptor acceptor;
    boost::asio::steady_timer pause;
    AddressLimiter rate;
    AddressLimiter told;
    size_t at_once = 0;
    std::unordered_map<base::IpAddress, size_t> sources;  // As many as at_once at most.
    bool stopped = false;
};

base::Status
Listener::Impl::open()
{
    ErrorCode error;
    const auto failed = [&](const char* hint) {
        return base::Error{error.value(), "cannot listen on " + to_string(options.endpoint) + ": " +
                                              error.message() + hint};
    };
    acceptor.open(options.endpoint.protocol(), error);
    if (error) {
        return failed("");
    }
    acceptor.set_option(tcp::acceptor::reuse_address(true), error);
    if (options.endpoint.address().is_v6() && options.endpoint.address().is_unspecified()) {
        acceptor.set_option(boost::asio::ip::v6_only(false), error);
        if (error) {
            return failed("");
        }
    }
    acceptor.bind(options.endpoint, error);
    if (!error) {
        acceptor.listen(tcp::acceptor::max_listen_connections, error);
    }
    if (error == boost::asio::error::address_in_use) {
        return failed("; stop the program that uses the port, or set another one");
    }
    if (error == boost::system::errc::address_not_available) {
        return failed("; give an address of this host");
    }
    return error ? failed("") : base::Status{};
}

void
Listener::Impl::accept()
{
    acceptor.async_accept([this, self = shared_from_this()](const ErrorCode& error, tcp::socket socket) {
        if (stopped) {
            return;
        }
        if (!error) {
            take(std::move(socket));
            accept();
            return;
        }
        base::log(base::LogLevel::warn, kModule, "accept: " + error.message());
        pause.expires_after(kAcceptPause);
        pause.async_wait([this, self](const ErrorCode& cancelled) {
            if (!cancelled && !stopped) {
                accept();
            }
        });
    });
}

std::shared_ptr<Listener::Impl::Slot>
Listener::Impl::slot_for(const base::IpAddress& remote, std::string* why)
{
    const base::IpAddress source = source_of(remote);
    const auto entry = sources.find(source);
    if (entry != sources.end() && entry->second >= options.handshakes_at_once_per_address) {
        *why = "too many handshakes at once from this address";
        return nullptr;
    }
    if (at_once >= options.handshakes_at_once) {
        *why = "too many handshakes at once";
        return nullptr;
    }
    if (!rate.allow(remote)) {
        *why = "too many handshakes a second from this address";
        return nullptr;
    }
    at_once++;
    sources[source]++;
    return std::shared_ptr<Slot>(new Slot{shared_from_this(), source});
}

void
Listener::Impl::take(tcp::socket socket)
{
    ErrorCode error;
    const auto remote_end = socket.remote_endpoint(error);
    if (error) {
        return;  // Gone already.
    }
    const auto local_end = socket.local_endpoint(error);
    const base::IpAddress remote = to_ip_address(remote_end.address());
    const base::IpAddress local = to_ip_address(local_end.address());

    std::string why;
    const std::shared_ptr<Slot> slot = slot_for(remote, &why);
    if (!slot) {
        refuse(remote, why);
        return;
    }
    auto accepted = factory(remote, local);
    if (!accepted.ok()) {
        refuse(remote, accepted.error().text);
        return;
    }
    accepted->options.handshake_slot = slot;
    Session::start(std::move(socket), Session::Side::acceptor, std::move(accepted->context),
                   std::move(accepted->options), *accepted->handler);
}

void
Listener::Impl::refuse(const base::IpAddress& remote, const std::string& reason)
{
    const auto untold = told.pass(remote);
    if (!untold || !refused) {
        return;
    }
    refused(remote, *untold == 0 ? reason
                                 : reason + " (" + std::to_string(*untold) +
                                       " more connections of this address were refused before)");
}

Listener::Listener(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}

base::Result<std::unique_ptr<Listener>>
Listener::open(boost::asio::io_context& io, Options options, Factory factory, Refused refused)
{
    auto impl = std::make_shared<Impl>(io, std::move(options), std::move(factory), std::move(refused));
    if (base::Status status = impl->open(); !status.ok()) {
        return status.error();
    }
    impl->accept();
    return std::unique_ptr<Listener>(new Listener(std::move(impl)));
}

Listener::~Listener()
{
    impl_->stopped = true;
    ErrorCode ignored;
    impl_->acceptor.close(ignored);
    impl_->pause.cancel();
}

Endpoint
Listener::local_endpoint() const
{
    ErrorCode ignored;
    return impl_->acceptor.local_endpoint(ignored);
}

size_t
Listener::handshakes() const noexcept
{
    return impl_->at_once;
}

}  // namespace nvo3::control
