#include "volume/scsi/opcodes.h"

#include <algorithm>
#include <bit>
#include <tuple>

#include "common/base/check.h"
#include "volume/scsi/block_commands.h"
#include "volume/scsi/diagnostics.h"
#include "volume/scsi/extended_copy.h"
#include "volume/scsi/inquiry.h"
#include "volume/scsi/log_pages.h"
#include "volume/scsi/mode_pages.h"
#include "volume/scsi/primary_commands.h"
#include "volume/scsi/report_opcodes.h"
#include "volume/scsi/report_target_ports.h"
#include "volume/scsi/reservations.h"
#include "volume/scsi/sanitize.h"

namespace ashlar::scsi {

namespace {

constexpr std::uint8_t kServiceActionBits = 0x1f;

void check_row(const Opcode& row) {
  ASHLAR_CHECK(row.handler != nullptr, "{} has no handler", row.name);
  ASHLAR_CHECK(row.length <= Opcode::kUsageSize && row.length >= 6, "{}", row.name);
  ASHLAR_CHECK(row.usage[0] == 0, "the usage map of {} holds the opcode", row.name);
  ASHLAR_CHECK(!row.service_action || (row.usage[1] & kServiceActionBits) == 0,
               "the usage map of {} holds the service action", row.name);
  for (std::size_t i = row.length; i < Opcode::kUsageSize; ++i) {
    ASHLAR_CHECK(row.usage[i] == 0, "the usage map of {} is longer than its CDB", row.name);
  }
}

std::tuple<int, int> order_of(const Opcode& row) {
  return {row.code, row.service_action ? int{*row.service_action} : -1};
}

}  // namespace

OpcodeTable::OpcodeTable(std::span<const std::span<const Opcode>> parts) {
  for (const std::span<const Opcode> part : parts) {
    for (const Opcode& row : part) rows_.push_back(&row);
  }
  std::ranges::sort(rows_,
                    [](const Opcode* a, const Opcode* b) { return order_of(*a) < order_of(*b); });
  for (std::size_t i = 0; i < rows_.size(); ++i) {
    const Opcode& row = *rows_[i];
    check_row(row);
    Place& place = places_[row.code];
    if (place.count == 0) {
      place.first = static_cast<std::uint16_t>(i);
    } else {
      const Opcode& before = *rows_[i - 1];
      ASHLAR_CHECK(before.service_action && row.service_action &&
                       *before.service_action != *row.service_action,
                   "{} and {} have one code", before.name, row.name);
    }
    ++place.count;
  }
}

OpcodeTable::Found OpcodeTable::find(ByteSpan cdb) const {
  const Place place = places_[std::to_integer<std::uint8_t>(cdb[0])];
  if (place.count == 0) return {};
  const Opcode* first = rows_[place.first];
  if (!first->service_action) return {first, true};
  const auto action =
      static_cast<std::uint8_t>(std::to_integer<std::uint8_t>(cdb[1]) & kServiceActionBits);
  for (std::size_t i = 0; i < place.count; ++i) {
    const Opcode* row = rows_[place.first + i];
    if (*row->service_action == action) return {row, true};
  }
  return {nullptr, true};
}

std::optional<ForeignBit> find_foreign_bit(const Opcode& row, ByteSpan cdb) {
  for (std::size_t i = 1; i < row.length; ++i) {
    unsigned foreign = std::to_integer<unsigned>(cdb[i]) & ~unsigned{row.usage[i]} & 0xff;
    if (i == 1 && row.service_action) foreign &= ~unsigned{kServiceActionBits};
    if (foreign != 0) return ForeignBit{i, static_cast<unsigned>(std::bit_width(foreign)) - 1};
  }
  return std::nullopt;
}

const OpcodeTable& opcode_table() {
  static const std::array<std::span<const Opcode>, 16> kParts{
      read_write_commands(),  modify_commands(),         verify_commands(),
      unmap_commands(),       capacity_commands(),       medium_commands(),
      primary_commands(),     inquiry_commands(),        mode_commands(),
      log_commands(),         report_opcodes_commands(), target_port_commands(),
      reservation_commands(), extended_copy_commands(),  sanitize_commands(),
      diagnostic_commands(),
  };
  static const OpcodeTable kTable(kParts);
  return kTable;
}

}  // namespace ashlar::scsi
