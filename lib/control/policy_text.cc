// SPDX-License-Identifier: Apache-2.0
//
// See policy_text.h.
#include "control/policy_text.h"

#include <openssl/evp.h>

#include <algorithm>
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

std::vector<Envelope>
policy_messages(std::string_view text, uint64_t version)
{
    std::vector<Envelope> messages;
    do {
        const size_t size = std::min(text.size(), kPolicyPartSize);
        proto::PolicyUpdate& update = *messages.emplace_back().mutable_policy_update();
        update.set_version(version);
        update.set_text(text.data(), size);
        text.remove_prefix(size);
        update.set_more(!text.empty());
    } while (!text.empty());
    return messages;
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
