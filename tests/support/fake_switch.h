// SPDX-License-Identifier: Apache-2.0
//
// A switch for tests of the agent: the SA socket with a table of SAs behind it, no packets.
// Place: tests/support.  Threads: any; its own thread serves the socket.
#ifndef NVO3_TESTS_FAKE_SWITCH_H
#define NVO3_TESTS_FAKE_SWITCH_H

#include <condition_variable>
#include <chrono>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/unique_fd.h"
#include "esp/sa_protocol.h"

namespace nvo3::test {

class FakeSwitch {
public:
    struct Sa {
        esp::SaDirection direction;
        base::Spi spi;
        base::IpAddress remote;
        base::IpAddress group;      // unspecified: of a pair
        base::Encap encap;
        base::Vni vni;
        esp::Cipher cipher;
        uint32_t generation;
        esp::SaLimits limits;
        base::Bytes key;
    };

    explicit FakeSwitch(std::string path);
    ~FakeSwitch();

    // As a process that is killed: the socket closes; start() again is another
    // instance without SAs.
    void kill();
    void start();

    // Of each InstallSa, before it is answered.
    void on_install(std::function<void(const Sa&)>);

    std::vector<Sa> sas() const;
    std::vector<Sa> sas(esp::SaDirection) const;
    esp::msg::PortStatus port(const std::string& name) const;
    // The networks that the agent has told, and how often; nothing before.
    std::optional<std::vector<base::Vni>> served() const;
    size_t times_served() const;
    size_t agents() const;      // connections so far

    void send(const esp::SaMessage&);

    // Waits until 'holds'; false if it does not within 15 seconds.  'holds' is asked after
    // each message, and now and then, as it may look at other switches too.
    bool await(const std::function<bool()>& holds) const;

private:
    void serve();
    void serve_agent(int fd);
    void handle(int fd, const esp::SaMessage&);
    uint32_t install(const esp::SaConfig&);

    const std::string path_;
    std::thread thread_;
    mutable std::mutex mutex_;
    mutable std::condition_variable changed_;
    // Under mutex_.
    base::UniqueFd listener_;
    int agent_ = -1;
    bool stopping_ = false;
    uint64_t instance_ = 0;
    size_t agents_ = 0;
    std::vector<Sa> sas_;
    std::map<std::string, esp::msg::PortStatus> ports_;
    std::optional<std::vector<base::Vni>> served_;
    size_t times_served_ = 0;
    std::function<void(const Sa&)> on_install_;
};

}  // namespace nvo3::test

#endif
