#include "cli/store/describe.h"

#include <fmt/format.h>

namespace ashlar::store_tool {

void add_damages(Document& document, const DamageList& damages) {
  Document list = Document::array();
  for (const Damage& damage : damages.kept()) {
    list.push_back({{"file", damage.file}, {"offset", damage.offset}, {"what", damage.what}});
  }
  document["damage_count"] = damages.count();
  document["damages"] = std::move(list);
}

Document describe_log(const StoreView& store, const LogView& view) {
  const engine::LogCheckpoint& checkpoint = store.state->log;
  const engine::LogRecovery& found = view.recovery;
  const std::uint64_t capacity = store.state->log_capacity.value();
  const std::uint64_t used = found.chain.end - checkpoint.chain.end;
  return {
      {"capacity_bytes", capacity},
      {"used_bytes", used},
      {"used_percent", used * 100 / capacity},
      {"verdict", engine::to_string(found.verdict)},
      {"batches", found.batches},
      {"records", found.records},
      {"unchecked_records", view.unchecked_records},
      {"checkpoint",
       {{"position", checkpoint.chain.end.value()},
        {"file_offset", checkpoint.chain.end.value() % capacity},
        {"generation", checkpoint.generation.value()},
        {"generation_start", checkpoint.generation_start.value()},
        {"durable_bound", checkpoint.durable_bound.value()}}},
      {"end",
       {{"position", found.chain.end.value()},
        {"file_offset", view.end_offset},
        {"generation", found.chain.generation.value()},
        {"next_generation", found.next_generation.value()},
        {"durable_bound", found.durable_bound.value()},
        {"why", view.why_it_ends}}},
  };
}

Document describe_broken_slots(const StoreView& store) {
  Document list = Document::array();
  for (const BrokenSlot& slot : store.broken_slots) {
    list.push_back(
        {{"file", slot.file}, {"slot", slot.slot}, {"offset", slot.offset}, {"why", slot.why}});
  }
  return list;
}

}  // namespace ashlar::store_tool
