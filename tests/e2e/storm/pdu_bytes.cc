#include "tests/e2e/storm/pdu_bytes.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "common/base/crc32c.h"

namespace ashlar::storm {
namespace {

void append_crc(std::vector<std::uint8_t>& out, std::size_t from) {
  const std::uint32_t crc = crc32c(std::as_bytes(std::span(out).subspan(from, out.size() - from)));
  for (int i = 0; i < 4; ++i) out.push_back(static_cast<std::uint8_t>(crc >> (8 * i)));
}

std::uint32_t edge(Random& random) {
  constexpr std::array<std::uint32_t, 14> kEdges{
      0,      1,         2,          3,          0x7f,       0x80,       0xff,
      0xffff, 0x1000000, 0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff, 0x00ffffff};
  return kEdges[random.below(kEdges.size())];
}

}  // namespace

void Pdu::set16(std::size_t at, std::uint32_t value) {
  header[at] = static_cast<std::uint8_t>(value >> 8);
  header[at + 1] = static_cast<std::uint8_t>(value);
}

void Pdu::set32(std::size_t at, std::uint32_t value) {
  set16(at, value >> 16);
  set16(at + 2, value);
}

void Pdu::set_lengths() {
  header[4] = static_cast<std::uint8_t>(additional.size() / 4);
  header[5] = static_cast<std::uint8_t>(data.size() >> 16);
  header[6] = static_cast<std::uint8_t>(data.size() >> 8);
  header[7] = static_cast<std::uint8_t>(data.size());
}

std::uint32_t read32(const std::uint8_t* at) {
  return static_cast<std::uint32_t>(at[0]) << 24 | static_cast<std::uint32_t>(at[1]) << 16 |
         static_cast<std::uint32_t>(at[2]) << 8 | at[3];
}

void append(std::vector<std::uint8_t>& out, const Pdu& pdu, Digests digests) {
  std::size_t from = out.size();
  out.insert(out.end(), pdu.header.begin(), pdu.header.end());
  out.insert(out.end(), pdu.additional.begin(), pdu.additional.end());
  if (digests.header) append_crc(out, from);
  if (pdu.data.empty()) return;
  from = out.size();
  out.insert(out.end(), pdu.data.begin(), pdu.data.end());
  while ((out.size() - from) % 4 != 0) out.push_back(0);
  if (digests.data) append_crc(out, from);
}

std::vector<std::uint8_t> text_of(const std::vector<std::string>& pairs) {
  std::vector<std::uint8_t> text;
  for (const std::string& pair : pairs) {
    text.insert(text.end(), pair.begin(), pair.end());
    text.push_back(0);
  }
  return text;
}

void mutate(Pdu& pdu, Random& random) {
  const auto any_byte = [&] { return static_cast<std::uint8_t>(random.next()); };
  switch (random.below(12)) {
    case 0:  // one bit of the header
      pdu.header[random.below(kHeader)] ^= static_cast<std::uint8_t>(1 << random.below(8));
      break;
    case 1:  // one byte of the header
      pdu.header[random.below(kHeader)] = any_byte();
      break;
    case 2:  // a 32-bit field at an edge
      pdu.set32(random.below(kHeader / 4) * 4, edge(random));
      break;
    case 3:  // a field of the CDB or of what stands there in other PDUs
      pdu.set32(32 + random.below(4) * 4, edge(random));
      break;
    case 4:  // the flags
      pdu.header[1] = any_byte();
      break;
    case 5:  // another opcode with the same body
      pdu.header[0] = any_byte();
      break;
    case 6:  // a data length that lies
      pdu.set32(4, (static_cast<std::uint32_t>(pdu.header[4]) << 24) | (edge(random) & 0xffffff));
      break;
    case 7:  // an AHS length that lies
      pdu.header[4] = any_byte();
      break;
    case 8: {  // an additional header, well formed or not
      pdu.additional.resize(4 * random.between(1, 12));
      for (auto& byte : pdu.additional) byte = any_byte();
      if (random.chance(2, 3)) {
        pdu.additional[0] = 0;
        pdu.additional[1] = static_cast<std::uint8_t>(pdu.additional.size() - 3);
        pdu.additional[2] = static_cast<std::uint8_t>(random.between(0, 3));
      }
      pdu.set_lengths();
      break;
    }
    case 9:  // bytes of the data
      if (!pdu.data.empty()) {
        for (std::uint64_t i = random.between(1, 8); i > 0; --i) {
          pdu.data[random.below(pdu.data.size())] = any_byte();
        }
      }
      break;
    case 10:  // less data than was meant, and the length says so
      pdu.data.resize(pdu.data.empty() ? 0 : random.below(pdu.data.size()));
      pdu.set_lengths();
      break;
    default: {  // more data than was meant
      const std::size_t more = random.between(1, random.chance(1, 8) ? 70'000 : 64);
      const std::uint8_t filler = random.chance(1, 2) ? any_byte() : std::uint8_t{'='};
      pdu.data.resize(pdu.data.size() + more, filler);
      pdu.set_lengths();
      break;
    }
  }
}

void damage(std::vector<std::uint8_t>& out, std::size_t from, Random& random) {
  const std::size_t length = out.size() - from;
  switch (random.below(3)) {
    case 0:  // cut off
      out.resize(from + random.below(length));
      break;
    case 1:  // a bit anywhere, digests included
      out[from + random.below(length)] ^= static_cast<std::uint8_t>(1 << random.below(8));
      break;
    default: {  // bytes that belong to nothing
      for (std::uint64_t i = random.between(1, 100); i > 0; --i) {
        out.push_back(static_cast<std::uint8_t>(random.next()));
      }
      break;
    }
  }
}

}  // namespace ashlar::storm
