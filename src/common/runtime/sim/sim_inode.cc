#include "common/runtime/sim/sim_inode.h"

#include <algorithm>
#include <utility>

#include "common/base/check.h"

namespace ashlar::sim {

PowerFailureMood PowerFailureMood::draw(Random& random) {
  // The extremes (all kept, all lost) find other bugs than the mixtures do.
  constexpr std::array<std::uint32_t, 5> kKept{0, 25, 50, 75, 100};
  constexpr std::array<std::uint32_t, 3> kTorn{0, 20, 60};
  const std::uint32_t kept = kKept[random.below(kKept.size())];
  return {kept, kTorn[random.below(kTorn.size())]};
}

void PageSet::add(std::uint64_t first, std::uint64_t end) {
  if (first >= end) return;
  remove(first, end);
  size_ += end - first;
  auto next = intervals_.lower_bound(first);
  if (next != intervals_.begin()) {
    auto previous = std::prev(next);
    if (previous->second == first) {
      first = previous->first;
      intervals_.erase(previous);
    }
  }
  if (next != intervals_.end() && next->first == end) {
    end = next->second;
    intervals_.erase(next);
  }
  intervals_[first] = end;
}

void PageSet::remove(std::uint64_t first, std::uint64_t end) {
  if (first >= end) return;
  auto it = intervals_.lower_bound(first);
  if (it != intervals_.begin() && std::prev(it)->second > first) --it;
  while (it != intervals_.end() && it->first < end) {
    const auto [old_first, old_end] = *it;
    it = intervals_.erase(it);
    size_ -= std::min(end, old_end) - std::max(first, old_first);
    if (old_first < first) intervals_[old_first] = first;
    if (old_end > end) intervals_[end] = old_end;
  }
}

std::uint64_t PageSet::missing(std::uint64_t first, std::uint64_t end) const {
  if (first >= end) return 0;
  std::uint64_t present = 0;
  auto it = intervals_.lower_bound(first);
  if (it != intervals_.begin()) --it;
  for (; it != intervals_.end() && it->first < end; ++it) {
    const std::uint64_t from = std::max(first, it->first);
    const std::uint64_t to = std::min(end, it->second);
    if (from < to) present += to - from;
  }
  return end - first - present;
}

SimInode::SimInode(std::uint64_t number, bool is_directory,
                   std::shared_ptr<std::uint64_t> pages_used)
    : number_(number), is_directory_(is_directory), pages_used_(std::move(pages_used)) {}

SimInode::~SimInode() {
  *pages_used_ -= allocated_.size();
}

void SimInode::use(std::uint64_t first, std::uint64_t end) {
  const std::uint64_t before = allocated_.size();
  allocated_.add(first, end);
  *pages_used_ += allocated_.size() - before;
}

void SimInode::give_back(std::uint64_t first, std::uint64_t end) {
  const std::uint64_t before = allocated_.size();
  allocated_.remove(first, end);
  *pages_used_ -= before - allocated_.size();
}

PageRef SimInode::page(std::uint64_t index) const {
  const auto it = pages_.find(index);
  if (it == pages_.end()) return nullptr;
  return it->second.pending.empty() ? it->second.durable : it->second.pending.back().bytes;
}

void SimInode::add_version(std::uint64_t index, PageRef bytes) {
  pages_[index].pending.push_back({++last_change_, std::move(bytes)});
  dirty_.insert(index);
  bad_.erase(index);
}

void SimInode::write_page(std::uint64_t index, PageRef bytes) {
  use(index, index + 1);
  add_version(index, std::move(bytes));
  if (const std::uint64_t end = (index + 1) * kSimPage; end > size_) resize(end);
}

void SimInode::resize(std::uint64_t size) {
  if (size == size_) return;
  if (size < size_) punch((size + kSimPage - 1) / kSimPage, (size_ + kSimPage - 1) / kSimPage);
  size_ = size;
  size_changes_.push_back({++last_change_, size});
}

void SimInode::allocate(std::uint64_t first, std::uint64_t end) {
  use(first, end);
  if (end * kSimPage > size_) resize(end * kSimPage);
}

void SimInode::punch(std::uint64_t first, std::uint64_t end) {
  give_back(first, end);
  for (auto it = pages_.lower_bound(first); it != pages_.end() && it->first < end; ++it) {
    add_version(it->first, nullptr);
  }
  bad_.erase(bad_.lower_bound(first), bad_.lower_bound(end));
}

void SimInode::make_durable(ChangeNumber upto) {
  for (auto it = dirty_.begin(); it != dirty_.end();) {
    auto place = pages_.find(*it);
    Page& page = place->second;
    auto version = page.pending.begin();
    // A version no sync writes any more shields nothing: what is older is lost with it, what is
    // newer can be written.
    while (version != page.pending.end() && version->number <= upto) {
      if (version->unflushable) {
        ++version;
        continue;
      }
      page.durable = std::move(version->bytes);
      version = page.pending.erase(page.pending.begin(), std::next(version));
    }
    if (!page.pending.empty()) {
      ++it;
      continue;
    }
    if (page.durable == nullptr) pages_.erase(place);
    it = dirty_.erase(it);
  }
  while (!size_changes_.empty() && size_changes_.front().number <= upto) {
    durable_size_ = size_changes_.front().size;
    size_changes_.erase(size_changes_.begin());
  }
}

void SimInode::make_range_durable(std::uint64_t first, std::uint64_t end) {
  for (auto it = dirty_.lower_bound(first); it != dirty_.end() && *it < end;) {
    Page& page = pages_[*it];
    page.durable = std::move(page.pending.back().bytes);
    page.pending.clear();
    it = dirty_.erase(it);
  }
  // The journal commits in order: the size that covers the range brings the earlier ones along.
  while (!size_changes_.empty() && durable_size_ < end * kSimPage) {
    durable_size_ = size_changes_.front().size;
    size_changes_.erase(size_changes_.begin());
  }
}

void SimInode::drop_unsynced(ChangeNumber upto) {
  for (auto it = dirty_.begin(); it != dirty_.end();) {
    auto& pending = pages_[*it].pending;
    std::erase_if(pending, [&](const Version& version) { return version.number <= upto; });
    it = pending.empty() ? dirty_.erase(it) : std::next(it);
  }
}

void SimInode::forget_unsynced(ChangeNumber upto) {
  for (const std::uint64_t index : dirty_) {
    for (Version& version : pages_[index].pending) {
      if (version.number <= upto) version.unflushable = true;
    }
  }
}

PageRef SimInode::torn(Random& random, const PageRef& old, const PageRef& fresh) {
  auto mixed = old == nullptr ? std::make_shared<PageBytes>() : std::make_shared<PageBytes>(*old);
  if (old == nullptr) mixed->fill(std::byte{0});
  for (std::uint64_t at = 0; at < kSimPage; at += kSimSector) {
    if (random.chance(1, 2)) continue;
    if (fresh == nullptr) {
      std::fill_n(mixed->begin() + static_cast<std::ptrdiff_t>(at), kSimSector, std::byte{0});
    } else {
      std::copy_n(fresh->begin() + static_cast<std::ptrdiff_t>(at), kSimSector,
                  mixed->begin() + static_cast<std::ptrdiff_t>(at));
    }
  }
  return mixed;
}

void SimInode::power_fail(Random& random, PowerFailureMood mood) {
  for (const std::uint64_t index : dirty_) {
    Page& page = pages_[index];
    for (Version& version : page.pending) {
      const std::uint64_t fate = random.below(100);
      if (version.unflushable) continue;
      // A hole is a change of the map, not of sectors: it is there or not.
      if (fate < mood.torn_percent && version.bytes != nullptr) {
        page.durable = torn(random, page.durable, version.bytes);
      } else if (fate < mood.torn_percent + (100 - mood.torn_percent) * mood.kept_percent / 100) {
        page.durable = std::move(version.bytes);
      }
    }
    page.pending.clear();
  }
  dirty_.clear();
  if (!size_changes_.empty()) {
    std::uint64_t survivors = random.below(size_changes_.size() + 1);
    if (mood.kept_percent == 100) survivors = size_changes_.size();
    if (survivors > 0) durable_size_ = size_changes_[survivors - 1].size;
    size_changes_.clear();
  }
  size_ = durable_size_;
  const std::uint64_t end = (size_ + kSimPage - 1) / kSimPage;
  pages_.erase(pages_.lower_bound(end), pages_.end());
  give_back(end, ~std::uint64_t{0});
  for (auto it = pages_.begin(); it != pages_.end();) {
    if (it->second.durable == nullptr) {
      it = pages_.erase(it);
    } else {
      use(it->first, it->first + 1);
      ++it;
    }
  }
  locked = false;
}

void SimInode::land_at_power_failure(Random& random, std::uint64_t index, PageRef bytes) {
  const std::uint64_t fate = random.below(3);
  if (fate == 0) return;
  const PageRef old = page(index);
  write_page(index, fate == 1 ? std::move(bytes) : torn(random, old, bytes));
}

bool SimInode::has_bad_page(std::uint64_t first, std::uint64_t end) const {
  const auto it = bad_.lower_bound(first);
  return it != bad_.end() && *it < end;
}

void SimInode::flip_bit(std::uint64_t offset, unsigned bit) {
  const std::uint64_t index = offset / kSimPage;
  Page& page = pages_[index];
  const auto flip = [&](PageRef& bytes) {
    auto rotten =
        bytes == nullptr ? std::make_shared<PageBytes>() : std::make_shared<PageBytes>(*bytes);
    if (bytes == nullptr) rotten->fill(std::byte{0});
    (*rotten)[offset % kSimPage] ^= std::byte(static_cast<unsigned char>(1u << bit));
    bytes = std::move(rotten);
  };
  flip(page.durable);
  for (Version& version : page.pending) flip(version.bytes);
}

}  // namespace ashlar::sim
