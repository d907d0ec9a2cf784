// The data path: reads, writes and syncs of files, and what a power failure does to them. Names are
// in sim_disk_names.cc.
#include "common/runtime/sim/sim_disk.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include <fmt/format.h>

namespace ashlar::sim {
namespace {

constexpr int kSlowFactor = 1000;
constexpr Duration kLongestSpell = 20ms;
constexpr Duration kLongestHang = 5s;

// Of the bytes that go to the disk, for the trace: a pointer or padding written by mistake differs
// between two runs of a seed and is seen here first.
std::uint64_t digest(const PageBytes& bytes) {
  std::uint64_t sum = 0;
  for (std::size_t at = 0; at < bytes.size(); at += 8) {
    std::uint64_t word = 0;
    std::memcpy(&word, bytes.data() + at, 8);
    sum = (sum ^ word) * 0x9e3779b97f4a7c15ull;
  }
  return sum;
}

std::vector<PageRef> gather(std::span<const IoSlice> slices) {
  std::vector<PageRef> pages;
  for (const IoSlice& slice : slices) {
    for (std::size_t at = 0; at < slice.size; at += kSimPage) {
      auto page = std::make_shared<PageBytes>();
      std::memcpy(page->data(), slice.data + at, kSimPage);
      pages.push_back(std::move(page));
    }
  }
  return pages;
}

bool unchanged(std::span<const IoSlice> slices, const std::vector<PageRef>& pages) {
  std::size_t index = 0;
  for (const IoSlice& slice : slices) {
    for (std::size_t at = 0; at < slice.size; at += kSimPage) {
      if (std::memcmp(pages[index++]->data(), slice.data + at, kSimPage) != 0) return false;
    }
  }
  return true;
}

}  // namespace

// One operation on its way. It belongs to the world's event heap, so it outlives its process.
class SimDisk::Request final : public SimEvent {
 public:
  Request(SimDisk& disk, FileOperation& operation, InodeRef file)
      : SimEvent(EventKind::kDisk, disk.node_),
        disk_(disk),
        number(disk.next_request_++),
        kind(operation.kind()),
        durability(operation.durability()),
        offset(operation.offset()),
        length(operation.length()),
        inode(std::move(file)),
        waiting(&operation) {
    disk_.requests_[number] = this;
    operation.backend_progress = number;
  }

  void fire() override { disk_.finish(*this); }

  std::uint64_t first_page() const { return offset / kSimPage; }
  std::uint64_t end_page() const { return (offset + length) / kSimPage; }

 private:
  SimDisk& disk_;

 public:
  const std::uint64_t number;
  const FileOperation::Kind kind;
  const Durability durability;
  const std::uint64_t offset;
  const std::uint64_t length;
  const InodeRef inode;
  FileOperation* waiting;  // null when its process is gone
  std::vector<PageRef> bytes;
  ChangeNumber sync_upto = 0;
  bool written = false;  // the second half of kWriteThenSync is under way
  std::optional<Error> refused;
};

SimDisk::SimDisk(SimWorld& world, std::uint32_t node)
    : world_(world), node_(node), random_(world.split(fmt::format("disk/{}", node))) {
  format();
}

SimDisk::~SimDisk() = default;

Error SimDisk::gone() const {
  return Error::from_errno(EIO, fmt::format("the disk of node {} is gone", node_));
}

bool SimDisk::strikes(std::uint32_t rate_per_million) {
  return rate_per_million != 0 && random_.chance(rate_per_million, 1'000'000);
}

Duration SimDisk::drawn(Duration base, Duration tail) {
  Duration time = base + random_.exponential(tail);
  if (strikes(faults.slow_spell)) slow_down(random_.between(Duration(1ms), kLongestSpell));
  if (strikes(faults.hang)) hang(random_.between(Duration(1ms), kLongestHang));
  if (world_.now() < slow_until_) time *= kSlowFactor;
  return time;
}

Duration SimDisk::name_latency() {
  return drawn(timing.name_base, timing.name_tail);
}

Duration SimDisk::sync_latency() {
  return drawn(timing.sync_base, timing.sync_tail);
}

Duration SimDisk::latency(const FileOperation& operation) {
  const Duration transfer =
      timing.per_page * static_cast<std::int64_t>(operation.length() / kSimPage);
  switch (operation.kind()) {
    case FileOperation::Kind::kRead:
      return drawn(timing.read_base, timing.read_tail) + transfer;
    case FileOperation::Kind::kWrite:
      if (operation.durability() == Durability::kDsync) {
        return drawn(timing.write_base + timing.sync_base, timing.sync_tail) + transfer;
      }
      return drawn(timing.write_base, timing.write_tail) + transfer;
    case FileOperation::Kind::kSync:
      return sync_latency();
    case FileOperation::Kind::kAllocate:
    case FileOperation::Kind::kPunch:
      return name_latency();
  }
  ASHLAR_UNREACHABLE();
}

std::optional<MonoTime> SimDisk::hung_until() const {
  if (hung_until_ <= world_.now()) return std::nullopt;
  return hung_until_;
}

void SimDisk::slow_down(Duration duration) {
  slow_until_ = std::max(slow_until_, world_.now() + duration);
  world_.note_fault(node_, 201);
}

void SimDisk::hang(Duration duration) {
  hung_until_ = std::max(hung_until_, world_.now() + duration);
  world_.note_fault(node_, 202);
}

Result<> SimDisk::check(const FileOperation& operation) const {
  constexpr std::uint64_t kMask = kDiskAlignment - 1;
  bool aligned = (operation.offset() & kMask) == 0 && (operation.length() & kMask) == 0;
  for (const IoSlice& slice : operation.slices()) {
    // The only use of an address: refuse what O_DIRECT refuses.
    aligned = aligned && (slice.size & kMask) == 0 &&
              (reinterpret_cast<std::uintptr_t>(slice.data) & kMask) == 0;
  }
  if (!aligned) {
    return Error::invalid_argument(
        "offset {}, length {} or their memory are not multiples of {} bytes, as direct I/O needs",
        operation.offset(), operation.length(), kDiskAlignment);
  }
  if (operation.offset() + operation.length() < operation.offset()) {
    return Error::out_of_range("offset {} is too large", operation.offset());
  }
  return {};
}

void SimDisk::submit(FileOperation& operation, InodeRef inode) {
  operation.begin(*this);
  auto owned = std::make_unique<Request>(*this, operation, std::move(inode));
  Request& request = *owned;
  const Duration time = latency(operation);
  if (Result<> checked = check(operation); !checked.ok()) {
    request.refused = std::move(checked).error();
  } else if (request.kind == FileOperation::Kind::kWrite) {
    request.bytes = gather(operation.slices());
    for (const PageRef& page : request.bytes) world_.note(digest(*page));
  } else if (request.kind == FileOperation::Kind::kSync) {
    request.sync_upto = request.inode->last_change();
  }
  world_.note(request.inode->number() << 48 ^ request.offset << 8 ^ request.length ^
              static_cast<std::uint64_t>(request.kind));
  world_.own(std::move(owned), world_.now() + time, request.number);
}

void SimDisk::forget(Operation& operation) {
  requests_.at(operation.backend_progress)->waiting = nullptr;
}

void SimDisk::finish(Request& request) {
  if (const auto later = hung_until()) {
    // Spread, so that a hang ends as a burst in no particular order.
    world_.arm(request, *later + random_.exponential(timing.write_tail), request.number);
    return;
  }
  Result<> outcome;
  if (destroyed_) {
    outcome = gone();
  } else if (request.refused) {
    outcome = std::move(*request.refused);
  } else {
    SimInode& inode = *request.inode;
    switch (request.kind) {
      case FileOperation::Kind::kRead:
        outcome = finish_read(request);
        break;
      case FileOperation::Kind::kWrite:
        if (request.written) {
          outcome = finish_sync(inode, request.sync_upto);
          break;
        }
        ASHLAR_CHECK(
            request.waiting == nullptr || unchanged(request.waiting->slices(), request.bytes),
            "bytes were changed while their write was in flight (node {}, offset {})", node_,
            request.offset);
        outcome = finish_write(request);
        if (!outcome.ok() || request.durability != Durability::kWriteThenSync) break;
        request.written = true;
        request.sync_upto = inode.last_change();
        world_.arm(request, world_.now() + sync_latency(), request.number);
        return;
      case FileOperation::Kind::kSync:
        outcome = finish_sync(inode, request.sync_upto);
        break;
      case FileOperation::Kind::kAllocate:
        outcome = make_room(inode, request.first_page(), request.end_page());
        if (outcome.ok()) inode.allocate(request.first_page(), request.end_page());
        break;
      case FileOperation::Kind::kPunch:
        inode.punch(request.first_page(), request.end_page());
        break;
    }
  }
  requests_.erase(request.number);
  world_.note(outcome.ok() ? 0 : static_cast<std::uint64_t>(outcome.error().code()));
  if (request.waiting == nullptr) return;
  if (!outcome.ok()) request.waiting->fail(std::move(outcome).error());
  request.waiting->finish();
}

Result<> SimDisk::finish_read(Request& request) {
  SimInode& inode = *request.inode;
  if (next_read_error_ != 0) {
    return Error::from_errno(std::exchange(next_read_error_, 0), "read (planned fault)");
  }
  if (request.offset + request.length > inode.size()) {
    return Error::out_of_range("read of {} bytes at {} ends behind the end of the file ({})",
                               request.length, request.offset, inode.size());
  }
  if (request.length > 0 && strikes(faults.read_error)) {
    inode.make_bad(request.first_page() + random_.below(request.length / kSimPage));
    world_.note_fault(node_, 203);
  }
  if (request.length > 0 && strikes(faults.bit_rot)) {
    inode.flip_bit(request.offset + random_.below(request.length),
                   static_cast<unsigned>(random_.below(8)));
    world_.note_fault(node_, 204);
  }
  if (inode.has_bad_page(request.first_page(), request.end_page())) {
    return Error::from_errno(EIO, fmt::format("read at {}", request.offset));
  }
  if (request.waiting == nullptr) return {};
  std::uint64_t page = request.first_page();
  for (const IoSlice& slice : request.waiting->slices()) {
    for (std::size_t at = 0; at < slice.size; at += kSimPage, ++page) {
      const PageRef bytes = inode.page(page);
      if (bytes == nullptr) {
        std::memset(slice.data + at, 0, kSimPage);
      } else {
        std::memcpy(slice.data + at, bytes->data(), kSimPage);
      }
    }
  }
  return {};
}

Result<> SimDisk::make_room(const SimInode& inode, std::uint64_t first, std::uint64_t end) {
  const std::uint64_t wanted = inode.missing_pages(first, end);
  if (wanted == 0) return {};
  if (*pages_used_ + wanted > capacity_pages_ || strikes(faults.no_space)) {
    world_.note_fault(node_, 205);
    return Error::from_errno(ENOSPC, fmt::format("{} more bytes", wanted * kSimPage));
  }
  return {};
}

Result<> SimDisk::finish_write(Request& request) {
  SimInode& inode = *request.inode;
  std::uint64_t first = request.first_page();
  if (Result<> room = make_room(inode, first, request.end_page()); !room.ok()) return room;

  int error_number = std::exchange(next_write_error_, 0);
  if (error_number == 0 && strikes(faults.write_error)) error_number = EIO;
  if (error_number != 0) {
    world_.note_fault(node_, 206);
    // Nothing is known about the range: any of its pages may have been written.
    for (std::size_t i = 0; i < request.bytes.size(); ++i) {
      if (random_.chance(1, 2)) inode.write_page(first + i, request.bytes[i]);
    }
    return Error::from_errno(error_number, fmt::format("write at {}", request.offset));
  }
  if (std::exchange(drop_next_write_, false) || strikes(faults.dropped_write)) {
    world_.note_fault(node_, 207);
    if (request.offset + request.length > inode.size())
      inode.resize(request.offset + request.length);
    return {};
  }
  if (misdirect_next_write_) {
    first = *std::exchange(misdirect_next_write_, std::nullopt) / kSimPage;
    world_.note_fault(node_, 208);
  } else if (inode.size() > 0 && strikes(faults.misdirected_write)) {
    first = random_.below(inode.size() / kSimPage);
    world_.note_fault(node_, 208);
  }
  for (std::size_t i = 0; i < request.bytes.size(); ++i) {
    inode.write_page(first + i, request.bytes[i]);
  }
  if (request.durability == Durability::kDsync) {
    inode.make_range_durable(first, first + request.bytes.size());
  }
  return {};
}

Result<> SimDisk::finish_sync(SimInode& inode, ChangeNumber upto) {
  std::optional<SyncFailure> failure = std::exchange(next_sync_failure_, std::nullopt);
  if (!failure && strikes(faults.sync_error)) {
    failure = random_.chance(1, 2) ? SyncFailure::kDropped : SyncFailure::kForgotten;
  }
  if (!failure) {
    inode.make_durable(upto);
    return {};
  }
  world_.note_fault(node_, 209);
  if (*failure == SyncFailure::kDropped) {
    inode.drop_unsynced(upto);
  } else {
    inode.forget_unsynced(upto);
  }
  return Error::from_errno(EIO, "fdatasync");
}

void SimDisk::power_fail() {
  const PowerFailureMood mood = PowerFailureMood::draw(random_);
  // Writes on their way first, as versions among the others; then every version meets its fate.
  for (const auto& [number, in_flight] : std::exchange(requests_, {})) {
    Request& request = *in_flight;
    ASHLAR_CHECK(request.waiting == nullptr, "a process outlived its machine's power");
    if (request.kind == FileOperation::Kind::kWrite && !request.written && !request.refused &&
        !destroyed_ && make_room(*request.inode, request.first_page(), request.end_page()).ok()) {
      for (std::size_t i = 0; i < request.bytes.size(); ++i) {
        request.inode->land_at_power_failure(random_, request.first_page() + i, request.bytes[i]);
      }
    }
    world_.destroy(request);
  }
  hung_until_ = MonoTime();
  slow_until_ = MonoTime();
  next_read_error_ = 0;
  next_write_error_ = 0;
  next_sync_failure_.reset();
  drop_next_write_ = false;
  misdirect_next_write_.reset();

  std::uint64_t survivors = random_.below(journal_.size() + 1);
  if (mood.kept_percent == 100) survivors = journal_.size();
  for (std::uint64_t i = 0; i < survivors; ++i) apply(journal_[i]);
  journal_.clear();

  std::vector<InodeRef> all;
  visit(root_, all);
  for (const InodeRef& inode : all) {
    if (inode->is_directory()) {
      inode->entries = inode->durable_entries;
    } else {
      inode->power_fail(random_, mood);
    }
  }
}

// Every inode that a name leads to on stable media, in the order of names.
void SimDisk::visit(const InodeRef& inode, std::vector<InodeRef>& seen) const {
  if (std::find(seen.begin(), seen.end(), inode) != seen.end()) return;
  seen.push_back(inode);
  for (const auto& [name, child] : inode->durable_entries) visit(child, seen);
}

}  // namespace ashlar::sim
