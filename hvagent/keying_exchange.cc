// SPDX-License-Identifier: Apache-2.0
//
// See keying.h: the exchange with the peer, in both directions.
#include <algorithm>
#include <cassert>
#include <utility>

#include "hvagent/keying.h"
#include "hvagent/keying_rules.h"

namespace nvo3::agent {

// ---- Receiving: our offers ----

void Keying::offer(const ChannelId& id, Channel& channel, TimePoint now)
{
    assert(can_agree());
    drop_offer(channel, true);
    if (offers_under_way_ >= kMaxOffers) {
        channel.offer_at = now;     // tick() comes back to it
        return;
    }
    offers_under_way_++;
    Offer offer;
    offer.token = next_token_++;
    offer.session = session_;
    offer.sa.channel = id;
    offer.sa.spi = new_spi();
    offer.sa.cipher = channel.config.cipher;
    offer.sa.generation = ++channel.generation;
    random_(offer.sa.nonce.data(), offer.sa.nonce.size());
    offer.sa.replay_window = channel.config.replay_window;
    offer.started = now;
    offer.deadline = now + kAnswerTimeout;
    channel.offer_at.reset();
    channel.last_offer = now;
    tokens_.emplace(offer.token, id);
    actions_.push_back(InstallSa{offer.token, session_, SaDirection::inbound, offer.sa, limits_for(SaDirection::inbound, policy_)});
    channel.offer = std::move(offer);
}

// What the peer does makes us offer, but never more than once a second.
void Keying::offer_soon(Channel& channel, TimePoint now)
{
    channel.offer_at = std::max(now, channel.last_offer + kMinGap);
}

// Forgets the pending offer.  'keep_sa': the peer may already send under it, so it stays
// until another one is answered.
void Keying::drop_offer(Channel& channel, bool keep_sa)
{
    if (!channel.offer) {
        return;
    }
    Offer offer = take_offer(channel);
    if (!keep_sa || offer.request_id == 0) {
        // Never offered, so nobody uses it.
        return remove(SaDirection::inbound, offer.sa, "not agreed");
    }
    channel.replaced.push_back({offer.sa, offer.started, std::nullopt});
    bound_replaced(channel);
}

Keying::Offer Keying::take_offer(Channel& channel)
{
    Offer offer = std::move(*channel.offer);
    channel.offer.reset();
    offers_under_way_--;
    tokens_.erase(offer.token);
    offers_.erase({offer.session, offer.request_id});
    return offer;
}

void Keying::drop_accepting(Channel& channel)
{
    for (const auto& [token, accepting] : channel.accepting) {
        tokens_.erase(token);
    }
    channel.accepting.clear();
}

void Keying::bound_replaced(Channel& channel)
{
    while (channel.replaced.size() > kMaxReplaced) {
        remove(SaDirection::inbound, channel.replaced.front().sa, "replaced");
        channel.replaced.erase(channel.replaced.begin());
    }
}

void Keying::offer_failed(const ChannelId& id, Channel& channel, const std::string& why, TimePoint now)
{
    if (channel.error != why) {
        note(id, why);
        channel.error = why;
    }
    channel.offer_at = now + retry_delay(channel.failures++);
}

void Keying::offer_sent(uint64_t token, uint64_t request_id)
{
    auto it = tokens_.find(token);
    if (it == tokens_.end()) {
        return;
    }
    Channel& channel = channels_.at(it->second);
    if (channel.offer && channel.offer->token == token) {
        channel.offer->request_id = request_id;
        offers_[{channel.offer->session, request_id}] = it->second;
    }
}

void Keying::on_answer(SessionId session, uint64_t request_id, bool accepted, const std::string& reason, TimePoint now)
{
    auto it = offers_.find({session, request_id});
    if (it == offers_.end()) {
        return;     // of an offer that we have replaced since
    }
    ChannelId id = it->second;
    Channel& channel = channels_.at(id);
    if (!accepted) {
        drop_offer(channel, false);
        offer_failed(id, channel, "the peer refused: " + reason, now);
        return tick(now);
    }
    bool first = !channel.current;
    if (channel.current) {
        rekeys_++;
        channel.replaced.push_back({channel.current->sa, channel.current->installed, std::nullopt});
    }
    // From here on the peer sends under the new one alone.
    for (Replaced& old : channel.replaced) {
        old.remove_at = std::min(old.remove_at.value_or(now + kGrace), now + kGrace);
    }
    bound_replaced(channel);
    channel.current = Inbound{take_offer(channel).sa, now, rekey_time(now)};
    channel.failures = 0;
    channel.error.clear();
    if (first) {
        note(id, "receiving: inbound SA " + base::to_string(channel.current->sa.spi));
    }
    tick(now);      // one that waits may be offered
}

void Keying::on_request(SessionId session, const ChannelId& id, RequestReason, TimePoint now)
{
    Channel* channel = find(id);
    if (!channel) {
        std::string reason = to_string(id) + " is not served here";
        actions_.push_back(Refused{id, "request: " + reason});
        actions_.push_back(SendDelete{session, id, base::Spi(0), reason});
        return;
    }
    // One that is under way answers this request too.
    if (can_agree() && !channel->offer) {
        offer_soon(*channel, now);
        tick_channel(id, *channel, now);
    }
}

// ---- Sending: the peer's offers ----

void Keying::refuse_offer(SessionId session, uint64_t request_id, const ChannelId& id, const std::string& reason, bool audit)
{
    if (audit) {
        actions_.push_back(Refused{id, "offer: " + reason});
    }
    actions_.push_back(SendAnswer{session, request_id, false, reason});
}

void Keying::on_offer(SessionId session, uint64_t request_id, const SaParameters& sa, bool esn, TimePoint now)
{
    const ChannelId& id = sa.channel;
    Channel* channel = find(id);
    if (!channel) {
        return refuse_offer(session, request_id, id, to_string(id) + " is not served here", true);
    }
    if (!sa.spi.valid() || sa.generation == 0) {
        return refuse_offer(session, request_id, id, "SPI or generation out of range", true);
    }
    if (!esn) {
        return refuse_offer(session, request_id, id, "extended sequence numbers are required", true);
    }
    if (sa.cipher != channel->config.cipher) {
        std::string reason = std::string("cipher mismatch: ") + esp::to_string(channel->config.cipher) + " is configured here, " +
                             esp::to_string(sa.cipher) + " was offered";
        if (channel->send_error != reason) {
            channel->send_error = reason;
            note(id, reason);
        }
        return refuse_offer(session, request_id, id, reason, true);
    }
    if (channel->outbound && channel->outbound->sa == sa) {
        actions_.push_back(SendAnswer{session, request_id, true, ""});
        return;
    }
    if (std::ranges::any_of(channel->accepting, [&](const auto& entry) { return entry.second.sa == sa; })) {
        return;     // it will be answered
    }
    if (sa.generation <= channel->peer_generation) {
        return refuse_offer(session, request_id, id, "a newer SA was offered before", false);
    }
    if (!barred_.empty()) {
        return refuse_offer(session, request_id, id, barred_, true);
    }
    if (!switch_up_) {
        return refuse_offer(session, request_id, id, "the switch is not running here", false);
    }
    if (channel->accepting.size() >= kMaxAccepting) {
        return refuse_offer(session, request_id, id, "too many offers at once", false);
    }
    channel->peer_generation = sa.generation;
    uint64_t token = next_token_++;
    channel->accepting.emplace(token, Accepting{session, request_id, sa});
    tokens_.emplace(token, id);
    actions_.push_back(InstallSa{token, session, SaDirection::outbound, sa, limits_for(SaDirection::outbound, policy_)});
    // Having mended its side, it deserves another try of ours.
    if (channel->offer_at && channel->failures > 0) {
        offer_soon(*channel, now);
    }
}

void Keying::on_delete(SessionId, const ChannelId& id, base::Spi spi, const std::string& reason, TimePoint now)
{
    Channel* channel = find(id);
    if (!channel) {
        return;
    }
    if (spi.value == 0) {
        note(id, "the peer removed its SAs: " + reason);
        remove_sas(*channel, "the peer removed its SAs: " + reason);
        channel->error = "the peer says: " + reason;
        channel->peer_generation = 0;   // it may serve the network again, and count anew
        channel->offer_at = now + kDeclinedRetry;
        channel->request_at.reset();
        channel->failures = std::max(channel->failures, 1u);
    } else if (channel->outbound && channel->outbound->sa.spi == spi) {
        remove(SaDirection::outbound, channel->outbound->sa, "the peer removed it: " + reason);
        channel->outbound.reset();
        channel->request_at = now + kAskAfter;
    }
}

void Keying::request(const ChannelId& id, Channel& channel, RequestReason reason, TimePoint now)
{
    channel.last_request = now;
    channel.request_at = now + retry_delay(++channel.requests + 1);
    actions_.push_back(SendRequest{session_, id, reason});
}

}  // namespace nvo3::agent
