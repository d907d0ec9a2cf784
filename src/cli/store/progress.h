// Progress: a line on stderr every two seconds, for whoever waits. A command that is quick says
// nothing.
#pragma once

#include <cstdint>
#include <cstdio>
#include <string>
#include <utility>

#include <fmt/core.h>

#include "common/base/units.h"
#include "common/runtime/clock.h"

namespace ashlar::store_tool {

class Progress {
 public:
  explicit Progress(Clock& clock) : clock_(clock), begin_(clock.now()), next_(begin_ + kPeriod) {}

  void begin(std::string what) { what_ = std::move(what); }
  void add(std::uint64_t bytes) {
    bytes_ += bytes;
    const MonoTime now = clock_.now();
    if (now < next_) return;
    next_ = now + kPeriod;
    fmt::print(stderr, "ashlar-store: {} s, {} read, now {}\n", (now - begin_) / 1s,
               format_size_short(ByteCount(bytes_)), what_);
  }
  std::uint64_t bytes() const { return bytes_; }

 private:
  static constexpr Duration kPeriod = 2s;

  Clock& clock_;
  const MonoTime begin_;
  MonoTime next_;
  std::string what_;
  std::uint64_t bytes_ = 0;
};

}  // namespace ashlar::store_tool
