// The opcode table: one row for each operation code and service action that a unit knows. From it
// come the dispatch, the checks before a handler runs (unit attention, reservation, medium, write
// protection, bits that mean nothing), and REPORT SUPPORTED OPERATION CODES: so what is advertised
// is what is implemented (L74).
//
// Each file of commands has its rows beside its handlers and gives them by a function
// (…_commands()), which opcodes.cc lists.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "common/runtime/task.h"
#include "volume/scsi/command.h"

namespace ashlar::scsi {

struct CommandContext;

using Handler = Task<Response> (*)(CommandContext& context);

// What a command does as reservations see it (SPC-4, table 67; SBC-3, table 14).
enum class Access : std::uint8_t {
  kNone,   // allowed whoever holds a reservation
  kRead,   // conflicts with an exclusive access reservation of another
  kWrite,  // conflicts with every reservation of another
};

// Whether a row applies in spite of what stops others.
enum Trait : std::uint16_t {
  kPassesUnitAttention = 1 << 0,  // runs, and leaves the unit attention pending
  kPassesReserve6 = 1 << 1,       // allowed although another has done RESERVE(6)
  kNeedsMedium = 1 << 2,          // NOT READY when the medium is out or stopped
  kWrites = 1 << 3,               // DATA PROTECT when the unit is write-protected
  kDuringSanitize = 1 << 4,       // allowed while a sanitize operation runs or has failed
  kInStandby = 1 << 5,            // allowed through a standby target port group
  kWithoutUnit = 1 << 6,          // answered for a LUN that there is not
};

struct Opcode {
  static constexpr std::size_t kUsageSize = 16;

  std::string_view name;
  std::uint8_t code = 0;
  // In the five low bits of byte 1.
  std::optional<std::uint8_t> service_action;
  std::uint8_t length = 6;  // of the CDB
  // Bits that mean something, byte by byte; those of opcode and service action are zero here. A CDB
  // with any other bit set is refused.
  std::array<std::uint8_t, kUsageSize> usage{};
  Handler handler = nullptr;
  Access access = Access::kNone;
  // Where the CDB's fields decide the access (START STOP UNIT).
  Access (*access_by_fields)(ByteSpan cdb) = nullptr;
  std::uint16_t traits = 0;
  // Seconds, for the command timeouts descriptor; 0 says nothing.
  std::uint32_t nominal_timeout = 0;
  std::uint32_t recommended_timeout = 30;

  bool has(Trait trait) const { return (traits & trait) != 0; }
  Access access_of(ByteSpan cdb) const {
    return access_by_fields == nullptr ? access : access_by_fields(cdb);
  }
};

class OpcodeTable {
 public:
  // Rows outlive the table.
  explicit OpcodeTable(std::span<const std::span<const Opcode>> parts);

  struct Found {
    const Opcode* row = nullptr;
    bool knows_code = false;  // though not with this service action
  };
  // `cdb` has at least 16 bytes.
  Found find(ByteSpan cdb) const;

  // All rows, by code and service action.
  std::span<const Opcode* const> rows() const { return rows_; }

 private:
  std::vector<const Opcode*> rows_;
  struct Place {
    std::uint16_t first = 0;
    std::uint16_t count = 0;
  };
  std::array<Place, 256> places_{};
};

// The table of this target.
const OpcodeTable& opcode_table();

// The first byte with a bit that the row does not use, and its leftmost such bit.
struct ForeignBit {
  std::size_t byte;
  unsigned bit;
};
std::optional<ForeignBit> find_foreign_bit(const Opcode& row, ByteSpan cdb);

}  // namespace ashlar::scsi
