// SPDX-License-Identifier: Apache-2.0
//
// The client against scripted NVAs: real sessions over loopback, what they say is the test's.
#ifndef TESTS_UNIT_HVAGENT_NVA_CLIENT_FIXTURE_H
#define TESTS_UNIT_HVAGENT_NVA_CLIENT_FIXTURE_H

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <deque>
#include <functional>
#include <list>
#include <utility>

#include "control/endpoint.h"
#include "control/listener.h"
#include "hvagent/nva_client.h"
#include "tests/support/policy_messages.h"
#include "tests/support/test_pki.h"

namespace nvo3::agent::nva_client_rig {

using namespace std::chrono_literals;
using control::Envelope;
using control::Session;
namespace proto = control::proto;

using tests::Leaf;

inline ContextPtr context(const Leaf& leaf, const tests::TestCa& ca, const std::string& crl = "")
{
    auto made = control::TlsContext::from_files(tests::files_of(leaf, ca, crl), control::ControlLevel::standard);
    EXPECT_TRUE(made) << made.error().text;
    return *made;
}

// One process of an NVA: accepts, keeps what it hears, says what it is told to.
class FakeNva final : public control::SessionHandler {
public:
    FakeNva(boost::asio::io_context& io, ContextPtr context, uint64_t instance, uint16_t port = 0) : context_(std::move(context)), instance_(instance)
    {
        auto opened = control::Listener::open(
            io, {.endpoint = {boost::asio::ip::address_v4::loopback(), port}, .handshakes_per_address = {1000, 1000}},
            [this](const base::IpAddress&, const base::IpAddress&) -> base::Result<control::Listener::Accepted> {
                control::SessionOptions options;
                options.local_role = control::Role::nva;
                options.agent_instance = instance_;
                options.linger = 100ms;
                connections++;
                return control::Listener::Accepted{context_, options, this};
            },
            [](const base::IpAddress&, const std::string&) {});
        EXPECT_TRUE(opened) << opened.error().text;
        listener_ = std::move(*opened);
    }
    // As a process that ends.  Sessions in their handshake may speak to this object still.
    void stop()
    {
        listener_.reset();
        for (auto& session : std::exchange(sessions_, {})) {
            session->abandon(proto::CLOSE_SHUTDOWN, "");
        }
        open_ = nullptr;
    }

    Endpoint endpoint() const { return {*base::IpAddress::parse("127.0.0.1"), listener_->local_endpoint().port()}; }
    bool open() const { return open_ != nullptr; }
    void close() { open_->close(proto::CLOSE_SHUTDOWN, "the NVA ends"); }
    uint64_t send(Envelope message) { return *open_->send(std::move(message)); }
    void update(uint32_t vni, uint64_t from, uint64_t version, const std::string& name = "blue")
    {
        Envelope message;
        auto& update = *message.mutable_vn_update();
        update.set_vni(vni);
        update.set_from_version(from);
        update.set_version(version);
        update.set_name(name);
        update.set_encap(proto::ENCAP_GENEVE);
        update.set_cipher(1);
        auto& member = *update.add_members();
        member.set_name("hv1");
        member.add_addresses(std::string("\xc0\x00\x02\x01", 4));
        send(std::move(message));
    }
    void map(uint32_t vni, uint64_t from, int mac, const std::string& nve)
    {
        Envelope message;
        auto& update = *message.mutable_vn_update();
        update.set_vni(vni);
        update.set_from_version(from);
        update.set_version(from + 1);
        update.set_name("blue");
        update.set_encap(proto::ENCAP_GENEVE);
        update.set_cipher(1);
        std::string octets("\x52\x54\0\0\0", 5);
        octets.push_back(static_cast<char>(mac));
        if (nve.empty()) {
            update.add_mappings_gone(octets);
        } else {
            auto& mapping = *update.add_mappings();
            mapping.set_mac(octets);
            mapping.set_nve(nve);
        }
        send(std::move(message));
    }
    void gone(uint32_t vni)
    {
        Envelope message;
        message.mutable_vn_gone()->set_vni(vni);
        send(std::move(message));
    }
    void policy(const std::string& text, uint64_t version)
    {
        for (Envelope& message : tests::policy_messages(text, version)) {
            send(std::move(message));
        }
    }
    void ready()
    {
        Envelope message;
        message.mutable_directory_ready();
        send(std::move(message));
    }
    void answer(const Envelope& to, bool accepted, const std::string& reason = "", uint32_t retry_after_ms = 0)
    {
        Envelope message;
        message.set_in_reply_to(to.request_id());
        message.mutable_mapping_result()->set_accepted(accepted);
        message.mutable_mapping_result()->set_retry_after_ms(retry_after_ms);
        message.mutable_mapping_result()->set_reason(reason);
        send(std::move(message));
    }
    // Announcements, and withdrawals as "-", by the last octet of the MAC; in order.
    std::vector<std::string> announced() const
    {
        std::vector<std::string> list;
        for (const Envelope& message : heard) {
            if (message.has_mapping_announce()) {
                const auto& announce = message.mapping_announce();
                list.push_back((announce.withdraw() ? "-" : "") + std::to_string(announce.vni()) + "/" +
                               std::to_string(static_cast<int>(announce.mac()[5])) + "/" + std::to_string(announce.addresses_size()));
            }
        }
        return list;
    }
    const Envelope& last_announce() const
    {
        return *std::find_if(heard.rbegin(), heard.rend(), [](const Envelope& message) { return message.has_mapping_announce(); });
    }
    const proto::DirectoryRequest& request() const { return heard.front().directory_request(); }

    base::Status admit(Session& session) override
    {
        sessions_.push_back(session.shared_from_this());
        return {};
    }
    void on_open(Session& session) override
    {
        open_ = &session;
        heard.clear();
    }
    bool vn_allowed(Session&, base::Vni, std::optional<base::Encap>) override { return true; }
    void on_message(Session&, const Envelope& message) override { heard.push_back(message); }
    void on_vn_refused(Session&, const Envelope&) override {}
    void on_closed(Session& session, const control::CloseInfo& info) override
    {
        last_close = info;
        if (open_ == &session) {
            open_ = nullptr;
        }
        std::erase_if(sessions_, [&](const auto& one) { return one.get() == &session; });
    }

    std::vector<Envelope> heard;        // in the present session
    size_t connections = 0;
    control::CloseInfo last_close;

private:
    ContextPtr context_;
    uint64_t instance_;
    std::unique_ptr<control::Listener> listener_;
    std::list<std::shared_ptr<Session>> sessions_;
    Session* open_ = nullptr;
};

class NvaClientTest : public testing::Test, public PeerHost, public NvaHandler {
protected:
    NvaClientTest() : audit_log_(std::move(*control::AuditLog::open("", base::system_clock()))), own_(context(hv1_, ca_)) {}
    ~NvaClientTest() override
    {
        client_.reset();
        bury(nva_);
        bury(other_);
        io_.restart();
        io_.run();      // to the end of all sessions
    }

    bool run_until(const std::function<bool()>& done)
    {
        const auto end = std::chrono::steady_clock::now() + 15s;
        while (!done()) {
            if (std::chrono::steady_clock::now() > end) {
                return false;
            }
            io_.restart();
            io_.run_one_for(20ms);
        }
        return true;
    }
    void bury(std::unique_ptr<FakeNva>& nva)
    {
        if (nva) {
            nva->stop();
            dead_.push_back(std::move(nva));
        }
    }
    void make(int number = 1)
    {
        auto& place = number == 1 ? nva_ : other_;
        place = std::make_unique<FakeNva>(io_, context(number == 1 ? nva1_ : nva2_, ca_), 100 + number);
    }
    void configure()
    {
        std::vector<Endpoint> list;
        for (const auto& nva : {&nva_, &other_}) {
            if (*nva) {
                list.push_back((*nva)->endpoint());
            }
        }
        configure(list);
    }
    void configure(const std::vector<Endpoint>& list)
    {
        if (!client_) {
            client_ = std::make_unique<NvaClient>(*this, *this);
        }
        client_->configure(list, tsis_);
    }
    // In session with the first NVA, which has been asked.
    void begin()
    {
        make();
        configure();
        ASSERT_TRUE(run_until([&] { return nva_->open() && !nva_->heard.empty() && client_->is_up(); }));
    }
    Tsi tsi(int mac, std::vector<std::string> addresses = {}, const std::string& vn = "blue")
    {
        Tsi made{"vm" + std::to_string(mac), 1, vn, {{0x52, 0x54, 0, 0, 0, static_cast<uint8_t>(mac)}}, {}};
        for (const auto& address : addresses) {
            made.addresses.push_back(*base::IpAddress::parse(address));
        }
        return made;
    }
    bool audited(const std::string& word) const
    {
        return std::ranges::any_of(audit_log_->recent(), [&](const std::string& line) { return line.find(word) != std::string::npos; });
    }
    const VnView* vn(uint32_t vni) const { return client_->directory().snapshot()->find(base::Vni(vni)); }
    std::string error() const { return client_->view().list.at(0).error; }

    // PeerHost.
    boost::asio::io_context& io() override { return io_; }
    const base::Clock& clock() override { return base::system_clock(); }
    control::AuditLog& audit() override { return *audit_log_; }
    const SessionTiming& timing() override { return timing_; }
    control::SessionOptions session_options() override { return {.agent_instance = 7, .linger = 100ms}; }
    control::SessionHandler& session_handler() override { std::abort(); }      // of peers
    ContextPtr certificate_context() override { return own_; }
    ContextPtr certificate_context(ControlLevel) override { return own_; }
    const std::string& certificate_problem() override { return problem_; }
    void install(const base::IpAddress&, uint64_t, esp::SaConfig) override {}
    void send_to_switch(esp::SaMessage) override {}
    void changed() override {}
    // NvaHandler.
    void on_directory() override { directories_++; }
    void on_policy() override
    {
        policies_.push_back(client_->policy() ? client_->policy()->text : "none");
        complete_at_policy_ = client_->directory().snapshot()->complete;
        known_at_policy_ = client_->directory().snapshot()->vns.size();
    }
    void on_nva_up() override { ups_++; }
    void on_nva_down() override { downs_++; }
    void on_group_key(const proto::GroupKey& key) override
    {
        EXPECT_TRUE(vn(key.vni())) << "the network that was told before is known";
        keys_.push_back(key.epoch());
    }
    void on_group_grant(uint64_t in_reply_to, const proto::GroupGrant&) override { grants_.push_back(in_reply_to); }
    void on_group_renewed(uint64_t in_reply_to, const proto::GroupRenewed& renewed) override
    {
        renewed_.emplace_back(in_reply_to, renewed.epoch());
    }
    void on_nva_status() override {}

    boost::asio::io_context io_;
    tests::TempDir dir_;
    tests::TestCa ca_{dir_, "test CA"};
    Leaf hv1_ = ca_.host("hv1"), nva1_ = ca_.host("nva1", "nva"), nva2_ = ca_.host("nva2", "nva");
    std::unique_ptr<control::AuditLog> audit_log_;
    ContextPtr own_;
    SessionTiming timing_;
    std::string problem_;
    std::unique_ptr<FakeNva> nva_, other_;
    std::list<std::unique_ptr<FakeNva>> dead_;
    std::unique_ptr<NvaClient> client_;
    std::vector<Tsi> tsis_;
    size_t directories_ = 0, ups_ = 0, downs_ = 0;
    std::vector<std::string> policies_;
    bool complete_at_policy_ = false;
    size_t known_at_policy_ = 0;
    std::vector<uint32_t> keys_;
    std::vector<uint64_t> grants_;
    std::vector<std::pair<uint64_t, uint32_t>> renewed_;
};

}  // namespace nvo3::agent::nva_client_rig
#endif
