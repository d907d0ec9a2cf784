// Runtime: all that deciding code may ask of the world. One per reactor in the real runtime, one
// per node in the simulator; the same code runs on either.
#pragma once

#include "common/base/random.h"
#include "common/runtime/clock.h"
#include "common/runtime/executor.h"
#include "common/runtime/file.h"
#include "common/runtime/network.h"

namespace ashlar {

// Plain references: it is copied freely and outlived by what it refers to.
struct Runtime {
  Executor& executor;
  Clock& clock;
  FileSystem& files;
  Network& network;
  Random& random;
};

}  // namespace ashlar
