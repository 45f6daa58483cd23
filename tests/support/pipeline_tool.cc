// SPDX-License-Identifier: Apache-2.0
//
// The OVS thread of hvagent without the I/O thread: pipeline and tunnel ports of what
// a file says, so that they can be tested against a real switch without an NVA.
//
//     pipeline_tool [OPTIONS OF OVS DAEMONS] [DATABASE]
//     ovs-appctl -t pipeline_tool world FILE      takes what FILE says
//     ovs-appctl -t pipeline_tool vn/flows [json]
//
// FILE: {"nva": true, "complete": true, "own": "hv1", "vns": [{"vni": 5001, "name": "blue", "encap": "geneve", "group": null or [LOCAL, REMOTE],
//        "members": {"hv2": [LOCAL, REMOTE]}, "mappings": [{"mac": "...", "addresses": ["..."], "nve": "hv2"}]}],
//        "policy": "gateway blue ...\n" or not,
//        "remote": [{"name": "hv7/tsi-1", "port": "hv7", "vni": 5001, "mac": "...", "addresses": ["..."]}]}, 'remote' or not
#include <nvo3_config.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>

#include "base/log.h"
#include "daemon/commands.h"
#include "daemon/ovs_daemon.h"
#include "hvagent/ovs_feed.h"
#include "hvagent/ovsdb_adapter.h"
#include "hvagent/pipeline_feed.h"

using namespace nvo3;
using namespace nvo3::agent;

namespace {

base::IpAddress ip(const nlohmann::json& text)
{
    return base::IpAddress::parse(text.get<std::string>()).value();
}

struct Tool {
    PipelineFeed pipeline;
    std::shared_ptr<const NetworkView> networks = std::make_shared<const NetworkView>();
    Database database;
    bool read = false, told = false;
    uint64_t version = 0;

    void configure()
    {
        if (!read || !told) {
            return;
        }
        auto config = std::make_shared<Config>();
        if (networks->has_pipeline) {
            config->nvas.emplace_back();
        }
        if (auto it = database.raw.other_config.find("nvo3-bridge"); it != database.raw.other_config.end()) {
            config->bridge = it->second;
        }
        for (const RawVmPort& port : database.raw.vm_ports) {
            if (auto tsi = parse_tsi(port)) {
                config->tsis.push_back(*tsi);
            }
        }
        for (const RawTunnel& tunnel : database.raw.tunnels) {
            if (auto role = tunnel.options.find("nvo3_role"); role != tunnel.options.end() && role->second == "hypervisor") {
                config->hypervisor_ports[tunnel.name] = tunnel.ofport;
            }
        }
        pipeline.set_networks(networks);
        pipeline.configure(config, database.raw.vm_ports, database.own_tunnels, database.plain_ports);
    }

    void take(const char* file)
    {
        std::ifstream in(file);
        auto json = nlohmann::json::parse(in);
        auto view = std::make_shared<NetworkView>();
        auto directory = std::make_shared<DirectoryView>();
        view->has_pipeline = json.at("nva");
        view->own_name = json.at("own");
        directory->complete = json.at("complete");
        for (const auto& row : json.at("vns")) {
            auto vn = std::make_shared<VnView>();
            vn->vni = base::Vni(row.at("vni").get<uint32_t>());
            vn->name = row.at("name");
            vn->encap = base::parse_encap(row.at("encap").get<std::string>()).value();
            VnReach& reach = view->reach[vn->vni];
            for (const auto& [name, path] : row.at("members").items()) {
                reach.members[name] = {ip(path.at(0)), ip(path.at(1))};
            }
            if (!row.at("group").is_null()) {
                reach.group = MemberPath{ip(row["group"].at(0)), ip(row["group"].at(1))};
            }
            for (const auto& mapping : row.at("mappings")) {
                VnMapping& there = vn->mappings[base::MacAddress::parse(mapping.at("mac").get<std::string>()).value()];
                there.nve = mapping.at("nve");
                for (const auto& address : mapping.at("addresses")) {
                    there.addresses.push_back(ip(address));
                }
            }
            view->encaps.insert(vn->encap);
            directory->vns[vn->vni] = vn;
        }
        for (const auto& row : json.value("remote", nlohmann::json::array())) {
            RemoteTsi& tsi = view->remote_tsis.emplace_back();
            tsi.name = row.at("name");
            tsi.port = row.at("port");
            tsi.vni = base::Vni(row.at("vni").get<uint32_t>());
            tsi.mac = base::MacAddress::parse(row.at("mac").get<std::string>()).value();
            for (const auto& address : row.at("addresses")) {
                tsi.addresses.push_back(ip(address));
            }
        }
        if (json.contains("policy")) {
            view->policy = std::make_shared<const control::PolicyText>(control::PolicyText{json["policy"], ++version});
        }
        view->directory = directory;
        networks = view;
        told = true;
    }

    void run()
    {
        if (ovsdb_adapter_run()) {
            database = read_database();
            read = true;
            configure();
        }
        pipeline.run();
        ovsdb_adapter_wait();
    }
};

}  // namespace

int main(int argc, char* argv[])
{
    ovs_daemon_name(argv[0], PACKAGE_VERSION);
    ovs_daemon_options options;
    ovs_daemon_parse(argc, argv, "db.sock", &options);
    base::set_log_sink(daemon::log_to_ovs);
    ovs_daemon_start();
    ovs_daemon_listen(&options);
    ovsdb_adapter_open(options.database);
    {
        Tool tool;
        ovs_daemon_register("world", "FILE", 1, 1,
                            [](int, const char* arguments[], bool*, void* tool_) {
                                Tool& tool = *static_cast<Tool*>(tool_);
                                tool.take(arguments[1]);
                                tool.configure();
                                ovs_daemon_wake();      // commands come between run() and the wait
                                return strdup("");
                            },
                            &tool);
        ovs_daemon_register("vn/flows", "[json]", 0, 1,
                            [](int count, const char**, bool*, void* tool) {
                                return strdup(static_cast<Tool*>(tool)->pipeline.show(count > 1).c_str());
                            },
                            &tool);
        ovs_daemon_register("policy/show", "[json]", 0, 1,
                            [](int count, const char**, bool*, void* tool) {
                                return strdup(static_cast<Tool*>(tool)->pipeline.show_policy(count > 1).c_str());
                            },
                            &tool);
        ovs_daemon_ready();
        for (tool.run(); !ovs_daemon_run(); tool.run()) {
            ovs_daemon_block();
        }
    }
    ovsdb_adapter_close();
    ovs_daemon_close();
}
