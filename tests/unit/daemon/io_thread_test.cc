// SPDX-License-Identifier: Apache-2.0
//
// The I/O thread: questions are answered on it, and it ends in time whatever is left.
#include <gtest/gtest.h>

#include <boost/asio/steady_timer.hpp>

#include "daemon/io_thread.h"

using namespace nvo3;
using namespace std::chrono_literals;

TEST(IoThread, AnswersOnItsOwnThread)
{
    daemon::IoThread thread;
    thread.start();
    auto id = thread.ask<std::thread::id>([]() -> base::Result<std::thread::id> { return std::this_thread::get_id(); });
    ASSERT_TRUE(id);
    EXPECT_NE(*id, std::this_thread::get_id());
    auto failed = thread.ask<void>([]() -> base::Status { return base::Error{ENOENT, "no such thing"}; });
    ASSERT_FALSE(failed);
    EXPECT_EQ(failed.error().text, "no such thing");
    thread.stop([] {}, 2s);
}

TEST(IoThread, StopSaysGoodbyeFirst)
{
    daemon::IoThread thread;
    thread.start();
    bool said = false;
    thread.stop([&] { boost::asio::post(thread.io(), [&] { said = true; }); }, 2s);
    EXPECT_TRUE(said) << "what the goodbye started was not run";
}

TEST(IoThread, StopDoesNotWaitForEver)
{
    daemon::IoThread thread;
    boost::asio::steady_timer never(thread.io(), 1h);
    never.async_wait([](const boost::system::error_code&) {});
    thread.start();
    thread.stop([] {}, 10ms);   // returns
}
