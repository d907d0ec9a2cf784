#include "common/base/random.h"

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>

#include <sys/random.h>

#include "common/base/check.h"

namespace ashlar {
namespace {

constexpr std::uint64_t kGoldenGamma = 0x9e3779b97f4a7c15;

// The output function of splitmix64: a bijection that scatters its input.
std::uint64_t scatter(std::uint64_t z) {
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

std::array<std::uint64_t, 4> expand(std::uint64_t seed) {
  std::array<std::uint64_t, 4> state{};
  for (auto& word : state) word = scatter(seed += kGoldenGamma);
  return state;
}

// FNV-1a, 64 bits.
std::uint64_t hash_name(std::string_view name) {
  std::uint64_t hash = 0xcbf29ce484222325;
  for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  return hash;
}

}  // namespace

Random::Random(std::uint64_t seed) : Random(expand(seed)) {}

Random::Random(const State& origin) : origin_(origin), state_(origin) {
  // The one state xoshiro cannot leave.
  ASHLAR_CHECK(std::any_of(origin.begin(), origin.end(), [](std::uint64_t w) { return w != 0; }));
}

Random Random::from_os() {
  State state{};
  ssize_t got = -1;
  do {
    got = ::getrandom(state.data(), sizeof(state), 0);
  } while (got < 0 && errno == EINTR);
  // Up to 256 bytes come whole or, on a kernel older than any we run on, not at all.
  ASHLAR_CHECK(got == sizeof(state), "getrandom returned {}, errno {}", got, errno);
  return Random(state);
}

Random Random::split(std::string_view name) const {
  // Each word of the child depends on the name and on two words of the parent's origin, so that
  // siblings, parents and grandchildren are unrelated.
  State child{};
  std::uint64_t salt = hash_name(name);
  for (std::size_t i = 0; i < child.size(); ++i) {
    salt = scatter(salt + kGoldenGamma + origin_[i]);
    child[i] = scatter(salt ^ std::rotl(origin_[(i + 1) % child.size()], 29));
  }
  return Random(child);
}

std::uint64_t Random::next() {
  const std::uint64_t result = std::rotl(state_[1] * 5, 7) * 9;
  const std::uint64_t t = state_[1] << 17;
  state_[2] ^= state_[0];
  state_[3] ^= state_[1];
  state_[1] ^= state_[2];
  state_[0] ^= state_[3];
  state_[2] ^= t;
  state_[3] = std::rotl(state_[3], 45);
  return result;
}

std::uint64_t Random::below(std::uint64_t bound) {
  ASHLAR_CHECK(bound > 0);
  // Lemire: the high half of a 64x64 product is even once the low halves that would give some
  // results one more chance than others are drawn again.
  auto product = static_cast<unsigned __int128>(next()) * bound;
  if (static_cast<std::uint64_t>(product) < bound) {
    const std::uint64_t unfair = (0 - bound) % bound;
    while (static_cast<std::uint64_t>(product) < unfair) {
      product = static_cast<unsigned __int128>(next()) * bound;
    }
  }
  return static_cast<std::uint64_t>(product >> 64);
}

std::uint64_t Random::between(std::uint64_t low, std::uint64_t high) {
  ASHLAR_CHECK_LE(low, high);
  const std::uint64_t width = high - low;
  return width == UINT64_MAX ? next() : low + below(width + 1);
}

Duration Random::between(Duration low, Duration high) {
  ASHLAR_CHECK_LE(low.count(), high.count());
  // Two's complement: the width of any two ends fits an unsigned word, and adding it back wraps
  // to the right place.
  const auto base = static_cast<std::uint64_t>(low.count());
  const std::uint64_t offset = between(0, static_cast<std::uint64_t>(high.count()) - base);
  return Duration(static_cast<std::int64_t>(base + offset));
}

bool Random::chance(std::uint64_t numerator, std::uint64_t denominator) {
  ASHLAR_CHECK_LE(numerator, denominator);
  return below(denominator) < numerator;
}

void Random::fill(std::span<std::byte> bytes) {
  while (!bytes.empty()) {
    std::uint64_t word = next();
    // Low byte first on every machine.
    const std::size_t count = std::min(bytes.size(), sizeof(word));
    for (std::size_t i = 0; i < count; ++i, word >>= 8) bytes[i] = static_cast<std::byte>(word);
    bytes = bytes.subspan(count);
  }
}

Duration Random::exponential(Duration mean) {
  ASHLAR_CHECK(mean.count() >= 0, "mean {} ns", mean.count());
  // Von Neumann's way, exact and without a logarithm: of u1 > u2 > … the first ascent comes at an
  // even place with probability e^-u1. Then u1 is the fraction of the result; each failed attempt
  // before it adds one whole mean.
  for (std::uint64_t whole = 0;; ++whole) {
    const std::uint64_t fraction = next();
    std::uint64_t previous = fraction;
    bool ascent_is_at_even_place = true;
    for (std::uint64_t u = next(); u < previous; u = next()) {
      previous = u;
      ascent_is_at_even_place = !ascent_is_at_even_place;
    }
    if (!ascent_is_at_even_place) continue;

    const auto unit = static_cast<std::uint64_t>(mean.count());
    const auto part =
        static_cast<std::uint64_t>((static_cast<unsigned __int128>(unit) * fraction) >> 64);
    const unsigned __int128 sum = static_cast<unsigned __int128>(unit) * whole + part;
    if (sum > static_cast<std::uint64_t>(Duration::max().count())) return Duration::max();
    return Duration(static_cast<std::int64_t>(sum));
  }
}

}  // namespace ashlar
