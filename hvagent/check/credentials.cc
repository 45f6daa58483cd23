// SPDX-License-Identifier: Apache-2.0
//
// See check.h: the clock, and what the agent shows to others.
#include <openssl/x509.h>
#include <sys/stat.h>
#include <sys/timex.h>

#include <algorithm>
#include <set>

#include "control/pem.h"
#include "hvagent/check/check.h"

namespace nvo3::agent {
namespace {

using Grade = Finding::Grade;
using namespace std::chrono_literals;

constexpr auto kSoon = 14 * 24h;
const char* const kRenewOwn = "nvo3-pki host NAME --renew, then replace the files here: the agent follows";

std::string days_until(std::chrono::system_clock::time_point end, std::chrono::system_clock::time_point now)
{
    return std::to_string(std::chrono::duration_cast<std::chrono::hours>(end - now).count() / 24) + " days";
}

class Checker {
public:
    Checker(const Config& config, const base::Clock& clock, Findings& out) : config_(config), now_(clock.wall()), out_(out) {}

    void clock()
    {
        if (auto own = control::load_certificates(config_.certificate, "certificate"); own) {
            auto begin = control::to_time_point(X509_get0_notBefore(own->front().get()));
            if (begin && *begin > now_) {
                return add(Grade::fail, "clock", "this host's time is before the beginning of its certificate, " +
                                                     control::to_text(X509_get0_notBefore(own->front().get())), "set the time, or issue the certificate anew");
            }
        }
        timex state{};      // reads alone
        if (adjtimex(&state) == TIME_ERROR || (state.status & STA_UNSYNC) != 0) {
            return add(Grade::warn, "clock", "nothing keeps it in step, as the kernel says; certificates are as good as the time", "run chrony or systemd-timesyncd");
        }
        add(Grade::ok, "clock", "kept in step");
    }

    control::ContextPtr certificates()
    {
        for (const auto& [value, key] : {std::pair{&config_.certificate, "certificate"}, {&config_.private_key, "private_key"}, {&config_.ca_cert, "ca_cert"}}) {
            if (value->empty() && (key != std::string("ca_cert") || pinned().empty())) {
                add(Grade::fail, "certificate", "other_config:" + std::string(key) + " is not set",
                    "ovs-vsctl set Open_vSwitch . other_config:" + std::string(key) + "=FILE, as nvo3-pki made it");
                return nullptr;
            }
        }
        auto loaded = control::TlsContext::from_files({config_.certificate, config_.private_key, config_.ca_cert, config_.crl, pinned()},
                                                      config_.control_level, config_.role);
        if (!loaded) {
            out_.push_back(from_sentence(Grade::fail, "certificate", loaded.error().text, "see nvo3-pki(8)"));
            return nullptr;
        }
        if (!(*loaded)->problem().empty()) {
            out_.push_back(from_sentence(Grade::fail, "certificate", (*loaded)->problem(), "see nvo3-pki(8)"));
        }
        const control::PeerIdentity& own = (*loaded)->own_identity();
        ends(config_.certificate, own.name + " for the role " + control::to_string(own.role), own.not_after, "certificate", kRenewOwn);
        rights(config_.private_key);
        if (!own.spiffe()) {
            add(Grade::warn, "certificate", config_.certificate + " has no nvo3 SPIFFE name, so that peers must name it in options:remote_name", "issue it with nvo3-pki");
        }
        return *loaded;
    }

    void authority()
    {
        if (auto all = control::load_certificates(config_.ca_cert, "CA certificate"); all) {
            for (const auto& ca : *all) {
                if (auto end = control::to_time_point(X509_get0_notAfter(ca.get())); end && *end > now_) {
                    ends(config_.ca_cert, "", *end, "CA", "make the next one and trust both while certificates are replaced");
                }
            }
        }
        if (config_.crl.empty()) {
            return add(Grade::warn, "revocation list", "none is set, so that a stolen certificate is good until it ends",
                       "ovs-vsctl set Open_vSwitch . other_config:nvo3-crl=FILE");
        }
        size_t damaged = 0;
        if (auto all = control::load_crls(config_.crl, &damaged); all) {
            for (const auto& crl : *all) {
                if (auto end = control::to_time_point(X509_CRL_get0_nextUpdate(crl.get())); end && *end > now_) {
                    ends(config_.crl, "", *end, "revocation list", "nvo3-pki crl, and put the new ca.crl on every host");
                }
            }
        }
    }

    std::map<std::string, control::ContextPtr> pre_shared()
    {
        std::map<std::string, control::ContextPtr> contexts;
        for (const Tunnel& tunnel : config_.tunnels) {
            if (tunnel.psk.empty() || contexts.contains(tunnel.psk)) {
                continue;
            }
            const std::string thing = "pre-shared key of port " + tunnel.port;
            auto credentials = control::psk_credentials(tunnel.psk, config_.control_level);
            credentials.refresh(true);
            contexts[tunnel.psk] = credentials.context();
            if (!credentials.context()) {
                out_.push_back(from_sentence(Grade::fail, thing, credentials.problem(), "openssl rand -hex 32 >FILE; chmod 600 FILE"));
            } else if (!control::is_psk_file(tunnel.psk)) {
                add(Grade::warn, thing, "everyone who can read the database can read it", "put it into a file of mode 0600 and name that");
            } else {
                add(Grade::ok, thing, "readable");
            }
        }
        return contexts;
    }

    // Those that can be read; the others are told of, and do not keep these from working.
    void pins()
    {
        for (const Tunnel& tunnel : config_.tunnels) {
            if (tunnel.remote_cert.empty()) {
                continue;
            }
            if (auto read = control::certificate_fingerprint(tunnel.remote_cert); !read) {
                out_.push_back(from_sentence(Grade::fail, "remote_cert of port " + tunnel.port, read.error().text, "copy the peer's certificate there"));
            } else {
                pinned_.insert(tunnel.remote_cert);
            }
        }
    }

private:
    void add(Grade grade, const std::string& thing, const std::string& what, const std::string& fix = "") { out_.push_back({grade, thing, what, fix}); }
    std::vector<std::string> pinned() const { return {pinned_.begin(), pinned_.end()}; }

    void ends(const std::string& file, const std::string& who, std::chrono::system_clock::time_point end, const char* thing, const char* renew)
    {
        const bool soon = end - now_ < kSoon;
        add(soon ? Grade::warn : Grade::ok, thing, file + (who.empty() ? "" : " (" + who + ")") + (soon ? " ends in " : " is good for ") + days_until(end, now_),
            soon ? renew : "");
    }

    void rights(const std::string& key)
    {
        struct stat status {};
        if (stat(key.c_str(), &status) == 0 && (status.st_mode & S_IRWXO) != 0) {
            add(Grade::fail, "private key", key + " is open to every user of this host", "chmod 600 " + key);
        } else {
            add(Grade::ok, "private key", key + " belongs to the certificate");
        }
    }

    const Config& config_;
    const std::chrono::system_clock::time_point now_;
    Findings& out_;
    std::set<std::string> pinned_;
};

}  // namespace

Identity check_credentials(const Config& config, const base::Clock& clock, Findings& out)
{
    Checker checker(config, clock, out);
    checker.clock();
    Identity identity;
    identity.psk = checker.pre_shared();
    checker.pins();
    const bool psk_alone = !config.tunnels.empty() && config.nvas.empty() && config.nves.empty() && config.certificate.empty() &&
                           std::ranges::all_of(config.tunnels, [](const Tunnel& tunnel) { return !tunnel.psk.empty(); });
    if (!psk_alone) {
        identity.certificates = checker.certificates();
        checker.authority();
    }
    return identity;
}

}  // namespace nvo3::agent
