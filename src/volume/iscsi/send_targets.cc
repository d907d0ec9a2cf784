#include "volume/iscsi/send_targets.h"

#include "volume/iscsi/names.h"
#include "volume/iscsi/negotiation.h"

namespace ashlar::iscsi {
namespace {

constexpr std::string_view kAll = "All";

void tell(std::string_view iqn, std::span<const Portal> portals, TextWriter& reply) {
  reply.add("TargetName", iqn);
  for (const Portal& portal : portals) {
    if (portal.advertised.is_wildcard()) continue;
    reply.add("TargetAddress", fmt::format("{},{}", portal.advertised, portal.group_tag));
  }
}

}  // namespace

void answer_send_targets(std::string_view value, const LoginIdentity& identity,
                         std::span<const TargetDirectory::Entry> targets,
                         std::span<const Portal> portals, TextWriter& reply) {
  const bool is_all = value == kAll;
  std::string wanted = identity.target;
  if (!is_all && !value.empty()) {
    const auto name = normalise_name(value);
    if (!name) return reply.add("SendTargets", kRejected);
    wanted = *name;
  }
  const bool is_admissible = identity.is_discovery ? !value.empty() : wanted == identity.target;
  if (!is_admissible || (is_all && !identity.is_discovery)) {
    return reply.add("SendTargets", kRejected);
  }
  for (const TargetDirectory::Entry& target : targets) {
    const auto name = normalise_name(target.iqn);
    if (!name || (!is_all && *name != wanted)) continue;
    if (!list_allows(target.access.initiators, identity.initiator)) continue;
    tell(*name, portals, reply);
  }
}

}  // namespace ashlar::iscsi
