#include "common/base/endpoint.h"

#include <charconv>
#include <optional>

#include <arpa/inet.h>

#include "common/base/quote.h"

namespace ashlar {
namespace {

Error not_an_endpoint(std::string_view text, std::string_view why) {
  return Error::invalid_argument(
      "{} is not an endpoint: {}; write ADDRESS:PORT with a numeric address, such as "
      "10.0.0.1:3260, [2001:db8::1]:3260 or *:3260",
      quote(text), why);
}

std::optional<std::uint16_t> parse_port(std::string_view text) {
  // Five digits at most: "000003260" is a typing error, not a port.
  if (text.empty() || text.size() > 5) return std::nullopt;
  std::uint16_t port = 0;
  const auto [stopped, error] = std::from_chars(text.begin(), text.end(), port);
  if (error != std::errc() || stopped != text.end()) return std::nullopt;
  return port;
}

std::optional<Endpoint::Address> parse_address(int family, std::string_view host) {
  Endpoint::Address address{};
  // A NUL inside would end the text early for inet_pton.
  if (host.find('\0') != std::string_view::npos) return std::nullopt;
  if (::inet_pton(family, std::string(host).c_str(), address.data()) != 1) return std::nullopt;
  return address;
}

}  // namespace

Result<Endpoint> Endpoint::parse(std::string_view text) {
  if (text.empty()) return not_an_endpoint(text, "it is empty");
  const std::size_t colon = text.rfind(':');
  const bool bracketed = text.front() == '[';
  const std::size_t bracket = text.find(']');
  if (bracketed && bracket == std::string_view::npos) {
    return not_an_endpoint(text, "its bracket is not closed");
  }
  if (colon == std::string_view::npos || (bracketed && colon != bracket + 1)) {
    return not_an_endpoint(text, "it has no port");
  }
  std::string_view host = text.substr(0, colon);
  const std::optional<std::uint16_t> port = parse_port(text.substr(colon + 1));
  // Asked before the port: in a bare 2001:db8::1 what looks like a port is part of the address.
  if (!bracketed && host.find(':') != std::string_view::npos) {
    return not_an_endpoint(text, "an IPv6 address stands in brackets before the port");
  }
  if (!port) return not_an_endpoint(text, "its port is not a number from 0 to 65535");

  if (bracketed) {
    host = host.substr(1, host.size() - 2);
    const auto address = parse_address(AF_INET6, host);
    if (address) return Endpoint(Family::kIpv6, *address, *port);
    return not_an_endpoint(text, fmt::format("{} is not an IPv6 address", quote(host)));
  }
  if (host == "*") return Endpoint(Family::kIpv4, {}, *port);
  const auto address = parse_address(AF_INET, host);
  if (address) return Endpoint(Family::kIpv4, *address, *port);
  if (host.empty()) return not_an_endpoint(text, "it has no address");
  return not_an_endpoint(
      text, fmt::format("{} is not an IPv4 address and names are not resolved", quote(host)));
}

std::string Endpoint::to_string() const {
  char text[INET6_ADDRSTRLEN];
  const bool is_v6 = family_ == Family::kIpv6;
  ASHLAR_CHECK(::inet_ntop(is_v6 ? AF_INET6 : AF_INET, address_.data(), text, sizeof(text)) !=
               nullptr);
  return is_v6 ? fmt::format("[{}]:{}", text, port_) : fmt::format("{}:{}", text, port_);
}

}  // namespace ashlar
