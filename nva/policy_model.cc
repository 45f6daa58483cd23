// SPDX-License-Identifier: Apache-2.0
//
// See policy_model.h.
#include "nva/policy_model.h"

#include <utility>

namespace nvo3::nva {

void PolicyModel::read(raw::Policy row)
{
    if (row_ == row) {
        return;
    }
    row_ = std::move(row);
    problems_.clear();
    error_.clear();
    auto policy = policy::parse_policy(row_->text);
    if (!policy) {
        read_.reset();
        return bad(policy.error().text);
    }
    read_ = *std::move(policy);
    is_new_ = true;
}

void PolicyModel::resolve(const NetworkNames& names)
{
    if (!read_) {
        return;
    }
    PolicyNetworks networks = policy_networks(*read_, names);
    if (!is_new_ && networks == networks_) {
        return;
    }
    is_new_ = false;
    networks_ = std::move(networks);
    problems_.clear();
    error_.clear();
    auto built = NetworkPolicy::make(*read_, networks_, static_cast<uint64_t>(row_->version));
    if (!built) {
        return bad(built.error().text);
    }
    built_ = *std::move(built);
    if (std::string missing = missing_networks(*read_, networks_); !missing.empty()) {
        problems_.push_back("the policy names networks that are not there: " + missing + "; its statements about them do nothing");
    }
}

void PolicyModel::bad(const std::string& why)
{
    error_ = "version " + std::to_string(row_->version) + " of the policy is not used: " + why + "; " +
             (built_ ? "version " + std::to_string(built_->version()) + " goes on" : "NVEs go on with what they have") +
             " until nvo3-nvactl policy-set corrects it";
    problems_.push_back(error_);
}

}  // namespace nvo3::nva
