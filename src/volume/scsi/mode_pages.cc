#include "volume/scsi/mode_pages.h"

#include <algorithm>
#include <array>
#include <utility>

#include "volume/scsi/command_context.h"
#include "volume/scsi/logical_unit.h"
#include "volume/scsi/parameter_list.h"

namespace ashlar::scsi {

namespace {

// The two sizes of the commands differ in their headers and in where their fields stand.
enum class CdbSize : std::uint8_t { kSix, kTen };

constexpr std::size_t kShortDescriptor = 8;
constexpr std::size_t kLongDescriptor = 16;

ModeFacts facts_of(const LogicalUnit& unit) {
  return {.write_cache = unit.settings().ack_policy == volume::AckPolicy::kBuffered};
}

unsigned device_specific(const LogicalUnit& unit, const ModePages& pages) {
  constexpr unsigned kWriteProtected = 0x80;
  constexpr unsigned kDpoAndFua = 0x10;
  const bool is_protected = unit.settings().read_only || pages.is_software_write_protected();
  return (is_protected ? kWriteProtected : 0) | kDpoAndFua;
}

// SBC-3, 6.5.2.
void append_block_descriptor(ParameterData& data, const LogicalUnit& unit, bool is_long) {
  const std::uint64_t blocks = unit.capacity();
  if (is_long) {
    data.be64(blocks);
    data.zeros(4);
    data.be32(unit.block_size());
  } else {
    data.be32(std::min<std::uint64_t>(blocks, 0xffff'ffff));
    data.u8(0);
    data.be24(unit.block_size());
  }
}

Task<Response> mode_sense(CommandContext& context, CdbSize size) {
  const bool is_ten = size == CdbSize::kTen;
  const bool has_descriptor = !context.has_bit(1, 3);
  const bool is_long = is_ten && context.has_bit(1, 4);
  const auto control = static_cast<PageControl>(context.u8(2) >> 6);
  const auto page = static_cast<std::uint8_t>(context.u8(2) & 0x3f);
  const std::uint8_t subpage = context.u8(3);
  const std::uint64_t allocation_length = is_ten ? context.u16(7) : context.u8(4);

  LogicalUnit& unit = context.unit();
  ModePages& pages = unit.mode_pages();
  ModeParameters values = pages.current();
  if (control == PageControl::kDefault) values = {};
  if (control == PageControl::kSaved) values = pages.saved();

  ParameterData data;
  const std::size_t descriptor_size =
      !has_descriptor ? 0 : (is_long ? kLongDescriptor : kShortDescriptor);
  if (is_ten) {
    const ParameterData::Length16 length = data.begin_length16();
    data.u8(0);  // medium type
    data.u8(device_specific(unit, pages));
    data.u8(is_long ? 0x01 : 0x00);
    data.u8(0);
    data.be16(descriptor_size);
    if (has_descriptor) append_block_descriptor(data, unit, is_long);
    if (!append_mode_pages(data, page, subpage, control, values, facts_of(unit))) {
      co_return invalid_cdb(2, 5);
    }
    data.end_length(length);
  } else {
    const ParameterData::Length8 length = data.begin_length8();
    data.u8(0);
    data.u8(device_specific(unit, pages));
    data.u8(static_cast<unsigned>(descriptor_size));
    if (has_descriptor) append_block_descriptor(data, unit, is_long);
    if (!append_mode_pages(data, page, subpage, control, values, facts_of(unit))) {
      co_return invalid_cdb(2, 5);
    }
    data.end_length(length);
  }
  co_return data_in(context.device.pool(), data.span(), allocation_length);
}

// The block descriptor may only say what is so: a unit is not reformatted by it. Returns the byte
// that is wrong.
std::optional<std::size_t> find_wrong_descriptor(const LogicalUnit& unit, ByteSpan descriptor) {
  const bool is_long = descriptor.size() == kLongDescriptor;
  const std::uint64_t blocks = is_long ? load_be64(descriptor, 0) : load_be32(descriptor, 0);
  const std::uint32_t size = is_long ? load_be32(descriptor, 12) : load_be24(descriptor, 5);
  const std::uint64_t all = is_long ? ~std::uint64_t{0} : 0xffff'ffff;
  if (blocks != 0 && blocks != unit.capacity() && blocks != all) return 0;
  if (size != unit.block_size()) return is_long ? 12 : 5;
  return std::nullopt;
}

struct ModeList {
  ByteSpan pages;
  std::size_t at = 0;
};

// Takes header and block descriptor off.
tl::expected<ModeList, Response> parse_header(const LogicalUnit& unit, ByteSpan list,
                                              CdbSize size) {
  const bool is_ten = size == CdbSize::kTen;
  const std::size_t header = is_ten ? 8 : 4;
  if (list.size() < header) {
    return tl::unexpected(illegal_request(asc::kParameterListLengthError));
  }
  const bool is_long = is_ten && (list[4] & std::byte{0x01}) != std::byte{0};
  const std::size_t descriptor_at = is_ten ? 6 : 3;
  const std::size_t descriptor_size =
      is_ten ? load_be16(list, descriptor_at) : std::to_integer<std::size_t>(list[descriptor_at]);
  if (descriptor_size != 0 && descriptor_size != (is_long ? kLongDescriptor : kShortDescriptor)) {
    return tl::unexpected(invalid_parameter(descriptor_at));
  }
  if (list.size() < header + descriptor_size) {
    return tl::unexpected(illegal_request(asc::kParameterListLengthError));
  }
  if (descriptor_size != 0) {
    const auto wrong = find_wrong_descriptor(unit, list.subspan(header, descriptor_size));
    if (wrong) return tl::unexpected(invalid_parameter(header + *wrong));
  }
  return ModeList{list.subspan(header + descriptor_size), header + descriptor_size};
}

Task<Response> apply_mode_select(CommandContext& context, ByteSpan list, CdbSize size) {
  LogicalUnit& unit = context.unit();
  ModePages& pages = unit.mode_pages();
  auto body = parse_header(unit, list, size);
  if (!body) co_return std::move(body).error();

  const Result<Mutex::Guard> guard = co_await unit.memory().lock();
  if (!guard.ok()) co_return response_to(guard.error(), Doing::kWriting);
  const auto next = parse_mode_pages(body->pages, body->at, pages.current(), facts_of(unit));
  if (!next) co_return check_condition(next.error());
  const bool saves = context.has_bit(1, 0);
  if (saves && *next != unit.memory().state().saved_modes) {
    UnitState state = unit.memory().state();
    state.saved_modes = *next;
    const Result<> stored = co_await unit.memory().store(std::move(state));
    if (!stored.ok()) co_return response_to(stored.error(), Doing::kWriting);
  }
  if (*next != pages.current()) {
    pages.set_current(*next);
    unit.raise(UnitAttention::kModeParametersChanged, &context.nexus);
  }
  co_return good();
}

Task<Response> mode_select(CommandContext& context, CdbSize size) {
  const std::uint64_t length = size == CdbSize::kTen ? context.u16(7) : context.u8(4);
  // PF 0 would mean pages of a form that nobody has written down.
  if (length != 0 && !context.has_bit(1, 4)) co_return wanting(invalid_cdb(1, 4), length);
  ParameterList list = co_await fetch_parameter_list(context, length);
  if (list.refused) co_return std::move(*list.refused);
  if (length == 0) co_return good();
  Response response = co_await apply_mode_select(context, list.bytes(), size);
  co_return wanting(std::move(response), length);
}

Task<Response> mode_sense_6(CommandContext& context) {
  return mode_sense(context, CdbSize::kSix);
}
Task<Response> mode_sense_10(CommandContext& context) {
  return mode_sense(context, CdbSize::kTen);
}
Task<Response> mode_select_6(CommandContext& context) {
  return mode_select(context, CdbSize::kSix);
}
Task<Response> mode_select_10(CommandContext& context) {
  return mode_select(context, CdbSize::kTen);
}

constexpr std::array<Opcode, 4> kRows{{
    {.name = "MODE SELECT(6)",
     .code = 0x15,
     .length = 6,
     .usage = {0, 0x11, 0, 0, 0xff, 0},
     .handler = &mode_select_6,
     .access = Access::kWrite},
    {.name = "MODE SENSE(6)",
     .code = 0x1a,
     .length = 6,
     .usage = {0, 0x08, 0xff, 0xff, 0xff, 0},
     .handler = &mode_sense_6,
     .access = Access::kRead,
     .traits = kInStandby},
    {.name = "MODE SELECT(10)",
     .code = 0x55,
     .length = 10,
     .usage = {0, 0x11, 0, 0, 0, 0, 0, 0xff, 0xff, 0},
     .handler = &mode_select_10,
     .access = Access::kWrite},
    {.name = "MODE SENSE(10)",
     .code = 0x5a,
     .length = 10,
     .usage = {0, 0x18, 0xff, 0xff, 0, 0, 0, 0xff, 0xff, 0},
     .handler = &mode_sense_10,
     .access = Access::kRead,
     .traits = kInStandby},
}};

}  // namespace

ModePages::ModePages(LogicalUnit& unit) : unit_(unit), current_(saved()) {}

const ModeParameters& ModePages::saved() const {
  return unit_.memory().state().saved_modes;
}

bool ModePages::crosses_threshold(ByteCount available) {
  const bool was_below = is_below_threshold_;
  is_below_threshold_ = available.value() / kThresholdUnit <= current_.threshold;
  return is_below_threshold_ && !was_below;
}

std::span<const Opcode> mode_commands() {
  return kRows;
}

}  // namespace ashlar::scsi
