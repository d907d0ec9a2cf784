// Damage: something of a store that is not as it must be, with its place: a file of the store and
// the byte where the damaged thing begins. A DamageList counts all of it and keeps the first ones,
// so that a disk that is rotten throughout costs no memory.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace ashlar::store_tool {

struct Damage {
  std::string file;  // relative to the store's directory
  std::uint64_t offset = 0;
  std::string what;
};

class DamageList {
 public:
  static constexpr std::size_t kMostKept = 10'000;

  void add(Damage damage) {
    ++count_;
    if (kept_.size() < kMostKept) kept_.push_back(std::move(damage));
  }
  std::uint64_t count() const { return count_; }
  const std::vector<Damage>& kept() const { return kept_; }

 private:
  std::uint64_t count_ = 0;
  std::vector<Damage> kept_;
};

}  // namespace ashlar::store_tool
