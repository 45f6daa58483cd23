// SPDX-License-Identifier: Apache-2.0
//
// The policy's text: one statement a line.  See policy.h.
#include <algorithm>
#include <string>
#include <tuple>

#include "policy/policy.h"

namespace nvo3::policy {
namespace {

using base::Error;
using base::Result;
using base::Status;

struct Word {
    std::string text;
    size_t column;              // from 1
};

// Printable for an error: whatever stands in the file.
std::string quoted(const std::string& text)
{
    std::string out = "'";
    for (char c : text.substr(0, 40)) {
        out += c >= 0x20 && c <= 0x7e ? c : '?';
    }
    return out + "'";
}

class Line {
public:
    Line(std::string_view text, size_t number) : number_(number)
    {
        text = text.substr(0, text.find('#'));
        for (size_t at = 0; at < text.size();) {
            const size_t begin = text.find_first_not_of(" \t\r", at);
            if (begin == std::string_view::npos) {
                break;
            }
            const size_t end = std::min(text.find_first_of(" \t\r", begin), text.size());
            words_.push_back({std::string(text.substr(begin, end - begin)), begin + 1});
            at = end;
        }
    }

    size_t number() const { return number_; }
    bool done() const { return at_ == words_.size(); }
    bool is(const char* word) const { return !done() && words_[at_].text == word; }
    const std::string& take() { return words_[at_++].text; }
    bool took(const char* word)
    {
        const bool yes = is(word);
        at_ += yes;
        return yes;
    }

    // Of the word that comes, or that is missing.
    Error wrong(const std::string& reason) const
    {
        const std::string where = "line " + std::to_string(number_);
        if (done()) {
            return {EINVAL, where + ", at its end: " + reason};
        }
        return {EINVAL, where + ", column " + std::to_string(words_[at_].column) + ", " + quoted(words_[at_].text) + ": " + reason};
    }
    // Of the word that was taken last.
    Error was_wrong(const std::string& reason)
    {
        at_--;
        return wrong(reason);
    }

private:
    const size_t number_;
    std::vector<Word> words_;
    size_t at_ = 0;
};

bool is_vn_name(const std::string& text)
{
    return !text.empty() && text.size() <= 64 && std::ranges::all_of(text, [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.' || c == ':';
    });
}

Result<std::string> take_vn(Line& line)
{
    if (line.done()) {
        return line.wrong("a network's name is missing");
    }
    std::string name = line.take();
    if (!is_vn_name(name)) {
        return line.was_wrong("not a network's name: letters, digits, and any of -_.: make one");
    }
    return name;
}

bool usable(const base::IpAddress& address)
{
    const std::array<uint8_t, 16>& octets = address.bytes();
    const bool link_local = address.is_v4() ? octets[12] == 169 && octets[13] == 254 : octets[0] == 0xfe && (octets[1] & 0xc0) == 0x80;
    const bool zero = address.is_v4() ? octets[12] == 0 : address.is_unspecified();
    return !link_local && !zero && !address.is_multicast() && !address.is_loopback();
}

Status add_address(Gateway& gateway, Line& line)
{
    Result<Interface> address = parse_interface(line.take());
    if (!address) {
        return line.was_wrong(address.error().text);
    }
    if (!usable(address->address)) {
        return line.was_wrong("no address for a gateway: one that a host of the network could have is needed");
    }
    if (address->prefix.length < 8) {
        return line.was_wrong("write ADDRESS/LENGTH, the length of the network's prefix at least 8");
    }
    if (address->prefix.length >= (address->prefix.is_v4() ? 31 : 127)) {
        return line.was_wrong("the prefix has no room for VMs beside the gateway: write ADDRESS/LENGTH");
    }
    const auto& octets = address->address.bytes();
    const bool first = address->address == address->prefix.address;
    base::IpAddress broadcast = address->address;
    if (address->prefix.is_v4()) {
        std::array<uint8_t, 16> last = octets;
        for (int bit = 96 + address->prefix.length; bit < 128; bit++) {
            last[bit / 8] |= static_cast<uint8_t>(0x80 >> bit % 8);
        }
        broadcast = base::IpAddress(last);
    }
    if (first || (address->prefix.is_v4() && address->address == broadcast)) {
        return line.was_wrong("the first address of a prefix, and of IPv4 the last one, are no host's");
    }
    for (const Interface& other : gateway.addresses) {
        if (other.prefix.overlaps(address->prefix)) {
            return line.was_wrong("overlaps " + to_string(other) + " of the same network");
        }
    }
    if (gateway.addresses.size() == kMaxAddresses) {
        return line.was_wrong("more than " + std::to_string(kMaxAddresses) + " addresses");
    }
    gateway.addresses.push_back(*address);
    return {};
}

Result<Gateway> parse_gateway(Line& line)
{
    Gateway gateway;
    gateway.line = line.number();
    Result<std::string> vn = take_vn(line);
    if (!vn) {
        return vn.error();
    }
    gateway.vn = *vn;
    while (!line.done() && !line.is("mac")) {
        if (Status added = add_address(gateway, line); !added) {
            return added.error();
        }
    }
    if (gateway.addresses.empty()) {
        return line.wrong("an address with its prefix's length is missing, as 10.0.0.254/24");
    }
    if (line.took("mac")) {
        if (line.done()) {
            return line.wrong("a MAC address is missing");
        }
        Result<base::MacAddress> mac = base::MacAddress::parse(line.take());
        if (!mac || mac->is_multicast() || mac->is_zero()) {
            return line.was_wrong("not a unicast MAC address, as 0e:00:00:00:00:01");
        }
        gateway.mac = *mac;
    }
    if (!line.done()) {
        return line.wrong("nothing may follow the MAC address");
    }
    return gateway;
}

Result<End> parse_end(Line& line, const char* word)
{
    if (!line.took(word)) {
        return line.wrong(std::string("'") + word + " NETWORK' is missing here");
    }
    Result<std::string> vn = take_vn(line);
    if (!vn) {
        return vn.error();
    }
    End end{*vn, {}};
    for (const char* next : {"to", "proto", "port", "log", "stateless"}) {
        if (line.is(next)) {
            return end;
        }
    }
    if (!line.done()) {
        const std::string& text = line.take();
        // What has neither is no prefix that went wrong, but an unknown word.
        if (text.find_first_of(".:/") == std::string::npos) {
            return line.was_wrong("unknown word: a prefix, 'to', 'proto', 'port', 'log' or 'stateless' may stand here");
        }
        Result<Prefix> prefix = Prefix::parse(text);
        if (!prefix) {
            return line.was_wrong(prefix.error().text);
        }
        end.prefix = *prefix;
    }
    return end;
}

Result<Ports> parse_ports(const std::string& text)
{
    const size_t dash = text.find('-');
    Result<uint64_t> first = base::parse_number(text.substr(0, dash), 65535);
    Result<uint64_t> last = dash == std::string::npos ? first : base::parse_number(text.substr(dash + 1), 65535);
    if (!first || !last || *last < *first) {
        return Error{EINVAL, "not a port from 0 to 65535, or a range as 80-90"};
    }
    return Ports{static_cast<uint16_t>(*first), static_cast<uint16_t>(*last)};
}

Status parse_options(Rule& rule, Line& line)
{
    while (!line.done()) {
        if (!rule.proto && !rule.ports && line.took("proto")) {
            if (line.done()) {
                return line.wrong("a protocol is missing");
            }
            Result<uint8_t> proto = parse_proto(line.take());
            if (!proto) {
                return line.was_wrong(proto.error().text);
            }
            rule.proto = *proto;
        } else if (!rule.ports && line.is("port")) {
            if (rule.proto != kTcp && rule.proto != kUdp && rule.proto != kSctp) {
                return line.wrong("only tcp, udp and sctp have ports: write 'proto tcp' before it");
            }
            line.take();
            if (line.done()) {
                return line.wrong("a port is missing");
            }
            Result<Ports> ports = parse_ports(line.take());
            if (!ports) {
                return line.was_wrong(ports.error().text);
            }
            rule.ports = *ports;
        } else if (!rule.log && line.took("log")) {
            rule.log = true;
        } else if (!rule.stateless && line.took("stateless")) {
            if (rule.action == Action::log) {
                return line.was_wrong("a rule that only logs has no state");
            }
            rule.stateless = true;
        } else {
            return line.wrong("unknown here: 'proto', 'port', 'log' and 'stateless' may follow, each once");
        }
    }
    return {};
}

Result<Rule> parse_rule(Line& line)
{
    Rule rule;
    rule.line = line.number();
    Result<uint64_t> priority = base::parse_number(line.take(), 65535);
    if (!priority || *priority == 0) {
        return line.was_wrong("a statement begins with 'gateway', or with a rule's priority from 1 to 65535");
    }
    rule.priority = static_cast<uint16_t>(*priority);
    if (line.took("allow")) {
        rule.action = Action::allow;
    } else if (line.took("deny")) {
        rule.action = Action::deny;
    } else if (line.took("log")) {
        rule.action = Action::log;
    } else {
        return line.wrong("'allow', 'deny' or 'log' is missing here");
    }
    Result<End> from = parse_end(line, "from");
    if (!from) {
        return from.error();
    }
    Result<End> to = parse_end(line, "to");
    if (!to) {
        return to.error();
    }
    rule.from = *from;
    rule.to = *to;
    if (Status options = parse_options(rule, line); !options) {
        return options.error();
    }
    return rule;
}

Status add_statement(Policy& policy, std::string_view text, size_t number)
{
    Line line(text, number);
    if (line.done()) {
        return {};
    }
    if (line.took("gateway")) {
        Result<Gateway> gateway = parse_gateway(line);
        if (!gateway) {
            return gateway.error();
        }
        if (policy.gateways.size() == kMaxGateways) {
            return Error{E2BIG, "line " + std::to_string(number) + ": more than " + std::to_string(kMaxGateways) + " gateways"};
        }
        policy.gateways.push_back(*std::move(gateway));
        return {};
    }
    Result<Rule> rule = parse_rule(line);
    if (!rule) {
        return rule.error();
    }
    if (policy.rules.size() == kMaxRules) {
        return Error{E2BIG, "line " + std::to_string(number) + ": more than " + std::to_string(kMaxRules) + " rules"};
    }
    policy.rules.push_back(*std::move(rule));
    return {};
}

}  // namespace

Result<Policy> parse_policy(std::string_view text)
{
    if (text.size() > kMaxText) {
        return Error{E2BIG, "the text is longer than " + std::to_string(kMaxText) + " octets"};
    }
    Policy policy;
    for (size_t number = 1; !text.empty(); number++) {
        const size_t end = std::min(text.find('\n'), text.size());
        if (end > kMaxLine) {
            return Error{E2BIG, "line " + std::to_string(number) + ": longer than " + std::to_string(kMaxLine) + " octets"};
        }
        if (Status added = add_statement(policy, text.substr(0, end), number); !added) {
            return added.error();
        }
        text.remove_prefix(std::min(end + 1, text.size()));
    }
    std::ranges::stable_sort(policy.gateways, {}, &Gateway::vn);
    std::ranges::stable_sort(policy.rules, [](const Rule& a, const Rule& b) {
        return a.priority != b.priority ? a.priority > b.priority : to_string(a) < to_string(b);
    });
    if (Status checked = check_policy(policy); !checked) {
        return checked.error();
    }
    return policy;
}

}  // namespace nvo3::policy
