// SPDX-License-Identifier: Apache-2.0
//
// See command_line.h.
#include "nva/command_line.h"

#include <string>

#include "control/endpoint.h"

namespace nvo3::nva {

namespace po = boost::program_options;

po::options_description own_options()
{
    po::options_description own("Options of nvo3-nva");
    auto add = own.add_options();
    auto option = [&](const char* name, const char* value, const char* text) {
        add(name, po::value<std::string>()->value_name(value), text);
    };
    option("listen", "ADDRESS:PORT", "where NVEs connect (default: 0.0.0.0:6654; [::]:6654 is IPv4 and IPv6)");
    option("nva-certificate", "FILE", "shown to NVEs (default: that of --certificate)");
    option("nva-private-key", "FILE", "its private key (default: that of --private-key)");
    option("nva-ca-cert", "FILE", "the CA of NVEs (default: that of --ca-cert)");
    option("group-key", "FILE", "master key of groups, the same on every NVA (default: no groups)");
    option("crl", "FILE", "revoked certificates of NVEs");
    option("control-level", "LEVEL", "standard (default) or high: the ciphers of sessions with NVEs");
    option("audit-log", "FILE", "append the audit log to FILE (default: LOGDIR/nvo3-nva-audit.log)");
    return own;
}

base::Result<Nva::Options> read_settings(const daemon::Options& options, const ovs_daemon_options& ovs)
{
    auto text = [&](const char* name, const char* fallback) {
        return options.own.contains(name) ? options.own[name].as<std::string>() : std::string(fallback);
    };
    auto file = [](const char* name) { return std::string(name ? name : ""); };

    Nva::Options settings;
    auto listen = control::parse_endpoint(text("listen", "0.0.0.0:6654"));
    if (!listen) {
        return base::Error{EINVAL, "--listen: " + listen.error().text};
    }
    std::string level = text("control-level", "standard");
    if (level != "standard" && level != "high") {
        return base::Error{EINVAL, "--control-level: '" + level + "' is not known: standard or high"};
    }
    settings.service.listen = *listen;
    settings.service.level = level == "high" ? control::ControlLevel::high : control::ControlLevel::standard;
    settings.service.files = {options.file("nva-certificate", file(ovs.certificate)), options.file("nva-private-key", file(ovs.private_key)),
                              options.file("nva-ca-cert", file(ovs.ca_cert)), options.file("crl"), {}};
    const control::TlsFiles& files = settings.service.files;
    if (files.certificate.empty() || files.private_key.empty() || files.ca_cert.empty()) {
        return base::Error{EINVAL, "give --certificate, --private-key and --ca-cert (or --nva-certificate, --nva-private-key and "
                                   "--nva-ca-cert): PEM files, as nvo3-pki makes them for the role nva"};
    }
    if (std::string(ovs.database).find("ssl:") != std::string::npos) {
        settings.store_ca = file(ovs.ca_cert);
    }
    settings.group_key = options.file("group-key");
    settings.audit_log = options.file("audit-log", std::string(ovs_daemon_logdir()) + "/nvo3-nva-audit.log");
    return settings;
}

}  // namespace nvo3::nva
