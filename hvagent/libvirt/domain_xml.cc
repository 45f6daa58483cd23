// SPDX-License-Identifier: Apache-2.0
//
// See domain_xml.h.
#include "hvagent/libvirt/domain_xml.h"

#include <libxml/parser.h>
#include <libxml/tree.h>

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "base/mac_address.h"
#include "hvagent/tsi.h"

namespace nvo3::agent {
namespace {

// control.proto, messages of the split NVE.
constexpr size_t kMaxId = 64;
constexpr size_t kMaxVn = 255;
constexpr size_t kMaxName = 255;
// What is shown of a value that is wrong.
constexpr size_t kMaxShown = 64;
constexpr size_t kMaxProblem = 400;

struct FreeContext {
    void operator()(xmlParserCtxt* context) const { xmlFreeParserCtxt(context); }
};
struct FreeDocument {
    void operator()(xmlDoc* document) const { xmlFreeDoc(document); }
};
struct FreeString {
    void operator()(xmlChar* text) const { xmlFree(text); }
};
using Document = std::unique_ptr<xmlDoc, FreeDocument>;

std::string text_of(const xmlChar* text)
{
    return text ? reinterpret_cast<const char*>(text) : "";
}

// For sentences, which go to logs, terminals and JSON: one line, whole characters of UTF-8.
std::string clean(std::string text, size_t size)
{
    if (text.size() > size) {
        for (text.resize(size); !text.empty() && (text.back() & 0xc0) == 0x80; text.pop_back()) {
        }
        text.resize(text.empty() ? 0 : text.size() - 1);
        text += "...";
    }
    std::ranges::replace_if(text, [](unsigned char c) { return c < ' ' || c == 0x7f; }, '?');
    return text;
}

std::string shown(std::string text)
{
    return clean(std::move(text), kMaxShown);
}

bool printable(const std::string& text)
{
    return std::ranges::none_of(text, [](unsigned char c) { return c < ' ' || c == 0x7f; });
}

bool is(const xmlNode* node, const char* name, const char* space = nullptr)
{
    return node->type == XML_ELEMENT_NODE && text_of(node->name) == name && text_of(node->ns ? node->ns->href : nullptr) == (space ? space : "");
}

xmlNode* child(const xmlNode* parent, const char* name)
{
    for (xmlNode* node = parent ? parent->children : nullptr; node; node = node->next) {
        if (is(node, name)) {
            return node;
        }
    }
    return nullptr;
}

std::optional<std::string> attribute(xmlNode* node, const char* name)
{
    if (!node) {
        return std::nullopt;
    }
    std::unique_ptr<xmlChar, FreeString> value(xmlGetNoNsProp(node, reinterpret_cast<const xmlChar*>(name)));
    return value ? std::optional(text_of(value.get())) : std::nullopt;
}

std::string content(xmlNode* node)
{
    std::unique_ptr<xmlChar, FreeString> value(node ? xmlNodeGetContent(node) : nullptr);
    return text_of(value.get());
}

// A document type is all that entities could come from: no domain needs one.
void refuse_document_type(void* context_, const xmlChar*, const xmlChar*, const xmlChar*)
{
    auto* context = static_cast<xmlParserCtxt*>(context_);
    *static_cast<bool*>(context->_private) = true;
    xmlStopParser(context);
}

base::Result<Document> parse(std::string_view xml)
{
    if (xml.size() > kMaxDomainXml) {
        return base::Error{EFBIG, "the domain's XML has " + std::to_string(xml.size()) + " octets, at most " + std::to_string(kMaxDomainXml) +
                                      " are possible"};
    }
    static const bool initialised = [] {
        xmlInitParser();
        return true;
    }();
    static_cast<void>(initialised);
    std::unique_ptr<xmlParserCtxt, FreeContext> context(xmlNewParserCtxt());
    if (!context) {
        return base::Error{ENOMEM, "the domain's XML: out of memory"};
    }
    bool refused = false;
    context->_private = &refused;
    context->sax->internalSubset = refuse_document_type;
    Document document(xmlCtxtReadMemory(context.get(), xml.data(), static_cast<int>(xml.size()), "domain", "UTF-8",
                                        XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING));
    if (refused) {
        return base::Error{EINVAL, "the domain's XML has a document type, which is not taken"};
    }
    if (!document) {
        const xmlError* error = xmlCtxtGetLastError(context.get());
        std::string words = shown(error && error->message ? error->message : "not well-formed");
        while (!words.empty() && (words.back() == '?' || words.back() == ' ')) {
            words.pop_back();
        }
        return base::Error{EINVAL, "the domain's XML is not XML, line " + std::to_string(error ? error->line : 0) + ": " + words};
    }
    return base::Result<Document>(std::move(document));
}

// One <interface> of our metadata.
struct Line {
    std::optional<std::string> vn, addresses;
    bool used = false;
};

class Reader {
public:
    explicit Reader(Vm& vm) : vm_(vm) {}

    void problem(const std::string& where, const std::string& what)
    {
        if (vm_.problems.size() < kMaxDomainProblems) {
            vm_.problems.push_back(clean("domain " + vm_.name + ", " + where + ": " + what, kMaxProblem));
        }
    }

    void read_metadata(xmlNode* metadata)
    {
        for (xmlNode* node = metadata ? metadata->children : nullptr; node; node = node->next) {
            if (is(node, "networks", kMetadataNamespace)) {
                read_lines(node);
            } else if (node->ns && text_of(node->ns->href) == kMetadataNamespace && node->type == XML_ELEMENT_NODE) {
                problem("<metadata>", "<" + shown(text_of(node->name)) + "> is not known, write <networks>");
            }
        }
    }

    void read_interfaces(xmlNode* devices)
    {
        size_t number = 0;
        for (xmlNode* node = devices ? devices->children : nullptr; node; node = node->next) {
            if (!is(node, "interface")) {
                continue;
            }
            if (++number > kMaxDomainInterfaces) {
                problem("<devices>", "only the first " + std::to_string(kMaxDomainInterfaces) + " interfaces are looked at");
                break;
            }
            read_interface(node, number);
        }
        for (const auto& [mac, line] : by_mac_) {
            if (!line.used) {
                problem("<metadata>", "no <interface> with <virtualport type='openvswitch'> has the MAC address " + to_string(mac));
            }
        }
    }

private:
    static bool good_vn(const std::string& vn) { return !vn.empty() && vn.size() <= kMaxVn && printable(vn); }

    void read_lines(xmlNode* networks)
    {
        size_t lines = 0;
        for (xmlNode* node = networks->children; node; node = node->next) {
            if (node->type != XML_ELEMENT_NODE) {
                continue;
            }
            if (++lines > kMaxDomainInterfaces) {
                problem("<metadata>", "only the first " + std::to_string(kMaxDomainInterfaces) + " elements of <networks> are looked at");
                return;
            }
            if (!is(node, "interface", kMetadataNamespace)) {
                problem("<metadata>", "<networks> has <" + shown(text_of(node->name)) + ">, which is not known, write <interface> of namespace " +
                                          kMetadataNamespace);
                continue;
            }
            read_line(node);
        }
    }

    void read_line(xmlNode* node)
    {
        Line line{attribute(node, "vn"), attribute(node, "addresses")};
        const std::optional<std::string> mac_text = attribute(node, "mac");
        const std::string where = "<metadata>, <interface" + (mac_text ? " mac='" + shown(*mac_text) + "'" : "") + ">";
        if (line.vn && !good_vn(*line.vn)) {
            return problem(where, "vn='" + shown(*line.vn) + "' is not the name or VNI of a network");
        }
        if (line.addresses) {
            if (auto addresses = parse_addresses(*line.addresses); !addresses) {
                return problem(where, "addresses: " + addresses.error().text);
            }
        }
        if (!line.vn && !line.addresses) {
            return problem(where, "says nothing: give it vn or addresses");
        }
        if (!mac_text) {
            if (line.addresses) {
                return problem(where, "addresses are those of one interface: name it by mac");
            }
            if (all_) {
                return problem(where, "is there twice");
            }
            all_ = std::move(line);
            return;
        }
        auto mac = base::MacAddress::parse(*mac_text);
        if (!mac) {
            return problem(where, mac.error().text);
        }
        if (!by_mac_.try_emplace(*mac, std::move(line)).second) {
            problem(where, "is there twice");
        }
    }

    void read_interface(xmlNode* node, size_t number)
    {
        xmlNode* port = child(node, "virtualport");
        if (attribute(port, "type") != "openvswitch") {
            return;
        }
        xmlNode* parameters = child(port, "parameters");
        const std::string mac_text = attribute(child(node, "mac"), "address").value_or("");
        const auto mac = base::MacAddress::parse(mac_text);
        Line* line = nullptr;
        if (mac) {
            auto it = by_mac_.find(*mac);
            line = it != by_mac_.end() ? &it->second : nullptr;
        }

        VmInterface found;
        const std::string where = "interface " + std::to_string(number) + (mac_text.empty() ? "" : " (" + shown(mac_text) + ")");
        if (line) {
            line->used = true;
            found.addresses = line->addresses.value_or("");
        }
        found.vn = line && line->vn ? *line->vn : all_ ? *all_->vn : attribute(parameters, "profileid").value_or("");
        if (found.vn.empty()) {
            if (line) {
                problem(where, "has addresses in <metadata> and no network: give it vn there, or profileid");
            }
            vm_.ordinary.push_back(attribute(parameters, "interfaceid").value_or(""));
            return;
        }
        if (!good_vn(found.vn)) {
            return problem(where, "<virtualport> profileid='" + shown(found.vn) + "' is not the name or VNI of a network");
        }
        if (!mac || mac->is_multicast() || mac->is_zero()) {
            return problem(where, "<mac address='" + shown(mac_text) + "'> is not the MAC address of an interface");
        }
        found.mac = *mac;
        found.id = attribute(parameters, "interfaceid").value_or("");
        if (found.id.empty() || found.id.size() > kMaxId || !printable(found.id)) {
            return problem(where, "<virtualport> interfaceid='" + shown(found.id) + "' has to be 1 to " + std::to_string(kMaxId) +
                                      " characters: libvirt makes one up when the domain is defined");
        }
        if (!ids_.insert(found.id).second || !macs_.insert(*mac).second) {
            return problem(where, "has the MAC address or interfaceid of another interface of the domain");
        }
        vm_.interfaces.push_back(std::move(found));
    }

    Vm& vm_;
    std::map<base::MacAddress, Line> by_mac_;
    std::optional<Line> all_;
    std::set<std::string> ids_;
    std::set<base::MacAddress> macs_;
};

}  // namespace

base::Result<Vm> parse_domain(std::string_view xml)
{
    auto document = parse(xml);
    if (!document) {
        return document.error();
    }
    xmlNode* root = xmlDocGetRootElement(document->get());
    if (!root || !is(root, "domain")) {
        return base::Error{EINVAL, "the XML is of <" + shown(root ? text_of(root->name) : "") + ">, not of a <domain>"};
    }
    Vm vm;
    vm.name = content(child(root, "name"));
    vm.uuid = content(child(root, "uuid"));
    if (vm.name.empty() || vm.name.size() > kMaxName || !printable(vm.name)) {
        return base::Error{EINVAL, "the domain's <name> '" + shown(vm.name) + "' has to be 1 to " + std::to_string(kMaxName) + " printable characters"};
    }
    if (vm.uuid.size() != 36 || vm.uuid.find_first_not_of("0123456789abcdefABCDEF-") != vm.uuid.npos) {
        return base::Error{EINVAL, "domain " + shown(vm.name) + ": <uuid> '" + shown(vm.uuid) + "' is not a UUID"};
    }
    Reader reader(vm);
    reader.read_metadata(child(root, "metadata"));
    reader.read_interfaces(child(root, "devices"));
    return vm;
}

}  // namespace nvo3::agent
