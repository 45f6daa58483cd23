// SPDX-License-Identifier: Apache-2.0
//
// The engine: everything of the switch that is not OVS.  An object, so that
// tests can have several; nvo3_ext.h wraps the one of the process (abi.cc).
// Place: engine, called by the shim through the C ABI.
// Threads: as nvo3_ext.h says: seal(), open() and peer_index() any, all else
// main.
#ifndef NVO3_ENGINE_ENGINE_H
#define NVO3_ENGINE_ENGINE_H

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/result.h"
#include "esp/decap.h"
#include "esp/encap.h"
#include "ovs-ext/api/nvo3_ext.h"
#include "ovs-ext/engine/agent_socket.h"
#include "ovs-ext/engine/counters.h"
#include "ovs-ext/engine/guard.h"
#include "ovs-ext/engine/notices.h"
#include "ovs-ext/engine/notifier.h"
#include "ovs-ext/engine/peers.h"
#include "ovs-ext/engine/ports.h"
#include "ovs-ext/engine/sa_keeper.h"

namespace nvo3::engine {

class Engine final : private AgentSocket::Handler {
public:
    using StatusVisitor = std::function<void(const char* key, const char* value)>;
    using CounterVisitor = std::function<void(const char* key, uint64_t value)>;

    // Fails only if no AEAD library can be had.  'host' must outlive it.
    static base::Result<std::unique_ptr<Engine>> make(const nvo3_host& host);
    // No packet thread may be left.
    ~Engine();

    // ---- Main loop ----

    // Opens the SA socket; run() tries again if it cannot be had.
    base::Status open_socket();
    void run();
    void wait();

    // ---- Ports ----

    base::Status set_port(const std::string& name, const nvo3_port_options& options);
    void remove_port(std::string_view name);
    void set_underlay_mtu(std::string_view name, int mtu);
    void port_status(std::string_view name, const StatusVisitor& visit);
    void port_statistics(std::string_view name, const CounterVisitor& visit);

    // ---- Packets ----

    // 0: none left.
    uint16_t peer_index(const base::IpAddress& remote) noexcept;
    void seal(base::Encap encap, base::ByteView header, nvo3_frame* frames, size_t n) noexcept;
    void open(base::Encap encap, nvo3_frame* frames, size_t n) noexcept;

    // ---- Rule guard ----

    Guard& guard() noexcept { return guard_; }
    bool permits(std::string_view bridge, const nvo3_guard_change& change);

    // ---- ovs-appctl ----

    // Empty: no such port.
    std::string show(const char* port, bool json);
    std::string sa_list(bool json);
    std::string counters(bool json);
    std::string metrics();      // for Prometheus

private:
    struct SealTarget;
    struct PortView;

    Engine(const nvo3_host& host, const esp::AeadLibrary& library, uint64_t instance);

    // engine.cc
    void ports_changed(const PortConfig* former, const PortConfig* now);
    void refresh_lanes();
    void serve_for_nva(const base::IpAddress& remote, base::Encap encap);
    void on_agent_up(uint64_t agent_instance) override;
    void on_agent_down() override;
    void on_agent_message(esp::SaMessage& message) override;
    void handle(esp::msg::InstallSa& message);
    void handle(esp::msg::RemoveSa& message);
    void handle(esp::msg::RemovePeer& message);
    void handle(esp::msg::ListSas& message);
    void handle(esp::msg::PortStatus& message);
    void handle(esp::msg::ServedNetworks& message);
    void answer(uint32_t request, const base::Status& status);
    void mark_all_ports();
    void tell_status();
    void tell_guard();

    // packet.cc
    bool find_target(base::Encap encap, base::ByteView header, nvo3_frame* frames, size_t n,
                     SealTarget& target) noexcept;
    void seal_batch(const SealTarget& target, nvo3_frame* frames, size_t n) noexcept;
    void want_sa(const SealTarget& target, CounterTally& tally) noexcept;
    void open_batch(base::Encap encap, nvo3_frame* frames, size_t n) noexcept;
    Counters& blame(const esp::Frame& frame, base::Encap encap, uint16_t& peer) noexcept;
    void raise_alarm(const esp::Frame& frame, base::Encap encap, uint16_t peer,
                     CounterTally& tally) noexcept;

    // report.cc
    PortView view(const Port& port);

    const nvo3_host& host_;
    const esp::AeadLibrary& library_;

    // Shared with packet threads.
    PeerTable peers_;
    Counters global_;           // refused packets of no peer
    NoticeQueue notices_;
    NoticeFilter filter_;
    Guard guard_;

    // Main thread, except keeper_.sad().
    PortTable ports_;
    SaKeeper keeper_;
    AgentSocket agent_;
    Notifier notifier_;
    // The agent's last word of each port, also of those that it has read of in
    // the database before we did; empty without an agent.
    std::map<std::string, esp::msg::PortStatus, std::less<>> agent_view_;
    std::set<std::string, std::less<>> changed_ports_;  // status to be told
    std::set<base::IpAddress> known_remotes_;           // with lanes
    std::set<std::pair<base::IpAddress, base::Encap>> nva_lanes_;   // served for ports of the NVA
    std::string socket_error_;                          // empty: open
    long long reopen_ms_ = 0;
    bool retell_ = false;       // once the list that goes out is complete
};

}  // namespace nvo3::engine

#endif
