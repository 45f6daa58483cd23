// SPDX-License-Identifier: Apache-2.0
//
// PEM files, see pem.h.
#include "control/pem.h"

#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <ctime>

#include "base/log.h"
#include "base/unique_fd.h"

namespace nvo3::control {
namespace {

constexpr const char* kModule = "tls";
constexpr size_t kMaxFileSize = 1 << 20;

struct BioDeleter {
    void operator()(BIO* bio) const noexcept { BIO_free(bio); }
};
using BioPtr = std::unique_ptr<BIO, BioDeleter>;

BioPtr
bio_of(const base::Secret& content)
{
    return BioPtr(BIO_new_mem_buf(content.data(), static_cast<int>(content.size())));
}

// Never asks on the terminal of a daemon.
int
no_passphrase(char*, int, int, void* asked)
{
    *static_cast<bool*>(asked) = true;
    return -1;
}

base::Error
not_pem(const std::string& path, const char* what, const char* block)
{
    return base::Error{EINVAL, std::string(what) + " " + path + " holds no PEM block '" + block +
                                   "': give a PEM file"};
}

// Whether reading stopped because the file ended, not at a broken block.
bool
at_end_of_pem()
{
    const unsigned long error = ERR_peek_last_error();
    ERR_clear_error();
    return ERR_GET_LIB(error) == ERR_LIB_PEM && ERR_GET_REASON(error) == PEM_R_NO_START_LINE;
}

// With 'damaged', broken blocks are counted there and left out, as long as one
// is good.
template <class Ptr, class Read>
base::Result<std::vector<Ptr>>
load_all(const std::string& path, const char* what, const char* block, Read read,
         size_t* damaged = nullptr)
{
    auto content = read_file(path, what);
    if (!content.ok()) {
        return content.error();
    }
    BioPtr bio = bio_of(*content);
    std::vector<Ptr> result;
    ERR_clear_error();
    size_t broken = 0;
    for (;;) {
        if (Ptr item{read(bio.get())}) {
            result.push_back(std::move(item));
        } else if (at_end_of_pem()) {
            break;
        } else {
            broken++;   // The next call reads on behind what it could not use.
        }
    }
    // A broken block in the middle must not pass for the end: half a list of
    // authorities is not what the operator wrote.
    if (damaged) {
        *damaged = broken;
    }
    if (broken && (!damaged || result.empty())) {
        return base::Error{EINVAL, std::string(what) + " " + path +
                                       " has a damaged PEM block: write the file anew"};
    }
    if (result.empty()) {
        return not_pem(path, what, block);
    }
    return result;
}

}  // namespace

std::string
file_error(const std::string& path, const char* what, int error)
{
    if (error == ENOENT || error == ENOTDIR) {
        return std::string(what) + " " + path + " does not exist: create it or correct its path";
    }
    if (error == EACCES || error == EPERM) {
        return std::string(what) + " " + path +
               " cannot be read (permission denied): let this program's user read it";
    }
    return std::string(what) + " " + path + " cannot be read: " + std::strerror(error);
}

std::string
openssl_error()
{
    const unsigned long error = ERR_peek_error();
    ERR_clear_error();
    const char* text = ERR_reason_error_string(error);
    return text ? text : "no reason known";
}

base::Result<base::Secret>
read_file(const std::string& path, const char* what)
{
    if (path.empty()) {
        return base::Error{EINVAL, std::string("no ") + what + " is set: name its PEM file"};
    }
    // O_NONBLOCK: a FIFO in the place of the file must not stop the program.
    base::UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    struct stat status{};
    if (!fd || fstat(fd.get(), &status) != 0) {
        const int error = errno;
        return base::Error{error, file_error(path, what, error)};
    }
    if (!S_ISREG(status.st_mode)) {
        return base::Error{EINVAL, std::string(what) + " " + path +
                                       " is not a regular file: name a file"};
    }
    if (status.st_size <= 0 || static_cast<size_t>(status.st_size) > kMaxFileSize) {
        return base::Error{EINVAL, std::string(what) + " " + path +
                                       (status.st_size <= 0 ? " is empty: write it anew"
                                                            : " is larger than 1 MiB")};
    }
    base::Secret content(static_cast<size_t>(status.st_size));
    size_t filled = 0;
    while (filled < content.size()) {
        const ssize_t n = ::read(fd.get(), content.data() + filled, content.size() - filled);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            const int error = n < 0 ? errno : EIO;
            return base::Error{error, file_error(path, what, error)};
        }
        filled += static_cast<size_t>(n);
    }
    return content;
}

base::Result<std::vector<CertificatePtr>>
load_certificates(const std::string& path, const char* what)
{
    return load_all<CertificatePtr>(path, what, "BEGIN CERTIFICATE", [](BIO* bio) {
        return PEM_read_bio_X509(bio, nullptr, nullptr, nullptr);
    });
}

base::Result<std::vector<CrlPtr>>
load_crls(const std::string& path, size_t* damaged)
{
    return load_all<CrlPtr>(path, "CRL", "BEGIN X509 CRL", [](BIO* bio) {
        return PEM_read_bio_X509_CRL(bio, nullptr, nullptr, nullptr);
    }, damaged);
}

base::Result<KeyPtr>
load_private_key(const std::string& path)
{
    auto content = read_file(path, "private key");
    if (!content.ok()) {
        return content.error();
    }
    struct stat status{};
    if (stat(path.c_str(), &status) == 0 && (status.st_mode & S_IRWXO) != 0) {
        base::log(base::LogLevel::warn, kModule,
                  "private key " + path + " is open to every user: chmod 0600 it");
    }
    BioPtr bio = bio_of(*content);
    bool asked = false;
    ERR_clear_error();
    KeyPtr key(PEM_read_bio_PrivateKey(bio.get(), nullptr, no_passphrase, &asked));
    if (!key) {
        ERR_clear_error();
        if (asked) {
            return base::Error{EINVAL, "private key " + path +
                                           " is protected by a passphrase: store it without one, "
                                           "readable by its owner only"};
        }
        return not_pem(path, "private key", "BEGIN PRIVATE KEY");
    }
    return key;
}

std::optional<std::chrono::system_clock::time_point>
to_time_point(const ASN1_TIME* time)
{
    std::tm tm{};
    if (!time || ASN1_TIME_to_tm(time, &tm) != 1) {
        return std::nullopt;
    }
    tm.tm_year = std::min(tm.tm_year, 2200 - 1900);
    return std::chrono::system_clock::from_time_t(timegm(&tm));
}

std::string
to_text(const ASN1_TIME* time)
{
    std::tm tm{};
    char text[40];
    if (ASN1_TIME_to_tm(time, &tm) != 1 ||
        std::strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S UTC", &tm) == 0) {
        return "an unreadable time";
    }
    return text;
}

base::Status
check_validity(const X509* certificate, const std::string& path, const char* what)
{
    if (X509_cmp_current_time(X509_get0_notBefore(certificate)) >= 0) {
        return base::Error{EINVAL, std::string(what) + " " + path + " is not valid before " +
                                       to_text(X509_get0_notBefore(certificate)) +
                                       ": check this host's clock or issue it anew"};
    }
    if (X509_cmp_current_time(X509_get0_notAfter(certificate)) <= 0) {
        return base::Error{EINVAL, std::string(what) + " " + path + " expired at " +
                                       to_text(X509_get0_notAfter(certificate)) +
                                       ": issue it anew"};
    }
    return {};
}

}  // namespace nvo3::control
