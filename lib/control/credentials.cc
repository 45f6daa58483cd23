// SPDX-License-Identifier: Apache-2.0
//
// See credentials.h.
#include "control/credentials.h"

#include <sys/stat.h>

#include <cerrno>
#include <utility>

#include "base/secret.h"

namespace nvo3::control {
Credentials::Credentials(std::vector<std::string> files, Load load) : files_(std::move(files)), load_(std::move(load)) {}

// Also of files that are not there: their appearance is a change.
std::string Credentials::stamp() const
{
    std::string stamp;
    for (const std::string& file : files_) {
        struct stat status {};
        if (stat(file.c_str(), &status) != 0) {
            stamp += std::to_string(errno) + ";";
            continue;
        }
        for (uint64_t number : {uint64_t{status.st_dev}, uint64_t{status.st_ino}, static_cast<uint64_t>(status.st_size),
                                static_cast<uint64_t>(status.st_mtim.tv_sec), static_cast<uint64_t>(status.st_mtim.tv_nsec),
                                static_cast<uint64_t>(status.st_ctim.tv_sec), static_cast<uint64_t>(status.st_ctim.tv_nsec)}) {
            stamp += std::to_string(number) + ",";
        }
        stamp += ";";
    }
    return stamp;
}

bool Credentials::refresh(bool force)
{
    if (!load_) {
        return false;
    }
    // Taken before reading: a change in between shows at the next call.  After a failure
    // time alone may mend it (not yet valid), so it is tried each time.
    std::string now = stamp();
    if (!force && now == stamp_ && problem_.empty()) {
        return false;
    }
    stamp_ = std::move(now);
    auto loaded = load_(context_);
    if (!loaded) {
        problem_ = loaded.error().text;
        if (loaded.error().code != ENOKEY || !context_) {
            return false;
        }
        context_.reset();
        return true;
    }
    problem_ = (*loaded)->problem();
    // Tried again for its problem and nothing new: no session need be looked at.
    if (!force && context_ && (*loaded)->same_material(*context_)) {
        return false;
    }
    return std::exchange(context_, *loaded) != *loaded;
}

Credentials certificate_credentials(const TlsFiles& files, const FileNames& names, ControlLevel level, Role role)
{
    std::vector<std::string> paths{files.certificate, files.private_key, files.ca_cert};
    if (!files.crl.empty()) {
        paths.push_back(files.crl);
    }
    paths.insert(paths.end(), files.pinned.begin(), files.pinned.end());
    return Credentials(std::move(paths), [files, names, level, role](const ContextPtr& former) -> base::Result<ContextPtr> {
        auto unset = [](const char* name) { return base::Error{ENOKEY, std::string(name) + " is not set: give the path of a PEM file"}; };
        if (files.certificate.empty()) {
            return unset(names.certificate);
        }
        if (files.private_key.empty()) {
            return unset(names.private_key);
        }
        if (files.ca_cert.empty() && files.pinned.empty()) {
            return unset(names.ca_cert);
        }
        return TlsContext::from_files(files, level, role, former.get());
    });
}

bool is_psk_file(const std::string& psk)
{
    return psk.starts_with('/');
}

Credentials psk_credentials(const std::string& psk, ControlLevel level)
{
    if (!is_psk_file(psk)) {
        // Read again it is the same context, as with a file.
        auto context = TlsContext::from_psk({reinterpret_cast<const uint8_t*>(psk.data()), psk.size()}, level);
        return Credentials({}, [context](const ContextPtr&) { return context; });
    }
    // The same key gives the same context: only another key ends what was agreed.
    struct Loaded {
        base::Secret key;
        ContextPtr context;
    };
    return Credentials({psk}, [psk, level, last = std::make_shared<Loaded>()](const ContextPtr&) -> base::Result<ContextPtr> {
        auto key = read_psk_file(psk);
        if (!key) {
            return key.error();
        }
        if (!last->context || !base::equal_constant_time(key->view(), last->key.view())) {
            auto context = TlsContext::from_psk(key->view(), level);
            if (!context) {
                return context.error();
            }
            last->context = *context;
            last->key = std::move(*key);
        }
        return last->context;
    });
}

}  // namespace nvo3::control
