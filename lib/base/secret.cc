// SPDX-License-Identifier: Apache-2.0
//
// See secret.h.  Secrets come from an arena of their own pages: MADV_DONTDUMP
// works on pages, so a key between other objects of the heap could not be left
// out of a dump.
#include "base/secret.h"

#include <string.h>
#include <sys/mman.h>

#include <array>
#include <bit>
#include <mutex>
#include <new>
#include <utility>

namespace nvo3::base {
namespace {

constexpr size_t kSmallest = 64;        // a cache line, also the alignment
constexpr size_t kLargest = 4096;       // more than this gets its own mapping
constexpr size_t kChunk = 64 * 1024;
constexpr size_t kClasses = 7;          // 64 << 0 .. 64 << 6
static_assert(kSmallest << (kClasses - 1) == kLargest);

void*
map_pages(size_t size)
{
    void* pages = mmap(nullptr, size, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED) {
        throw std::bad_alloc();
    }
    if (madvise(pages, size, MADV_DONTDUMP) != 0) {
        munmap(pages, size);
        throw std::bad_alloc();
    }
    // Best effort: RLIMIT_MEMLOCK may be small, and hosts of virtual machines
    // encrypt or forgo swap.
    (void) mlock(pages, size);
    return pages;
}

class Arena {
public:
    void* allocate(size_t size)
    {
        if (size > kLargest) {
            return map_pages(size);
        }
        const size_t index = class_of(size);
        std::lock_guard lock(mutex_);
        if (!free_[index]) {
            fill(index);
        }
        Node* node = free_[index];
        free_[index] = node->next;
        node->next = nullptr;       // the rest was wiped when it was freed
        return node;
    }

    void release(void* data, size_t size) noexcept
    {
        if (size > kLargest) {
            wipe(data, size);
            munmap(data, size);
            return;
        }
        const size_t index = class_of(size);
        wipe(data, kSmallest << index);
        std::lock_guard lock(mutex_);
        free_[index] = new (data) Node{free_[index]};
    }

private:
    struct Node {
        Node* next;
    };

    static size_t class_of(size_t size) noexcept
    {
        return size <= kSmallest
               ? 0 : std::bit_width(size - 1) - std::bit_width(kSmallest - 1);
    }

    void fill(size_t index)
    {
        auto* chunk = static_cast<uint8_t*>(map_pages(kChunk));
        const size_t step = kSmallest << index;
        for (size_t ofs = 0; ofs < kChunk; ofs += step) {
            free_[index] = new (chunk + ofs) Node{free_[index]};
        }
    }

    std::mutex mutex_;
    std::array<Node*, kClasses> free_{};    // under mutex_
};

// Never destroyed: secrets in static objects may outlive any order of ends.
Arena&
arena()
{
    static Arena* const instance = new Arena;
    return *instance;
}

}  // namespace

void
wipe(void* data, size_t size) noexcept
{
    if (size) {
        explicit_bzero(data, size);
    }
}

bool
equal_constant_time(ByteView a, ByteView b) noexcept
{
    if (a.size() != b.size()) {
        return false;
    }
    volatile uint8_t difference = 0;
    for (size_t i = 0; i < a.size(); i++) {
        difference = difference | (a[i] ^ b[i]);
    }
    return difference == 0;
}

void*
secret_allocate(size_t size)
{
    return arena().allocate(size);
}

void
secret_free(void* data, size_t size) noexcept
{
    if (data) {
        arena().release(data, size);
    }
}

Secret::Secret(size_t size)
    : data_(size ? static_cast<uint8_t*>(secret_allocate(size)) : nullptr),
      size_(size)
{
}

Secret::Secret(ByteView data) : Secret(data.size())
{
    if (size_) {
        memcpy(data_, data.data(), size_);
    }
}

Secret::Secret(Secret&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0))
{
}

Secret&
Secret::operator=(Secret&& other) noexcept
{
    if (this != &other) {
        reset();
        data_ = std::exchange(other.data_, nullptr);
        size_ = std::exchange(other.size_, 0);
    }
    return *this;
}

void
Secret::reset() noexcept
{
    secret_free(data_, size_);
    data_ = nullptr;
    size_ = 0;
}

}  // namespace nvo3::base
