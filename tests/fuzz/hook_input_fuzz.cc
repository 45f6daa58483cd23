// SPDX-License-Identifier: Apache-2.0
//
// What libvirt's hook hands to the agent, arguments and XML apart by zero octets, several
// calls apart by two of them; and, as a whole, what an agent or database might answer
// to the hook.
// Place: tests/fuzz.
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "hvagent/libvirt/hooks.h"
#include "libvirt-hook/exchange.h"

using namespace nvo3;

namespace {

// The last argument takes the rest.
std::vector<std::string> words(std::string_view text)
{
    std::vector<std::string> all;
    while (all.size() < 4) {
        const size_t end = text.find('\0');
        all.emplace_back(text.substr(0, end));
        if (end == text.npos) {
            return all;
        }
        text.remove_prefix(end + 1);
    }
    all.emplace_back(text);
    return all;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size)
{
    const std::string_view input(reinterpret_cast<const char*>(data), size);
    constexpr std::string_view kApart("\0\0", 2);

    agent::Hooks hooks;
    for (std::string_view rest = input;;) {
        const size_t end = rest.find(kApart);
        const std::vector<std::string> arguments = words(rest.substr(0, end));
        const auto call = hooks.read(arguments, size % 2 != 0);
        const bool refusable = arguments.size() > 1 && (arguments[1] == "prepare" || arguments[1] == "start" || arguments[1] == "migrate");
        if (!call && arguments.size() == 5 && !refusable) {
            std::abort();
        }
        if (call && call->ask != agent::HookCall::Ask::nothing && call->vm.name != arguments[0]) {
            std::abort();
        }
        // Whatever the words are, they make a message.
        if (!hook::is_whole(hook::command_request("hook/qemu", arguments)) && input.size() < 10000) {
            std::abort();
        }
        if (end == rest.npos) {
            break;
        }
        rest.remove_prefix(end + kApart.size());
    }

    const auto reply = hook::command_reply(input);
    const auto value = hook::other_config_reply(input, "nvo3-hook");
    if ((reply || value) && !hook::is_whole(input)) {
        std::abort();
    }
    return 0;
}
