// SPDX-License-Identifier: Apache-2.0
//
// See keying.h: configuration, switch, session, removal, time.  The exchange with
// the peer is in keying_exchange.cc.
#include "hvagent/keying.h"

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <utility>

#include "hvagent/keying_rules.h"

namespace nvo3::agent {

// GCM and GMAC: well under 2^39 octets a key the forgery and distinguishing bounds stay
// negligible, and the IV, a 64-bit counter, is far from its end.  ChaCha20-Poly1305 would
// bear more; one rule is simpler.
SaLimits limits_for(SaDirection direction, const KeyingPolicy& policy)
{
    SaLimits limits;
    limits.soft_packets = uint64_t{1} << 31;
    limits.hard_packets = uint64_t{1} << 32;
    limits.soft_bytes = uint64_t{1} << 38;
    limits.hard_bytes = uint64_t{1} << 39;
    if (policy.rekey_bytes != 0 && policy.rekey_bytes < limits.soft_bytes) {
        limits.soft_bytes = policy.rekey_bytes;
        // Room for what is sent while the peers agree on the next one.
        limits.hard_bytes = std::min(limits.hard_bytes, 4 * policy.rekey_bytes + (uint64_t{1} << 30));
    }
    // Traffic outlives an absent agent or peer, but not for ever.
    auto life = static_cast<uint32_t>(policy.rekey_after.count());
    limits.hard_seconds = life + std::max<uint32_t>(life, 3600);
    if (direction == SaDirection::inbound) {
        limits.soft_packets = limits.soft_bytes = 0;
    }
    return limits;
}

std::vector<Action> Keying::take()
{
    return std::exchange(actions_, {});
}

Keying::Channel* Keying::find(const ChannelId& id)
{
    auto it = channels_.find(id);
    return it == channels_.end() ? nullptr : &it->second;
}

void Keying::note(const ChannelId& id, std::string text)
{
    actions_.push_back(Note{id, std::move(text)});
}

base::Spi Keying::new_spi()
{
    while (true) {
        uint8_t octets[4];
        random_(octets, sizeof octets);
        base::Spi spi(uint32_t{octets[0]} << 24 | uint32_t{octets[1]} << 16 | uint32_t{octets[2]} << 8 | octets[3]);
        // The upper half is for senders of groups.
        if (spi.valid() && !spi.of_group()) {
            return spi;
        }
    }
}

// Up to a tenth earlier, so that hosts started together do not rekey together.
TimePoint Keying::rekey_time(TimePoint from)
{
    uint8_t octets[2];
    random_(octets, sizeof octets);
    auto life = std::chrono::milliseconds(policy_.rekey_after);
    return from + life - life * (octets[0] << 8 | octets[1]) / (10 * 65536);
}

// ---- Configuration ----

void Keying::configure(const std::map<ChannelId, ChannelConfig>& wanted, const KeyingPolicy& policy, TimePoint now)
{
    bool earlier = policy.rekey_after != policy_.rekey_after;
    policy_ = policy;
    for (auto it = channels_.begin(); it != channels_.end();) {
        if (wanted.contains(it->first)) {
            ++it;
            continue;
        }
        remove_sas(it->second, "no longer configured here");
        tell_delete(it->first, "VNI no longer served here");
        it = channels_.erase(it);
    }
    for (const auto& [id, config] : wanted) {
        auto [it, is_new] = channels_.try_emplace(id);
        Channel& channel = it->second;
        if (is_new) {
            channel.config = config;
            start(id, channel, now);
        } else if (channel.config.cipher != config.cipher) {
            channel.config = config;
            remove_sas(channel, "cipher changed by configuration");
            tell_delete(id, "cipher changed by configuration");
            start(id, channel, now);
        } else if (channel.config.replay_window != config.replay_window) {
            channel.config = config;
            start(id, channel, now);
        } else if (earlier && channel.current) {
            channel.current->rekey_at = rekey_time(channel.current->installed);
        }
    }
}

// Agrees on both directions from now on, if that is possible at all.
void Keying::start(const ChannelId& id, Channel& channel, TimePoint now)
{
    channel.failures = 0;
    channel.requests = 0;
    if (!can_agree()) {
        return;
    }
    offer(id, channel, now);
    if (!channel.outbound) {
        channel.request_at = now + kAskAfter;
    }
}

// ---- The switch ----

void Keying::switch_up(const std::vector<LiveSa>& live, TimePoint now)
{
    switch_up_ = true;
    for (auto& [id, channel] : channels_) {
        assert(!channel.offer && channel.accepting.empty());
        channel.replaced.clear();
        channel.current.reset();
        channel.outbound.reset();
    }
    for (const LiveSa& sa : live) {
        adopt(sa, now);
    }
    for (auto& [id, channel] : channels_) {
        start(id, channel, now);
        // The peer cannot know that our outbound SA is gone: ask at once.
        if (can_agree() && !channel.outbound) {
            request(id, channel, RequestReason::lost, now);
        }
    }
}

void Keying::adopt(const std::vector<LiveSa>& live, TimePoint now)
{
    for (const LiveSa& sa : live) {
        adopt(sa, now);
    }
}

void Keying::adopt(const LiveSa& sa, TimePoint now)
{
    SaParameters parameters{sa.channel, sa.spi, sa.cipher, sa.generation, {}, 0};
    Channel* channel = find(sa.channel);
    std::string unwanted = !channel ? "not configured" : channel->config.cipher != sa.cipher ? "cipher differs from the configuration" : barred_;
    if (!unwanted.empty()) {
        remove(sa.direction, parameters, unwanted);
        return;
    }
    TimePoint installed = now - sa.age;
    if (sa.direction == SaDirection::outbound) {
        if (!channel->outbound) {
            channel->outbound = Outbound{parameters, installed};
        }
    } else if (!channel->current || channel->current->sa.generation < sa.generation) {
        if (channel->current) {
            channel->replaced.push_back({channel->current->sa, channel->current->installed, std::nullopt});
        }
        channel->current = Inbound{parameters, installed, rekey_time(installed)};
    } else {
        channel->replaced.push_back({parameters, installed, std::nullopt});
    }
    if (sa.direction == SaDirection::inbound) {
        channel->generation = std::max(channel->generation, sa.generation);
    }
}

// The SAs live on in the switch, or are gone with it: the next switch_up() tells.
void Keying::switch_down()
{
    switch_up_ = false;
    for (auto& [id, channel] : channels_) {
        drop_offer(channel, true);
        drop_accepting(channel);
        channel.offer_at.reset();
        channel.request_at.reset();
    }
}

void Keying::installed(uint64_t token, int error, const std::string& text, TimePoint now)
{
    auto it = tokens_.find(token);
    if (it == tokens_.end()) {
        return;     // the channel or the offer went meanwhile, and its SA with it
    }
    ChannelId id = it->second;
    Channel& channel = channels_.at(id);
    if (channel.offer && channel.offer->token == token) {
        inbound_installed(id, channel, error, text, now);
        tick(now);
    } else {
        outbound_installed(id, channel, token, error, text, now);
    }
}

void Keying::inbound_installed(const ChannelId& id, Channel& channel, int error, const std::string& text, TimePoint now)
{
    // No RemoveSa on failure: of an SPI that was taken it would hit another SA.
    if (error == EEXIST) {
        take_offer(channel);
        return offer(id, channel, now);
    }
    if (error != 0) {
        take_offer(channel);
        return offer_failed(id, channel, "the switch did not install an inbound SA: " + text, now);
    }
    channel.offer->deadline = now + kAnswerTimeout;
    actions_.push_back(SendOffer{channel.offer->session, channel.offer->token, channel.offer->sa});
}

void Keying::outbound_installed(const ChannelId& id, Channel& channel, uint64_t token, int error, const std::string& text, TimePoint now)
{
    Accepting done = channel.accepting.extract(token).mapped();
    tokens_.erase(token);
    if (error != 0) {
        refuse_offer(done.session, done.request_id, id, "the switch did not install the SA: " + text, false);
        channel.send_error = "the switch did not install an outbound SA: " + text;
        return;
    }
    channel.send_error.clear();
    bool first = !channel.outbound;
    channel.outbound = Outbound{done.sa, now};
    channel.request_at.reset();
    channel.requests = 0;
    actions_.push_back(SendAnswer{done.session, done.request_id, true, ""});
    if (first) {
        note(id, "sending: outbound SA " + base::to_string(done.sa.spi));
    }
    if (channel.current || channel.offer) {
        return;
    }
    // A peer that declined before has come round.
    channel.failures = 0;
    if (can_agree()) {
        offer_soon(channel, now);
    }
}

void Keying::acquire(const ChannelId& id, TimePoint now)
{
    Channel* channel = find(id);
    if (!channel) {
        return;
    }
    // The switch knows better than we whether it has an SA.
    channel->outbound.reset();
    if (can_agree() && channel->accepting.empty() && now - channel->last_request >= kMinGap) {
        request(id, *channel, RequestReason::acquire, now);
    }
}

void Keying::expiring(SaDirection direction, const ChannelId& id, base::Spi spi, bool hard, TimePoint now)
{
    Channel* channel = find(id);
    if (!channel) {
        return;
    }
    if (direction == SaDirection::outbound) {
        if (!channel->outbound || channel->outbound->sa.spi != spi) {
            return;
        }
        if (hard) {
            channel->outbound.reset();
        }
        if (can_agree()) {
            request(id, *channel, hard ? RequestReason::lost : RequestReason::rekey, now);
        }
        return;
    }
    if (hard) {
        std::erase_if(channel->replaced, [&](const Replaced& old) { return old.sa.spi == spi; });
        if (channel->current && channel->current->sa.spi == spi) {
            channel->current.reset();
        }
    }
    bool concerns = !channel->current || channel->current->sa.spi == spi;
    if (concerns && can_agree() && !channel->offer) {
        offer(id, *channel, now);
    }
}

// ---- The session ----

void Keying::session_up(SessionId session, TimePoint now)
{
    session_ = session;
    barred_.clear();
    for (auto& [id, channel] : channels_) {
        // Counted in a session: the peer may have begun anew without a restart.
        channel.peer_generation = 0;
        // Its answer may be lost with the old session; the peer may be using it.
        drop_offer(channel, true);
        channel.error.clear();
        channel.send_error.clear();
        start(id, channel, now);
    }
}

// What was agreed under the crossing session is as good; only what is missing is offered.
void Keying::session_moved(SessionId session, TimePoint now)
{
    session_ = session;
    barred_.clear();
    for (auto& [id, channel] : channels_) {
        if (!channel.current && !channel.offer) {
            start(id, channel, now);
        }
    }
}

void Keying::session_down(SessionId session, TimePoint now)
{
    for (auto& [id, channel] : channels_) {
        if (channel.offer && channel.offer->session == session) {
            drop_offer(channel, true);
            if (session != session_) {
                offer_soon(channel, now);
            }
        }
    }
    if (session != session_) {
        return;
    }
    session_ = 0;
    for (auto& [id, channel] : channels_) {
        channel.offer_at.reset();
        channel.request_at.reset();
    }
}

// ---- Removal ----

void Keying::remove(SaDirection direction, const SaParameters& sa, const std::string& reason)
{
    if (switch_up_) {
        actions_.push_back(RemoveSa{direction, sa.spi, sa.channel, reason});
    }
}

void Keying::remove_sas(Channel& channel, const std::string& reason)
{
    drop_offer(channel, false);
    for (const Replaced& old : channel.replaced) {
        remove(SaDirection::inbound, old.sa, reason);
    }
    if (channel.current) {
        remove(SaDirection::inbound, channel.current->sa, reason);
    }
    for (const auto& [token, accepting] : channel.accepting) {
        remove(SaDirection::outbound, accepting.sa, reason);
    }
    if (channel.outbound) {
        remove(SaDirection::outbound, channel.outbound->sa, reason);
    }
    channel.replaced.clear();
    channel.current.reset();
    drop_accepting(channel);
    channel.outbound.reset();
    channel.offer_at.reset();
    channel.request_at.reset();
}

void Keying::tell_delete(const ChannelId& id, const std::string& reason)
{
    if (session_ != 0) {
        actions_.push_back(SendDelete{session_, id, base::Spi(0), reason});
    }
}

void Keying::remove_all(const std::string& reason)
{
    for (auto& [id, channel] : channels_) {
        remove_sas(channel, reason);
        tell_delete(id, reason);
        channel.error = reason;
    }
    session_ = 0;
    barred_ = reason;
}

void Keying::rekey(TimePoint now)
{
    if (!can_agree()) {
        return;
    }
    for (auto& [id, channel] : channels_) {
        offer(id, channel, now);
        request(id, channel, RequestReason::rekey, now);
    }
}

// ---- Time ----

void Keying::tick(TimePoint now)
{
    for (auto& [id, channel] : channels_) {
        tick_channel(id, channel, now);
    }
}

void Keying::tick_channel(const ChannelId& id, Channel& channel, TimePoint now)
{
    std::erase_if(channel.replaced, [&](const Replaced& old) {
        bool due = old.remove_at && *old.remove_at <= now;
        if (due) {
            remove(SaDirection::inbound, old.sa, "replaced");
        }
        return due;
    });
    if (!can_agree()) {
        return;
    }
    if (channel.offer && channel.offer->deadline <= now) {
        const char* silent = channel.offer->request_id == 0 ? "the switch did not confirm an inbound SA" : "the peer did not answer an offer";
        drop_offer(channel, true);
        offer_failed(id, channel, silent, now);
    }
    bool rekey = channel.current && channel.current->rekey_at <= now && !channel.offer_at;
    bool retry = channel.offer_at && *channel.offer_at <= now;
    if (!channel.offer && (rekey || retry)) {
        offer(id, channel, now);
    }
    if (channel.request_at && *channel.request_at <= now) {
        request(id, channel, channel.outbound ? RequestReason::rekey : RequestReason::lost, now);
    }
}

std::optional<TimePoint> Keying::next_deadline() const
{
    std::optional<TimePoint> next;
    auto add = [&](std::optional<TimePoint> at) {
        if (at && (!next || *at < *next)) {
            next = at;
        }
    };
    for (const auto& [id, channel] : channels_) {
        for (const Replaced& old : channel.replaced) {
            add(old.remove_at);
        }
        if (!can_agree()) {
            continue;
        }
        if (channel.offer) {
            add(channel.offer->deadline);
        } else if (offers_under_way_ < kMaxOffers) {
            add(channel.offer_at);
            if (channel.current && !channel.offer_at) {
                add(channel.current->rekey_at);
            }
        }
        add(channel.request_at);
    }
    return next;
}

std::optional<ChannelHealth> Keying::health(const ChannelId& id) const
{
    auto it = channels_.find(id);
    if (it == channels_.end()) {
        return {};
    }
    const Channel& channel = it->second;
    return ChannelHealth{channel.current.has_value() && channel.outbound.has_value(), &channel.error, &channel.send_error};
}

size_t Keying::sa_count() const
{
    size_t count = 0;
    for (const auto& [id, channel] : channels_) {
        count += channel.replaced.size() + channel.current.has_value() + channel.offer.has_value() + channel.outbound.has_value();
    }
    return count;
}

std::vector<ChannelView> Keying::view() const
{
    std::vector<ChannelView> views;
    for (const auto& [id, channel] : channels_) {
        ChannelView view;
        view.id = id;
        view.config = channel.config;
        view.has_inbound = channel.current.has_value();
        view.has_outbound = channel.outbound.has_value();
        view.error = channel.error;
        view.send_error = channel.send_error;
        for (const Replaced& old : channel.replaced) {
            view.sas.push_back({SaDirection::inbound, old.sa, old.installed, "replaced"});
        }
        if (channel.current) {
            view.sas.push_back({SaDirection::inbound, channel.current->sa, channel.current->installed, "current"});
        }
        if (channel.offer) {
            view.sas.push_back({SaDirection::inbound, channel.offer->sa, channel.offer->started, "offered"});
        }
        view.inbound_count = view.sas.size();
        if (channel.outbound) {
            view.sas.push_back({SaDirection::outbound, channel.outbound->sa, channel.outbound->installed, "current"});
        }
        views.push_back(std::move(view));
    }
    return views;
}

}  // namespace nvo3::agent
