#include "tests/support/connected_pair.h"

namespace ashlar::test {
namespace {

Task<Result<>> accept_into(Listener& listener, std::unique_ptr<Connection>& accepted) {
  ASHLAR_CO_TRY_ASSIGN(accepted, co_await listener.accept());
  co_return Result<>();
}

Task<Result<>> connect_into(Network& network, Endpoint to, std::unique_ptr<Connection>& connected) {
  ASHLAR_CO_TRY_ASSIGN(connected, co_await network.connect(to));
  co_return Result<>();
}

}  // namespace

Task<Result<ConnectedPair>> make_connected_pair(Runtime runtime, Endpoint address) {
  ConnectedPair pair;
  ASHLAR_CO_TRY_ASSIGN(pair.listener, runtime.network.listen(address));
  TaskScope scope(co_await this_task());
  scope.spawn(accept_into(*pair.listener, pair.server));
  scope.spawn(connect_into(runtime.network, pair.listener->endpoint(), pair.client));
  Result<> outcome = co_await scope.join();
  if (!outcome.ok()) co_return std::move(outcome).error();
  co_return pair;
}

}  // namespace ashlar::test
