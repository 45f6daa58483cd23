// SPDX-License-Identifier: Apache-2.0
//
// See sa_protocol.h.  The order of the fields here is the wire format.
#include "esp/sa_protocol.h"

#include <string.h>

#include <algorithm>
#include <cassert>
#include <concepts>
#include <utility>

namespace nvo3::esp {
namespace {

using base::ByteReader;
using base::ByteView;
using base::ByteWriter;
using base::Error;
using base::IpAddress;
using base::Result;

// On the wire; also the order of SaMessage's alternatives.
enum Type : uint8_t {
    kAgentHello = 1,
    kInstallSa = 2,
    kRemoveSa = 3,
    kRemovePeer = 4,
    kListSas = 5,
    kPortStatus = 6,
    kServedNetworks = 7,
    kSwitchHello = 16,
    kResult = 17,
    kSaRecord = 18,
    kAcquire = 19,
    kSaExpiring = 20,
    kAlarm = 21,
    kGuardNotice = 22,
};

constexpr size_t kSizeOfSize = 4;
// Above any InstallSa, so that its writer never grows and leaves a copy of the
// key behind.
constexpr size_t kInstallReserve = 256;

// Writes and reads the same field lists: each message's fields() is its wire
// format, in one place.
class Encoder {
public:
    explicit Encoder(ByteWriter& out) : out_(out) {}

    void field(const std::unsigned_integral auto& value) { number(value); }
    void field(const bool& value) { out_.u8(value ? 1 : 0); }
    template <class E>
        requires std::is_enum_v<E>
    void field(const E& value) { number(static_cast<std::underlying_type_t<E>>(value)); }
    void field(const base::Spi& spi) { out_.u32(spi.value); }
    void field(const base::Vni& vni) { out_.u32(vni.value); }
    void field(const IpAddress& address) { out_.bytes(address.bytes()); }
    void field(const std::string& text)
    {
        out_.string16(std::string_view(text).substr(0, kSaTextMax));
    }
    void field(const std::vector<base::Vni>& vnis)
    {
        const size_t count = std::min(vnis.size(), kSaServedMax);
        out_.u16(static_cast<uint16_t>(count));
        for (size_t i = 0; i < count; i++) {
            field(vnis[i]);
        }
    }
    void field(const base::Secret& key)
    {
        out_.u16(static_cast<uint16_t>(key.size()));
        out_.bytes(key.view());
    }

private:
    template <class T>
    void number(T value)
    {
        if constexpr (sizeof(T) == 1) {
            out_.u8(value);
        } else if constexpr (sizeof(T) == 2) {
            out_.u16(value);
        } else if constexpr (sizeof(T) == 4) {
            out_.u32(value);
        } else {
            out_.u64(value);
        }
    }

    ByteWriter& out_;
};

bool valid(SaDirection value) { return value == SaDirection::inbound || value == SaDirection::outbound; }
bool valid(base::Encap value) { return base::is_encap(static_cast<uint8_t>(value)); }
bool valid(Cipher value) { return value >= Cipher::aes128gcm && value <= Cipher::chacha20poly1305; }
bool valid(ExpiryReason value) { return value >= ExpiryReason::soft_packets && value <= ExpiryReason::removed; }
bool valid(DropReason value) { return static_cast<size_t>(value) < kDropReasonCount; }

class Decoder {
public:
    explicit Decoder(ByteReader& in) : in_(in) {}

    template <std::unsigned_integral T>
    void field(T& value) { value = number<T>(); }
    void field(bool& value)
    {
        const uint8_t octet = in_.u8();
        value = octet == 1;
        good_ = good_ && octet <= 1;
    }
    template <class E>
        requires std::is_enum_v<E>
    void field(E& value)
    {
        value = static_cast<E>(number<std::underlying_type_t<E>>());
        good_ = good_ && valid(value);
    }
    void field(base::Spi& spi) { spi = base::Spi(in_.u32()); }
    void field(base::Vni& vni)
    {
        vni = base::Vni(in_.u32());
        good_ = good_ && vni.valid();
    }
    void field(IpAddress& address) { address = IpAddress::from_bytes(in_.bytes(16)); }
    void field(std::string& text)
    {
        text = in_.string16();
        good_ = good_ && text.size() <= kSaTextMax;
    }
    void field(std::vector<base::Vni>& vnis)
    {
        const size_t count = in_.u16();
        good_ = good_ && count <= kSaServedMax && in_.remaining() >= count * sizeof(uint32_t);
        vnis.resize(good_ ? count : 0);
        for (base::Vni& vni : vnis) {
            field(vni);
        }
    }
    void field(base::Secret& key) { key = base::Secret(in_.bytes(in_.u16())); }

    bool good() const { return good_ && in_.complete(); }

private:
    template <class T>
    T number()
    {
        if constexpr (sizeof(T) == 1) {
            return in_.u8();
        } else if constexpr (sizeof(T) == 2) {
            return in_.u16();
        } else if constexpr (sizeof(T) == 4) {
            return in_.u32();
        } else {
            return in_.u64();
        }
    }

    ByteReader& in_;
    bool good_ = true;
};

// One list of fields for both directions; M is const when encoding.
template <class Codec, class... F>
void all(Codec& codec, F&... fields) { (codec.field(fields), ...); }

template <class T, class Bare>
concept Is = std::same_as<std::remove_const_t<T>, Bare>;

void fields(auto& c, Is<msg::AgentHello> auto& m) { all(c, m.version, m.agent_instance); }
void fields(auto& c, Is<msg::InstallSa> auto& m)
{
    all(c, m.request, m.sa.direction, m.sa.spi, m.sa.remote, m.sa.local,
        m.sa.group, m.sa.encap, m.sa.vni, m.sa.cipher, m.sa.esn, m.sa.replay_window,
        m.sa.limits.soft_packets, m.sa.limits.hard_packets,
        m.sa.limits.soft_bytes, m.sa.limits.hard_bytes,
        m.sa.limits.hard_seconds, m.sa.generation, m.sa.key);
}
void fields(auto& c, Is<msg::RemoveSa> auto& m) { all(c, m.request, m.direction, m.spi, m.remote, m.encap, m.vni); }
void fields(auto& c, Is<msg::RemovePeer> auto& m) { all(c, m.request, m.remote); }
void fields(auto& c, Is<msg::ListSas> auto& m) { all(c, m.request); }
void fields(auto& c, Is<msg::PortStatus> auto& m) { all(c, m.port, m.state, m.peer, m.error); }
void fields(auto& c, Is<msg::ServedNetworks> auto& m) { all(c, m.vnis); }
void fields(auto& c, Is<msg::SwitchHello> auto& m) { all(c, m.version, m.switch_instance, m.aead); }
void fields(auto& c, Is<msg::Result> auto& m) { all(c, m.request, m.error, m.text); }
void fields(auto& c, Is<msg::SaRecord> auto& m)
{
    all(c, m.request, m.direction, m.spi, m.remote, m.local, m.group, m.encap,
        m.vni, m.cipher, m.esn, m.generation, m.packets, m.bytes, m.age_seconds);
}
void fields(auto& c, Is<msg::Acquire> auto& m) { all(c, m.remote, m.local, m.encap, m.vni); }
void fields(auto& c, Is<msg::SaExpiring> auto& m)
{
    all(c, m.direction, m.spi, m.remote, m.group, m.encap, m.vni, m.reason);
}
void fields(auto& c, Is<msg::Alarm> auto& m)
{
    all(c, m.reason, m.remote, m.vni_expected, m.vni_seen, m.spi, m.count);
}

void fields(auto& c, Is<msg::GuardNotice> auto& m)
{
    all(c, m.bridge, m.connection, m.reason, m.text, m.refused, m.count);
}

constexpr Type kTypes[] = {
    kAgentHello, kInstallSa, kRemoveSa, kRemovePeer, kListSas, kPortStatus,
    kServedNetworks, kSwitchHello, kResult, kSaRecord, kAcquire, kSaExpiring, kAlarm,
    kGuardNotice,
};
static_assert(std::size(kTypes) == std::variant_size_v<SaMessage>);

template <class M>
Result<SaMessage>
decode_as(ByteReader& in)
{
    M message;
    Decoder decoder(in);
    fields(decoder, message);
    if (!decoder.good()) {
        return Error{EPROTO, "a message of the SA socket is malformed: do the "
                             "agent and the switch have the same version?"};
    }
    return SaMessage(std::move(message));
}

}  // namespace

const char*
to_string(ExpiryReason reason) noexcept
{
    switch (reason) {
    case ExpiryReason::soft_packets: return "soft_packets";
    case ExpiryReason::soft_bytes: return "soft_bytes";
    case ExpiryReason::hard_packets: return "hard_packets";
    case ExpiryReason::hard_bytes: return "hard_bytes";
    case ExpiryReason::hard_seconds: return "hard_seconds";
    case ExpiryReason::removed: return "removed";
    }
    return "?";
}

base::Secret
encode(const SaMessage& message)
{
    ByteWriter writer;
    writer.reserve(kInstallReserve);
    writer.u32(0);
    writer.u8(kTypes[message.index()]);
    Encoder encoder(writer);
    std::visit([&](const auto& m) { fields(encoder, m); }, message);

    base::Bytes data = writer.take();
    base::WipeGuard guard(data);
    assert(data.size() <= kSizeOfSize + kSaMessageMax);
    const auto size = static_cast<uint32_t>(data.size() - kSizeOfSize);
    for (size_t i = 0; i < kSizeOfSize; i++) {
        data[i] = static_cast<uint8_t>(size >> (24 - 8 * i));
    }
    return base::Secret(ByteView(data));
}

Result<SaMessage>
decode(ByteView data)
{
    ByteReader in(data);
    switch (in.u8()) {
    case kAgentHello: return decode_as<msg::AgentHello>(in);
    case kInstallSa: return decode_as<msg::InstallSa>(in);
    case kRemoveSa: return decode_as<msg::RemoveSa>(in);
    case kRemovePeer: return decode_as<msg::RemovePeer>(in);
    case kListSas: return decode_as<msg::ListSas>(in);
    case kPortStatus: return decode_as<msg::PortStatus>(in);
    case kServedNetworks: return decode_as<msg::ServedNetworks>(in);
    case kSwitchHello: return decode_as<msg::SwitchHello>(in);
    case kResult: return decode_as<msg::Result>(in);
    case kSaRecord: return decode_as<msg::SaRecord>(in);
    case kAcquire: return decode_as<msg::Acquire>(in);
    case kSaExpiring: return decode_as<msg::SaExpiring>(in);
    case kAlarm: return decode_as<msg::Alarm>(in);
    case kGuardNotice: return decode_as<msg::GuardNotice>(in);
    }
    return Error{EPROTO, "a message of the SA socket has an unknown type: do the "
                         "agent and the switch have the same version?"};
}

SaMessageReader::SaMessageReader() : buffer_(kSizeOfSize + kSaMessageMax) {}

void
SaMessageReader::added(size_t size) noexcept
{
    end_ = std::min(end_ + size, buffer_.size());
}

Result<std::optional<SaMessage>>
SaMessageReader::next()
{
    ByteReader header(buffer_.view().subspan(begin_, end_ - begin_));
    const uint32_t size = header.u32();
    if (header.ok() && (size == 0 || size > kSaMessageMax)) {
        return Error{EPROTO, "a message of the SA socket claims a size of "
                                 + std::to_string(size) + " octets, outside of 1 to "
                                 + std::to_string(kSaMessageMax)};
    }
    if (!header.ok() || header.remaining() < size) {
        // To the front, so that space() has room for the largest message.
        memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
        base::wipe(buffer_.data() + (end_ - begin_), begin_);
        end_ -= begin_;
        begin_ = 0;
        return std::optional<SaMessage>();
    }
    Result<SaMessage> message = decode(header.bytes(size));
    base::wipe(buffer_.data() + begin_, kSizeOfSize + size);
    begin_ += kSizeOfSize + size;
    if (!message) {
        return message.error();
    }
    return std::optional<SaMessage>(std::move(*message));
}

}  // namespace nvo3::esp
