#include "common/base/crc32c.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <climits>
#include <cstring>

#if defined(__x86_64__)
#include <isa-l/crc.h>
#include <nmmintrin.h>
#endif

namespace ashlar {
namespace {

// Every step function works on the inverted register, as ISA-L does.
using Step = std::uint32_t (*)(std::uint32_t state, const std::byte* data, std::size_t size);

using Tables = std::array<std::array<std::uint32_t, 256>, 8>;

// tables[0][b] is the effect of byte b, tables[k][b] that of b followed by k zero bytes.
constexpr Tables make_tables() {
  constexpr std::uint32_t kReversedPolynomial = 0x82f63b78;
  Tables tables{};
  for (std::uint32_t byte = 0; byte < 256; ++byte) {
    std::uint32_t state = byte;
    for (int bit = 0; bit < 8; ++bit) {
      state = (state >> 1) ^ ((state & 1) != 0 ? kReversedPolynomial : 0);
    }
    tables[0][byte] = state;
  }
  for (std::size_t k = 1; k < tables.size(); ++k) {
    for (std::size_t byte = 0; byte < 256; ++byte) {
      const std::uint32_t before = tables[k - 1][byte];
      tables[k][byte] = (before >> 8) ^ tables[0][before & 0xff];
    }
  }
  return tables;
}

constexpr Tables kTables = make_tables();

std::uint32_t step_by_table(std::uint32_t state, const std::byte* data, std::size_t size) {
  ByteSpan rest(data, size);
  for (; rest.size() >= 8; rest = rest.subspan(8)) {
    const std::uint64_t word = load_le64(rest) ^ state;
    state = 0;
    for (std::size_t i = 0; i < 8; ++i) state ^= kTables[7 - i][(word >> (8 * i)) & 0xff];
  }
  for (const std::byte byte : rest) {
    state = (state >> 8) ^ kTables[0][(state ^ std::to_integer<std::uint32_t>(byte)) & 0xff];
  }
  return state;
}

#if defined(__x86_64__)

// From here on ISA-L is faster. Below it sets up more than it gains: 64 bytes take the instruction
// 7 ns and ISA-L 12, 192 bytes 20 and 25, 256 bytes 27 and 13 (with AVX-512).
constexpr std::size_t kLongFrom = 256;

__attribute__((target("sse4.2"))) std::uint32_t step_by_instruction(std::uint32_t state,
                                                                    const std::byte* data,
                                                                    std::size_t size) {
  std::uint64_t wide = state;
  for (; size >= 8; data += 8, size -= 8) {
    std::uint64_t word = 0;
    std::memcpy(&word, data, sizeof(word));
    wide = _mm_crc32_u64(wide, word);
  }
  auto narrow = static_cast<std::uint32_t>(wide);
  if ((size & 4) != 0) {
    std::uint32_t word = 0;
    std::memcpy(&word, data, sizeof(word));
    narrow = _mm_crc32_u32(narrow, word);
    data += 4;
  }
  if ((size & 2) != 0) {
    std::uint16_t word = 0;
    std::memcpy(&word, data, sizeof(word));
    narrow = _mm_crc32_u16(narrow, word);
    data += 2;
  }
  if ((size & 1) != 0) narrow = _mm_crc32_u8(narrow, std::to_integer<std::uint8_t>(*data));
  return narrow;
}

std::uint32_t step_by_hardware(std::uint32_t state, const std::byte* data, std::size_t size) {
  if (size < kLongFrom) return step_by_instruction(state, data, size);
  while (size > 0) {
    // ISA-L takes an int and, though it only reads, a pointer to non-const.
    const std::size_t piece = std::min<std::size_t>(size, INT_MAX & ~0xfff);
    auto* const start = const_cast<unsigned char*>(reinterpret_cast<const unsigned char*>(data));
    state = ::crc32_iscsi(start, static_cast<int>(piece), state);
    data += piece;
    size -= piece;
  }
  return state;
}

Step best_step() {
  return __builtin_cpu_supports("sse4.2") ? &step_by_hardware : &step_by_table;
}

#else

// Only x86 is built and tested by us; elsewhere the tables are correct, if slow.
Step best_step() {
  return &step_by_table;
}

#endif

std::uint32_t choose_and_step(std::uint32_t state, const std::byte* data, std::size_t size);

// Constant-initialised, so that it works before main too; a relaxed load is a plain load. Threads
// that race here store the same value.
constinit std::atomic<Step> chosen_step = &choose_and_step;

std::uint32_t choose_and_step(std::uint32_t state, const std::byte* data, std::size_t size) {
  const Step best = best_step();
  chosen_step.store(best, std::memory_order_relaxed);
  return best(state, data, size);
}

}  // namespace

std::uint32_t crc32c(ByteSpan bytes, std::uint32_t seed) {
  return ~chosen_step.load(std::memory_order_relaxed)(~seed, bytes.data(), bytes.size());
}

std::string_view crc32c_implementation() {
  return best_step() == &step_by_table ? "table" : "isa-l + sse4.2";
}

std::uint32_t crc32c_portable(ByteSpan bytes, std::uint32_t seed) {
  return ~step_by_table(~seed, bytes.data(), bytes.size());
}

}  // namespace ashlar
