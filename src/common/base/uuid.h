// Uuid: sixteen bytes that name a thing for ever. A TypedUuid names one kind of thing and does not
// mix with another kind; code that knows what it names uses VolumeUuid, ReplicaUuid, ServerUuid,
// StoreUuid or SnapshotUuid.
//
// Bytes are in the order of the text (RFC 9562), on disk and on the wire too. Text is printed in
// lower case and read in either; only the canonical form with four hyphens is read, so that a
// uuid has one spelling in logs, file names and API objects. Any version is read: names may come
// from elsewhere. A default-constructed uuid is nil, which names nothing.
#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>

#include <fmt/format.h>

#include "common/base/random.h"
#include "common/base/result.h"

namespace ashlar {

class Uuid {
 public:
  static constexpr std::size_t kSize = 16;
  static constexpr std::size_t kTextSize = 36;

  constexpr Uuid() = default;
  explicit Uuid(std::span<const std::byte, kSize> bytes) {
    std::memcpy(bytes_.data(), bytes.data(), kSize);
  }

  // A version 4 (random) uuid.
  static Uuid generate(Random& random);
  static Result<Uuid> parse(std::string_view text);

  std::span<const std::byte, kSize> bytes() const { return bytes_; }
  constexpr bool is_nil() const { return *this == Uuid(); }
  std::string to_string() const;

  friend constexpr auto operator<=>(const Uuid&, const Uuid&) = default;

 private:
  std::array<std::byte, kSize> bytes_{};
};

template <class Tag>
class TypedUuid {
 public:
  constexpr TypedUuid() = default;
  constexpr explicit TypedUuid(const Uuid& untyped) : uuid_(untyped) {}
  explicit TypedUuid(std::span<const std::byte, Uuid::kSize> bytes) : uuid_(bytes) {}

  static TypedUuid generate(Random& random) { return TypedUuid(Uuid::generate(random)); }
  static Result<TypedUuid> parse(std::string_view text) {
    ASHLAR_TRY_ASSIGN(const Uuid untyped, Uuid::parse(text));
    return TypedUuid(untyped);
  }

  std::span<const std::byte, Uuid::kSize> bytes() const { return uuid_.bytes(); }
  constexpr bool is_nil() const { return uuid_.is_nil(); }
  constexpr const Uuid& untyped() const { return uuid_; }
  std::string to_string() const { return uuid_.to_string(); }

  friend constexpr auto operator<=>(const TypedUuid&, const TypedUuid&) = default;

 private:
  Uuid uuid_;
};

using VolumeUuid = TypedUuid<struct VolumeUuidTag>;
using ReplicaUuid = TypedUuid<struct ReplicaUuidTag>;
using ServerUuid = TypedUuid<struct ServerUuidTag>;
using StoreUuid = TypedUuid<struct StoreUuidTag>;
using SnapshotUuid = TypedUuid<struct SnapshotUuidTag>;

static_assert(sizeof(VolumeUuid) == Uuid::kSize && std::is_trivially_copyable_v<VolumeUuid>);

}  // namespace ashlar

template <>
struct std::hash<ashlar::Uuid> {
  std::size_t operator()(const ashlar::Uuid& uuid) const noexcept {
    std::uint64_t halves[2];
    std::memcpy(halves, uuid.bytes().data(), sizeof(halves));
    // Random uuids would hash well by any of their bytes; hand-made ones often differ in the last
    // byte only, and the multiplication spreads that over the word.
    return halves[0] ^ (halves[1] * 0x9e3779b97f4a7c15);
  }
};

template <class Tag>
struct std::hash<ashlar::TypedUuid<Tag>> {
  std::size_t operator()(const ashlar::TypedUuid<Tag>& uuid) const noexcept {
    return std::hash<ashlar::Uuid>()(uuid.untyped());
  }
};

template <>
struct fmt::formatter<ashlar::Uuid> : fmt::formatter<std::string_view> {
  template <class Context>
  auto format(const ashlar::Uuid& uuid, Context& context) const {
    return fmt::formatter<std::string_view>::format(uuid.to_string(), context);
  }
};

template <class Tag>
struct fmt::formatter<ashlar::TypedUuid<Tag>> : fmt::formatter<ashlar::Uuid> {
  template <class Context>
  auto format(const ashlar::TypedUuid<Tag>& uuid, Context& context) const {
    return fmt::formatter<ashlar::Uuid>::format(uuid.untyped(), context);
  }
};
