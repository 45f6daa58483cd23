// SPDX-License-Identifier: Apache-2.0
//
// Every way in which certificate files can be wrong, and that the sentence
// names the file and what to do.
#include "control/tls.h"

#include <gtest/gtest.h>
#include <openssl/pem.h>
#include <sys/stat.h>

#include <fstream>

#include "control/credentials.h"
#include "test_pki.h"

namespace nvo3::tests {
namespace {

using control::ControlLevel;
using control::TlsContext;
using control::TlsFiles;

class TlsFilesTest : public ::testing::Test {
protected:
    // The error's text; empty if all was well.
    static std::string error(const TlsFiles& files)
    {
        const auto context = TlsContext::from_files(files, ControlLevel::standard);
        return context.ok() ? "" : context.error().text;
    }
    Leaf leaf(const std::string& file, long not_before, long not_after)
    {
        return ca_.issue(file, {.uri = "spiffe://test.internal/nvo3/nve/" + file,
                                .not_before = not_before, .not_after = not_after});
    }

    TempDir dir_;
    TestCa ca_{dir_, "CA"};
    TestCa other_{dir_, "other CA"};
    Leaf hv1_ = ca_.host("hv1");
    TlsFiles good_ = files_of(hv1_, ca_);
};

TEST_F(TlsFilesTest, Good)
{
    const auto context = TlsContext::from_files(good_, ControlLevel::high);
    ASSERT_TRUE(context.ok()) << context.error().text;
    EXPECT_EQ((*context)->own_identity().name, "hv1");
    EXPECT_EQ((*context)->own_identity().role, control::Role::nve);
    EXPECT_FALSE((*context)->is_psk());
    EXPECT_EQ((*context)->level(), ControlLevel::high);
    good_.crl = ca_.crl("crl.pem", {});
    EXPECT_EQ(error(good_), "");
}

TEST_F(TlsFilesTest, MissingFiles)
{
    const std::string gone = dir_.file("gone");
    TlsFiles files = good_;
    files.certificate = gone;
    EXPECT_EQ(error(files), "certificate " + gone + " does not exist: create it or correct its path");
    files = good_;
    files.private_key = gone;
    EXPECT_EQ(error(files), "private key " + gone + " does not exist: create it or correct its path");
    files = good_;
    files.ca_cert = gone;
    EXPECT_EQ(error(files), "CA certificate " + gone + " does not exist: create it or correct its path");
    files = good_;
    files.crl = gone;
    EXPECT_EQ(error(files), "CRL " + gone + " does not exist: create it or correct its path");
    files = good_;
    files.pinned = {gone};
    EXPECT_EQ(error(files), "peer certificate " + gone + " does not exist: create it or correct its path");
    files = good_;
    files.ca_cert = "";
    EXPECT_EQ(error(files), "no CA certificate (ca_cert) is set: name its PEM file");
    files.certificate = "";
    EXPECT_EQ(error(files), "no certificate is set: name its PEM file");
}

TEST_F(TlsFilesTest, NotAFileOfThatKind)
{
    const std::string text = dir_.write("text", "this is no PEM file\n");
    TlsFiles files = good_;
    files.certificate = text;
    EXPECT_EQ(error(files), "certificate " + text + " holds no PEM block 'BEGIN CERTIFICATE': give a PEM file");
    files = good_;
    files.private_key = hv1_.certificate_path;
    EXPECT_EQ(error(files), "private key " + hv1_.certificate_path +
                                " holds no PEM block 'BEGIN PRIVATE KEY': give a PEM file");
    files = good_;
    files.crl = text;
    EXPECT_EQ(error(files), "CRL " + text + " holds no PEM block 'BEGIN X509 CRL': give a PEM file");
    files = good_;
    files.certificate = dir_.file("");
    EXPECT_NE(error(files).find("is not a regular file"), std::string::npos);
    files.certificate = dir_.write("empty", std::string(1, '\n'));
    EXPECT_NE(error(files).find("holds no PEM block"), std::string::npos);
    files.certificate = dir_.write("huge", std::string((1 << 20) + 1, 'x'));
    EXPECT_NE(error(files).find("is larger than 1 MiB"), std::string::npos);
    files = good_;
    files.ca_cert = hv1_.certificate_path;
    EXPECT_EQ(error(files), "CA certificate " + hv1_.certificate_path +
                                " holds a certificate that is not of a CA: give the CA's own");
}

TEST_F(TlsFilesTest, FifoDoesNotBlock)
{
    const std::string fifo = dir_.file("fifo");
    ASSERT_EQ(mkfifo(fifo.c_str(), 0600), 0);
    good_.certificate = fifo;
    EXPECT_NE(error(good_).find("is not a regular file"), std::string::npos);
}

TEST_F(TlsFilesTest, DamagedBlockIsNotTheEnd)
{
    const std::string both = dir_.write(
        "both", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    good_.ca_cert = both;
    EXPECT_EQ(error(good_), "CA certificate " + both + " has a damaged PEM block: write the file anew");
}

TEST_F(TlsFilesTest, KeyOfAnotherCertificate)
{
    const Leaf hv2 = ca_.host("hv2");
    good_.private_key = hv2.key_path;
    EXPECT_EQ(error(good_), "private key " + hv2.key_path + " does not belong to certificate " +
                                hv1_.certificate_path + ": give the pair that was made together");
}

TEST_F(TlsFilesTest, EncryptedKeyDoesNotAsk)
{
    const std::string path = dir_.file("encrypted.key");
    FILE* file = fopen(path.c_str(), "w");
    unsigned char word[] = "secret";
    ASSERT_EQ(PEM_write_PrivateKey(file, hv1_.key.get(), EVP_aes_128_cbc(), word, 6, nullptr, nullptr), 1);
    fclose(file);
    good_.private_key = path;
    EXPECT_NE(error(good_).find("is protected by a passphrase"), std::string::npos);
}

TEST_F(TlsFilesTest, Times)
{
    const Leaf old = leaf("old", -7200, -60);
    EXPECT_EQ(error(files_of(old, ca_)).find("certificate " + old.certificate_path + " expired at 20"), 0u)
        << error(files_of(old, ca_));
    const Leaf young = leaf("young", 3600, 7200);
    EXPECT_EQ(error(files_of(young, ca_)).find("certificate " + young.certificate_path + " is not valid before 20"), 0u);
    const TestCa old_ca(dir_, "old CA", -60);
    const Leaf leaf = old_ca.host("hv3");
    EXPECT_EQ(error(files_of(leaf, old_ca)).find("CA certificate " + old_ca.path() + " expired at 20"), 0u);
}

TEST_F(TlsFilesTest, AnotherCa)
{
    good_.ca_cert = other_.path();
    EXPECT_EQ(error(good_), "certificate " + hv1_.certificate_path + " is not issued by the CA in " +
                                other_.path() +
                                ": give the CA that issued it, or a certificate of that CA");
}

TEST_F(TlsFilesTest, Crls)
{
    good_.crl = ca_.crl("old.pem", {}, -60, -7200);
    EXPECT_EQ(error(good_).find("CRL " + good_.crl + " expired at 20"), 0u) << error(good_);
    good_.crl = ca_.crl("young.pem", {}, 7200, 3600);
    EXPECT_EQ(error(good_).find("CRL " + good_.crl + " is not valid before 20"), 0u) << error(good_);
    good_.crl = other_.crl("other.pem", {});
    EXPECT_EQ(error(good_), "CRL " + good_.crl + " is not signed by the CA in " + ca_.path() +
                                ": give the CRL of that CA");
    good_.crl = ca_.crl("mine.pem", {&hv1_});
    EXPECT_EQ(error(good_), "certificate " + hv1_.certificate_path + " is revoked by CRL " + good_.crl +
                                ": get another certificate");
}

// ---- What is partly broken ----

std::string content(const std::string& path)
{
    std::ifstream in(path);
    return {std::istreambuf_iterator<char>(in), {}};
}

// Why a peer is refused; empty if it is let in.
std::string refusal(const TlsContext& context, const Leaf& peer)
{
    control::CertificateChain chain;
    X509_up_ref(peer.certificate.get());
    chain.emplace_back(peer.certificate.get());
    const base::Status status = context.reverify(chain);
    return status.ok() ? "" : status.error().text;
}

bool holds(const std::string& text, const std::string& part)
{
    return text.find(part) != std::string::npos;
}

TEST_F(TlsFilesTest, CaThatExpiredIsLeftOut)
{
    const TestCa old(dir_, "old CA", -60);
    good_.ca_cert = dir_.write("cas", content(old.path()) + content(ca_.path()));
    const auto context = TlsContext::from_files(good_, ControlLevel::standard);
    ASSERT_TRUE(context.ok()) << context.error().text;
    EXPECT_TRUE(holds((*context)->problem(), "CA certificate " + good_.ca_cert + " expired at 20")) << (*context)->problem();
    EXPECT_EQ(refusal(**context, ca_.host("hv2")), "");
    EXPECT_NE(refusal(**context, old.host("hv3")), "");
}

TEST_F(TlsFilesTest, NewCrlCountsWhateverElseIsBroken)
{
    const Leaf gone = ca_.host("gone"), hv2 = ca_.host("hv2"), nva = ca_.host("nva", "nva");
    good_.crl = ca_.crl("old.pem", {});
    const auto former = TlsContext::from_files(good_, ControlLevel::standard, control::Role::nve);
    ASSERT_TRUE(former.ok()) << former.error().text;
    EXPECT_EQ((*former)->problem(), "");
    EXPECT_EQ(refusal(**former, gone), "");
    const TestCa old(dir_, "old CA", -60);
    const Leaf late = leaf("late", -7200, -60), foreign = other_.host("foreign");
    const struct {
        const char* description;
        TlsFiles files;
        std::string problem;
    } rows[] = {
        {"own certificate not there", {dir_.file("none"), hv1_.key_path, ca_.path(), "", {}}, "does not exist"},
        {"key of another", {hv1_.certificate_path, hv2.key_path, ca_.path(), "", {}}, "does not belong to"},
        {"own certificate expired", {late.certificate_path, late.key_path, ca_.path(), "", {}}, "expired at"},
        {"own certificate of another CA", {foreign.certificate_path, foreign.key_path, ca_.path(), "", {}}, "is not issued by"},
        {"own certificate of another role", {nva.certificate_path, nva.key_path, ca_.path(), "", {}}, "is for the role nva"},
        {"CAs not there", {hv1_.certificate_path, hv1_.key_path, dir_.file("none"), "", {}}, "does not exist"},
        {"CAs damaged", {hv1_.certificate_path, hv1_.key_path, dir_.write("cas", content(ca_.path()) + "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), "", {}}, "damaged"},
        {"CA expired", {hv1_.certificate_path, hv1_.key_path, old.path(), "", {}}, "expired at"},
        {"pinned certificate not there", {hv1_.certificate_path, hv1_.key_path, ca_.path(), "", {dir_.file("none")}}, "does not exist"},
        {"all of it", {dir_.file("none"), dir_.file("none"), dir_.file("none"), "", {}}, "does not exist"},
        {"own certificate revoked as well", good_, "is revoked by CRL"},
    };
    for (const auto& row : rows) {
        SCOPED_TRACE(row.description);
        TlsFiles files = row.files;
        files.crl = ca_.crl("new.pem", {&gone, files.certificate == hv1_.certificate_path && row.files.crl == good_.crl ? &hv1_ : &gone});
        EXPECT_FALSE(TlsContext::from_files(files, ControlLevel::standard, control::Role::nve).ok());
        const auto now = TlsContext::from_files(files, ControlLevel::standard, control::Role::nve, former->get());
        ASSERT_TRUE(now.ok()) << now.error().text;
        EXPECT_TRUE(holds((*now)->problem(), row.problem)) << (*now)->problem();
        EXPECT_EQ(refusal(**now, gone), "the certificate 'gone' is revoked");
        EXPECT_EQ(refusal(**now, hv2), "");
        EXPECT_EQ((*now)->own_identity().name, "hv1");
        EXPECT_EQ((*now)->own_identity().fingerprint, (*former)->own_identity().fingerprint);
        EXPECT_EQ(SSL_CTX_check_private_key((*now)->native()), 1);
    }
}

TEST_F(TlsFilesTest, UnreadableCrlKeepsTheFormerOne)
{
    const Leaf gone = ca_.host("gone"), hv2 = ca_.host("hv2");
    good_.crl = ca_.crl("crl.pem", {&gone});
    const auto former = TlsContext::from_files(good_, ControlLevel::standard);
    ASSERT_TRUE(former.ok()) << former.error().text;
    for (const std::string& path : {dir_.file("none"), dir_.write("text", "no CRL\n"), other_.crl("other.pem", {})}) {
        SCOPED_TRACE(path);
        good_.crl = path;
        const auto now = TlsContext::from_files(good_, ControlLevel::standard, {}, former->get());
        ASSERT_TRUE(now.ok()) << now.error().text;
        EXPECT_NE((*now)->problem(), "");
        EXPECT_EQ(refusal(**now, gone), "the certificate 'gone' is revoked");
        EXPECT_EQ(refusal(**now, hv2), "");
    }
}

TEST_F(TlsFilesTest, EndsOfWhatIsTrusted)
{
    const auto left = [](const auto& end) {
        return std::chrono::duration_cast<std::chrono::seconds>(end.value() - std::chrono::system_clock::now()).count();
    };
    auto context = TlsContext::from_files(good_, ControlLevel::standard);
    ASSERT_TRUE(context.ok());
    EXPECT_GT(left((*context)->trust_ends().ca), 0);
    EXPECT_FALSE((*context)->trust_ends().crl);
    good_.crl = ca_.crl("soon.pem", {}, 3600);
    const TestCa soon(dir_, "soon CA", 1800);
    good_.ca_cert = dir_.write("both", content(ca_.path()) + content(soon.path()));
    context = TlsContext::from_files(good_, ControlLevel::standard);
    ASSERT_TRUE(context.ok()) << context.error().text;
    EXPECT_NEAR(left((*context)->trust_ends().ca), 1800, 60);
    EXPECT_NEAR(left((*context)->trust_ends().crl), 3600, 60);
}

TEST_F(TlsFilesTest, CrlCountsForItsCaAlone)
{
    good_.ca_cert = dir_.write("cas", content(ca_.path()) + content(other_.path()));
    const Leaf hv2 = ca_.host("hv2"), gone = ca_.host("gone"), hv3 = other_.host("hv3");
    const std::string mine = content(ca_.crl("mine.pem", {&gone}));
    const TestCa third(dir_, "third CA");
    const std::string damaged = "-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n";
    const struct {
        const char* description;
        std::string crls, problem, refusal;
    } rows[] = {
        {"good", mine + content(other_.crl("1.pem", {})), "", ""},
        {"none", mine, "", "the CRL file has none of the CA that issued the certificate 'hv3': add it"},
        {"stale", content(other_.crl("2.pem", {}, -60, -7200)) + mine, "expired at", "the CRL has expired, so the certificate 'hv3' cannot be judged: renew the CRL"},
        {"early", content(other_.crl("3.pem", {}, 7200, 3600)) + mine, "is not valid before", "the CRL is not valid yet, so the certificate 'hv3' cannot be judged: check this host's clock"},
        {"of another CA", content(third.crl("4.pem", {})) + mine, "is not signed by", "the CRL file has none of the CA that issued the certificate 'hv3': add it"},
        {"damaged first", damaged + mine, "damaged", "the CRL file has none of the CA that issued the certificate 'hv3': add it"},
        {"damaged last", mine + damaged, "damaged", "the CRL file has none of the CA that issued the certificate 'hv3': add it"},
    };
    for (const auto& row : rows) {
        SCOPED_TRACE(row.description);
        good_.crl = dir_.write("crls", row.crls);
        const auto context = TlsContext::from_files(good_, ControlLevel::standard);
        ASSERT_TRUE(context.ok()) << context.error().text;
        EXPECT_TRUE(row.problem.empty() ? (*context)->problem().empty() : holds((*context)->problem(), row.problem)) << (*context)->problem();
        EXPECT_EQ(refusal(**context, hv2), "");
        EXPECT_EQ(refusal(**context, gone), "the certificate 'gone' is revoked");
        EXPECT_EQ(refusal(**context, hv3), row.refusal);
    }
}

// A problem is looked at again and again; sessions only when something has changed.
TEST_F(TlsFilesTest, CredentialsInPartAreTriedAgain)
{
    const Leaf gone = ca_.host("gone");
    good_.certificate = dir_.write("own", content(hv1_.certificate_path));
    good_.crl = ca_.crl("crl.pem", {});
    auto credentials = control::certificate_credentials(good_, {"certificate", "private_key", "ca_cert"}, ControlLevel::standard, control::Role::nve);
    ASSERT_TRUE(credentials.refresh(false)) << credentials.problem();
    EXPECT_EQ(credentials.problem(), "");
    unlink(good_.certificate.c_str());
    EXPECT_FALSE(credentials.refresh(false));
    EXPECT_TRUE(holds(credentials.problem(), "does not exist"));
    ca_.crl("crl.pem", {&gone});
    ASSERT_TRUE(credentials.refresh(false));
    EXPECT_TRUE(holds(credentials.problem(), "does not exist"));
    EXPECT_EQ(refusal(*credentials.context(), gone), "the certificate 'gone' is revoked");
    EXPECT_FALSE(credentials.refresh(false));
    dir_.write("own", content(hv1_.certificate_path));
    EXPECT_FALSE(credentials.refresh(false));
    EXPECT_EQ(credentials.problem(), "");
    EXPECT_TRUE(credentials.refresh(true));
    good_.certificate = "";
    credentials = control::certificate_credentials(good_, {"certificate", "private_key", "ca_cert"}, ControlLevel::standard, control::Role::nve);
    EXPECT_FALSE(credentials.refresh(false));
    EXPECT_EQ(credentials.problem(), "certificate is not set: give the path of a PEM file");
}

TEST_F(TlsFilesTest, AnotherPskIsAnotherContext)
{
    const std::string path = dir_.write("psk", "0123456789abcdef");
    auto credentials = control::psk_credentials(path, ControlLevel::standard);
    ASSERT_TRUE(credentials.refresh(false)) << credentials.problem();
    dir_.write("psk", "0123456789abcdefg");
    EXPECT_TRUE(credentials.refresh(false));
}

TEST_F(TlsFilesTest, OwnCertificateThatPeersWouldRefuse)
{
    const Leaf server_only = ca_.issue("server", {.uri = "spiffe://d/nvo3/nve/a", .usage = "serverAuth"});
    EXPECT_NE(error(files_of(server_only, ca_)).find("is not for both TLS servers and clients"),
              std::string::npos);
    const Leaf king = ca_.issue("king", {.uri = "spiffe://d/nvo3/king/a"});
    EXPECT_NE(error(files_of(king, ca_)).find("certificate " + king.certificate_path + " cannot be used: "),
              std::string::npos);
}

TEST_F(TlsFilesTest, PskFile)
{
    const std::string path = dir_.write("psk", "0123456789abcdef\r\n");
    auto psk = control::read_psk_file(path);
    ASSERT_TRUE(psk.ok()) << psk.error().text;
    EXPECT_EQ(psk->size(), 16u);
    chmod(path.c_str(), 0640);
    EXPECT_EQ(control::read_psk_file(path).error().text,
              "pre-shared key " + path + " is open to others than its owner: chmod 0600 it");
    EXPECT_FALSE(control::read_psk_file(dir_.write("blank", "\n")).ok());
    EXPECT_EQ(control::read_psk_file(dir_.file("gone")).error().text,
              "pre-shared key " + dir_.file("gone") + " does not exist: create it or correct its path");
    auto shorter = control::read_psk_file(dir_.write("short", "0123456789abcde\n"));
    ASSERT_FALSE(shorter.ok());
    EXPECT_NE(shorter.error().text.find("openssl rand -hex 32"), std::string::npos) << shorter.error().text;
    EXPECT_FALSE(TlsContext::from_psk(base::Bytes(15), ControlLevel::standard).ok());
    EXPECT_TRUE(TlsContext::from_psk(base::Bytes(16), ControlLevel::standard).ok());
    EXPECT_FALSE(TlsContext::from_psk(base::Bytes(4097), ControlLevel::standard).ok());
}

}  // namespace
}  // namespace nvo3::tests
