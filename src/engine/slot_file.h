// SlotFile: a small state on disk that is replaced as a whole and survives a torn write: two slots,
// written in turn, each with a generation and a checksum (L10). docs/formats/store.md draws it.
//
//   format()  a new file: slot 0 holds `body`, slot 1 zeros; both written, so that no later store()
//             needs space (L12). Until it has resolved the file may be anything: its owner makes
//             its name, or what points to it, durable afterwards
//   open()    the body of the newer whole slot, durable: what a killed process left in a volatile
//             cache is synced before it is believed
//   store()   writes the other slot with DSYNC; when it resolves the new body is what open() gives;
//             after a crash before that it is the old or the new one, never a third
//
// A failed store() is sticky: nobody knows which slot counts until the file is opened again.
//
// Degraded: the other slot is torn or unreadable. A crash during store() leaves it so, and then
// nothing is lost; but damage of the newest slot looks the same, and then body() is one store()
// old. The next store() mends it: it erases the broken slot's header before it writes there.
// Otherwise the rest of an attempt that an earlier open() found torn could be completed by equal
// sectors of a later attempt, and come back from the dead.
//
// One owner; one store() at a time (checked). Belongs to its executor's thread.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/base/bytes.h"
#include "common/base/result.h"
#include "common/runtime/file.h"
#include "common/runtime/task.h"

namespace ashlar::engine {

inline constexpr std::size_t kSlotHeaderSize = 32;

// What kind of state: a foreign file is refused by name.
struct SlotFormat {
  std::uint64_t magic = 0;
  std::uint16_t version = 1;         // a higher one on disk is refused as kUnimplemented
  std::size_t slot_size = 4096;      // of one slot, header included; a multiple of 4096
  std::string_view what = "a file";  // for messages: "the superblock"

  constexpr std::size_t largest_body() const { return slot_size - kSlotHeaderSize; }
};

enum class SlotKind : std::uint8_t {
  kWhole,
  kZeros,       // never written
  kLater,       // of a later version of the format; generation 0 when its CRC does not match
  kForeign,     // another magic
  kBroken,      // ours, and torn or damaged
  kUnreadable,  // says the device
};

struct Slot {
  SlotKind kind = SlotKind::kZeros;
  std::uint64_t generation = 0;
  std::vector<std::byte> body;
  std::string why;  // it is not whole
};

// Both slots as they are, and which of them counts, or why none does.
struct SlotInspection {
  std::array<Slot, 2> slots;
  Result<std::size_t> newest{std::size_t{0}};
};

class SlotFile {
 public:
  // Both keep `file`. `body` outlives the task.
  static Task<Result<std::unique_ptr<SlotFile>>> format(std::unique_ptr<File> file,
                                                        SlotFormat format, ByteSpan body);
  // kDataLoss when neither slot is whole, kUnimplemented when a later version of the format wrote
  // the newest, kInvalidArgument when nothing in it is of this kind; else the device's error. One
  // unreadable slot is none of these. The file is not changed.
  static Task<Result<std::unique_ptr<SlotFile>>> open(std::unique_ptr<File> file,
                                                      SlotFormat format);

  // For who only looks (a tool): reads and nothing else. An error is the device's.
  static Task<Result<SlotInspection>> inspect(File& file, SlotFormat format);

  // At most largest_body() bytes; more is kResourceExhausted and changes nothing.
  Task<Result<>> store(std::vector<std::byte> body);

  // What the newest slot holds.
  ByteSpan body() const { return body_; }
  // Of the newest slot; the first is 1, each store() takes the next.
  std::uint64_t generation() const { return generation_; }
  bool is_degraded() const { return degraded_; }
  File& file() { return *file_; }

 private:
  SlotFile(std::unique_ptr<File> file, SlotFormat format)
      : file_(std::move(file)), format_(format) {}

  Task<Result<>> write_other(ByteSpan body);

  std::unique_ptr<File> file_;
  const SlotFormat format_;
  std::vector<std::byte> body_;
  std::uint64_t generation_ = 0;
  std::size_t newest_ = 0;  // which of the two slots
  bool degraded_ = false;
  bool storing_ = false;
  std::optional<Error> failure_;
};

}  // namespace ashlar::engine
