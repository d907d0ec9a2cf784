// The server of the iSCSI scenario: store, volume, device and target on one machine, with the flaws
// that can be planted.
#include <algorithm>

#include "common/runtime/task_scope.h"
#include "engine/store.h"
#include "tests/volume/iscsi/sim/iscsi_world.h"
#include "volume/core/volume.h"
#include "volume/scsi/device.h"

namespace ashlar::iscsi {
namespace {

constexpr std::byte kCompareAndWrite{0x89};
constexpr std::byte kWrite{0x8a};

// A device that does as the planted bug says, and otherwise as it should.
class FlawedDevice final : public scsi::Device {
 public:
  FlawedDevice(std::string_view bug, Runtime runtime, BufferPool& pool, volume::Volume& volume)
      : Device(runtime.clock, runtime.random, pool, {kVolumeTarget}),
        bug_(bug),
        runtime_(runtime),
        volume_(volume) {}

  Task<scsi::Response> execute(scsi::Nexus& nexus, const scsi::Command& command) override {
    // Long enough to be aborted in.
    const bool dawdles = bug_ == "deaf-abort" && command.cdb[0] == kWrite;
    if (dawdles) (void)co_await sleep_for(runtime_.clock, runtime_.random.exponential(2ms));
    const bool splits = bug_ == "split-compare" && command.cdb[0] == kCompareAndWrite;
    if (!splits) co_return co_await Device::execute(nexus, command);
    co_return co_await compare_then_write(command);
  }

  Task<scsi::TaskManagementAnswer> manage(scsi::Nexus& nexus, scsi::TaskManagementFunction function,
                                          std::uint64_t lun, std::uint32_t tag) override {
    if (bug_ == "deaf-abort" && function == scsi::TaskManagementFunction::kAbortTask) {
      co_return scsi::TaskManagementAnswer::kComplete;
    }
    co_return co_await Device::manage(nexus, function, lun, tag);
  }

 private:
  Task<scsi::Response> compare_then_write(const scsi::Command& command) {
    scsi::Response response;
    response.status = scsi::Status::kBusy;
    const std::uint64_t offset = load_be64(command.cdb, 2) * kSectorBytes;
    const std::uint64_t length = std::to_integer<std::uint64_t>(command.cdb[13]) * kSectorBytes;
    response.data_out_wanted = 2 * length;
    Result<Buffer> data = co_await command.data_out->fetch(2 * length);
    if (!data.ok()) co_return response;
    Result<Buffer> there = co_await volume_.read({offset, length});
    if (!there.ok()) co_return response;
    const ByteSpan bytes = data->bytes();
    if (!std::ranges::equal(there->bytes(), bytes.first(length))) {
      response.status = scsi::Status::kCheckCondition;
      response.sense.key = scsi::SenseKey::kMiscompare;
      co_return response;
    }
    (void)co_await sleep_for(runtime_.clock, 200us);
    Result<Buffer> fresh = pool().allocate(ByteCount(length));
    if (!fresh.ok()) co_return response;
    std::ranges::copy(bytes.subspan(length), fresh->data());
    const Result<> written = co_await volume_.write(offset, std::move(*fresh));
    if (written.ok()) response.status = scsi::Status::kGood;
    co_return response;
  }

  std::string_view bug_;
  Runtime runtime_;
  volume::Volume& volume_;
};

class OneTarget final : public TargetDirectory {
 public:
  std::vector<Entry> targets() const override { return {{kVolumeTarget, {}}}; }
  bool route(std::string_view, HandedConnection&) override { return false; }
};

engine::ReplicaSpec replica_spec() {
  const auto uuid = [](std::uint8_t last) {
    return Uuid::parse(fmt::format("00000000-0000-4000-8000-0000000000{:02x}", last)).value();
  };
  return {ReplicaUuid(uuid(1)), VolumeUuid(uuid(2)), kVolumeBlocks};
}

Task<Result<>> serve_once(IscsiWorld* world, Runtime runtime) {
  // What a killed process had under way arrives first.
  while (world->server->disk().in_flight() > 0) (void)co_await sleep_for(runtime.clock, 100us);
  if (!world->is_formatted) {
    const Result<> made = co_await engine::Store::format(runtime, world->store,
                                                         StoreUuid(world->store.server.untyped()));
    if (!made.ok() && made.error().code() != ErrorCode::kAlreadyExists) co_return made.error();
    world->is_formatted = true;
  }
  BufferPool pool("scenario", ByteCount(128 << 20));
  ASHLAR_CO_TRY_ASSIGN(const std::unique_ptr<engine::Store> store,
                       co_await engine::Store::open(runtime, pool, world->store));
  engine::Replica* replica = store->find(replica_spec().replica);
  if (replica == nullptr) {
    ASHLAR_CO_TRY_ASSIGN(replica, co_await store->create_replica(replica_spec()));
  }
  {
    const volume::AckPolicy policy =
        world->bug == "no-sync" ? volume::AckPolicy::kBuffered : world->policy;
    volume::Volume volume(*replica, pool, runtime.clock, {.name = "vol1", .ack_policy = policy});
    FlawedDevice device(world->bug, runtime, pool, volume);
    ASHLAR_CO_TRY(device.add_unit(0, volume));
    OneTarget directory;
    TargetServer target(runtime, pool, world->target, directory, nullptr);
    ASHLAR_CO_TRY(target.add_target({kVolumeTarget, &device, {}}));
    TaskScope scope(co_await this_task());
    auto listener = runtime.network.listen(world->portal);
    ASHLAR_CHECK(listener.ok(), "{}", listener.error());
    scope.spawn(target.serve_portal(std::move(*listener), world->target.portals.front()));
    while (!world->is_over) (void)co_await sleep_for(runtime.clock, 20ms);
    ASHLAR_CO_TRY(co_await target.stop(2s));
    ASHLAR_CO_TRY(co_await scope.join());
    ASHLAR_CO_TRY(co_await device.remove_unit(0));
  }
  co_return co_await store->close();
}

}  // namespace

Task<void> serve_volume(IscsiWorld* world, Runtime runtime) {
  const Result<> ended = co_await serve_once(world, runtime);
  if (!ended.ok()) world->fail(fmt::format("the server: {}", ended.error()));
}

}  // namespace ashlar::iscsi
