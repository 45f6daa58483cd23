// SPDX-License-Identifier: Apache-2.0
//
// See io_thread.h.
#include "daemon/io_thread.h"

#include <pthread.h>
#include <signal.h>

namespace nvo3::daemon {

IoThread::IoThread() : io_(1), work_(boost::asio::make_work_guard(io_)) {}

IoThread::~IoThread()
{
    if (thread_.joinable()) {
        io_.stop();
        thread_.join();
    }
}

void IoThread::start()
{
    // Signals belong to the OVS thread: the new one inherits them blocked.
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    thread_ = std::thread([this] {
        pthread_setname_np(pthread_self(), "io");
        io_.run();
        done_.set_value();
    });
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

void IoThread::stop(std::function<void()> goodbye, std::chrono::milliseconds limit)
{
    post([this, goodbye = std::move(goodbye)] {
        goodbye();
        work_.reset();
    });
    if (done_.get_future().wait_for(limit) != std::future_status::ready) {
        io_.stop();
    }
    thread_.join();
}

}  // namespace nvo3::daemon
