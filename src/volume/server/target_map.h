// TargetMap: which reactor serves which iSCSI target. One for the whole server; every reactor's
// TargetServer asks it through a TargetDirectory of its own, to say what there is (discovery) and
// to take a connection to where its target lives.
//
// Any thread. A reactor is routed to only between attach() and detach(); after detach() has
// returned nobody posts to it any more.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "common/runtime/uring/reactor.h"
#include "volume/iscsi/target_server.h"

namespace ashlar::server {

class TargetMap {
 public:
  struct Host {
    uring::Reactor* reactor = nullptr;
    iscsi::TargetServer* targets = nullptr;  // belongs to the reactor
  };

  void attach(std::uint32_t reactor, Host host);
  void detach(std::uint32_t reactor);

  void add(const std::string& iqn, std::uint32_t reactor, volume::AccessRules access);
  void set_access(const std::string& iqn, volume::AccessRules access);
  void remove(const std::string& iqn);

  std::vector<iscsi::TargetDirectory::Entry> targets() const;
  // False when the target is at `from` itself, is unknown or is leaving.
  bool route(std::uint32_t from, std::string_view iqn, iscsi::HandedConnection& connection);

 private:
  struct Target {
    std::uint32_t reactor = 0;
    volume::AccessRules access;
  };

  mutable std::mutex lock_;
  std::map<std::string, Target, std::less<>> targets_;
  std::map<std::uint32_t, Host> hosts_;
};

// The map as one reactor sees it.
class ReactorDirectory final : public iscsi::TargetDirectory {
 public:
  ReactorDirectory(TargetMap& map, std::uint32_t reactor) : map_(map), reactor_(reactor) {}

  std::vector<Entry> targets() const override { return map_.targets(); }
  bool route(std::string_view iqn, iscsi::HandedConnection& connection) override {
    return map_.route(reactor_, iqn, connection);
  }

 private:
  TargetMap& map_;
  const std::uint32_t reactor_;
};

}  // namespace ashlar::server
