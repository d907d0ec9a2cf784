// Coroutine frames by size class, per thread: an await costs a pop and a push instead of malloc and
// free. Sanitizer builds go to the heap so that use after destruction is seen.
#include <array>
#include <cstddef>
#include <new>

#include "common/runtime/executor.h"

namespace ashlar {
namespace {

thread_local std::int64_t live_frame_count = 0;

#if defined(__SANITIZE_ADDRESS__)
constexpr bool kPooled = false;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
constexpr bool kPooled = false;
#else
constexpr bool kPooled = true;
#endif
#else
constexpr bool kPooled = true;
#endif

constexpr std::size_t kGranule = 64;
constexpr std::size_t kClasses = 64;  // frames up to 4 KiB are pooled
constexpr std::size_t kKeptPerClass = 1024;

struct FreeFrame {
  FreeFrame* next;
};

class FramePool {
 public:
  ~FramePool() {
    for (FreeList& list : lists_) {
      while (list.head != nullptr) {
        FreeFrame* frame = list.head;
        list.head = frame->next;
        ::operator delete(frame);
      }
    }
  }

  void* take(std::size_t size_class) {
    FreeList& list = lists_[size_class];
    if (list.head == nullptr) return ::operator new((size_class + 1) * kGranule);
    FreeFrame* frame = list.head;
    list.head = frame->next;
    --list.length;
    return frame;
  }

  void give(void* memory, std::size_t size_class) {
    FreeList& list = lists_[size_class];
    if (list.length == kKeptPerClass) {
      ::operator delete(memory);
      return;
    }
    list.head = new (memory) FreeFrame{list.head};
    ++list.length;
  }

 private:
  struct FreeList {
    FreeFrame* head = nullptr;
    std::size_t length = 0;
  };
  std::array<FreeList, kClasses> lists_;
};

thread_local FramePool frame_pool;

}  // namespace

std::int64_t live_frames() {
  return live_frame_count;
}

void* PromiseBase::operator new(std::size_t size) {
  ++live_frame_count;
  const std::size_t size_class = (size - 1) / kGranule;
  if (!kPooled || size_class >= kClasses) return ::operator new(size);
  return frame_pool.take(size_class);
}

void PromiseBase::operator delete(void* frame, std::size_t size) noexcept {
  --live_frame_count;
  const std::size_t size_class = (size - 1) / kGranule;
  if (!kPooled || size_class >= kClasses) {
    ::operator delete(frame);
  } else {
    frame_pool.give(frame, size_class);
  }
}

}  // namespace ashlar
