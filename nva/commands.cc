// SPDX-License-Identifier: Apache-2.0
//
// See commands.h.
#include "nva/commands.h"

#include <string>

#include "daemon/commands.h"
#include "nva/show.h"

namespace nvo3::nva {
namespace {

using daemon::Call;
using Reply = base::Result<std::string>;

template <class Render>
std::function<Reply(const Call&)> show(Nva& nva, Render render)
{
    return [&nva, render](const Call& call) -> Reply {
        auto view = nva.view();
        return view ? render(**view, call) : Reply(view.error());
    };
}

Reply reply(const base::Status& status, const Call& call, const char* what)
{
    return status ? Reply(daemon::done(call.json, what)) : status.error();
}

}  // namespace

void register_commands(Nva& nva)
{
    daemon::register_command({"session/show", "[json]", 0, show(nva, [&nva](const ServiceView& view, const Call& call) -> Reply {
                                  return show_sessions(view, nva.store(), call.json);
                              })});
    daemon::register_command({"store/show", "[json]", 0, show(nva, [&nva](const ServiceView& view, const Call& call) -> Reply {
                                  return show_store(view, nva.store(), call.json);
                              })});
    daemon::register_command({"vn/show", "[VN] [json]", 1, show(nva, [](const ServiceView& view, const Call& call) {
                                  return show_vns(view, call.arguments.empty() ? "" : call.arguments[0], call.json);
                              })});
    daemon::register_command({"group/show", "[json]", 0, show(nva, [](const ServiceView& view, const Call& call) -> Reply {
                                  return show_groups(view, call.json);
                              })});
    daemon::register_command({"metrics/show", "", 0, show(nva, [&nva](const ServiceView& view, const Call&) -> Reply {
                                  return show_metrics(view, nva.store(), nva.audit().counts());
                              })});
    daemon::register_command(
        {"audit/show", "[json]", 0, [&nva](const Call& call) -> Reply { return control::show_audit(nva.audit().recent(), call.json); }});
    daemon::register_command({"reload", "[json]", 0, [&nva](const Call& call) { return reply(nva.reload(), call, "reloaded"); }});
}

}  // namespace nvo3::nva
