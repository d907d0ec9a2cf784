#include "volume/scsi/mode_parameters.h"

#include <array>

#include "volume/scsi/sense_codes.h"

namespace ashlar::scsi {

namespace {

struct Page {
  std::uint8_t code;
  std::uint8_t subpage;
  std::uint16_t size;  // without the header
  void (*append)(ParameterData& data, PageControl control, const ModeParameters& values,
                 const ModeFacts& facts);
};

unsigned bit_if(bool value, unsigned bit) {
  return value ? 1u << bit : 0u;
}

// SBC-3, 6.5.9: blocks that cannot be read are repaired from what there is, and writes always go
// elsewhere.
void error_recovery(ParameterData& data, PageControl control, const ModeParameters& /*values*/,
                    const ModeFacts& /*facts*/) {
  constexpr unsigned kAutomaticReassign = 0xc0;  // AWRE, ARRE
  constexpr unsigned kThresholdsAreTold = 0x80;  // LBPERE
  const bool shows = control != PageControl::kChangeable;
  data.u8(shows ? kAutomaticReassign : 0);
  data.zeros(4);
  data.u8(shows ? kThresholdsAreTold : 0);
  data.zeros(4);
}

// SBC-3, 6.5.6.
void caching(ParameterData& data, PageControl control, const ModeParameters& /*values*/,
             const ModeFacts& facts) {
  const bool shows = control != PageControl::kChangeable;
  constexpr unsigned kNoReadAhead = 0x20;  // DRA
  data.u8(bit_if(shows && facts.write_cache, 2));
  data.zeros(9);
  data.u8(shows ? kNoReadAhead : 0);
  data.zeros(7);
}

// SPC-4, 7.5.8.
void control_page(ParameterData& data, PageControl control, const ModeParameters& values,
                  const ModeFacts& /*facts*/) {
  const bool fixed = control != PageControl::kChangeable;
  constexpr unsigned kNothingSaved = 0x02;            // GLTSD: log parameters are not saved
  constexpr unsigned kUnrestrictedReordering = 0x10;  // of SIMPLE commands
  constexpr unsigned kForever = 0xffff;               // BUSY TIMEOUT PERIOD
  data.u8(bit_if(values.descriptor_sense, 2) | (fixed ? kNothingSaved : 0));
  data.u8(fixed ? kUnrestrictedReordering : 0);
  data.u8(bit_if(values.software_write_protect, 3));
  data.u8(bit_if(values.reports_task_aborted, 6));
  data.zeros(2);
  data.be16(fixed ? kForever : 0);
  data.be16(0);
}

// SPC-4, 7.5.9.
void control_extension(ParameterData& data, PageControl control, const ModeParameters& /*values*/,
                       const ModeFacts& /*facts*/) {
  const bool shows = control != PageControl::kChangeable;
  data.u8(bit_if(shows, 0));  // IALUAE
  data.u8(0);
  data.u8(shows ? static_cast<unsigned>(kLongestSense) : 0);
  data.zeros(25);
}

// SPC-4, 7.5.14: no exceptions are reported on their own.
void informational_exceptions(ParameterData& data, PageControl control,
                              const ModeParameters& /*values*/, const ModeFacts& /*facts*/) {
  data.u8(bit_if(control != PageControl::kChangeable, 3));  // DEXCPT
  data.zeros(9);
}

// SBC-3, 6.5.7: one threshold, soft, for the resource that is available, told when it decreases.
void logical_block_provisioning(ParameterData& data, PageControl control,
                                const ModeParameters& values, const ModeFacts& /*facts*/) {
  constexpr unsigned kAvailable = 0x01;
  data.zeros(12);
  data.u8(bit_if(values.has_threshold, 7));
  data.u8(control != PageControl::kChangeable ? kAvailable : 0);
  data.be16(0);
  data.be32(values.threshold);
}

constexpr std::array<Page, 6> kPages{{
    {.code = 0x01, .subpage = 0x00, .size = 0x0a, .append = &error_recovery},
    {.code = 0x08, .subpage = 0x00, .size = 0x12, .append = &caching},
    {.code = 0x0a, .subpage = 0x00, .size = 0x0a, .append = &control_page},
    {.code = 0x0a, .subpage = 0x01, .size = 0x1c, .append = &control_extension},
    {.code = 0x1c, .subpage = 0x00, .size = 0x0a, .append = &informational_exceptions},
    {.code = 0x1c, .subpage = 0x02, .size = 0x14, .append = &logical_block_provisioning},
}};

constexpr unsigned kSavable = 0x80;        // PS
constexpr unsigned kSubpageFormat = 0x40;  // SPF

bool is_wanted(const Page& page, std::uint8_t code, std::uint8_t subpage) {
  if (code != kAllModePages && code != page.code) return false;
  // Of all pages there are all subpages or none.
  if (code == kAllModePages && subpage != 0 && subpage != kAllModeSubpages) return false;
  return subpage == kAllModeSubpages || subpage == page.subpage;
}

void append_page(ParameterData& data, const Page& page, PageControl control,
                 const ModeParameters& values, const ModeFacts& facts) {
  data.u8(kSavable | (page.subpage != 0 ? kSubpageFormat : 0) | page.code);
  if (page.subpage != 0) {
    data.u8(page.subpage);
    data.be16(page.size);
  } else {
    data.u8(page.size);
  }
  const std::size_t begin = data.size();
  page.append(data, control, values, facts);
  ASHLAR_CHECK(data.size() - begin == page.size, "mode page {:x} has {} bytes", page.code,
               data.size() - begin);
}

constexpr ModeParameters kAllChangeable{.descriptor_sense = true,
                                        .software_write_protect = true,
                                        .reports_task_aborted = true,
                                        .has_threshold = true,
                                        .threshold = 0xffff'ffff};

Sense bad_field(std::size_t byte, std::optional<unsigned> bit = std::nullopt) {
  return {.key = SenseKey::kIllegalRequest,
          .asc = asc::kInvalidFieldInParameters,
          .specific = field_pointer(FieldPlace::kParameters, byte, bit)};
}

Sense length_error() {
  return {.key = SenseKey::kIllegalRequest, .asc = asc::kParameterListLengthError};
}

const Page* find_page(std::uint8_t code, std::uint8_t subpage) {
  for (const Page& page : kPages) {
    if (page.code == code && page.subpage == subpage) return &page;
  }
  return nullptr;
}

std::size_t header_size(const Page& page) {
  return page.subpage != 0 ? 4 : 2;
}

// The page as it came, against what it is now: only what the changeable mask allows may differ.
std::optional<std::size_t> find_fixed_change(const Page& page, ByteSpan given,
                                             const ModeParameters& values, const ModeFacts& facts) {
  ParameterData now;
  ParameterData mask;
  append_page(now, page, PageControl::kCurrent, values, facts);
  append_page(mask, page, PageControl::kChangeable, kAllChangeable, facts);
  for (std::size_t i = header_size(page); i < given.size(); ++i) {
    if (((given[i] ^ now.span()[i]) & ~mask.span()[i]) != std::byte{0}) return i;
  }
  return std::nullopt;
}

bool has_bit(ByteSpan bytes, std::size_t byte, unsigned bit) {
  return (std::to_integer<unsigned>(bytes[byte]) >> bit & 1) != 0;
}

}  // namespace

bool append_mode_pages(ParameterData& data, std::uint8_t page, std::uint8_t subpage,
                       PageControl control, const ModeParameters& values, const ModeFacts& facts) {
  bool any = false;
  for (const Page& known : kPages) {
    if (!is_wanted(known, page, subpage)) continue;
    any = true;
    append_page(data, known, control, control == PageControl::kChangeable ? kAllChangeable : values,
                facts);
  }
  return any;
}

tl::expected<ModeParameters, Sense> parse_mode_pages(ByteSpan pages, std::size_t at,
                                                     ModeParameters values,
                                                     const ModeFacts& facts) {
  while (!pages.empty()) {
    if (pages.size() < 2) return tl::unexpected(length_error());
    const auto first = std::to_integer<unsigned>(pages[0]);
    const auto code = static_cast<std::uint8_t>(first & 0x3f);
    const bool has_subpage = (first & kSubpageFormat) != 0;
    // PS is reserved here.
    if ((first & kSavable) != 0) return tl::unexpected(bad_field(at, 7));
    const std::uint8_t subpage = has_subpage ? std::to_integer<std::uint8_t>(pages[1]) : 0;
    const Page* page = find_page(code, subpage);
    if (page == nullptr || has_subpage != (page->subpage != 0)) {
      return tl::unexpected(bad_field(at, 5));
    }
    const std::size_t header = header_size(*page);
    if (pages.size() < header) return tl::unexpected(length_error());
    const std::size_t size =
        has_subpage ? load_be16(pages, 2) : std::to_integer<std::size_t>(pages[1]);
    if (size != page->size) return tl::unexpected(bad_field(at + (has_subpage ? 2 : 1)));
    if (pages.size() < header + size) return tl::unexpected(length_error());
    const ByteSpan given = pages.first(header + size);
    if (const std::optional<std::size_t> changed = find_fixed_change(*page, given, values, facts)) {
      return tl::unexpected(bad_field(at + *changed));
    }
    if (page->append == &control_page) {
      values.descriptor_sense = has_bit(given, 2, 2);
      values.software_write_protect = has_bit(given, 4, 3);
      values.reports_task_aborted = has_bit(given, 5, 6);
    }
    if (page->append == &logical_block_provisioning) {
      values.has_threshold = has_bit(given, 16, 7);
      values.threshold = load_be32(given, 20);
    }
    at += header + size;
    pages = pages.subspan(header + size);
  }
  return values;
}

}  // namespace ashlar::scsi
