// SPDX-License-Identifier: Apache-2.0
//
// An emulated NVE: the real session and messages of an agent towards an NVA, no
// switch behind it.  Asks for the directory, follows it, announces mappings,
// registers for groups; may be slow, and may say what it should not.
// Place: tests/support, used by nve_tool.cc.  Threads: the one that runs the io_context.
#ifndef NVO3_TESTS_SUPPORT_NVE_CLIENT_H
#define NVO3_TESTS_SUPPORT_NVE_CLIENT_H

#include <boost/asio/io_context.hpp>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "control/connector.h"
#include "control/session.h"

namespace nvo3::tests {

// What all the NVEs of a process have seen, so that nobody has to ask each.
struct NveTotals {
    size_t open = 0, ready = 0;
    size_t networks = 0, mappings = 0;  // known, over all NVEs
    uint64_t accepted = 0, refused = 0;  // mapping results
    uint64_t updates = 0, violations = 0;
};

class NveClient final : public control::SessionHandler {
public:
    struct Options {
        std::string name;
        std::shared_ptr<const control::TlsContext> context;
        control::Endpoint nva;
        base::IpAddress local;  // an NVA counts handshakes by address
        control::Rate send_rate, receive_rate;
    };
    struct Vn {
        uint64_t version = 0;
        std::string name;
        std::set<std::string> members;
        std::map<std::string, std::string> mappings;  // MAC octets, NVE
    };
    struct Group {
        uint32_t epoch = 0;
        std::map<std::string, uint32_t> senders;  // name, SPI
    };
    using GroupId = std::pair<uint32_t, std::string>;  // VNI, address octets
    // An answer; nullptr: the session ended before.
    using Answered = std::function<void(const control::Envelope*)>;

    // 'totals' must outlive it.
    NveClient(boost::asio::io_context& io, Options options, NveTotals& totals);
    ~NveClient() override;

    // Connects; asks for all, or ('resume') for what has changed since.
    void open(bool resume);
    void close();
    bool is_open() const { return session_ && session_->is_open(); }
    bool ready() const { return ready_; }

    base::Result<uint64_t> send(control::Envelope message, Answered answered = {});
    base::Result<uint64_t> announce(uint32_t vni, const std::string& mac, bool withdraw,
                                    bool migration, Answered answered = {});
    // From now on it reads (and sends) at this pace.
    void set_rates(control::Rate send, control::Rate receive);
    // Called when the queue has room again; for floods.
    void on_room(std::function<void()> room) { room_ = std::move(room); }
    bool writable() const { return session_ && session_->writable(); }

    const Options& options() const { return options_; }
    const std::map<uint32_t, Vn>& networks() const { return vns_; }
    const std::map<GroupId, Group>& groups() const { return groups_; }
    control::Session::Stats stats() const;
    // Why the last session ended, or did not come about.
    const std::optional<control::CloseInfo>& closed() const { return closed_; }

    base::Status admit(control::Session& session) override;
    void on_open(control::Session& session) override;
    bool vn_allowed(control::Session&, base::Vni, std::optional<base::Encap>) override;
    void on_message(control::Session& session, const control::Envelope& message) override;
    void on_vn_refused(control::Session&, const control::Envelope&) override {}
    void on_writable(control::Session&) override;
    void on_closed(control::Session& session, const control::CloseInfo& info) override;

private:
    void take(const control::proto::VnUpdate& update);
    void take(const control::proto::GroupKey& key);
    void adopt(const std::vector<control::proto::VnUpdate>& step);
    void forget(uint32_t vni);
    void ended(control::CloseInfo info);

    const Options options_;
    NveTotals& totals_;
    control::Connector connector_;
    std::shared_ptr<control::Session> session_;
    control::Session::Stats last_stats_;
    std::optional<control::CloseInfo> closed_;
    bool resume_ = false;
    bool was_open_ = false, ready_ = false;
    uint64_t nva_instance_ = 0;
    std::map<uint32_t, Vn> vns_;
    std::set<uint32_t> told_;             // since the session began
    std::vector<control::proto::VnUpdate> step_;  // of which not all parts have come
    std::map<GroupId, Group> groups_;
    std::map<uint64_t, Answered> waiting_;
    std::function<void()> room_;
};

}  // namespace nvo3::tests

#endif
