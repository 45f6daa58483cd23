// SPDX-License-Identifier: Apache-2.0
//
// See nva.h.
#include "nva/nva.h"

#include <cerrno>
#include <utility>

#include "base/log.h"
#include "control/group_keying.h"
#include "control/pem.h"

namespace nvo3::nva {

using namespace std::chrono_literals;
using control::AuditKind;

namespace {

constexpr auto kGoodbye = 2s;

// A server of the store asks for no more than a certificate of its CA: one that NVEs have
// as well would let each of them write there.
base::Status check_store_ca(const std::string& store_ca, const std::string& nve_ca)
{
    if (store_ca.empty()) {
        return {};
    }
    auto of_store = control::load_certificates(store_ca, "CA of the store");
    auto of_nves = control::load_certificates(nve_ca, "CA of NVEs");
    if (!of_store || !of_nves) {
        return of_store ? of_nves.error() : of_store.error();
    }
    for (const auto& one : *of_store) {
        for (const auto& other : *of_nves) {
            if (X509_cmp(one.get(), other.get()) == 0) {
                return base::Error{EINVAL, "a CA of NVEs (" + nve_ca + ") is one of the store (" + store_ca +
                                               ") as well, so that any NVE could write the store: give the store a CA of its own, and NVEs theirs "
                                               "by --nva-ca-cert, --nva-certificate and --nva-private-key"};
            }
        }
    }
    return {};
}

}  // namespace

base::Result<std::unique_ptr<Nva>> Nva::start(Options options, StoreWriter& writer, const base::Clock& clock)
{
    base::Secret key;
    if (options.group_key.empty()) {
        base::log(base::LogLevel::warn, "groups", "groups are off: --group-key is not given (every NVA needs the same file)");
    } else {
        auto read = control::read_master_secret(options.group_key);
        if (!read) {
            return base::Error{read.error().code, "--group-key: " + read.error().text};
        }
        key = std::move(*read);
    }
    if (auto status = check_store_ca(options.store_ca, options.service.files.ca_cert); !status) {
        return status.error();
    }
    auto audit = control::AuditLog::open(options.audit_log, clock);
    if (!audit) {
        return audit.error();
    }
    return std::unique_ptr<Nva>(new Nva(std::move(options), std::move(*audit), std::move(key), writer, clock));
}

Nva::Nva(Options options, std::unique_ptr<control::AuditLog> audit, base::Secret group_key, StoreWriter& writer, const base::Clock& clock)
    : audit_(std::move(audit)),
      service_(std::make_unique<Service>(thread_.io(), std::move(options.service), std::move(group_key), writer, *audit_, clock))
{
    audit_->write({AuditKind::started});
    thread_.start();
}

Nva::~Nva()
{
    thread_.stop([this] { service_->stop(); }, kGoodbye);
    audit_->write({AuditKind::stopped});
}

void Nva::apply(std::shared_ptr<const StoreView> view)
{
    thread_.post([this, view = std::move(view)] { service_->apply(view); });
}

void Nva::set_store(StoreState state)
{
    if (std::exchange(store_, state) != state) {
        thread_.post([this, fresh = state == StoreState::fresh] { service_->set_store_fresh(fresh); });
    }
}

base::Result<std::shared_ptr<const ServiceView>> Nva::view()
{
    return thread_.ask<std::shared_ptr<const ServiceView>>(
        [this]() -> base::Result<std::shared_ptr<const ServiceView>> { return std::make_shared<const ServiceView>(service_->view()); });
}

base::Status Nva::reload()
{
    return thread_.ask<void>([this] { return service_->reload(); });
}

}  // namespace nvo3::nva
