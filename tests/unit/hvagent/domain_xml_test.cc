// SPDX-License-Identifier: Apache-2.0
#include "hvagent/libvirt/domain_xml.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace nvo3::agent {
namespace {

constexpr const char* kUuid = "aaaaaaaa-0000-4000-8000-000000000001";

std::string domain(const std::string& devices, const std::string& metadata = "")
{
    return std::string("<domain type='qemu' id='7'><name>vm1</name><uuid>") + kUuid + "</uuid>" +
           (metadata.empty() ? "" : "<metadata>" + metadata + "</metadata>") + "<devices>" + devices + "</devices></domain>";
}

std::string interface(const std::string& mac, const std::string& parameters, const char* type = "bridge", const char* port = "openvswitch")
{
    return std::string("<interface type='") + type + "'>" + (mac.empty() ? "" : "<mac address='" + mac + "'/>") +
           "<source bridge='br-int'/><virtualport type='" + port + "'><parameters " + parameters + "/></virtualport><target dev='vnet0'/></interface>";
}

std::string networks(const std::string& lines)
{
    return std::string("<n:networks xmlns:n='") + kMetadataNamespace + "'>" + lines + "</n:networks>";
}

const std::string kMac = "52:54:00:00:50:01";
const std::string kOther = "52:54:00:00:50:02";
const std::string kBlue = interface(kMac, "interfaceid='id1' profileid='blue'");
const std::string kPlain = interface(kOther, "interfaceid='id2'");

std::string words(const Vm& vm)
{
    std::string all;
    for (const VmInterface& one : vm.interfaces) {
        all += one.id + " " + to_string(one.mac) + " " + one.vn + " [" + one.addresses + "]; ";
    }
    return all;
}

TEST(DomainXml, WhichNetwork)
{
    struct Row {
        const char* what;
        std::string xml;
        const char* interfaces;
    } const rows[] = {
        {"by profile", domain(kBlue), "id1 52:54:00:00:50:01 blue []; "},
        {"of any type of interface", domain(interface(kMac, "interfaceid='id1' profileid='blue'", "network")), "id1 52:54:00:00:50:01 blue []; "},
        {"no network: an ordinary port", domain(kPlain), ""},
        {"no port of Open vSwitch", domain(interface(kMac, "profileid='blue'", "direct", "802.1Qbh")), ""},
        {"no virtualport", domain("<interface type='user'><mac address='52:54:00:00:50:01'/></interface>"), ""},
        {"metadata by MAC, of upper case", domain(interface("52:54:00:00:50:0A", "interfaceid='id1'"), networks("<n:interface mac='52:54:00:00:50:0a' vn='red'/>")),
         "id1 52:54:00:00:50:0a red []; "},
        {"metadata wins over the profile", domain(kBlue, networks("<n:interface mac='52:54:00:00:50:01' vn='red'/>")), "id1 52:54:00:00:50:01 red []; "},
        {"metadata for all wins as well", domain(kBlue + kPlain, networks("<n:interface vn='red'/>")),
         "id1 52:54:00:00:50:01 red []; id2 52:54:00:00:50:02 red []; "},
        {"a MAC of its own wins over the one for all", domain(kBlue + kPlain, networks("<n:interface vn='red'/><n:interface mac='52:54:00:00:50:02' vn='5001'/>")),
         "id1 52:54:00:00:50:01 red []; id2 52:54:00:00:50:02 5001 []; "},
        {"addresses only: the network of the profile", domain(kBlue, networks("<n:interface mac='52:54:00:00:50:01' addresses='10.0.0.1, fd00::1'/>")),
         "id1 52:54:00:00:50:01 blue [10.0.0.1, fd00::1]; "},
        {"addresses with the network of all", domain(kPlain, networks("<n:interface vn='red'/><n:interface mac='52:54:00:00:50:02' addresses='10.0.0.1'/>")),
         "id2 52:54:00:00:50:02 red [10.0.0.1]; "},
        {"metadata of others", domain(kBlue, "<x:networks xmlns:x='urn:other'><x:interface vn='red'/></x:networks>"), "id1 52:54:00:00:50:01 blue []; "},
        {"our words without namespace are not ours", domain(kBlue, "<networks><interface vn='red'/></networks>"), "id1 52:54:00:00:50:01 blue []; "},
        {"an XML declaration", "<?xml version='1.0' encoding='UTF-8'?>\n" + domain(kBlue), "id1 52:54:00:00:50:01 blue []; "},
        {"no devices", "<domain><name>vm1</name><uuid>aaaaaaaa-0000-4000-8000-000000000001</uuid></domain>", ""},
    };
    for (const Row& row : rows) {
        auto vm = parse_domain(row.xml);
        ASSERT_TRUE(vm.ok()) << row.what << ": " << vm.error().text;
        EXPECT_EQ(words(*vm), row.interfaces) << row.what;
        EXPECT_EQ(vm->problems, std::vector<std::string>()) << row.what;
        EXPECT_EQ(vm->uuid, kUuid) << row.what;
        EXPECT_EQ(vm->name, "vm1") << row.what;
        EXPECT_EQ(vm->run, VmRun::gone) << row.what;
    }
}

TEST(DomainXml, InterfacesInNoNetworkAreNamed)
{
    auto vm = parse_domain(domain(interface(kMac, "interfaceid='id1'") + interface(kOther, "interfaceid='id2' profileid='blue'")));
    ASSERT_TRUE(vm);
    EXPECT_EQ(vm->ordinary, std::vector<std::string>{"id1"});
    EXPECT_EQ(vm->interfaces.size(), 1u);
}

TEST(DomainXml, ProblemsNameDomainAndElement)
{
    const std::string seventeen = [] {
        std::string all;
        for (int i = 1; i <= 17; i++) {
            all += "10.0.0." + std::to_string(i) + " ";
        }
        return all;
    }();
    struct Row {
        const char* what;
        std::string xml, problem;
        const char* interfaces;
    } const rows[] = {
        {"MAC missing", domain(interface("", "interfaceid='id1' profileid='blue'")), "domain vm1, interface 1: <mac address=''> is not the MAC address", ""},
        {"MAC of a group", domain(interface("01:00:5e:00:00:01", "interfaceid='id1' profileid='blue'")), "interface 1 (01:00:5e:00:00:01): <mac", ""},
        {"no interfaceid", domain(interface(kMac, "profileid='blue'")), "interfaceid='' has to be", ""},
        {"too long an interfaceid", domain(interface(kMac, "profileid='blue' interfaceid='" + std::string(65, 'x') + "'")), "interfaceid='xxx", ""},
        {"one MAC twice", domain(kBlue + interface(kMac, "interfaceid='id3' profileid='blue'")), "interface 2 (52:54:00:00:50:01): has the MAC address",
         "id1 52:54:00:00:50:01 blue []; "},
        {"one interfaceid twice", domain(kBlue + interface(kOther, "interfaceid='id1' profileid='blue'")), "interface 2", "id1 52:54:00:00:50:01 blue []; "},
        {"name of a network with a line end", domain(interface(kMac, "interfaceid='id1' profileid='a&#10;b'")), "profileid='a?b' is not the name", ""},
        {"name of a network that is too long", domain(interface(kMac, "interfaceid='id1' profileid='" + std::string(256, 'n') + "'")), "nnn...' is not the name", ""},
        {"metadata: empty network", domain(kBlue, networks("<n:interface vn=''/>")), "<metadata>, <interface>: vn=''", "id1 52:54:00:00:50:01 blue []; "},
        {"metadata: says nothing", domain(kBlue, networks("<n:interface mac='52:54:00:00:50:01'/>")), "says nothing", "id1 52:54:00:00:50:01 blue []; "},
        {"metadata: no MAC", domain(kBlue, networks("<n:interface mac='52:54' vn='red'/>")), "<interface mac='52:54'>: is not a MAC", "id1 52:54:00:00:50:01 blue []; "},
        {"metadata: nobody has the MAC", domain(kBlue, networks("<n:interface mac='52:54:00:00:50:09' vn='red'/>")), "has the MAC address 52:54:00:00:50:09",
         "id1 52:54:00:00:50:01 blue []; "},
        {"metadata: twice", domain(kBlue, networks("<n:interface vn='red'/><n:interface vn='green'/>")), "is there twice", "id1 52:54:00:00:50:01 red []; "},
        {"metadata: a MAC twice", domain(kBlue, networks("<n:interface mac='52:54:00:00:50:01' vn='red'/><n:interface mac='52:54:00:00:50:01' vn='green'/>")),
         "is there twice", "id1 52:54:00:00:50:01 red []; "},
        {"metadata: addresses of all", domain(kBlue, networks("<n:interface vn='red' addresses='10.0.0.1'/>")), "name it by mac", "id1 52:54:00:00:50:01 blue []; "},
        {"metadata: no address", domain(kBlue, networks("<n:interface mac='52:54:00:00:50:01' addresses='10.0.0'/>")), "10.0.0 is not the IP address",
         "id1 52:54:00:00:50:01 blue []; "},
        {"metadata: too many addresses", domain(kBlue, networks("<n:interface mac='52:54:00:00:50:01' addresses='" + seventeen + "'/>")), "17 addresses, at most 16",
         "id1 52:54:00:00:50:01 blue []; "},
        {"metadata: addresses without network", domain(kPlain, networks("<n:interface mac='52:54:00:00:50:02' addresses='10.0.0.1'/>")), "and no network", ""},
        {"metadata: unknown element", domain(kBlue, networks("<n:port vn='red'/>")), "<networks> has <port>", "id1 52:54:00:00:50:01 blue []; "},
        {"metadata: line of no namespace", domain(kBlue, networks("<interface vn='red'/>")), "<networks> has <interface>", "id1 52:54:00:00:50:01 blue []; "},
        {"metadata: unknown root", domain(kBlue, std::string("<n:net xmlns:n='") + kMetadataNamespace + "'/>"), "<net> is not known", "id1 52:54:00:00:50:01 blue []; "},
    };
    for (const Row& row : rows) {
        auto vm = parse_domain(row.xml);
        ASSERT_TRUE(vm.ok()) << row.what << ": " << vm.error().text;
        EXPECT_EQ(words(*vm), row.interfaces) << row.what;
        ASSERT_EQ(vm->problems.size(), 1u) << row.what;
        EXPECT_EQ(vm->problems[0].rfind("domain vm1, ", 0), 0u) << row.what << ": " << vm->problems[0];
        EXPECT_NE(vm->problems[0].find(row.problem), std::string::npos) << row.what << ": " << vm->problems[0];
    }
}

TEST(DomainXml, RefusedInWords)
{
    std::string bomb = "<!DOCTYPE domain [<!ENTITY a0 'x'>";
    for (int i = 1; i < 30; i++) {
        bomb += "<!ENTITY a" + std::to_string(i) + " '&a" + std::to_string(i - 1) + ";&a" + std::to_string(i - 1) + ";'>";
    }
    std::string deep;
    for (int i = 0; i < 5000; i++) {
        deep += "<d>";
    }
    struct Row {
        const char* what;
        std::string xml;
        const char* words;
    } const rows[] = {
        {"nothing", "", "the domain's XML"},
        {"no XML", "vm1", "is not XML, line 1"},
        {"cut off", domain(kBlue).substr(0, 200), "the domain's XML"},
        {"of something else", "<network/>", "of <network>, not of a <domain>"},
        {"domain of a namespace", "<domain xmlns='urn:x'/>", "not of a <domain>"},
        {"too large", domain(std::string(kMaxDomainXml, ' ')), "at most 1048576"},
        {"no name", "<domain><uuid>aaaaaaaa-0000-4000-8000-000000000001</uuid></domain>", "<name> ''"},
        {"a name of two lines", "<domain><name>a\nb</name><uuid>aaaaaaaa-0000-4000-8000-000000000001</uuid></domain>", "<name> 'a?b'"},
        {"no UUID", "<domain><name>vm1</name></domain>", "domain vm1: <uuid> ''"},
        {"a document type", "<!DOCTYPE domain>" + domain(kBlue), "document type"},
        {"entities that grow", bomb + "]><domain><name>&a29;</name></domain>", "document type"},
        {"an entity of a file", "<!DOCTYPE domain [<!ENTITY f SYSTEM 'file:///etc/passwd'>]><domain><name>&f;</name></domain>", "document type"},
        {"an unknown entity", "<domain><name>&f;</name></domain>", "is not XML"},
        {"deep", deep, "is not XML"},
        {"not UTF-8", "<domain><name>\xff\xfe</name></domain>", "is not XML"},
    };
    for (const Row& row : rows) {
        auto vm = parse_domain(row.xml);
        ASSERT_FALSE(vm.ok()) << row.what;
        EXPECT_NE(vm.error().text.find(row.words), std::string::npos) << row.what << ": " << vm.error().text;
        EXPECT_EQ(vm.error().text.find_first_of("\n\r"), std::string::npos) << row.what;
    }
}

TEST(DomainXml, NoMoreThanItsLimits)
{
    std::string many;
    for (int i = 0; i < 300; i++) {
        char mac[20];
        std::snprintf(mac, sizeof mac, "52:54:00:00:%02x:%02x", i / 256, i % 256);
        many += interface(mac, "interfaceid='id" + std::to_string(i) + "' profileid='blue'");
    }
    auto vm = parse_domain(domain(many));
    ASSERT_TRUE(vm.ok());
    EXPECT_EQ(vm->interfaces.size(), kMaxDomainInterfaces);
    ASSERT_EQ(vm->problems.size(), 1u);

    std::string lines;
    for (int i = 0; i < 300; i++) {
        lines += "<n:interface mac='bad' vn='\xc3\xa4" + std::string(1000, 'x') + "'/>";
    }
    vm = parse_domain(domain(kBlue, networks(lines)));
    ASSERT_TRUE(vm.ok());
    EXPECT_EQ(vm->problems.size(), kMaxDomainProblems);
    for (const std::string& problem : vm->problems) {
        EXPECT_LT(problem.size(), 500u);
    }
}

}  // namespace
}  // namespace nvo3::agent
