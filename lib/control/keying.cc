// SPDX-License-Identifier: Apache-2.0
//
// Traffic keys from the TLS exporter, see keying.h.
#include "control/keying.h"


#include <cerrno>

#include "control/session.h"

namespace nvo3::control {
namespace {

constexpr uint8_t kContextVersion = 1;
constexpr size_t kMaxContextName = 255;
constexpr size_t kMaxKeySize = 255;

bool
usable_name(const std::string& name)
{
    return !name.empty() && name.size() <= kMaxContextName;
}

}  // namespace

base::Bytes
serialize(const TrafficKeyContext& context)
{
    base::ByteWriter writer;
    writer.u8(kContextVersion);
    writer.string16(context.sender_name);
    writer.u8(static_cast<uint8_t>(context.sender_role));
    writer.string16(context.receiver_name);
    writer.u8(static_cast<uint8_t>(context.receiver_role));
    writer.u32(context.vni.value);
    writer.u8(static_cast<uint8_t>(context.encap));
    writer.u32(context.spi.value);
    writer.u8(context.cipher);
    writer.u8(context.esn ? 1 : 0);
    writer.u32(context.generation);
    writer.bytes(context.nonce);
    return writer.take();
}

Exporter
exporter_of(const Session& session)
{
    return [&session](std::string_view label, base::ByteView context, size_t size) {
        return session.export_secret(label, context, size);
    };
}

base::Result<base::Secret>
derive_traffic_key(const Exporter& exporter, const TrafficKeyContext& context, size_t size)
{
    if (!usable_name(context.sender_name) || !usable_name(context.receiver_name)) {
        return base::Error{EINVAL, "a traffic key needs the names of both ends"};
    }
    // The same name twice would give both directions one context.
    if (context.sender_name == context.receiver_name &&
        context.sender_role == context.receiver_role) {
        return base::Error{EINVAL, "both ends of an SA are called '" + context.sender_name +
                                       "': give each host a name of its own"};
    }
    if (!context.vni.valid() || !context.spi.valid() || context.cipher == 0 || size == 0 ||
        size > kMaxKeySize) {
        return base::Error{EINVAL, "VNI, SPI, cipher or size of a traffic key is out of range"};
    }
    return exporter(kTrafficKeyLabel, serialize(context), size);
}

}  // namespace nvo3::control
