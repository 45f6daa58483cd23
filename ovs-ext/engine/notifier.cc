// SPDX-License-Identifier: Apache-2.0
//
// See notifier.h.
#include "ovs-ext/engine/notifier.h"

#include <string>

namespace nvo3::engine {
namespace {

constexpr long long kIntervalMs = NoticeFilter::kIntervalMs;
// An outsider must not fill the disk by spoofing many peers.
constexpr int kLogLinesPerSecond = 5;

}  // namespace

void
Notifier::run(NoticeQueue& notices)
{
    const long long now = host_.now_ms();
    notices.begin();
    Notice notice;
    // Threads may post while we read: one ring full is enough for one run.
    for (size_t i = 0; i < NoticeQueue::kCapacity && notices.pop(notice); i++) {
        if (notice.kind == NoticeKind::acquire) {
            acquire(notice, now);
        } else if (notice.kind == NoticeKind::alarm) {
            alarm(notice, now);
        }
    }
    if (now - forgot_ms_ >= kIntervalMs) {
        forgot_ms_ = now;
        forget_old(now);
    }
}

void
Notifier::forget_old(long long now_ms)
{
    std::erase_if(acquires_, [&](const auto& entry) { return now_ms - entry.second >= kIntervalMs; });
}

void
Notifier::acquire(const Notice& notice, long long now_ms)
{
    const Channel channel{notice.remote, notice.encap, notice.vni};
    if (!ports_.serves(channel)) {
        return;         // a flow's VNI that no port may carry
    }
    const auto [it, first] = acquires_.try_emplace(channel, now_ms);
    if (!first && now_ms - it->second < kIntervalMs) {
        return;
    }
    it->second = now_ms;
    agent_.send_event(esp::msg::Acquire{notice.remote, notice.local, notice.encap, notice.vni});
}

void
Notifier::alarm(const Notice& notice, long long now_ms)
{
    const Peer* peer = peers_.at(notice.peer);
    const Lane* lane = peer ? peer->lane(notice.encap) : nullptr;
    const Counters& counters = lane ? lane->counters : global_;
    // The global counters do not tell encapsulations apart.
    const AlarmKey key = lane ? AlarmKey{notice.peer, notice.encap, notice.reason}
                              : AlarmKey{0, base::Encap::geneve, notice.reason};
    const auto [it, first] = alarms_.try_emplace(key);
    Seen& seen = it->second;
    if (!first && now_ms - seen.at_ms < kIntervalMs) {
        return;
    }
    const uint64_t count = counters.value(counter_of(notice.reason));
    const esp::msg::Alarm alarm{notice.reason, notice.remote, notice.vni, notice.vni_seen,
                                notice.spi, count - seen.count};
    seen = Seen{now_ms, count};
    agent_.send_event(alarm);
    log_alarm(alarm, now_ms);
}

void
Notifier::log_alarm(const esp::msg::Alarm& alarm, long long now_ms)
{
    if (now_ms / kIntervalMs != log_second_) {
        log_second_ = now_ms / kIntervalMs;
        logged_ = 0;
    }
    if (++logged_ > kLogLinesPerSecond) {
        return;
    }
    std::string text = "refused " + std::to_string(alarm.count) + " packet(s) from "
                       + alarm.remote.to_string() + ": " + to_string(alarm.reason) + " ("
                       + words(alarm.reason) + ")";
    if (alarm.spi.value) {
        text += ", SPI " + to_string(alarm.spi);
    }
    if (alarm.reason == esp::DropReason::wrong_vni) {
        text += ", VNI " + to_string(alarm.vni_seen) + " under the key of VNI "
                + to_string(alarm.vni_expected);
    }
    host_.log(NVO3_LOG_WARN, text.c_str());
}

}  // namespace nvo3::engine
