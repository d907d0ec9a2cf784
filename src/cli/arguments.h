// What a person asked `ashlar` for, as plain values: read from the command line in main.cc, done in
// commands.cc.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/base/strong.h"
#include "common/base/time.h"
#include "common/base/units.h"

namespace ashlar::cli {

enum class OutputForm : std::uint8_t { kTable, kJson };

// Where a CHAP name was given, and where its secret comes from. Never from the command line itself,
// which every process of the machine can read.
struct ChapArguments {
  std::string name;
  std::string secret_file;  // "-" is standard input; empty: the environment
};

struct AccessArguments {
  std::vector<std::string> initiators;
  bool any_initiator = false;  // `set`: no list any more
  ChapArguments chap;
  ChapArguments mutual;
  bool no_chap = false;
  bool no_mutual = false;
};

struct Arguments {
  std::string server = "127.0.0.1:7470";
  Duration timeout = 60s;
  OutputForm form = OutputForm::kTable;
  std::string request_id;

  std::vector<std::string> names;  // of volumes, when a command takes several
  std::string volume;
  std::string uuid;
  std::string snapshot;
  std::string new_name;
  std::string prefix;
  std::optional<ByteCount> size;
  std::uint32_t block_size = 0;
  std::string ack;  // "durable", "buffered" or empty
  std::optional<bool> read_only;
  bool removable = false;
  std::string store;
  bool force = false;
  bool if_exists = false;
  AccessArguments access;
};

}  // namespace ashlar::cli
