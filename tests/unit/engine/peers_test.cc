// SPDX-License-Identifier: Apache-2.0
//
// Unit tests of ovs-ext/engine/peers.h.
#include "ovs-ext/engine/peers.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

#include "tests/support/fake_host.h"

namespace nvo3::engine {
namespace {

base::IpAddress
address(uint32_t number)
{
    return base::IpAddress::from_bytes(base::Bytes{10, static_cast<uint8_t>(number >> 16),
                                                   static_cast<uint8_t>(number >> 8),
                                                   static_cast<uint8_t>(number)});
}

TEST(Peers, IndexIsStableAndGrowsFromOne)
{
    tests::FakeHost host;
    PeerTable peers(host.host());
    EXPECT_EQ(peers.find(address(1)), nullptr);
    EXPECT_EQ(peers.at(1), nullptr);
    EXPECT_EQ(peers.at(0), nullptr);
    const Peer* first = peers.index_of(address(1));
    EXPECT_EQ(first->index, 1);
    for (uint32_t i = 2; i <= 5000; i++) {
        EXPECT_EQ(peers.index_of(address(i))->index, i);
    }
    EXPECT_EQ(peers.index_of(address(1)), first);
    for (uint32_t i = 1; i <= 5000; i++) {
        ASSERT_EQ(peers.find(address(i)), peers.at(static_cast<uint16_t>(i)));
        ASSERT_EQ(peers.find(address(i))->address, address(i));
    }
    EXPECT_EQ(peers.last_index(), 5000);
}

TEST(Peers, EndsAtTheLastIndex)
{
    tests::FakeHost host;
    PeerTable peers(host.host());
    for (uint32_t i = 1; i <= PeerTable::kMaxIndex; i++) {
        ASSERT_NE(peers.index_of(address(i)), nullptr);
    }
    EXPECT_EQ(peers.index_of(address(70000)), nullptr);
    EXPECT_EQ(peers.serve(address(70000), base::Encap::geneve), nullptr);
    EXPECT_EQ(peers.index_of(address(1))->index, 1);
    EXPECT_EQ(peers.at(65535), nullptr);
}

TEST(Peers, LanesAreMadeOnce)
{
    tests::FakeHost host;
    PeerTable peers(host.host());
    const Peer* peer = peers.index_of(address(1));
    EXPECT_EQ(peer->lane(base::Encap::geneve), nullptr);
    Lane* lane = peers.serve(address(1), base::Encap::geneve);
    EXPECT_EQ(peers.serve(address(1), base::Encap::geneve), lane);
    EXPECT_EQ(peer->lane(base::Encap::geneve), lane);
    EXPECT_EQ(peer->lane(base::Encap::vxlan), nullptr);
    EXPECT_EQ(peer->served_lane(base::Encap::geneve), nullptr);
    lane->served = true;
    EXPECT_EQ(peer->served_lane(base::Encap::geneve), lane);
}

TEST(Peers, ReadersSeeWhatWritersAdd)
{
    tests::FakeHost host;
    PeerTable peers(host.host());
    constexpr uint32_t kPeers = 3000;
    std::atomic<bool> wrong{false};
    std::vector<std::thread> threads;
    for (int t = 0; t < 2; t++) {
        threads.emplace_back([&] {
            for (uint32_t i = 1; i <= kPeers; i++) {
                const Peer* peer = peers.index_of(address(i));
                wrong = wrong || peer->address != address(i) || peers.at(peer->index) != peer;
            }
        });
    }
    threads.emplace_back([&] {
        while (peers.last_index() < kPeers) {
            for (uint32_t i = 1; i <= peers.last_index(); i++) {
                wrong = wrong || peers.at(static_cast<uint16_t>(i)) == nullptr;
            }
        }
    });
    for (std::thread& thread : threads) {
        thread.join();
    }
    EXPECT_FALSE(wrong);
    EXPECT_EQ(peers.last_index(), kPeers);
}

}  // namespace
}  // namespace nvo3::engine
