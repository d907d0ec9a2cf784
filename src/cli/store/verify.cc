// ashlar-store verify: reads everything that has a checksum, and compares it.
#include <fmt/format.h>

#include "cli/store/commands.h"
#include "cli/store/describe.h"
#include "cli/store/layer_scan.h"

namespace ashlar::store_tool {
namespace {

constexpr ByteCount kMemory{16 << 20};

struct Totals {
  std::uint64_t layers = 0;
  std::uint64_t map_pages = 0;
  std::uint64_t chunks = 0;
  std::uint64_t blocks = 0;

  void add(const LayerFigures& layer) {
    ++layers;
    map_pages += layer.map_pages;
    chunks += layer.chunks;
    blocks += layer.checked_blocks;
  }
};

Document summarize(const StoreView& store, const std::optional<LogView>& log, const Totals& totals,
                   const Progress& progress) {
  Document checked = {{"slots", store.slots}};
  checked["log_batches"] = log ? log->recovery.batches : 0;
  checked["log_records"] = log ? log->recovery.records : 0;
  checked["log_records_unchecked"] = log ? log->unchecked_records : 0;
  checked["layers"] = totals.layers;
  checked["map_pages"] = totals.map_pages;
  checked["chunks"] = totals.chunks;
  checked["blocks"] = totals.blocks;
  checked["read_bytes"] = progress.bytes();
  return checked;
}

void print_text(const Document& document, const DamageList& damages) {
  for (const Damage& damage : damages.kept()) {
    fmt::print("{} at {}: {}\n", damage.file, damage.offset, damage.what);
  }
  if (damages.count() > damages.kept().size()) {
    fmt::print("… and {} more\n", damages.count() - damages.kept().size());
  }
  Document rest = document;
  rest.erase("damages");
  fmt::print("{}", to_text(rest));
}

}  // namespace

Task<Result<Finding>> verify_store(Runtime runtime, CommandOptions options) {
  DamageList damages;
  Progress progress(runtime.clock);
  BufferPool pool("ashlar-store", kMemory);
  ASHLAR_CO_TRY_ASSIGN(const StoreView store,
                       co_await StoreView::read(runtime, options.directory, damages));
  const engine::LogReader::SeeBatch ignore = [](const engine::Batch&) { return Result<>(); };
  ASHLAR_CO_TRY_ASSIGN(const std::optional<LogView> log,
                       co_await view_log(runtime, store, ignore, damages, progress));
  Totals totals;
  for (const auto& [id, use] : store.layers) {
    ASHLAR_CO_TRY_ASSIGN(
        const std::optional<LayerFigures> layer,
        co_await scan_layer(runtime, pool, store, id, LayerDepth::kMapAndData, damages, progress));
    if (layer) totals.add(*layer);
  }
  Document document = {{"directory", options.directory}, {"in_use", options.is_in_use}};
  document["outcome"] = damages.count() == 0 ? "fine" : "damaged";
  document["log_verdict"] = log ? Document(engine::to_string(log->recovery.verdict)) : Document();
  document["checked"] = summarize(store, log, totals, progress);
  add_damages(document, damages);
  if (options.form == OutputForm::kJson) {
    print(document, options.form);
  } else {
    print_text(document, damages);
  }
  co_return damages.count() == 0 ? Finding::kFine : Finding::kDamage;
}

}  // namespace ashlar::store_tool
