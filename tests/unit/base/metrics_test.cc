// SPDX-License-Identifier: Apache-2.0
#include "base/metrics.h"

#include <gtest/gtest.h>

namespace nvo3::base {
namespace {

TEST(Metrics, Text)
{
    MetricsText out;
    out.counter("a_total", "As.").sample(3);
    out.gauge("b", "Bs.").sample(1, {{"x", "1"}, {"y", "two"}}).sample(0, {{"x", "2"}, {"y", ""}});
    EXPECT_EQ(out.take(),
              "# HELP a_total As.\n"
              "# TYPE a_total counter\n"
              "a_total 3\n"
              "# HELP b Bs.\n"
              "# TYPE b gauge\n"
              "b{x=\"1\",y=\"two\"} 1\n"
              "b{x=\"2\",y=\"\"} 0\n");
}

// A peer's name must not end its label, or begin a line of its own.
TEST(Metrics, LabelsHoldAnything)
{
    MetricsText out;
    out.gauge("a", "As.").sample(1, {{"peer", "x\"} 9\nb\\ \xff"}});
    EXPECT_EQ(out.take(), "# HELP a As.\n# TYPE a gauge\na{peer=\"x\\\"} 9?b\\\\ ?\"} 1\n");
}

}  // namespace
}  // namespace nvo3::base
