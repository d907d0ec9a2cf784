// SlotFile: a small state on disk that is replaced as a whole and survives a torn write: two slots,
// written in turn, each with a generation and a checksum (L10). docs/formats/store.md draws it.
//
//   format()  a new file: slot 0 holds `body`, slot 1 zeros; both written, so that no later store()
//             needs space (L12)
//   open()    the body of the newer whole slot
//   store()   writes the other slot with DSYNC; when it resolves the new body is what open() gives,
//             until then the old one is
//
// A failed store() is sticky: nobody knows which slot counts until the file is opened again.
//
// One owner; one store() at a time (checked). Belongs to its executor's thread.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "common/base/bytes.h"
#include "common/base/result.h"
#include "common/runtime/file.h"
#include "common/runtime/task.h"

namespace ashlar::engine {

// What kind of state: a foreign file is refused by name.
struct SlotFormat {
  std::uint64_t magic = 0;
  std::uint16_t version = 1;         // a higher one on disk is refused as kUnimplemented
  std::size_t slot_size = 4096;      // of one slot, header included; a multiple of 4096
  std::string_view what = "a file";  // for messages: "the superblock"

  std::size_t largest_body() const;
};

class SlotFile {
 public:
  // Both keep `file`.
  static Task<Result<std::unique_ptr<SlotFile>>> format(std::unique_ptr<File> file,
                                                        SlotFormat format, ByteSpan body);
  // kDataLoss when neither slot is whole, kUnimplemented for a later version, kInvalidArgument for
  // another magic. The file is not changed.
  static Task<Result<std::unique_ptr<SlotFile>>> open(std::unique_ptr<File> file,
                                                      SlotFormat format);

  // At most largest_body() bytes; more is kResourceExhausted and changes nothing.
  Task<Result<>> store(std::vector<std::byte> body);

  // What the newest slot holds.
  ByteSpan body() const { return body_; }
  std::uint64_t generation() const { return generation_; }
  // A slot that was expected is torn or unreadable; the other one serves.
  bool is_degraded() const { return degraded_; }
  File& file() { return *file_; }

 private:
  SlotFile(std::unique_ptr<File> file, SlotFormat format)
      : file_(std::move(file)), format_(format) {}

  std::unique_ptr<File> file_;
  SlotFormat format_;
  std::vector<std::byte> body_;
  std::uint64_t generation_ = 0;
  bool degraded_ = false;
  bool storing_ = false;
  std::optional<Error> failure_;
};

}  // namespace ashlar::engine
