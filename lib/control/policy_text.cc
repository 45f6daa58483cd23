// SPDX-License-Identifier: Apache-2.0
//
// See policy_text.h.
#include "control/policy_text.h"

#include <openssl/evp.h>

#include <array>
#include <cstdlib>
#include <utility>

namespace nvo3::control {

std::string
policy_digest(std::string_view text)
{
    std::array<unsigned char, kPolicyDigestSize> digest{};
    // Fails only where OpenSSL cannot be used at all.
    if (EVP_Digest(text.data(), text.size(), digest.data(), nullptr, EVP_sha256(), nullptr) != 1) {
        std::abort();
    }
    return {digest.begin(), digest.end()};
}

Envelope
policy_message(std::string_view text, size_t* offset, uint64_t version)
{
    Envelope message;
    proto::PolicyUpdate& update = *message.mutable_policy_update();
    const std::string_view part = text.substr(*offset, kPolicyPartSize);
    *offset += part.size();
    update.set_version(version);
    update.set_text(part.data(), part.size());
    update.set_more(*offset < text.size());
    return message;
}

base::Result<std::optional<PolicyText>>
PolicyParts::add(const proto::PolicyUpdate& update)
{
    if (whole_ && whole_->version != update.version()) {
        whole_.reset();
        return base::Error{EPROTO, "the NVA told of another policy before the one before was complete"};
    }
    if (!whole_) {
        whole_ = PolicyText{{}, update.version()};
    }
    if (update.text().size() > max_text_ - whole_->text.size()) {
        whole_.reset();
        return base::Error{EPROTO, "the NVA told a policy of more than " + std::to_string(max_text_) + " octets"};
    }
    whole_->text += update.text();
    return update.more() ? std::nullopt : std::exchange(whole_, std::nullopt);
}

}  // namespace nvo3::control
