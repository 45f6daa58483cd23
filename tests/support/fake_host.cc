// SPDX-License-Identifier: Apache-2.0
//
// See fake_host.h.
#include "tests/support/fake_host.h"

#include <climits>
#include <cstdlib>
#include <cstring>
#include <filesystem>

namespace nvo3::tests {
namespace {

FakeHost* current = nullptr;

std::string
make_rundir()
{
    char path[] = "/tmp/nvo3-unit-XXXXXX";
    return mkdtemp(path) ? path : "";
}

bool
make_room(nvo3_frame* frame, size_t headroom, size_t tailroom)
{
    if (!current->memory) {
        return false;
    }
    current->made_room++;
    auto* packet = static_cast<FakePacket*>(frame->packet);
    base::Bytes larger(headroom + frame->size + tailroom);
    std::memcpy(larger.data() + headroom, frame->data, frame->size);
    packet->buffer = std::move(larger);
    frame->data = packet->buffer.data() + headroom;
    frame->headroom = static_cast<uint32_t>(headroom);
    frame->tailroom = static_cast<uint32_t>(tailroom);
    return true;
}

}  // namespace

FakeHost::FakeHost() : rundir_(make_rundir())
{
    current = this;
    host_.rundir = rundir_.c_str();
    host_.retire = [](void (*destroy)(void*), void* object) {
        std::lock_guard lock(current->mutex_);
        current->retired_.emplace_back(destroy, object);
    };
    host_.log = [](nvo3_log_level, const char* text) { current->log_lines.push_back(text); };
    host_.now_ms = [] { return current->now_ms_.load(); };
    host_.wait_fd = [](int fd, short events) { current->waiting[fd] = events; };
    host_.wait_until = [](long long when) { current->wake_ms = std::min(current->wake_ms, when); };
    host_.make_room = make_room;
    host_.status_changed = [](const char* name) { current->status_changes[name]++; };
    clear_waits();
}

FakeHost::~FakeHost()
{
    reclaim();
    std::filesystem::remove_all(rundir_);
    current = nullptr;
}

void
FakeHost::reclaim()
{
    std::vector<std::pair<void (*)(void*), void*>> retired;
    {
        std::lock_guard lock(mutex_);
        retired.swap(retired_);
    }
    for (auto [destroy, object] : retired) {
        destroy(object);
    }
}

void
FakeHost::clear_waits()
{
    waiting.clear();
    wake_ms = LLONG_MAX;
}

FakePacket::FakePacket(base::ByteView frame, size_t headroom, size_t tailroom)
    : buffer(headroom + frame.size() + tailroom), begin(headroom), size(frame.size())
{
    std::memcpy(buffer.data() + begin, frame.data(), size);
}

nvo3_frame
FakePacket::frame()
{
    nvo3_frame frame{};
    frame.packet = this;
    frame.data = buffer.data() + begin;
    frame.size = static_cast<uint32_t>(size);
    frame.headroom = static_cast<uint32_t>(begin);
    frame.tailroom = static_cast<uint32_t>(buffer.size() - begin - size);
    frame.entropy = 50000;
    return frame;
}

base::Bytes
tunnel_header(base::Encap encap, const base::IpAddress& from, const base::IpAddress& to,
              base::Vni vni, uint16_t peer_index)
{
    const bool geneve = encap == base::Encap::geneve;
    base::ByteWriter out;
    out.bytes(base::Bytes{2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1});
    if (to.is_v4()) {
        out.u16(0x0800);
        out.bytes(base::Bytes{0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, 17, 0, 0});
    } else {
        out.u16(0x86dd);
        out.bytes(base::Bytes{0x60, 0, 0, 0, 0, 0, 17, 64});
    }
    out.bytes(from.wire());
    out.bytes(to.wire());
    out.u16(peer_index);
    out.u16(geneve ? NVO3_GENEVE_PORT : NVO3_VXLAN_PORT);
    out.u16(0);
    out.u16(0);
    out.u32(geneve ? 0x00006558 : 0x08000000);
    out.u32(vni.value << 8);
    return out.take();
}

base::Bytes
vm_frame(size_t size, uint8_t fill)
{
    base::Bytes frame(14 + size, fill);
    std::memcpy(frame.data(), "\x02\x00\x00\x00\x00\xbb\x02\x00\x00\x00\x00\xaa\x08\x00", 14);
    return frame;
}

}  // namespace nvo3::tests
