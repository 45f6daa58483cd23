// SPDX-License-Identifier: Apache-2.0
//
// See policies.h.
#include "nva/policies.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "control/policy_text.h"

namespace nvo3::nva {
namespace {

// Of the parts that are kept to be told again.
constexpr size_t kKeptOctets = 8 << 20;

}  // namespace

void Policies::apply(std::shared_ptr<const NetworkPolicy> policy)
{
    if (policy != policy_) {
        policy_ = std::move(policy);
        parts_.clear();
        parts_octets_ = 0;
    }
}

// Whether what was decided last still holds.  Asked for each message to each NVE.
bool Policies::is_settled(const Subscriber& subscriber, const std::set<base::Vni>& serves) const
{
    if (subscriber.policy != policy_) {
        return false;
    }
    auto known = subscriber.networks.begin();
    for (base::Vni vni : serves) {
        if (policy_->networks().contains(vni) && (known == subscriber.networks.end() || *known++ != vni)) {
            return false;
        }
    }
    return known == subscriber.networks.end();
}

std::shared_ptr<const Policies::Part> Policies::part(const std::set<base::Vni>& networks) const
{
    if (auto it = parts_.find(networks); it != parts_.end()) {
        return it->second;
    }
    auto made = std::make_shared<Part>();
    made->text = policy_->text_of(networks);
    made->digest = control::policy_digest(made->text);
    made->version = policy_->version();
    const size_t size = made->text.size() + 64 * networks.size() + 256;
    if (parts_octets_ + size > kKeptOctets) {
        parts_.clear();
        parts_octets_ = 0;
    }
    parts_octets_ += size;
    parts_[networks] = made;
    return made;
}

std::optional<control::Envelope> Policies::next(Subscriber& subscriber, const std::set<base::Vni>& serves) const
{
    // What was begun comes to its end: the NVE takes nothing of another text before.
    if (!subscriber.telling && policy_) {
        if (is_settled(subscriber, serves)) {
            return {};
        }
        std::set<base::Vni> networks;
        std::ranges::copy_if(serves, std::inserter(networks, networks.end()), [&](base::Vni vni) { return policy_->networks().contains(vni); });
        std::shared_ptr<const Part> wanted = part(networks);
        subscriber.policy = policy_;
        subscriber.networks = std::move(networks);
        // To have none is to have an empty one.
        if (wanted->digest != subscriber.digest && !(subscriber.digest.empty() && wanted->text.empty())) {
            subscriber.digest = wanted->digest;
            subscriber.telling = std::move(wanted);
            subscriber.offset = 0;
        }
    }
    if (!subscriber.telling) {
        return {};
    }
    const Part& part = *subscriber.telling;
    control::Envelope message = control::policy_message(part.text, &subscriber.offset, part.version);
    if (!message.policy_update().more()) {
        subscriber.telling = nullptr;
    }
    return message;
}

bool Policies::is_current(const Subscriber& subscriber, const std::set<base::Vni>& serves) const
{
    return !policy_ || (!subscriber.telling && is_settled(subscriber, serves));
}

}  // namespace nvo3::nva
