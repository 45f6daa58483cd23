// SPDX-License-Identifier: Apache-2.0
//
// The NVA: an I/O thread with all sessions, beside the OVS thread with the store.  The two
// share immutable values only: views of the store go one way, changes and views of the service
// the other.
//
// Place: made by main.cc.  Thread: all functions on the OVS thread.
#ifndef NVA_NVA_H
#define NVA_NVA_H

#include <memory>
#include <string>

#include "base/clock.h"
#include "base/result.h"
#include "control/audit.h"
#include "daemon/io_thread.h"
#include "nva/service.h"
#include "nva/view.h"

namespace nvo3::nva {

class Nva {
public:
    struct Options {
        Service::Options service;
        std::string group_key;      // file; empty: groups are off
        std::string audit_log;      // file; empty: none but the ring
        std::string store_ca;       // file, of a store that is reached by "ssl:"; empty: another
    };

    // Starts the I/O thread; after daemonising.  Fails if the audit log or the group key
    // cannot be opened, or if NVEs are of a CA that may write the store.  'writer' must outlive it.
    static base::Result<std::unique_ptr<Nva>> start(Options, StoreWriter& writer, const base::Clock& = base::system_clock());
    // Says goodbye to the NVEs and ends the thread; at most about two seconds.
    ~Nva();

    // The store's contents; never blocks.
    void apply(std::shared_ptr<const StoreView>);
    // After the apply() of what it has.
    void set_store(StoreState);

    template <class F>
    void post(F work)
    {
        thread_.post(std::move(work));
    }

    // Each waits for the I/O thread, at most five seconds.
    base::Result<std::shared_ptr<const ServiceView>> view();
    base::Status reload();

    StoreState store() const { return store_; }
    control::AuditLog& audit() { return *audit_; }

private:
    Nva(Options, std::unique_ptr<control::AuditLog>, base::Secret group_key, StoreWriter&, const base::Clock&);

    std::unique_ptr<control::AuditLog> audit_;
    StoreState store_ = StoreState::away;
    daemon::IoThread thread_;
    std::unique_ptr<Service> service_;      // I/O thread
};

}  // namespace nvo3::nva
#endif
