// SPDX-License-Identifier: Apache-2.0
//
// Unit tests of ovs-ext/engine/json.h.
#include "ovs-ext/engine/json.h"

#include <gtest/gtest.h>

namespace nvo3::engine {
namespace {

TEST(Json, NestsAndSeparates)
{
    JsonWriter json;
    json.begin_object().field("a", 1).field("b", "x").key("c").begin_array().number(1).number(2)
        .begin_object().end_object().end_array().key("d").boolean(false).key("e").begin_array()
        .end_array().end_object();
    EXPECT_EQ(json.take(), "{\"a\":1,\"b\":\"x\",\"c\":[1,2,{}],\"d\":false,\"e\":[]}\n");
}

TEST(Json, EscapesWhatAnAgentMaySend)
{
    JsonWriter json;
    json.text("a\"b\\c\n\x01\x7f\xc3");
    EXPECT_EQ(json.take(), "\"a\\\"b\\\\c\\u000a\\u0001\\u007f\\u00c3\"\n");
}

}  // namespace
}  // namespace nvo3::engine
