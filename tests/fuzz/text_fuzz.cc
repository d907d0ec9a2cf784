// Feeds arbitrary bytes to every parser of common/base. What is accepted must print to a text that
// is accepted again and means the same; nothing may be read outside the input (AddressSanitizer
// looks).
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "common/base/bytes.h"
#include "common/base/check.h"
#include "common/base/endpoint.h"
#include "common/base/units.h"
#include "common/base/uuid.h"

namespace ashlar {
namespace {

template <class Parse, class Print>
void round_trip(std::string_view text, Parse parse, Print print) {
  const auto first = parse(text);
  if (!first.ok()) {
    ASHLAR_CHECK(first.error().code() == ErrorCode::kInvalidArgument);
    ASHLAR_CHECK(!first.error().message().empty());
    return;
  }
  const std::string printed = print(*first);
  const auto second = parse(printed);
  ASHLAR_CHECK(second.ok(), "\"{}\" was printed and is refused: {}", printed, second.error());
  ASHLAR_CHECK(*second == *first, "\"{}\" means something else than what it was printed from",
               printed);
}

// Reads the input as a program of reads of itself: each step's first byte chooses the next read.
void read_everything(ByteSpan bytes) {
  ByteReader reader(bytes);
  while (!reader.failed() && reader.remaining() > 0) {
    const std::size_t before = reader.position();
    switch (reader.u8() % 8) {
      case 0:
        (void)reader.u16_be();
        break;
      case 1:
        (void)reader.u24_be();
        break;
      case 2:
        (void)reader.u32_le();
        break;
      case 3:
        (void)reader.u64_be();
        break;
      case 4:
        reader.skip(reader.u8());
        break;
      case 5:
        (void)reader.bytes(reader.u64_le());
        break;
      case 6:
        (void)reader.u16_le();
        break;
      default:
        break;
    }
    ASHLAR_CHECK(reader.position() > before && reader.position() <= bytes.size());
  }
}

void run(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  round_trip(text, parse_size, format_size);
  round_trip(text, parse_duration, format_duration);
  round_trip(text, Endpoint::parse, [](const Endpoint& e) { return e.to_string(); });
  round_trip(text, Uuid::parse, [](const Uuid& u) { return u.to_string(); });
  read_everything(ByteSpan(reinterpret_cast<const std::byte*>(data), size));
}

}  // namespace
}  // namespace ashlar

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  ashlar::run(data, size);
  return 0;
}
