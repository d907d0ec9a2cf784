// Random numbers that are the same on every machine and in every build: all of them follow from a
// 64-bit seed by integer arithmetic alone (xoshiro256**, seeded through splitmix64; the
// distributions of <random> differ between libraries and are not used). Not for keys or secrets.
//
// The simulator hands every part of a run its own stream:
//
//   Random root(seed);                        // print the seed, it is the whole run
//   Random disk = root.split("disk");         // follows from the seed and the name only,
//   Random network = root.split("network");   // not from what was drawn before
//
// so a draw added in one part does not shift the numbers of another. For the same reason a Random
// cannot be copied: two parts drawing the same numbers by accident is a bug that hides well.
// Real servers start from Random::from_os(), which takes all 256 bits of state from the system.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "common/base/time.h"

namespace ashlar {

class Random {
 public:
  explicit Random(std::uint64_t seed);
  static Random from_os();

  Random(Random&&) = default;
  Random& operator=(Random&&) = default;
  Random(const Random&) = delete;
  Random& operator=(const Random&) = delete;

  // A stream of its own for `name`; the same one every time it is asked for.
  Random split(std::string_view name) const;

  std::uint64_t next();
  // Evenly from [0, bound), without modulo bias; bound 0 is fatal.
  std::uint64_t below(std::uint64_t bound);
  // Evenly from [low, high], both ends included.
  std::uint64_t between(std::uint64_t low, std::uint64_t high);
  Duration between(Duration low, Duration high);
  // True in `numerator` of `denominator` cases; 0 of n never, n of n always.
  bool chance(std::uint64_t numerator, std::uint64_t denominator);
  void fill(std::span<std::byte> bytes);

  // Exponentially distributed with this mean, as the gaps between independent arrivals or
  // failures are. Never negative; ends at Duration::max().
  Duration exponential(Duration mean);

 private:
  using State = std::array<std::uint64_t, 4>;
  explicit Random(const State& origin);

  State origin_;  // the state at birth: what splits follow from
  State state_;
};

}  // namespace ashlar
