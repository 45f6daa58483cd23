// SPDX-License-Identifier: Apache-2.0
//
// See nve_client.h.
#include "nve_client.h"

#include <utility>

namespace nvo3::tests {

using control::CloseInfo;
using control::Envelope;
using control::Session;

NveClient::NveClient(boost::asio::io_context& io, Options options, NveTotals& totals)
    : options_(std::move(options)),
      totals_(totals),
      connector_(
          io, {.remote = options_.nva, .local = options_.local},
          [this](boost::asio::ip::tcp::socket socket) {
              connector_.stop();
              control::SessionOptions settings;
              settings.agent_instance = 1;
              settings.send_rate = options_.send_rate;
              settings.receive_rate = options_.receive_rate;
              session_ = Session::start(std::move(socket), Session::Side::initiator,
                                        options_.context, settings, *this);
          },
          [this](const std::string& reason) {
              connector_.stop();
              ended({CloseInfo::Kind::lost, control::proto::CLOSE_UNSPECIFIED, reason});
          })
{
}

NveClient::~NveClient()
{
    if (session_) {
        session_->abandon(control::proto::CLOSE_SHUTDOWN, "the test ends");
    }
}

void
NveClient::open(bool resume)
{
    resume_ = resume;
    closed_.reset();
    if (!resume) {
        nva_instance_ = 0;
        while (!vns_.empty()) {
            forget(vns_.begin()->first);
        }
    }
    connector_.start();
}

void
NveClient::close()
{
    if (session_) {
        session_->close(control::proto::CLOSE_SHUTDOWN, "the test ends the session");
    }
}

void
NveClient::set_rates(control::Rate send, control::Rate receive)
{
    if (session_) {
        session_->set_rates(send, receive);
    }
}

Session::Stats
NveClient::stats() const
{
    return session_ ? session_->stats() : last_stats_;
}

// ---- sending -----------------------------------------------------------------

base::Result<uint64_t>
NveClient::send(Envelope message, Answered answered)
{
    if (!session_) {
        return base::Error{ENOTCONN, "no session"};
    }
    auto id = session_->send(std::move(message));
    if (id.ok() && answered) {
        waiting_[*id] = std::move(answered);
    }
    return id;
}

base::Result<uint64_t>
NveClient::announce(uint32_t vni, const std::string& mac, bool withdraw, bool migration,
                    Answered answered)
{
    Envelope message;
    auto& announce = *message.mutable_mapping_announce();
    announce.set_vni(vni);
    announce.set_mac(mac);
    // 10.x.y.z of the MAC's last octets.
    announce.add_addresses("\x0a" + mac.substr(3));
    announce.set_withdraw(withdraw);
    announce.set_migration(migration);
    return send(std::move(message), std::move(answered));
}

// ---- the session -------------------------------------------------------------

base::Status
NveClient::admit(Session& session)
{
    return session.peer().role == control::Role::nva
               ? base::Status{}
               : base::Error{EACCES, "the other end is no NVA"};
}

void
NveClient::on_open(Session& session)
{
    totals_.open++;
    was_open_ = true;
    Envelope message;
    auto& request = *message.mutable_directory_request();
    told_.clear();
    if (resume_ && nva_instance_ != 0) {
        request.set_nva_instance(nva_instance_);
        for (const auto& [vni, vn] : vns_) {
            auto& known = *request.add_known();
            known.set_vni(vni);
            known.set_version(vn.version);
        }
        if (nva_instance_ == session.peer_hello().agent_instance()) {
            for (const auto& [vni, vn] : vns_) {
                told_.insert(vni);
            }
        }
    }
    nva_instance_ = session.peer_hello().agent_instance();
    (void) session.send(std::move(message));
}

bool
NveClient::vn_allowed(Session&, base::Vni, std::optional<base::Encap>)
{
    return true;
}

void
NveClient::on_message(Session&, const Envelope& message)
{
    switch (message.body_case()) {
    case Envelope::kVnUpdate: take(message.vn_update()); break;
    case Envelope::kVnGone: forget(message.vn_gone().vni()); break;
    case Envelope::kDirectoryReady:
        totals_.ready += !ready_;
        ready_ = true;
        for (auto it = vns_.begin(); it != vns_.end();) {
            const uint32_t vni = (it++)->first;
            if (!told_.contains(vni)) {
                forget(vni);
            }
        }
        break;
    case Envelope::kMappingResult:
        (message.mapping_result().accepted() ? totals_.accepted : totals_.refused)++;
        break;
    case Envelope::kGroupKey: take(message.group_key()); break;
    default: break;
    }
    if (auto waiting = waiting_.extract(message.in_reply_to())) {
        waiting.mapped()(&message);
    }
}

void
NveClient::on_writable(Session&)
{
    if (room_) {
        room_();
    }
}

void
NveClient::on_closed(Session& session, const CloseInfo& info)
{
    // Of an earlier session nothing is wanted.
    if (&session == session_.get()) {
        last_stats_ = session.stats();
        session_.reset();
        ended(info);
    }
}

void
NveClient::ended(CloseInfo info)
{
    totals_.open -= std::exchange(was_open_, false);
    totals_.ready -= std::exchange(ready_, false);
    step_.clear();
    groups_.clear();
    closed_ = std::move(info);
    for (auto& [id, answered] : std::exchange(waiting_, {})) {
        answered(nullptr);
    }
}

// ---- the directory -----------------------------------------------------------

void
NveClient::forget(uint32_t vni)
{
    if (auto old = vns_.extract(vni)) {
        totals_.networks--;
        totals_.mappings -= old.mapped().mappings.size();
    }
}

void
NveClient::take(const control::proto::VnUpdate& update)
{
    totals_.updates++;
    if (!step_.empty() && step_.front().vni() != update.vni()) {
        totals_.violations++;
    }
    step_.push_back(update);
    if (!update.more()) {
        adopt(std::exchange(step_, {}));
    }
}

// A step as a whole.
void
NveClient::adopt(const std::vector<control::proto::VnUpdate>& step)
{
    const uint32_t vni = step.front().vni();
    const uint64_t from = step.front().from_version();
    const auto known = vns_.find(vni);
    if (from == 0) {
        forget(vni);
    } else if (known == vns_.end() || known->second.version != from) {
        totals_.violations++;
        return;
    }
    totals_.networks += !vns_.contains(vni);
    told_.insert(vni);
    Vn& vn = vns_[vni];
    const size_t before = vn.mappings.size();
    for (const auto& update : step) {
        if (!update.name().empty()) {
            vn.name = update.name();
        }
        for (const auto& member : update.members()) {
            vn.members.insert(member.name());
        }
        for (const std::string& name : update.members_gone()) {
            vn.members.erase(name);
        }
        for (const auto& mapping : update.mappings()) {
            vn.mappings[mapping.mac()] = mapping.nve();
        }
        for (const std::string& mac : update.mappings_gone()) {
            vn.mappings.erase(mac);
        }
    }
    vn.version = step.front().version();
    totals_.mappings += vn.mappings.size() - before;
}

void
NveClient::take(const control::proto::GroupKey& key)
{
    Group& group = groups_[{key.vni(), key.group()}];
    if (key.epoch() < group.epoch) {
        totals_.violations++;
    }
    group.epoch = key.epoch();
    group.senders.clear();
    for (const auto& sender : key.senders()) {
        group.senders[sender.name()] = sender.spi();
    }
}

}  // namespace nvo3::tests
