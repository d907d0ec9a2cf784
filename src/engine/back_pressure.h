// How long an append is held back as the log fills: nothing while there is plenty of room, then
// ever more, so that writers slow down to what the flusher can do long before the log is full, and
// no writer meets a wall (L103).
#pragma once

#include <algorithm>

#include "common/base/time.h"

namespace ashlar::engine {

// `fill` is 0 for an empty log and 1 when appends would have to wait for room.
inline Duration append_delay(double fill, double from, Duration longest) {
  if (fill <= from) return Duration::zero();
  const double way = std::min(1.0, (fill - from) / (1.0 - from));
  // The cube keeps the first half of the way nearly free and is smooth everywhere.
  return Duration(
      static_cast<Duration::rep>(static_cast<double>(longest.count()) * way * way * way));
}

}  // namespace ashlar::engine
