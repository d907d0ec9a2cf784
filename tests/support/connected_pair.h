// Both ends of one connection, in one task.
#pragma once

#include <memory>

#include "common/runtime/network.h"
#include "common/runtime/runtime.h"
#include "common/runtime/task_scope.h"

namespace ashlar::test {

struct ConnectedPair {
  std::unique_ptr<Listener> listener;
  std::unique_ptr<Connection> client;
  std::unique_ptr<Connection> server;
};

// Listens at `address` (port 0) and connects to it.
Task<Result<ConnectedPair>> make_connected_pair(Runtime runtime, Endpoint address);

}  // namespace ashlar::test
