// SPDX-License-Identifier: Apache-2.0
//
// Connects to a peer, see connector.h.
#include "control/connector.h"

#include <algorithm>
#include <boost/asio/steady_timer.hpp>
#include <random>

namespace nvo3::control {
namespace {

using ErrorCode = boost::system::error_code;
using Socket = boost::asio::ip::tcp::socket;

}  // namespace

Backoff::Backoff(std::chrono::milliseconds min, std::chrono::milliseconds max)
    : min_(std::max(min, std::chrono::milliseconds(1))), max_(std::max(max, min_)), current_(min_)
{
}

std::chrono::milliseconds
Backoff::next()
{
    static thread_local std::minstd_rand random{std::random_device{}()};
    std::uniform_int_distribution<int64_t> within(current_.count() / 2, current_.count());
    const std::chrono::milliseconds pause(within(random));
    current_ = std::min(current_ * 2, max_);
    return pause;
}

void
Backoff::reset()
{
    current_ = min_;
}

// Held by the operations under way; 'round' tells a late one that it is not
// wanted any more.
struct Connector::Impl : std::enable_shared_from_this<Impl> {
    Impl(boost::asio::io_context& io, Options opts, Connected on_connected, Failed on_failed)
        : options(std::move(opts)),
          connected(std::move(on_connected)),
          failed(std::move(on_failed)),
          socket(io),
          timer(io),
          backoff(options.backoff_min, options.backoff_max)
    {
    }

    void connect();
    void pause();
    void fail(const std::string& reason);
    void cancel();
    bool bind(std::string* why);

    Options options;
    Connected connected;
    Failed failed;
    Socket socket;
    boost::asio::steady_timer timer;
    Backoff backoff;
    uint64_t round = 0;
    bool active = false;
};

void
Connector::Impl::cancel()
{
    round++;
    active = false;
    timer.cancel();
    ErrorCode ignored;
    socket.close(ignored);
}

bool
Connector::Impl::bind(std::string* why)
{
    ErrorCode error;
    socket.open(options.remote.protocol(), error);
    if (!error && !options.local.is_unspecified()) {
        socket.bind(Endpoint(to_asio(options.local), 0), error);
    }
    if (error) {
        *why = options.local.is_unspecified()
                   ? error.message()
                   : "local address " + options.local.to_string() + ": " + error.message();
    }
    return !error;
}

void
Connector::Impl::connect()
{
    active = true;
    const uint64_t mine = ++round;
    ErrorCode ignored;
    socket.close(ignored);
    if (std::string why; !bind(&why)) {
        fail(why);
        return;
    }
    timer.expires_after(options.timeout);
    timer.async_wait([this, mine, self = shared_from_this()](const ErrorCode& error) {
        if (!error && mine == round) {
            fail("no answer in time");
        }
    });
    socket.async_connect(options.remote,
                         [this, mine, self = shared_from_this()](const ErrorCode& error) {
                             if (mine != round) {
                                 return;
                             }
                             if (error) {
                                 fail(error.message());
                                 return;
                             }
                             round++;
                             active = false;
                             timer.cancel();
                             Socket result = std::move(socket);
                             socket = Socket(timer.get_executor());
                             connected(std::move(result));
                         });
}

void
Connector::Impl::fail(const std::string& reason)
{
    pause();
    failed("connect to " + to_string(options.remote) + ": " + reason);
}

void
Connector::Impl::pause()
{
    active = true;
    const uint64_t mine = ++round;
    ErrorCode ignored;
    socket.close(ignored);
    timer.expires_after(backoff.next());
    timer.async_wait([this, mine, self = shared_from_this()](const ErrorCode& error) {
        if (!error && mine == round) {
            connect();
        }
    });
}

Connector::Connector(boost::asio::io_context& io, Options options, Connected connected, Failed failed)
    : impl_(std::make_shared<Impl>(io, std::move(options), std::move(connected), std::move(failed)))
{
}

Connector::~Connector()
{
    impl_->cancel();
}

void
Connector::start()
{
    if (!impl_->active) {
        impl_->connect();
    }
}

void
Connector::retry()
{
    if (!impl_->active) {
        impl_->pause();
    }
}

void
Connector::succeeded()
{
    impl_->backoff.reset();
}

void
Connector::stop()
{
    impl_->cancel();
}

bool
Connector::active() const noexcept
{
    return impl_->active;
}

}  // namespace nvo3::control
