// SPDX-License-Identifier: Apache-2.0
//
// Writes metrics in Prometheus' text format, for the commands that node exporter's
// textfile folder is filled from (nvo3-metrics(8)).
// Place: lib/base.  Threads: one thread per object.
#ifndef NVO3_BASE_METRICS_H
#define NVO3_BASE_METRICS_H

#include <chrono>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

namespace nvo3::base {

class MetricsText {
public:
    using Labels = std::initializer_list<std::pair<std::string_view, std::string_view>>;

    // Begins a family; its samples follow.  A counter's name ends in _total.
    MetricsText& counter(std::string_view name, std::string_view help) { return family(name, "counter", help); }
    MetricsText& gauge(std::string_view name, std::string_view help) { return family(name, "gauge", help); }
    // Values of labels may hold anything.
    MetricsText& sample(uint64_t value, Labels labels = {});
    // Seconds since 1970.
    MetricsText& sample(std::chrono::system_clock::time_point time, Labels labels = {});

    std::string take() { return std::exchange(text_, {}); }

private:
    MetricsText& family(std::string_view name, std::string_view type, std::string_view help);

    std::string text_, name_;
};

}  // namespace nvo3::base

#endif
