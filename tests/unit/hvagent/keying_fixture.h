// SPDX-License-Identifier: Apache-2.0
//
// Two Keyings against each other, each with a pretended switch, over a wire that can lose,
// hold and repeat.  Time is a number.
#ifndef TESTS_UNIT_HVAGENT_KEYING_FIXTURE_H
#define TESTS_UNIT_HVAGENT_KEYING_FIXTURE_H

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <random>
#include <set>

#include "hvagent/keying.h"

namespace nvo3::agent::keying_rig {

using namespace std::chrono_literals;

const ChannelId kBlue{base::Encap::geneve, base::Vni(5001)};
const ChannelId kRed{base::Encap::vxlan, base::Vni(7)};

struct Host {
    explicit Host(unsigned seed)
        : random(seed), keying([this](uint8_t* out, size_t size) {
              for (size_t i = 0; i < size; i++) {
                  out[i] = static_cast<uint8_t>(random());
              }
          })
    {
    }

    struct Sa {
        SaDirection direction;
        SaParameters sa;
        SessionId session;
    };

    std::mt19937 random;
    Keying keying;
    std::vector<Sa> installed;              // what lives in its switch
    std::vector<std::string> refused, notes;
    std::vector<SaLimits> limits;
    std::map<base::Spi, SaParameters> sent_first;   // outbound installed before an answer: for the receive-first check
    int switch_error = 0;                   // for the next InstallSa
    bool switch_mute = false;
    uint64_t next_request = 1;
    unsigned offers = 0, requests = 0;
    bool peer_hears = true;                 // messages to the other side arrive

    size_t count(SaDirection direction, const ChannelId& id = kBlue) const
    {
        return static_cast<size_t>(std::ranges::count_if(
            installed, [&](const Sa& sa) { return sa.direction == direction && sa.sa.channel == id; }));
    }
    const SaParameters& only(SaDirection direction, const ChannelId& id = kBlue) const
    {
        auto it = std::ranges::find_if(
            installed, [&](const Sa& sa) { return sa.direction == direction && sa.sa.channel == id; });
        EXPECT_NE(it, installed.end());
        return it->sa;
    }
    std::string error(const ChannelId& id = kBlue) const
    {
        for (const ChannelView& view : keying.view()) {
            if (view.id == id) {
                return view.error.empty() ? view.send_error : view.error;
            }
        }
        return "no such channel";
    }
};

class KeyingTest : public testing::Test {
protected:
    KeyingTest() : a(1), b(2)
    {
        for (Host* host : {&a, &b}) {
            configure(*host, {kBlue});
            host->keying.switch_up({}, now);
        }
    }

    void configure(Host& host, std::set<ChannelId> ids, esp::Cipher cipher = esp::Cipher::aes128gcm, uint32_t window = 1024)
    {
        std::map<ChannelId, ChannelConfig> channels;
        for (const ChannelId& id : ids) {
            channels[id] = ChannelConfig{cipher, window};
        }
        host.keying.configure(channels, policy, now);
    }

    void connect(SessionId session = 1)
    {
        a.keying.session_up(session, now);
        b.keying.session_up(session, now);
        settle();
    }

    Host& other(Host& host) { return &host == &a ? b : a; }

    // Carries out what a host wants; messages wait in wire.
    void act(Host& host)
    {
        for (Action& action : host.keying.take()) {
            std::visit([&](auto& what) { perform(host, what); }, action);
        }
    }

    void perform(Host& host, InstallSa& what)
    {
        host.limits.push_back(what.limits);
        if (host.switch_mute) {
            return;
        }
        int error = std::exchange(host.switch_error, 0);
        if (error == 0) {
            if (what.direction == SaDirection::outbound) {
                // Receive first: whoever holds the other end has it installed by now.
                bool receiver_has = std::ranges::any_of(other(host).installed, [&](const Host::Sa& sa) {
                    return sa.direction == SaDirection::inbound && sa.sa == what.sa && sa.session == what.session;
                });
                EXPECT_TRUE(receiver_has) << "outbound SA before the inbound one";
                std::erase_if(host.installed, [&](const Host::Sa& sa) {
                    return sa.direction == SaDirection::outbound && sa.sa.channel == what.sa.channel;
                });
            }
            host.installed.push_back({what.direction, what.sa, what.session});
        }
        wire.push_back([this, &host, token = what.token, error] { host.keying.installed(token, error, "no room", now); });
    }
    void perform(Host& host, RemoveSa& what)
    {
        std::erase_if(host.installed, [&](const Host::Sa& sa) { return sa.direction == what.direction && sa.sa.spi == what.spi; });
    }
    void perform(Host& host, SendOffer& what)
    {
        uint64_t id = host.next_request++;
        host.offers++;
        host.keying.offer_sent(what.token, id);
        send(host, [this, &host, id, what] { other(host).keying.on_offer(what.session, id, what.sa, true, now); });
    }
    void perform(Host& host, SendAnswer& what)
    {
        send(host, [this, &host, what] { other(host).keying.on_answer(what.session, what.offer, what.accepted, what.reason, now); });
    }
    void perform(Host& host, SendRequest& what)
    {
        host.requests++;
        send(host, [this, &host, what] { other(host).keying.on_request(what.session, what.channel, what.reason, now); });
    }
    void perform(Host& host, SendDelete& what)
    {
        send(host, [this, &host, what] { other(host).keying.on_delete(what.session, what.channel, what.spi, what.reason, now); });
    }
    void perform(Host& host, Refused& what) { host.refused.push_back(what.reason); }
    void perform(Host& host, Note& what) { host.notes.push_back(what.text); }

    void send(Host& from, std::function<void()> deliver)
    {
        if (from.peer_hears) {
            wire.push_back(std::move(deliver));
            if (repeat) {
                wire.push_back(wire.back());
            }
        }
    }

    void settle()
    {
        for (int rounds = 0; rounds < 100000; rounds++) {
            act(a);
            act(b);
            if (wire.empty()) {
                return;
            }
            auto next = std::move(wire.front());
            wire.pop_front();
            next();
        }
        ADD_FAILURE() << "the hosts never come to rest";
    }

    // Lets time pass, from deadline to deadline.
    void run(std::chrono::milliseconds time)
    {
        TimePoint end = now + time;
        settle();
        for (int rounds = 0; rounds < 10000; rounds++) {
            TimePoint next = end;
            for (Host* host : {&a, &b}) {
                if (auto at = host->keying.next_deadline()) {
                    next = std::min(next, *at);
                }
            }
            now = std::max(now, next);
            a.keying.tick(now);
            b.keying.tick(now);
            settle();
            if (now >= end) {
                return;
            }
        }
        ADD_FAILURE() << "deadlines that never pass";
    }

    void expect_up(const ChannelId& id = kBlue)
    {
        EXPECT_EQ(a.count(SaDirection::inbound, id), 1u);
        EXPECT_EQ(b.count(SaDirection::inbound, id), 1u);
        ASSERT_EQ(a.count(SaDirection::outbound, id), 1u);
        ASSERT_EQ(b.count(SaDirection::outbound, id), 1u);
        EXPECT_EQ(a.only(SaDirection::outbound, id), b.only(SaDirection::inbound, id));
        EXPECT_EQ(b.only(SaDirection::outbound, id), a.only(SaDirection::inbound, id));
        EXPECT_EQ(a.error(id), "");
        EXPECT_EQ(b.error(id), "");
    }

    TimePoint now{1000s};
    KeyingPolicy policy;
    std::deque<std::function<void()>> wire;
    bool repeat = false;
    Host a, b;
};

}  // namespace nvo3::agent::keying_rig
#endif
