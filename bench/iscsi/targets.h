// The two servers that bench_iscsi compares, each in a directory of its own on the same disk.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "bench/iscsi/load.h"
#include "bench/iscsi/server_process.h"

namespace ashlar::bench {

inline constexpr std::uint64_t kUnitBytes = 512ULL << 20;

// What a unit promises when it says GOOD.
enum class Promise : std::uint8_t { kDurable, kBuffered };

class BenchTarget {
 public:
  virtual ~BenchTarget() = default;
  virtual std::string url(Promise promise) const = 0;
  // How a write has to be asked for so that it keeps this promise.
  virtual Durability durability(Promise promise) const = 0;
  const ServerProcess& process() const { return *process_; }

 protected:
  std::optional<ServerProcess> process_;
};

// ashlar-volume --standalone, with a durable and a buffered volume. `programs` is where it and
// `ashlar` were built.
std::unique_ptr<BenchTarget> start_ashlar(const std::string& programs,
                                          const std::string& directory);

enum class TgtCache : std::uint8_t { kPageCache, kDirect };
// Debian's tgt, backing store rdwr on one file: as it is by default (page cache), or with O_DIRECT.
// Its writes are durable when they ask for FUA: it then calls fdatasync.
std::unique_ptr<BenchTarget> start_tgt(const std::string& directory, TgtCache cache);

}  // namespace ashlar::bench
