// ashlar-store log dump: the batches and records that recovery would find.
#include <utility>

#include <fmt/format.h>

#include "cli/store/commands.h"
#include "cli/store/describe.h"
#include "engine/log_ring.h"

namespace ashlar::store_tool {
namespace {

using engine::Batch;
using engine::BatchRecord;
using engine::RecordHeader;

// Prints batches as they come: a log can hold millions of records.
class LogPrinter {
 public:
  LogPrinter(const CommandOptions& options, std::uint64_t capacity)
      : options_(options), capacity_(capacity) {}

  void see(const Batch& batch) {
    Document records = Document::array();
    bool has_wanted = false;
    for (const BatchRecord& record : batch.records) {
      if (options_.replica && record.header.replica != *options_.replica) continue;
      if (printed_ == options_.limit) {
        is_cut_ = true;
        break;
      }
      has_wanted = true;
      ++printed_;
      records.push_back(describe(record));
    }
    if (has_wanted) print_batch(batch, std::move(records));
  }
  void begin(const StoreView& store) const {
    if (options_.form == OutputForm::kTable) return;
    fmt::print("{{\n\"store\": {},\n\"batches\": [", to_json(store.state->store.to_string()));
  }
  void end(const Document& log, const DamageList& damages) const {
    Document last = {{"records_printed", printed_}, {"stopped_at_limit", is_cut_}, {"log", log}};
    add_damages(last, damages);
    if (options_.form == OutputForm::kTable) {
      if (is_cut_) fmt::print("… more than {} records: the rest is not shown\n", options_.limit);
      fmt::print("{}", to_text(last));
    } else {
      // The members of `last` follow those that begin() opened.
      fmt::print("\n],\n{}\n", to_json(last).substr(1));
    }
  }

 private:
  Document describe(const BatchRecord& record) const {
    const RecordHeader& header = record.header;
    return {{"type", name_of(header.type)},
            {"replica", header.replica.to_string()},
            {"epoch", header.epoch.value()},
            {"lsn", header.lsn.value()},
            {"previous_epoch", header.previous_epoch.value()},
            {"first_block", header.first_block.value()},
            {"blocks", header.block_count},
            {"payload_length", header.payload_length},
            {"payload_position", record.payload.value()},
            {"payload_file_offset", record.payload.value() % capacity_}};
  }

  void print_batch(const Batch& batch, Document records) {
    const engine::BatchHeader& header = batch.header;
    if (options_.form == OutputForm::kTable) {
      fmt::print("batch at {} (file offset {}), generation {}, {} bytes, durable up to {}\n",
                 header.position, header.position.value() % capacity_, header.generation,
                 header.total_length, header.durable_up_to);
      for (const Document& record : records) print_record(record);
    } else {
      const Document document = {{"position", header.position.value()},
                                 {"file_offset", header.position.value() % capacity_},
                                 {"generation", header.generation.value()},
                                 {"length", header.total_length},
                                 {"header_crc", fmt::format("{:08x}", batch.crc)},
                                 {"previous_position", header.previous_position.value()},
                                 {"previous_crc", fmt::format("{:08x}", header.previous_crc)},
                                 {"durable_up_to", header.durable_up_to.value()},
                                 {"record_count", header.record_count},
                                 {"records", std::move(records)}};
      fmt::print("{}\n{}", is_first_ ? "" : ",", to_json(document));
    }
    is_first_ = false;
  }

  static void print_record(const Document& record) {
    const auto number = [&record](const char* key) { return record[key].get<std::uint64_t>(); };
    const auto type = record["type"].get<std::string>();
    if (type == "seal") {
      fmt::print("  seal\n");
      return;
    }
    fmt::print("  {:17}  replica {}  epoch {}  lsn {}  blocks {}+{}", type,
               record["replica"].get<std::string>(), number("epoch"), number("lsn"),
               number("first_block"), number("blocks"));
    if (number("payload_length") > 0) {
      fmt::print("  payload {} bytes at {} (file offset {})", number("payload_length"),
                 number("payload_position"), number("payload_file_offset"));
    }
    fmt::print("\n");
  }

  const CommandOptions& options_;
  const std::uint64_t capacity_;
  std::uint64_t printed_ = 0;
  bool is_cut_ = false;
  bool is_first_ = true;
};

}  // namespace

Task<Result<Finding>> dump_log(Runtime runtime, CommandOptions options) {
  DamageList damages;
  Progress progress(runtime.clock);
  ASHLAR_CO_TRY_ASSIGN(const StoreView store,
                       co_await StoreView::read(runtime, options.directory, damages));
  if (!store.state) {
    co_return Error::data_loss("the superblock of {} is damaged: nothing says where the log begins",
                               options.directory);
  }
  LogPrinter printer(options, store.state->log_capacity.value());
  printer.begin(store);
  const engine::LogReader::SeeBatch see = [&printer](const Batch& batch) {
    printer.see(batch);
    return Result<>();
  };
  ASHLAR_CO_TRY_ASSIGN(const std::optional<LogView> log,
                       co_await view_log(runtime, store, see, damages, progress));
  printer.end(log ? describe_log(store, *log) : Document(), damages);
  co_return damages.count() == 0 ? Finding::kFine : Finding::kDamage;
}

}  // namespace ashlar::store_tool
