#include "volume/server/target_map.h"

#include <utility>

namespace ashlar::server {

void TargetMap::attach(std::uint32_t reactor, Host host) {
  const std::lock_guard guard(lock_);
  hosts_[reactor] = host;
}

void TargetMap::detach(std::uint32_t reactor) {
  const std::lock_guard guard(lock_);
  hosts_.erase(reactor);
}

void TargetMap::add(const std::string& iqn, std::uint32_t reactor, volume::AccessRules access) {
  const std::lock_guard guard(lock_);
  targets_[iqn] = {reactor, std::move(access)};
}

void TargetMap::set_access(const std::string& iqn, volume::AccessRules access) {
  const std::lock_guard guard(lock_);
  const auto found = targets_.find(iqn);
  if (found != targets_.end()) found->second.access = std::move(access);
}

void TargetMap::remove(const std::string& iqn) {
  const std::lock_guard guard(lock_);
  targets_.erase(iqn);
}

std::vector<iscsi::TargetDirectory::Entry> TargetMap::targets() const {
  const std::lock_guard guard(lock_);
  std::vector<iscsi::TargetDirectory::Entry> entries;
  entries.reserve(targets_.size());
  for (const auto& [iqn, target] : targets_) entries.push_back({iqn, target.access});
  return entries;
}

bool TargetMap::route(std::uint32_t from, std::string_view iqn,
                      iscsi::HandedConnection& connection) {
  // Posted under the lock: detach() then waits for it.
  const std::lock_guard guard(lock_);
  const auto target = targets_.find(iqn);
  if (target == targets_.end() || target->second.reactor == from) return false;
  const auto host = hosts_.find(target->second.reactor);
  if (host == hosts_.end()) return false;
  iscsi::TargetServer* targets = host->second.targets;
  host->second.reactor->post(
      [targets, taken = std::move(connection)]() mutable { targets->take_over(std::move(taken)); });
  return true;
}

}  // namespace ashlar::server
