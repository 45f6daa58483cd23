// SPDX-License-Identifier: Apache-2.0
//
// A TLS context that follows the files it is made from.
//
// Place: lib/control; each daemon has one for its certificate, hvagent one for
// each pre-shared key.  Thread: that of the sessions; refresh() reads small local
// files.
#ifndef NVO3_CONTROL_CREDENTIALS_H
#define NVO3_CONTROL_CREDENTIALS_H

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "control/tls.h"

namespace nvo3::control {

using ContextPtr = std::shared_ptr<const TlsContext>;

class Credentials {
public:
    // Gets context(), from which it may take what it cannot read any more.
    using Load = std::function<base::Result<ContextPtr>(const ContextPtr& former)>;

    Credentials() = default;
    // 'files' are what 'load' reads; nothing is read before refresh().
    Credentials(std::vector<std::string> files, Load load);

    // Loads again if a file has changed since, if the last load failed, or if
    // 'force'.  True if context() is another one than before.  A failed load
    // sets problem() and keeps the context, unless the error is ENOKEY: nothing
    // is configured any more.  One that works in part (TlsContext::problem())
    // sets both.
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

// Of certificates.  'names' says in errors how each file is configured, in the
// order certificate, private key, CA certificate; one that is not, without pinned
// certificates, is ENOKEY.  A certificate for another role than 'role' is refused.
struct FileNames {
    const char* certificate;
    const char* private_key;
    const char* ca_cert;
};
Credentials certificate_credentials(const TlsFiles&, const FileNames& names, ControlLevel, Role role);
// Of options:psk, a file (absolute path) or the key itself.
Credentials psk_credentials(const std::string& psk, ControlLevel);
bool is_psk_file(const std::string& psk);

}  // namespace nvo3::control
#endif
