// Counts what a program takes from the heap, in the global operator new: for one file of a program
// of its own.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <new>

namespace ashlar::test {
inline std::uint64_t g_allocations = 0;

inline void* allocate_counted(std::size_t size, std::size_t alignment) {
  ++g_allocations;
  void* memory = std::aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment);
  if (memory == nullptr) std::abort();
  return memory;
}
}  // namespace ashlar::test

void* operator new(std::size_t size) {
  return ashlar::test::allocate_counted(size, __STDCPP_DEFAULT_NEW_ALIGNMENT__);
}
void* operator new(std::size_t size, std::align_val_t alignment) {
  return ashlar::test::allocate_counted(size, static_cast<std::size_t>(alignment));
}
void operator delete(void* memory) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::size_t /*size*/) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::align_val_t /*alignment*/) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::size_t /*size*/, std::align_val_t /*alignment*/) noexcept {
  std::free(memory);
}
