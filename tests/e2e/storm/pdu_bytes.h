// PDUs as bytes, put together by hand: this client must be able to say what no codec would let it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/random.h"

namespace ashlar::storm {

inline constexpr std::size_t kHeader = 48;

// Opcodes of RFC 7143, 11.2.1.2.
enum Opcode : std::uint8_t {
  kNopOut = 0x00,
  kScsiCommand = 0x01,
  kTaskManagement = 0x02,
  kLogin = 0x03,
  kText = 0x04,
  kDataOut = 0x05,
  kLogout = 0x06,
  kSnack = 0x10,
  kNopIn = 0x20,
  kScsiResponse = 0x21,
  kLoginResponse = 0x23,
  kDataIn = 0x25,
  kReadyToTransfer = 0x31,
  kReject = 0x3f,
};

struct Pdu {
  std::vector<std::uint8_t> header = std::vector<std::uint8_t>(kHeader);
  std::vector<std::uint8_t> additional;  // AHS
  std::vector<std::uint8_t> data;

  void set16(std::size_t at, std::uint32_t value);
  void set32(std::size_t at, std::uint32_t value);
  void set_lengths();  // TotalAHSLength and DataSegmentLength as they are
};

std::uint32_t read32(const std::uint8_t* at);

struct Digests {
  bool header = false;
  bool data = false;
};

// Header, additional headers, data with padding, and the digests that were negotiated.
void append(std::vector<std::uint8_t>& out, const Pdu& pdu, Digests digests);

std::vector<std::uint8_t> text_of(const std::vector<std::string>& pairs);

// Changes a PDU that was right: a bit, a byte, a field that matters set to an edge, lengths that
// lie, text that is longer or cut. What it does to the bytes on the wire is for append_mutated.
void mutate(Pdu& pdu, Random& random);
// After append(): sometimes damages the stream itself. `from` is where the PDU begins.
void damage(std::vector<std::uint8_t>& out, std::size_t from, Random& random);

}  // namespace ashlar::storm
