#include "volume/scsi/extended_copy.h"

#include <algorithm>
#include <array>
#include <vector>

#include "volume/scsi/command_context.h"
#include "volume/scsi/copy_parameters.h"
#include "volume/scsi/logical_unit.h"
#include "volume/scsi/parameter_list.h"

namespace ashlar::scsi {

CopyResults::Copy* CopyResults::begin(const NexusName& name, std::optional<std::uint8_t> list_id) {
  if (running_ == CopyLimits::kConcurrentCopies) return nullptr;
  if (list_id && is_running(name, *list_id)) return nullptr;
  const std::uint32_t number = list_id ? *list_id : next_nameless_++;
  ++running_;
  return &copies_.insert_or_assign({name, number}, Copy{}).first->second;
}

bool CopyResults::is_running(const NexusName& name, std::uint8_t list_id) const {
  const Copy* copy = find(name, list_id);
  return copy != nullptr && copy->is_running;
}

void CopyResults::end(Copy& copy, std::optional<Sense> failure) {
  copy.is_running = false;
  copy.failure = failure;
  copy.ended = ++ends_;
  --running_;
  forget_oldest();
}

const CopyResults::Copy* CopyResults::find(const NexusName& name, std::uint8_t list_id) const {
  const auto found = copies_.find({name, list_id});
  return found == copies_.end() ? nullptr : &found->second;
}

void CopyResults::forget_oldest() {
  if (copies_.size() <= kMostHeld) return;
  auto oldest = copies_.end();
  for (auto it = copies_.begin(); it != copies_.end(); ++it) {
    if (it->second.is_running) continue;
    if (oldest == copies_.end() || it->second.ended < oldest->second.ended) oldest = it;
  }
  if (oldest != copies_.end()) copies_.erase(oldest);
}

void CopyResults::on_nexus_loss(const NexusName& name) {
  std::erase_if(copies_, [&](const auto& entry) { return entry.first.first == name; });
}

namespace {

constexpr std::uint64_t kPiece = 1 << 20;

Response copy_aborted(Asc code) {
  return check_condition(SenseKey::kCopyAborted, code);
}

// A medium error of a copy is told as a copy's end; all else, which may be tried again, as it is.
Response response_to_copy(const Error& error, Doing doing) {
  Response response = response_to(error, doing);
  if (response.status == Status::kCheckCondition && response.sense.key == SenseKey::kMediumError) {
    response.sense.key = SenseKey::kCopyAborted;
  }
  return response;
}

LogicalUnit* find_unit(Device& device, const Designator& designator) {
  for (const std::uint16_t lun : device.luns()) {
    LogicalUnit* const unit = device.find(lun);
    const std::vector<Designator> own = unit_designators(unit->volume().uuid());
    if (std::ranges::find(own, designator) != own.end()) return unit;
  }
  return nullptr;
}

// What a unit says to a copy that reads or writes it. The unit that the command came to has been
// asked before, but a copy may take long.
std::optional<Response> refusal_of(const CommandContext& context, LogicalUnit& unit,
                                   Access access) {
  if (unit.is_leaving() || unit.sanitize().refusal() || unit.medium().refusal() ||
      unit.memory().fault() || unit.reservations().conflicts(context.nexus, access)) {
    return copy_aborted(asc::kCopyTargetNotReachable);
  }
  if (access == Access::kWrite &&
      (unit.settings().read_only || unit.mode_pages().is_software_write_protected())) {
    return check_condition(SenseKey::kDataProtect, asc::kWriteProtected);
  }
  return std::nullopt;
}

// One segment, ready to be done: in bytes.
struct Transfer {
  LogicalUnit* source = nullptr;
  LogicalUnit* destination = nullptr;
  std::uint64_t from = 0;
  std::uint64_t to = 0;
  std::uint64_t length = 0;
};

bool lies_within(const LogicalUnit& unit, std::uint64_t lba, std::uint64_t length) {
  const std::uint64_t blocks = length / unit.block_size();
  return blocks <= unit.capacity() && lba <= unit.capacity() - blocks;
}

tl::expected<LogicalUnit*, Response> resolve(const CommandContext& context,
                                             const CopyRequest& request, std::uint16_t index) {
  if (index >= request.targets.size() || request.targets[index].is_null) {
    return tl::unexpected(copy_aborted(asc::kCopyTargetNotReachable));
  }
  const CopyTarget& target = request.targets[index];
  LogicalUnit* const unit = find_unit(context.device, target.unit);
  if (unit == nullptr) return tl::unexpected(copy_aborted(asc::kCopyTargetNotReachable));
  if (target.block_size != unit->block_size()) {
    return tl::unexpected(copy_aborted(asc::kIncorrectCopyTargetType));
  }
  return unit;
}

tl::expected<Transfer, Response> prepare(const CommandContext& context, const CopyRequest& request,
                                         const CopySegment& segment) {
  auto source = resolve(context, request, segment.source);
  if (!source) return tl::unexpected(std::move(source).error());
  auto destination = resolve(context, request, segment.destination);
  if (!destination) return tl::unexpected(std::move(destination).error());
  const std::uint64_t from_size = (*source)->block_size();
  const std::uint64_t to_size = (*destination)->block_size();
  const std::uint64_t length =
      segment.blocks * (segment.counts_destination_blocks ? to_size : from_size);
  if (length % from_size != 0 || length % to_size != 0) {
    return tl::unexpected(copy_aborted(asc::kUnexpectedInexactSegment));
  }
  if (!lies_within(**source, segment.source_lba, length) ||
      !lies_within(**destination, segment.destination_lba, length)) {
    return tl::unexpected(copy_aborted(asc::kNone));
  }
  return Transfer{.source = *source,
                  .destination = *destination,
                  .from = segment.source_lba * from_size,
                  .to = segment.destination_lba * to_size,
                  .length = length};
}

// Of a run of bytes that is alike; returns nothing when it is done.
Task<std::optional<Response>> copy_run(volume::Volume& source, volume::Volume& destination,
                                       std::uint64_t from, std::uint64_t to, std::uint64_t length,
                                       bool is_mapped) {
  if (!is_mapped) {
    const Result<> discarded = co_await destination.discard({to, length});
    if (!discarded.ok()) co_return response_to_copy(discarded.error(), Doing::kWriting);
    co_return std::nullopt;
  }
  const Result<Buffer> read = co_await source.read({from, length});
  if (!read.ok()) co_return response_to_copy(read.error(), Doing::kReading);
  // What was read may be the source's own memory; what is written has to lie on its own.
  Result<Buffer> buffer = destination.pool().allocate(ByteCount(length));
  if (!buffer.ok()) co_return status_only(Status::kBusy);
  std::memcpy(buffer->data(), read->data(), length);
  const Result<> written = co_await destination.write(to, std::move(*buffer));
  if (!written.ok()) co_return response_to_copy(written.error(), Doing::kWriting);
  co_return std::nullopt;
}

Task<std::optional<Response>> copy_piece(const Transfer& transfer, std::uint64_t at,
                                         std::uint64_t length) {
  volume::Volume& source = transfer.source->volume();
  for (std::uint64_t done = 0; done < length;) {
    const std::uint64_t from = transfer.from + at + done;
    const Result<volume::ProvisionedRun> run = co_await source.provisioning(from, length - done);
    if (!run.ok()) co_return response_to_copy(run.error(), Doing::kReading);
    const std::uint64_t size = std::min(run->length, length - done);
    std::optional<Response> failed =
        co_await copy_run(source, transfer.destination->volume(), from, transfer.to + at + done,
                          size, run->is_mapped);
    if (failed) co_return failed;
    done += size;
  }
  co_return std::nullopt;
}

Task<std::optional<Response>> copy_segment(CommandContext& context, const Transfer& transfer,
                                           CopyResults::Copy& copy) {
  // Where the ranges overlap, what is still to be read must not be written first.
  const bool goes_backward = transfer.source == transfer.destination && transfer.to > transfer.from;
  const LogicalUnit::Use source_use(*transfer.source);
  const LogicalUnit::Use destination_use(*transfer.destination);
  for (std::uint64_t done = 0; done < transfer.length;) {
    if (context.is_aborted()) co_return good();
    std::optional<Response> refused = refusal_of(context, *transfer.source, Access::kRead);
    if (!refused) refused = refusal_of(context, *transfer.destination, Access::kWrite);
    if (refused) co_return refused;
    const std::uint64_t length = std::min(kPiece, transfer.length - done);
    const std::uint64_t at = goes_backward ? transfer.length - done - length : done;
    std::optional<Response> failed = co_await copy_piece(transfer, at, length);
    if (failed) co_return failed;
    done += length;
    copy.bytes += length;
  }
  ++copy.segments;
  co_return std::nullopt;
}

Task<Response> copy_all(CommandContext& context, const CopyRequest& request,
                        CopyResults::Copy& copy) {
  for (const CopySegment& segment : request.segments) {
    auto transfer = prepare(context, request, segment);
    if (!transfer) co_return std::move(transfer).error();
    std::optional<Response> failed = co_await copy_segment(context, *transfer, copy);
    if (failed) co_return std::move(*failed);
  }
  co_return good();
}

Task<Response> perform(CommandContext& context, const CopyRequest& request) {
  CopyResults& results = context.unit().copy_results();
  const NexusName& name = context.nexus.name();
  if (request.has_list_id && results.is_running(name, request.list_id)) {
    co_return illegal_request(asc::kOperationInProgress);
  }
  const std::optional<std::uint8_t> list_id =
      request.has_list_id ? std::optional(request.list_id) : std::nullopt;
  CopyResults::Copy* const copy = results.begin(name, list_id);
  if (copy == nullptr) co_return status_only(Status::kBusy);
  Response response = co_await copy_all(context, request, *copy);
  std::optional<Sense> failure;
  if (response.status == Status::kCheckCondition) failure = response.sense;
  if (response.status == Status::kBusy) {
    failure = Sense{.key = SenseKey::kCopyAborted, .asc = asc::kInsufficientResources};
  }
  results.end(*copy, failure);
  co_return response;
}

Task<Response> extended_copy(CommandContext& context) {
  const std::uint32_t length = context.u32(10);
  if (length == 0) co_return good();
  if (length > CopyLimits::kLongestParameterList) {
    co_return wanting(illegal_request(asc::kParameterListLengthError), length);
  }
  ParameterList list = co_await fetch_parameter_list(context, length);
  if (list.refused) co_return std::move(*list.refused);
  const auto request = parse_copy_request(list.bytes());
  if (!request) co_return wanting(check_condition(request.error()), length);
  Response response = co_await perform(context, *request);
  co_return wanting(std::move(response), length);
}

// SPC-4, 6.24.2.
Task<Response> receive_copy_status(CommandContext& context) {
  enum CopyStatus : unsigned { kInProgress = 0, kDone = 1, kFailed = 2 };
  constexpr unsigned kKibibytes = 0x01;
  const CopyResults::Copy* const copy =
      context.unit().copy_results().find(context.nexus.name(), context.u8(2));
  if (copy == nullptr) co_return invalid_cdb(2);
  unsigned status = kInProgress;
  if (!copy->is_running) status = copy->failure ? kFailed : kDone;
  ParameterData data;
  const ParameterData::Length32 length = data.begin_length32();
  data.u8(status);
  data.be16(copy->segments);
  data.u8(kKibibytes);
  data.be32(std::min<std::uint64_t>(copy->bytes / 1024, 0xffff'ffff));
  data.end_length(length);
  co_return data_in(context.device.pool(), data.span(), context.u32(10));
}

// SPC-4, 6.24.4.
Task<Response> receive_copy_parameters(CommandContext& context) {
  co_return data_in(context.device.pool(), copy_operating_parameters().span(), context.u32(10));
}

// SPC-4, 6.24.5.
Task<Response> receive_failed_segment(CommandContext& context) {
  const CopyResults::Copy* const copy =
      context.unit().copy_results().find(context.nexus.name(), context.u8(2));
  if (copy == nullptr || !copy->failure) co_return invalid_cdb(2);
  std::array<std::byte, kLongestSense> sense;
  const std::size_t size = encode_sense(*copy->failure, SenseFormat::kFixed, sense);
  ParameterData data;
  const ParameterData::Length32 length = data.begin_length32();
  data.zeros(52);
  data.u8(static_cast<unsigned>(Status::kCheckCondition));
  data.u8(0);
  data.be16(size);
  data.bytes(ByteSpan(sense).first(size));
  data.end_length(length);
  co_return data_in(context.device.pool(), data.span(), context.u32(10));
}

constexpr Opcode receive_row(std::string_view name, std::uint8_t action, Handler handler) {
  return {.name = name,
          .code = 0x84,
          .service_action = action,
          .length = 16,
          .usage = {0, 0, 0xff, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0},
          .handler = handler,
          .access = Access::kWrite};
}

constexpr std::array<Opcode, 4> kRows{{
    {.name = "EXTENDED COPY(LID1)",
     .code = 0x83,
     .service_action = 0x00,
     .length = 16,
     .usage = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0},
     .handler = &extended_copy,
     .access = Access::kWrite,
     .traits = kNeedsMedium,
     .recommended_timeout = 600},
    receive_row("RECEIVE COPY STATUS(LID1)", 0x00, &receive_copy_status),
    receive_row("RECEIVE COPY OPERATING PARAMETERS", 0x03, &receive_copy_parameters),
    receive_row("RECEIVE COPY FAILURE DETAILS(LID1)", 0x04, &receive_failed_segment),
}};

}  // namespace

std::span<const Opcode> extended_copy_commands() {
  return kRows;
}

}  // namespace ashlar::scsi
