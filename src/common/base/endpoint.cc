#include "common/base/endpoint.h"

#include <charconv>

#include <arpa/inet.h>

namespace ashlar {
namespace {

Error refuse(std::string_view text, std::string_view why) {
  return Error::invalid_argument(
      "\"{}\" is not an endpoint: {}; use ADDRESS:PORT, as in 10.0.0.1:3260, [2001:db8::1]:3260 or "
      "*:3260",
      text, why);
}

}  // namespace

Result<Endpoint> Endpoint::parse(std::string_view text) {
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return refuse(text, "there is no port");
  std::string host(text.substr(0, colon));
  const std::string_view port_text = text.substr(colon + 1);

  std::uint16_t port = 0;
  const auto [end, error] =
      std::from_chars(port_text.data(), port_text.data() + port_text.size(), port);
  if (error != std::errc() || end != port_text.data() + port_text.size()) {
    return refuse(text, "the port is a number from 0 to 65535");
  }

  if (host == "*") return Endpoint(Family::kIpv4, {}, port);
  Address address{};
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
    if (::inet_pton(AF_INET6, host.c_str(), address.data()) == 1) {
      return Endpoint(Family::kIpv6, address, port);
    }
    return refuse(text, "what stands in brackets is no IPv6 address");
  }
  if (::inet_pton(AF_INET, host.c_str(), address.data()) == 1) {
    return Endpoint(Family::kIpv4, address, port);
  }
  if (::inet_pton(AF_INET6, host.c_str(), address.data()) == 1) {
    return refuse(text, "an IPv6 address stands in brackets");
  }
  return refuse(text, "the host is a numeric IP address");
}

std::string Endpoint::to_string() const {
  char text[INET6_ADDRSTRLEN];
  if (family_ == Family::kIpv4) {
    ASHLAR_CHECK(::inet_ntop(AF_INET, address_.data(), text, sizeof(text)) != nullptr);
    return fmt::format("{}:{}", text, port_);
  }
  ASHLAR_CHECK(::inet_ntop(AF_INET6, address_.data(), text, sizeof(text)) != nullptr);
  return fmt::format("[{}]:{}", text, port_);
}

}  // namespace ashlar
