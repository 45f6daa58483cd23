// SPDX-License-Identifier: Apache-2.0
//
// Writes JSON for ovs-appctl, from the top down, without a document in memory.
// Place: engine.  Threads: one thread per object.
#ifndef NVO3_ENGINE_JSON_H
#define NVO3_ENGINE_JSON_H

#include <cstdint>
#include <string>
#include <string_view>

namespace nvo3::engine {

// The caller closes what it opens; keys belong in objects only.
class JsonWriter {
public:
    JsonWriter& begin_object() { return open('{'); }
    JsonWriter& end_object() { return close('}'); }
    JsonWriter& begin_array() { return open('['); }
    JsonWriter& end_array() { return close(']'); }
    JsonWriter& key(std::string_view name);
    // Octets that are no printable ASCII are escaped one by one.
    JsonWriter& text(std::string_view value);
    JsonWriter& number(uint64_t value);
    JsonWriter& boolean(bool value);

    // A key and its value.
    JsonWriter& field(std::string_view name, std::string_view value) { return key(name).text(value); }
    JsonWriter& field(std::string_view name, const char* value) { return key(name).text(value); }
    JsonWriter& field(std::string_view name, uint64_t value) { return key(name).number(value); }

    // What was written, with a newline.
    std::string take();

private:
    JsonWriter& open(char bracket);
    JsonWriter& close(char bracket);
    void separate();
    void quote(std::string_view value);

    std::string out_;
    bool first_ = true;     // nothing yet at this level
};

}  // namespace nvo3::engine

#endif
