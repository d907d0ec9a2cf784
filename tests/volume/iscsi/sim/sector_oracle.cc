#include "tests/volume/iscsi/sim/sector_oracle.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "common/base/check.h"

namespace ashlar::iscsi {

void fill_sector(Stamp stamp, std::uint64_t lba, MutableByteSpan sector) {
  std::uint64_t word = stamp * 0x9e3779b97f4a7c15ull ^ lba * 0xd1342543de82ef95ull;
  store_le64(sector, 0, stamp);
  store_le64(sector, 8, stamp == 0 ? 0 : lba);
  for (std::size_t at = 16; at < kSectorBytes; at += 8) {
    word = (word ^ word >> 29) * 0xbf58476d1ce4e5b9ull;
    store_le64(sector, at, stamp == 0 ? 0 : word);
  }
}

Stamp SectorOracle::begin_write(unsigned host, std::uint64_t lba, std::uint64_t count) {
  const Stamp stamp = next_stamp_++;
  writes_[stamp] = {.host = host, .lba = lba, .count = count, .begin = now()};
  open_[host].push_back(stamp);
  return stamp;
}

void SectorOracle::acknowledge(Stamp stamp) {
  Write& write = writes_.at(stamp);
  ASHLAR_CHECK(write.end == kStillOpen);
  write.end = now();
  std::erase(open_[write.host], stamp);
  ++acknowledged_;
  for (std::uint64_t lba = write.lba; lba < write.lba + write.count; ++lba) {
    sectors_.at(lba).facts.push_back({stamp, write.begin, write.end});
  }
}

void SectorOracle::had_no_effect(Stamp stamp) {
  Write& write = writes_.at(stamp);
  write.end = now();
  write.is_never = true;
  std::erase(open_[write.host], stamp);
}

void SectorOracle::close(Stamp stamp, Moment end) {
  Write& write = writes_.at(stamp);
  write.end = std::max(end, write.begin);
  std::erase(open_[write.host], stamp);
  ++closed_;
}

void SectorOracle::close_all(unsigned host) {
  const Moment end = now();
  const std::vector<Stamp> open = open_[host];
  for (const Stamp stamp : open) close(stamp, end);
}

std::string SectorOracle::judge_sector(std::uint64_t lba, ByteSpan sector, Moment begin,
                                       Stamp& stamp) const {
  stamp = load_le64(sector);
  std::array<std::byte, kSectorBytes> whole;
  fill_sector(stamp, lba, whole);
  if (!std::ranges::equal(sector, whole)) {
    return fmt::format("sector {} shows bytes that nobody wrote there (stamp {}, sector {})", lba,
                       stamp, load_le64(sector, 8));
  }
  Moment ended = 0;
  if (stamp != 0) {
    const auto found = writes_.find(stamp);
    if (found == writes_.end()) return fmt::format("sector {} shows a stamp of nobody", lba);
    const Write& write = found->second;
    if (lba < write.lba || lba >= write.lba + write.count) {
      return fmt::format("sector {} shows write {}, which was elsewhere", lba, stamp);
    }
    if (write.is_never) {
      return fmt::format("sector {} shows write {}, which was said to have no effect", lba, stamp);
    }
    ended = write.end;
  }
  for (const Fact& fact : sectors_.at(lba).facts) {
    if (fact.stamp == stamp || fact.begin <= ended || fact.end >= begin) continue;
    return fmt::format(
        "sector {} shows write {}, over at {}, to a read that began at {}: but write {} was there "
        "between {} and {}",
        lba, stamp, ended, begin, fact.stamp, fact.begin, fact.end);
  }
  return {};
}

std::string SectorOracle::judge(std::uint64_t lba, ByteSpan bytes, Moment begin) {
  const Moment end = now();
  for (std::size_t at = 0; at < bytes.size(); at += kSectorBytes, ++lba) {
    Stamp stamp = 0;
    std::string failure = judge_sector(lba, bytes.subspan(at, kSectorBytes), begin, stamp);
    if (!failure.empty()) return failure;
    std::vector<Fact>& facts = sectors_.at(lba).facts;
    // One that says the same of an earlier time is only in the way.
    if (!facts.empty() && facts.back().stamp == stamp && facts.back().begin <= begin) {
      facts.pop_back();
    }
    facts.push_back({stamp, begin, end});
  }
  return {};
}

std::string SectorOracle::judge_replaced(std::uint64_t lba, ByteSpan expected, Moment begin) {
  for (std::size_t at = 0; at < expected.size(); at += kSectorBytes, ++lba) {
    Stamp stamp = 0;
    std::string failure = judge_sector(lba, expected.subspan(at, kSectorBytes), begin, stamp);
    if (!failure.empty()) return "compare and write: " + failure;
    std::vector<Stamp>& replaced = sectors_.at(lba).replaced;
    if (std::ranges::find(replaced, stamp) != replaced.end()) {
      return fmt::format("two compare and writes have replaced write {} of sector {}", stamp, lba);
    }
    replaced.push_back(stamp);
  }
  return {};
}

}  // namespace ashlar::iscsi
