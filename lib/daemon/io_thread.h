// SPDX-License-Identifier: Apache-2.0
//
// The I/O thread of a daemon: runs one io_context, on which all of its sessions
// live, beside the OVS thread.
//
// Place: lib/daemon, owned by the agent or the NVA.  Thread: all functions on the OVS thread;
// post() on any.
#ifndef NVO3_DAEMON_IO_THREAD_H
#define NVO3_DAEMON_IO_THREAD_H

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <chrono>
#include <functional>
#include <future>
#include <memory>
#include <thread>
#include <utility>

#include "base/result.h"

namespace nvo3::daemon {

class IoThread {
public:
    static constexpr std::chrono::seconds kAskTimeout{5};

    IoThread();
    // stop() must have been called.
    ~IoThread();
    IoThread(const IoThread&) = delete;
    IoThread& operator=(const IoThread&) = delete;

    boost::asio::io_context& io() { return io_; }

    // After daemonising.  Signals stay with the calling thread.
    void start();
    // Runs 'goodbye' on the thread, waits until nothing is left to do there, at most
    // 'limit', and ends the thread.
    void stop(std::function<void()> goodbye, std::chrono::milliseconds limit);

    template <class F>
    void post(F work)
    {
        boost::asio::post(io_, std::move(work));
    }

    // Runs 'work' on the thread and waits for what it returns.  ETIMEDOUT after kAskTimeout.
    template <class T>
    base::Result<T> ask(std::function<base::Result<T>()> work)
    {
        auto promise = std::make_shared<std::promise<base::Result<T>>>();
        auto answer = promise->get_future();
        boost::asio::post(io_, [promise, work = std::move(work)] { promise->set_value(work()); });
        if (answer.wait_for(kAskTimeout) != std::future_status::ready) {
            return base::Error{ETIMEDOUT, "the I/O thread is busy; try again"};
        }
        return answer.get();
    }

private:
    boost::asio::io_context io_;
    boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_;
    std::promise<void> done_;       // the thread is about to end
    std::thread thread_;
};

}  // namespace nvo3::daemon
#endif
