// SPDX-License-Identifier: Apache-2.0
//
// The agent's end of the SA socket: connects to the switch, again and again for
// ever, finds out which SAs live there, then carries messages both ways.
//
// Place: between peers.cc, which owns it, and the switch.  Thread: the I/O thread; nothing
// blocks.  Keys are wiped as soon as they are written.
#ifndef HVAGENT_SA_CLIENT_H
#define HVAGENT_SA_CLIENT_H

#include <boost/asio/io_context.hpp>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "esp/sa_protocol.h"

namespace nvo3::agent {

class SaClientHandler {
public:
    virtual ~SaClientHandler() = default;
    // Connected, and 'live' is what the switch has.
    virtual void on_switch_up(const esp::msg::SwitchHello&, const std::vector<esp::msg::SaRecord>& live) = 0;
    // No more results will come for what was sent.
    virtual void on_switch_down(const std::string& reason) = 0;
    // Result (not of ListSas), Acquire, SaExpiring or Alarm.
    virtual void on_switch_message(const esp::SaMessage&) = 0;
};

class SaClient {
public:
    // Does nothing until start().  'handler' must outlive the client.
    SaClient(boost::asio::io_context&, std::string path, uint64_t agent_instance, SaClientHandler& handler);
    ~SaClient();

    void start();
    bool is_up() const;
    // Why the switch cannot be reached; empty while it can.
    const std::string& problem() const;

    // Sends a message; its request number is filled in and returned.  What is
    // sent while the switch is away is lost: on_switch_up() is the new start.
    uint32_t send(esp::SaMessage);

private:
    struct Impl;
    std::shared_ptr<Impl> impl_;    // shared with its pending operations
};

}  // namespace nvo3::agent
#endif
