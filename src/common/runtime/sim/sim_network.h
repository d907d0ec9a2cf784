// The simulated network: SimFabric is the switch and the kernels' tables of all machines (which
// ports listen, which connections exist, which ways are cut); SimNetwork is what one process sees
// of it.
//
// Machine n has the address 10.0.0.n; 127.0.0.1 and the wildcard are the machine itself. Cutting a
// way stops the packets of one direction: established connections wait and go on after heal(),
// connects wait. Partitions do not break connections by themselves, losing one does.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <set>
#include <utility>
#include <vector>

#include "common/base/intrusive_list.h"
#include "common/runtime/network.h"
#include "common/runtime/sim/sim_faults.h"
#include "common/runtime/sim/sim_link.h"
#include "common/runtime/sim/sim_world.h"

namespace ashlar::sim {

class SimFabric;
class SimHandshake;
class SimListener;
class SimNode;

class SimFabric {
 public:
  explicit SimFabric(SimWorld& world);
  ~SimFabric();

  NetworkFaults faults;
  NetworkTiming timing;

  // One direction; both; one machine from all others, in both directions.
  void cut(std::uint32_t from, std::uint32_t to);
  void heal(std::uint32_t from, std::uint32_t to);
  void cut_both(std::uint32_t a, std::uint32_t b);
  void isolate(std::uint32_t node);
  void heal_all();
  bool is_cut(std::uint32_t from, std::uint32_t to) const { return cuts_.contains({from, to}); }
  // The way is open and the machine at its end has power.
  bool can_reach(std::uint32_t from, std::uint32_t to) const;

  // Every connection between the two is lost; its ends notice at different times.
  void lose_connections(std::uint32_t a, std::uint32_t b);
  std::size_t connections() const;

  SimWorld& world() { return world_; }

  // For SimNode.
  void process_died(SimNode& node);
  void power_failed(SimNode& node);
  void power_is_back(SimNode& node);

 private:
  friend class SimHandshake;
  friend class SimListener;
  friend class SimNetwork;

  void try_again();
  std::shared_ptr<SimLink> make_link(const SimLink::End& client, const SimLink::End& server);
  // The machine an address belongs to, seen from `from`; 0 for none.
  std::uint32_t machine(const Endpoint& address, std::uint32_t from) const;
  Endpoint canonical(const Endpoint& address, std::uint32_t from) const;
  std::uint16_t free_port(std::uint32_t node);

  SimWorld& world_;
  Random random_;
  std::set<std::pair<std::uint32_t, std::uint32_t>> cuts_;
  std::map<Endpoint, SimListener*> listeners_;  // by canonical address
  std::vector<std::shared_ptr<SimLink>> links_;
  std::uint64_t next_link_ = 1;
  std::map<std::uint32_t, std::uint16_t> next_port_;
};

class SimNetwork final : public Network {
 public:
  SimNetwork(SimFabric& fabric, SimNode& node) : fabric_(fabric), node_(node) {}

  Task<Result<std::unique_ptr<Connection>>> connect(Endpoint to) override;
  Result<std::unique_ptr<Listener>> listen(const Endpoint& at) override;
  // On the machine where it was detached.
  std::unique_ptr<Connection> adopt(std::unique_ptr<DetachedConnection> connection) override;

 private:
  SimFabric& fabric_;
  SimNode& node_;
};

}  // namespace ashlar::sim
