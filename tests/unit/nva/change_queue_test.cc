// SPDX-License-Identifier: Apache-2.0
//
// Who is next at the store, and who has to wait.
#include "nva/change_queue.h"

#include <gtest/gtest.h>

#include <cerrno>

#include "tests/support/fake_clock.h"
#include "tests/unit/nva/nva_fixture.h"

using namespace nvo3;
using namespace nvo3::tests;
using nva::ChangeQueue;

namespace {

class ChangeQueueTest : public ::testing::Test {
protected:
    ChangeQueue::Entry put(uint64_t owner, uint8_t last, const std::string& nve = "hv")
    {
        return {owner, nva::PutMapping{base::Vni(kRed), nve, mac(last), {}}, [this, owner, last](const base::Status& status) {
                    answers.push_back(std::to_string(owner) + "/" + std::to_string(last) + ":" + std::to_string(status ? 0 : status.error().code));
                }};
    }
    ChangeQueue::Entry epoch(uint32_t vni)
    {
        return {0, nva::StartEpoch{base::Vni(vni), ip("239.1.1.1"), 1, 2, {}, 0, {}}, [](const base::Status&) {}};
    }
    void push(ChangeQueue::Entry entry) { answer(queue.push(std::move(entry))); }
    void put_back(std::vector<ChangeQueue::Entry> entries) { answer(queue.put_back(std::move(entries))); }
    void answer(std::vector<ChangeQueue::Refused> refused)
    {
        for (auto& one : refused) {
            one.done(one.error);
        }
    }
    // "owner/MAC ...", or "epoch"
    static std::string words(const std::vector<ChangeQueue::Entry>& entries)
    {
        std::string text;
        for (const auto& entry : entries) {
            const auto* mapping = std::get_if<nva::PutMapping>(&entry.change);
            text += (text.empty() ? "" : " ") + (mapping ? std::to_string(entry.owner) + "/" + std::to_string(mapping->mac.octets[5]) : std::string("epoch"));
        }
        return text;
    }

    FakeClock clock;
    ChangeQueue queue{clock};
    std::vector<std::string> answers;
};

TEST_F(ChangeQueueTest, WhoFloodsWaitsForItself)
{
    for (uint8_t i = 0; i < 100; i++) {
        push(put(1, i));
    }
    push(put(2, 200));
    push(put(3, 201));
    push(put(3, 202));
    push(epoch(kRed));
    EXPECT_EQ(words(queue.take(6)), "epoch 1/0 2/200 3/201 1/1 3/202") << "the NVA's own first, then each in turn";
    push(put(3, 203));
    push(put(2, 204));
    EXPECT_EQ(words(queue.take(3)), "1/2 2/204 3/203") << "and on from there";
    push(epoch(kRed));
    push(epoch(kBlue));
    EXPECT_EQ(words(queue.take(1)), "epoch");
    EXPECT_EQ(words(queue.take(3)), "epoch 1/3 1/4");
    EXPECT_EQ(queue.waiting(1), 95u);
}

TEST_F(ChangeQueueTest, OneTransactionHasNoRowTwiceAndNobodyIsHeldUpForEver)
{
    push(put(1, 7));
    push(put(2, 7));
    push(put(2, 8));
    push(put(3, 9));
    EXPECT_EQ(words(queue.take(10)), "1/7 3/9");
    push(put(1, 7));
    push(put(3, 7));
    EXPECT_EQ(words(queue.take(10)), "2/7 2/8") << "who was held up is first";
    EXPECT_EQ(words(queue.take(10)), "3/7");
    EXPECT_EQ(words(queue.take(10)), "1/7");
    EXPECT_TRUE(queue.empty());
}

TEST_F(ChangeQueueTest, ALaterChangeOfTheSameTakesThePlace)
{
    push(put(1, 1));
    push(put(1, 2));
    push({1, nva::DropMapping{base::Vni(kRed), "hv", to_string(mac(1))}, [](const base::Status&) {}});
    push(put(2, 2));
    EXPECT_EQ(answers, std::vector<std::string>{"1/1:" + std::to_string(ECANCELED)});
    auto taken = queue.take(1);
    ASSERT_EQ(taken.size(), 1u);
    EXPECT_TRUE(std::holds_alternative<nva::DropMapping>(taken[0].change)) << "where the former stood";
    EXPECT_EQ(queue.waiting(1), 1u);
}

TEST_F(ChangeQueueTest, OfOneNveOnlySoManyWait)
{
    auto number = [](size_t n) { return nva::PutMapping{base::Vni(static_cast<uint32_t>(5000 + n / 256)), "hv", mac(static_cast<uint8_t>(n)), {}}; };
    base::Error error{0, ""};
    auto done = [&](const base::Status& status) { error = status.error(); };
    for (size_t i = 0; i < ChangeQueue::kMaxWaiting; i++) {
        answer(queue.push({1, number(i), done}));
        answer(queue.push({0, number(i), done}));
    }
    EXPECT_EQ(error.code, 0);
    answer(queue.push({1, number(0), done}));
    EXPECT_EQ(error.code, ECANCELED) << "the same again is no more";
    answer(queue.push({1, number(ChangeQueue::kMaxWaiting), done}));
    EXPECT_EQ(error.code, EAGAIN);
    EXPECT_NE(error.text.find("512 changes of this NVE wait"), std::string::npos);
    error = {0, ""};
    answer(queue.push({2, number(0), done}));
    answer(queue.push({0, number(ChangeQueue::kMaxWaiting), done}));
    EXPECT_EQ(error.code, 0) << "others, and the NVA itself";
    EXPECT_EQ(queue.waiting(1), ChangeQueue::kMaxWaiting);
}

TEST_F(ChangeQueueTest, WhatComesBackIsTakenFirstUnlessItIsOutdated)
{
    for (uint8_t i = 1; i <= 4; i++) {
        push(put(1, i));
    }
    push(put(2, 9));
    auto taken = queue.take(4);
    EXPECT_EQ(words(taken), "1/1 2/9 1/2 1/3");
    push(put(1, 2, "newer"));
    queue.cancel(2);
    put_back(std::move(taken));
    EXPECT_EQ(answers, std::vector<std::string>{"1/2:" + std::to_string(ECANCELED)});
    taken = queue.take(10);
    EXPECT_EQ(words(taken), "1/1 1/3 1/4 1/2");
    EXPECT_EQ(std::get<nva::PutMapping>(taken[3].change).nve, "newer");
}

TEST_F(ChangeQueueTest, AfterItsBurstAnNveRestsBetweenTurns)
{
    using std::chrono::milliseconds;
    const auto begin = clock.now();
    EXPECT_FALSE(queue.next());
    for (uint8_t i = 0; i < 100; i++) {
        push(put(1, i));
    }
    EXPECT_EQ(queue.next(), begin);
    EXPECT_EQ(queue.take(256).size(), 64u) << "the burst";
    EXPECT_EQ(queue.next(), begin + milliseconds(80));
    EXPECT_TRUE(queue.take(256).empty());
    push(put(2, 200));
    EXPECT_EQ(queue.next(), begin) << "nobody else waits for that";
    auto taken = queue.take(256);
    EXPECT_EQ(words(taken), "2/200");
    taken[0].tries = 1;
    put_back(std::move(taken));
    EXPECT_EQ(words(queue.take(256)), "2/200");

    clock.advance(milliseconds(79));
    EXPECT_TRUE(queue.take(256).empty());
    clock.advance(milliseconds(1));
    EXPECT_EQ(queue.next(), clock.now());
    taken = queue.take(256);
    EXPECT_EQ(taken.size(), 16u) << "a turn, in one transaction";
    EXPECT_TRUE(queue.take(256).empty());
    for (auto& entry : taken) {
        entry.tries = 1;
    }
    put_back(std::move(taken));
    EXPECT_EQ(queue.next(), clock.now());
    EXPECT_EQ(queue.take(256).size(), 16u) << "what comes back from a transaction has had its turn";
    EXPECT_EQ(queue.waiting(1), 20u);

    clock.advance(std::chrono::seconds(1));
    EXPECT_EQ(queue.take(256).size(), 20u);
    clock.advance(std::chrono::seconds(1));
    push(put(3, 1));
    EXPECT_EQ(queue.take(256).size(), 1u);
    for (uint8_t i = 0; i < 100; i++) {
        push(put(1, i));
    }
    EXPECT_EQ(queue.take(256).size(), 64u) << "who was quiet has its burst again";
}

TEST_F(ChangeQueueTest, CancelForgetsWithoutAnAnswer)
{
    push(put(1, 1));
    push(put(2, 2));
    queue.cancel(1);
    EXPECT_TRUE(answers.empty());
    EXPECT_EQ(words(queue.take(10)), "2/2");
}

}  // namespace
