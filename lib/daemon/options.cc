// SPDX-License-Identifier: Apache-2.0
//
// See options.h.
#include "daemon/options.h"

#include <filesystem>
#include <sstream>

namespace nvo3::daemon {

namespace po = boost::program_options;

std::string Options::file(const char* name, const std::string& fallback) const
{
    return own.contains(name) ? std::filesystem::absolute(own[name].as<std::string>()).string() : fallback;
}

base::Result<Options> parse_options(po::options_description own, int argc, char* argv[])
{
    own.add_options()("help,h", "display this help message")("version,V", "display version information");

    Options options;
    std::ostringstream usage;
    usage << own;
    options.usage = usage.str();
    options.rest.emplace_back(argc > 0 ? argv[0] : "");
    try {
        namespace style = po::command_line_style;
        // No guessing: an abbreviation could mean an option of OVS.
        po::parsed_options parsed =
            po::command_line_parser(argc, argv).options(own).style(style::unix_style & ~style::allow_guessing).allow_unregistered().run();
        po::store(parsed, options.own);
        po::notify(options.own);
        options.help = options.own.contains("help");
        options.version = options.own.contains("version");
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

}  // namespace nvo3::daemon
