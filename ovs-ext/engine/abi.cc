// SPDX-License-Identifier: Apache-2.0
//
// nvo3_ext.h and nvo3_guard.h: the C ABI around the one Engine of the process.  No exception
// crosses it: what control functions throw (memory) ends in ENOMEM or nothing.
// Threads: as nvo3_ext.h says.
#include "ovs-ext/api/nvo3_ext.h"

#include <cstdlib>
#include <cstring>
#include <exception>
#include <memory>
#include <string>

#include "ovs-ext/engine/engine.h"

namespace {

using nvo3::base::ByteView;
using nvo3::base::Encap;
using nvo3::base::Status;
using nvo3::engine::Engine;

// Made before and destroyed after any packet thread.
std::unique_ptr<Engine> engine;

int
give(const Status& status, char** errp)
{
    if (status) {
        return 0;
    }
    if (errp) {
        *errp = strdup(status.error().text.c_str());
    }
    return status.error().code > 0 ? status.error().code : EINVAL;
}

// Calls 'what', which must not throw beyond this.
template <class F, class T>
T
guarded(F&& what, T on_exception) noexcept
{
    try {
        return what();
    } catch (const std::exception&) {
        return on_exception;
    }
}

char*
copy_text(const std::string& text)
{
    return text.empty() ? nullptr : strdup(text.c_str());
}

// Fail closed where there is no engine.
bool
refuse_without_engine(nvo3_frame* frames, size_t n) noexcept
{
    if (engine) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        frames[i].refused = true;
    }
    return true;
}

}  // namespace

extern "C" {

int
nvo3_ext_init(const nvo3_host* host, char** errp)
{
    *errp = nullptr;
    return guarded([&] {
        auto made = Engine::make(*host);
        if (!made) {
            return give(made.error(), errp);
        }
        engine = std::move(*made);
        // The switch runs on without it; run() tries again.
        if (Status status = engine->open_socket(); !status) {
            host->log(NVO3_LOG_ERR, status.error().text.c_str());
        }
        return 0;
    }, ENOMEM);
}

void
nvo3_ext_run(void)
{
    if (engine) {
        guarded([] { engine->run(); return 0; }, 0);
    }
}

void
nvo3_ext_wait(void)
{
    if (engine) {
        guarded([] { engine->wait(); return 0; }, 0);
    }
}

void
nvo3_ext_exit(void)
{
    engine.reset();
}

int
nvo3_port_set(const char* name, const nvo3_port_options* options, char** errp)
{
    *errp = nullptr;
    if (!engine) {
        return give(nvo3::base::Error{ENODEV, std::string("port ") + name + ": the engine of "
                                              "protected tunnels is not running; see the log"},
                    errp);
    }
    return guarded([&] { return give(engine->set_port(name, *options), errp); }, ENOMEM);
}

void
nvo3_port_remove(const char* name)
{
    if (engine) {
        guarded([&] { engine->remove_port(name); return 0; }, 0);
    }
}

void
nvo3_port_set_underlay_mtu(const char* name, int mtu)
{
    if (engine) {
        guarded([&] { engine->set_underlay_mtu(name, mtu); return 0; }, 0);
    }
}

uint16_t
nvo3_peer_index(const in6_addr* remote)
{
    return engine ? engine->peer_index(nvo3::base::IpAddress(*remote)) : 0;
}

void
nvo3_port_status(const char* name, void (*cb)(const char*, const char*, void*), void* aux)
{
    if (engine) {
        guarded([&] {
            engine->port_status(name, [&](const char* key, const char* value) { cb(key, value, aux); });
            return 0;
        }, 0);
    }
}

void
nvo3_port_statistics(const char* name, void (*cb)(const char*, uint64_t, void*), void* aux)
{
    if (engine) {
        guarded([&] {
            engine->port_statistics(name, [&](const char* key, uint64_t value) { cb(key, value, aux); });
            return 0;
        }, 0);
    }
}

void
nvo3_seal(nvo3_encap encap, const uint8_t* header, size_t header_size, nvo3_frame* frames, size_t n)
{
    if (!refuse_without_engine(frames, n)) {
        engine->seal(static_cast<Encap>(encap), ByteView(header, header_size), frames, n);
    }
}

void
nvo3_open(nvo3_encap encap, nvo3_frame* frames, size_t n)
{
    if (!refuse_without_engine(frames, n)) {
        engine->open(static_cast<Encap>(encap), frames, n);
    }
}

char*
nvo3_show(const char* port, bool json)
{
    return engine ? guarded([&] { return copy_text(engine->show(port, json)); }, static_cast<char*>(nullptr))
                  : nullptr;
}

char*
nvo3_sa_list(bool json)
{
    return engine ? guarded([&] { return copy_text(engine->sa_list(json)); }, static_cast<char*>(nullptr))
                  : nullptr;
}

char*
nvo3_counters(bool json)
{
    return engine ? guarded([&] { return copy_text(engine->counters(json)); }, static_cast<char*>(nullptr))
                  : nullptr;
}

char*
nvo3_metrics(void)
{
    return engine ? guarded([&] { return copy_text(engine->metrics()); }, static_cast<char*>(nullptr))
                  : nullptr;
}

int
nvo3_guard_set_bridge(const char* bridge, const char* mode, bool pipeline, char** errp)
{
    *errp = nullptr;
    return engine ? guarded([&] { return give(engine->guard().set_bridge(bridge, mode, pipeline), errp); }, ENOMEM) : 0;
}

void
nvo3_guard_remove_bridge(const char* bridge)
{
    if (engine) {
        guarded([&] { engine->guard().remove_bridge(bridge); return 0; }, 0);
    }
}

void
nvo3_guard_set_port(const char* bridge, uint32_t ofp_port, const char* name)
{
    if (engine) {
        guarded([&] { engine->guard().set_port(bridge, ofp_port, name); return 0; }, 0);
    }
}

bool
nvo3_guard_is_on(const char* bridge)
{
    return engine && guarded([&] { return engine->guard().is_on(bridge); }, true);
}

bool
nvo3_guard_permits(const char* bridge, const nvo3_guard_change* change)
{
    return !engine || guarded([&] { return engine->permits(bridge, *change); }, false);
}

char*
nvo3_guard_objection(const char* bridge, const nvo3_guard_change* change)
{
    return engine ? guarded([&] { return copy_text(engine->guard().objection(bridge, *change)); },
                            static_cast<char*>(nullptr))
                  : nullptr;
}

char*
nvo3_guard_show(const char* bridge, bool json)
{
    return engine ? guarded([&] { return copy_text(engine->guard().show(bridge, json)); },
                            static_cast<char*>(nullptr))
                  : nullptr;
}

}  // extern "C"
