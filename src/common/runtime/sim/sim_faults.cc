#include "common/runtime/sim/sim_faults.h"

namespace ashlar::sim {
namespace {

std::uint32_t rate(Random& random, std::uint32_t most_per_million) {
  // Both numbers are drawn in every case, so that one class being off shifts none of the others.
  const bool on = random.chance(1, 2);
  const auto per_million = static_cast<std::uint32_t>(random.between(1, most_per_million));
  return on ? per_million : 0;
}

Duration every(Random& random, Duration least, Duration most) {
  const bool on = random.chance(1, 2);
  const Duration mean = random.between(least, most);
  return on ? mean : Duration(0);
}

}  // namespace

SimKnobs SimKnobs::draw(Random& random) {
  SimKnobs knobs;
  Random disk = random.split("disk");
  knobs.disk.read_error = rate(disk, 2'000);
  knobs.disk.write_error = rate(disk, 5'000);
  knobs.disk.no_space = rate(disk, 5'000);
  knobs.disk.sync_error = rate(disk, 10'000);
  knobs.disk.bit_rot = rate(disk, 2'000);
  knobs.disk.misdirected_write = rate(disk, 1'000);
  knobs.disk.dropped_write = rate(disk, 1'000);
  knobs.disk.slow_spell = rate(disk, 2'000);
  knobs.disk.hang = rate(disk, 500);
  knobs.disk_timing.write_tail = disk.between(Duration(5us), Duration(200us));
  knobs.disk_timing.sync_base = disk.between(Duration(20us), Duration(2ms));

  Random network = random.split("network");
  knobs.network.connection_loss = rate(network, 5'000);
  knobs.network.long_delay = rate(network, 5'000);
  knobs.network_timing.delay_base = network.between(Duration(10us), Duration(2ms));
  knobs.network_timing.delay_tail = network.between(Duration(5us), Duration(5ms));
  knobs.network_timing.window = 1u << network.between(13, 18);
  knobs.network_timing.split_percent = static_cast<std::uint32_t>(network.below(100));

  Random node = random.split("node");
  knobs.node.kill_percent = static_cast<std::uint32_t>(node.below(101));
  knobs.node.mean_time_to_crash = every(node, 5ms, 200ms);
  knobs.node.mean_time_to_pause = every(node, 20ms, 500ms);
  knobs.node.longest_pause = node.between(Duration(1ms), Duration(2s));
  knobs.node.drift_ppm = static_cast<std::int64_t>(node.below(500));
  return knobs;
}

SimKnobs SimKnobs::without_data_loss() const {
  SimKnobs knobs = *this;
  knobs.disk.read_error = 0;
  knobs.disk.bit_rot = 0;
  knobs.disk.misdirected_write = 0;
  knobs.disk.dropped_write = 0;
  return knobs;
}

}  // namespace ashlar::sim
