// SPDX-License-Identifier: Apache-2.0
//
// The emulated NVEs of nve_tool, and its commands.
//
// Place: tests only; part of nve_tool.cc (what NVEs should say) and nve_tool_wrong.cc (what
// they should not, and measurements).  Threads: one.
#ifndef TESTS_SUPPORT_NVE_TOOL_H
#define TESTS_SUPPORT_NVE_TOOL_H

#include <unistd.h>

#include <algorithm>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "nve_client.h"

namespace nvo3::tests::nve_tool {

using namespace std::chrono_literals;
using control::Envelope;
using control::Session;
using json = nlohmann::json;
using Clock = std::chrono::steady_clock;
using Words = std::vector<std::string>;

inline double
seconds_since(Clock::time_point begin)
{
    return std::chrono::duration<double>(Clock::now() - begin).count();
}

template <class T>
T
must(base::Result<T> result)
{
    if (!result.ok()) {
        throw std::runtime_error(result.error().text);
    }
    return std::move(result).value();
}

inline const std::string&
word(const Words& words, size_t index)
{
    if (index >= words.size()) {
        throw std::runtime_error("an argument is missing");
    }
    return words[index];
}

inline uint32_t
number(const Words& words, size_t index)
{
    return static_cast<uint32_t>(std::stoul(word(words, index), nullptr, 0));
}

inline bool
has(const Words& words, const char* flag)
{
    return std::find(words.begin(), words.end(), flag) != words.end();
}

inline std::string
octets(base::ByteView view)
{
    return {reinterpret_cast<const char*>(view.data()), view.size()};
}

// 02:kind:number, of nobody else.
inline std::string
made_mac(uint8_t kind, uint32_t number)
{
    const uint8_t mac[] = {0x02, kind, static_cast<uint8_t>(number >> 24),
                           static_cast<uint8_t>(number >> 16), static_cast<uint8_t>(number >> 8),
                           static_cast<uint8_t>(number)};
    return octets(mac);
}

class Tool {
public:
    explicit Tool(const Words& words)
        : dir_(word(words, 1)), nva_(must(control::parse_endpoint(word(words, 2))))
    {
        next_local_ = boost::asio::ip::make_address_v4(words.size() > 3 ? words[3] : "127.1.0.1")
                          .to_uint();
    }
    json run(const Words& words);
    // Serves the sessions until there is one; none at the end of the input.
    std::optional<std::string> next_line();

private:
    json open(const Words& words, bool resume);
    json open_range(const Words& words);
    json open_all(const Words& names, bool resume, double limit);
    json fill(const Words& words);
    json announce(const Words& words);
    json enrol(const Words& words);
    json say(const Words& words);
    json claim(const Words& words);
    json latency(const Words& words);
    json flood(const Words& words);
    json handshakes(const Words& words);
    json totals() const;
    json state(const NveClient& nve) const;
    json closed_of(const NveClient& nve) const;

    std::shared_ptr<const control::TlsContext> context(const std::string& name);
    NveClient& find(const std::string& name);
    NveClient& make(const std::string& name);
    // False after 'limit' seconds.
    bool run_until(const std::function<bool()>& done, double limit);
    json answer_of(NveClient& nve, Envelope message);

    const std::string dir_;
    const control::Endpoint nva_;
    uint32_t next_local_;
    uint32_t next_mac_ = 0;
    boost::asio::io_context io_;
    boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_ =
        boost::asio::make_work_guard(io_);
    boost::asio::posix::stream_descriptor input_{io_, ::dup(STDIN_FILENO)};
    std::string lines_;
    NveTotals totals_;
    std::map<std::string, std::unique_ptr<NveClient>> nves_;
};

}  // namespace nvo3::tests::nve_tool
#endif
