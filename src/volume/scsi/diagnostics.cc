#include "volume/scsi/diagnostics.h"

#include <array>

#include "volume/scsi/command_context.h"
#include "volume/scsi/parameter_data.h"
#include "volume/scsi/parameter_list.h"

namespace ashlar::scsi {

namespace {

constexpr std::uint8_t kSupportedPages = 0x00;
constexpr std::size_t kPageHeader = 4;

// SPC-4, 6.42. The default self-test asks what every command asks: may this unit serve?
Task<Response> send_diagnostic(CommandContext& context) {
  const bool is_self_test = context.has_bit(1, 2);
  const unsigned self_test_code = context.u8(1) >> 5;
  const std::uint16_t length = context.u16(3);
  // Self-tests of their own, in the background or the foreground, there are none.
  if (self_test_code != 0) co_return wanting(invalid_cdb(1, 7), length);
  if (is_self_test) {
    if (length != 0) co_return wanting(invalid_cdb(3), length);
    const Result<> served = context.volume().may_serve();
    co_return served.ok() ? good() : response_to(served.error(), Doing::kReading);
  }
  if (length == 0) co_return good();
  if (length != kPageHeader) {
    co_return wanting(illegal_request(asc::kParameterListLengthError), length);
  }
  ParameterList list = co_await fetch_parameter_list(context, length);
  if (list.refused) co_return std::move(*list.refused);
  // The page that asks for the list of pages has nothing in it.
  for (std::size_t i = 0; i < kPageHeader; ++i) {
    if (list.bytes()[i] != std::byte{0}) co_return wanting(invalid_parameter(i), length);
  }
  co_return wanting(good(), length);
}

// SPC-4, 6.26.
Task<Response> receive_diagnostic_results(CommandContext& context) {
  // With PCV 0 it is the page that was sent last, which can only be this one.
  if (context.u8(2) != kSupportedPages) co_return invalid_cdb(2);
  ParameterData data;
  data.u8(kSupportedPages);
  data.u8(0);
  const ParameterData::Length16 length = data.begin_length16();
  data.u8(kSupportedPages);
  data.end_length(length);
  co_return data_in(context.device.pool(), data.span(), context.u16(3));
}

constexpr std::array<Opcode, 2> kRows{{
    {.name = "RECEIVE DIAGNOSTIC RESULTS",
     .code = 0x1c,
     .length = 6,
     .usage = {0, 0x01, 0xff, 0xff, 0xff, 0},
     .handler = &receive_diagnostic_results,
     .access = Access::kRead,
     .traits = kInStandby},
    {.name = "SEND DIAGNOSTIC",
     .code = 0x1d,
     .length = 6,
     .usage = {0, 0xf4, 0, 0xff, 0xff, 0},
     .handler = &send_diagnostic,
     .access = Access::kWrite,
     .traits = kInStandby},
}};

}  // namespace

std::span<const Opcode> diagnostic_commands() {
  return kRows;
}

}  // namespace ashlar::scsi
