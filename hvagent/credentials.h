// SPDX-License-Identifier: Apache-2.0
//
// A TLS context that follows the files it is made from.
//
// Place: peers.cc has one for the certificates, each peer with a pre-shared key
// one of its own.  Thread: the I/O thread; refresh() reads small local files.
#ifndef HVAGENT_CREDENTIALS_H
#define HVAGENT_CREDENTIALS_H

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "control/tls.h"
#include "hvagent/config.h"

namespace nvo3::agent {

using ContextPtr = std::shared_ptr<const control::TlsContext>;

class Credentials {
public:
    using Load = std::function<base::Result<ContextPtr>()>;

    Credentials() = default;
    // 'files' are what 'load' reads; nothing is read before refresh().
    Credentials(std::vector<std::string> files, Load load);

    // Loads again if a file has changed since, if the last load failed, or if
    // 'force'.  True if context() is another one than before.  A failed load
    // sets problem() and keeps the context, unless the error is ENOKEY: nothing
    // is configured any more.
    bool refresh(bool force);

    const ContextPtr& context() const { return context_; }      // null: none yet
    // Takes over the context of a former set of files until refresh() succeeds.
    void keep(ContextPtr former) { context_ = std::move(former); }
    const std::string& problem() const { return problem_; }     // empty: none

private:
    std::string stamp() const;

    std::vector<std::string> files_;
    Load load_;
    std::string stamp_;
    ContextPtr context_;
    std::string problem_ = "not read yet";
};

// Of other_config; 'pinned' are readable files of options:remote_cert.
Credentials certificate_credentials(const Config&, std::vector<std::string> pinned);
// Of options:psk, a file (absolute path) or the key itself.
Credentials psk_credentials(const std::string& psk, ControlLevel);
bool is_psk_file(const std::string& psk);

}  // namespace nvo3::agent
#endif
