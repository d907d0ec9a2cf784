// Endpoint: a numeric address and a port, one end of a connection or where to listen.
//
//   10.0.0.1:3260   [2001:db8::1]:3260   0.0.0.0:3260   *:3260   [::]:3260
//
// The last three are wildcards: something may listen there, but a wildcard is never advertised.
// `*` is another spelling of 0.0.0.0. Port 0 lets the system choose when listening. Names are
// refused: resolving one can block and give several answers, so it is the business of whoever holds
// the name, not of parsing. Scoped addresses (fe80::1%eth0) are refused too, for they mean nothing
// on another server.
//
// Printing gives the canonical form (RFC 5952), which parses to the same endpoint. Order is by
// family, address, port.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include <fmt/format.h>

#include "common/base/result.h"

namespace ashlar {

class Endpoint {
 public:
  enum class Family : std::uint8_t { kIpv4, kIpv6 };
  // Network byte order; an IPv4 address takes the first four bytes, the rest is zero.
  using Address = std::array<std::uint8_t, 16>;

  constexpr Endpoint() = default;  // 0.0.0.0:0
  constexpr Endpoint(Family family, const Address& address, std::uint16_t port)
      : family_(family), address_(address), port_(port) {}
  static constexpr Endpoint ipv4(std::uint8_t a, std::uint8_t b, std::uint8_t c, std::uint8_t d,
                                 std::uint16_t port) {
    return Endpoint(Family::kIpv4, Address{a, b, c, d}, port);
  }

  // kInvalidArgument with the reason and what is allowed.
  static Result<Endpoint> parse(std::string_view text);

  constexpr Family family() const { return family_; }
  constexpr const Address& address() const { return address_; }
  constexpr std::uint16_t port() const { return port_; }
  constexpr Endpoint with_port(std::uint16_t port) const {
    return Endpoint(family_, address_, port);
  }
  constexpr bool is_wildcard() const { return address_ == Address{}; }

  std::string to_string() const;

  friend constexpr auto operator<=>(const Endpoint&, const Endpoint&) = default;

 private:
  Family family_ = Family::kIpv4;
  Address address_{};
  std::uint16_t port_ = 0;
};

}  // namespace ashlar

template <>
struct std::hash<ashlar::Endpoint> {
  std::size_t operator()(const ashlar::Endpoint& endpoint) const noexcept {
    const std::string_view address(reinterpret_cast<const char*>(endpoint.address().data()),
                                   endpoint.address().size());
    return std::hash<std::string_view>()(address) * 31 + endpoint.port();
  }
};

template <>
struct fmt::formatter<ashlar::Endpoint> : fmt::formatter<std::string_view> {
  template <class Context>
  auto format(const ashlar::Endpoint& endpoint, Context& context) const {
    return fmt::formatter<std::string_view>::format(endpoint.to_string(), context);
  }
};
