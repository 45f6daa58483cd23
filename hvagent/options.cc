// SPDX-License-Identifier: Apache-2.0
//
// See options.h.
#include "hvagent/options.h"

#include <boost/program_options.hpp>
#include <filesystem>
#include <sstream>

namespace nvo3::agent {

namespace po = boost::program_options;

base::Result<Options> parse_options(int argc, char* argv[])
{
    po::options_description own("Options of hvagent");
    own.add_options()
        ("audit-log", po::value<std::string>()->value_name("FILE"), "append the audit log to FILE (default: LOGDIR/hvagent-audit.log)")
        ("help,h", "display this help message")
        ("version,V", "display version information");

    Options options;
    std::ostringstream usage;
    usage << own;
    options.usage = usage.str();
    options.rest.emplace_back(argc > 0 ? argv[0] : "hvagent");
    try {
        namespace style = po::command_line_style;
        // No guessing: an abbreviation could mean an option of OVS.
        po::parsed_options parsed =
            po::command_line_parser(argc, argv).options(own).style(style::unix_style & ~style::allow_guessing).allow_unregistered().run();
        po::variables_map values;
        po::store(parsed, values);
        po::notify(values);
        options.help = values.contains("help");
        options.version = values.contains("version");
        if (values.contains("audit-log")) {
            // Daemons change their directory.
            options.audit_log = std::filesystem::absolute(values["audit-log"].as<std::string>());
        }
        for (std::string& word : po::collect_unrecognized(parsed.options, po::include_positional)) {
            options.rest.push_back(std::move(word));
        }
        for (std::string& word : options.rest) {
            options.rest_argv.push_back(word.data());
        }
        options.rest_argv.push_back(nullptr);
    } catch (const std::exception& error) {
        return base::Error{EINVAL, std::string(error.what()) + "; use --help for usage"};
    }
    return base::Result<Options>(std::move(options));
}

}  // namespace nvo3::agent
