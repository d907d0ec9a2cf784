// MemoryFile: a disk file in memory that tells what was asked of it. Operations end at once, or,
// while it holds, when release_one() says so. For tests that count writes, flip bits or fail one
// write on purpose; what a power failure does is the simulated disk's business.
#pragma once

#include <algorithm>
#include <cstring>
#include <deque>
#include <optional>
#include <vector>

#include "common/runtime/file.h"

namespace ashlar::test {

class MemoryFile final : public File, private OperationBackend {
 public:
  struct Write {
    std::uint64_t offset;
    std::uint64_t length;
    Durability durability;
  };

  explicit MemoryFile(std::size_t size) : File("memory"), bytes(size) {}

  std::vector<std::byte> bytes;
  std::vector<Write> writes;
  std::uint64_t syncs = 0;
  std::uint64_t reads = 0;
  // The write or sync of this number from now fails, 1 is the next.
  std::uint64_t fail_write_in = 0;
  std::uint64_t fail_sync_in = 0;
  bool hold = false;
  bool counts_writes = true;
  bool grows = false;  // with a write behind its end
  // Where the last write took its bytes from.
  std::vector<const std::byte*> last_pieces;

  std::size_t held() const { return held_.size(); }
  void release_one() {
    FileOperation* operation = held_.front();
    held_.pop_front();
    end(*operation);
  }

  Task<Result<ByteCount>> size() override { co_return ByteCount(bytes.size()); }
  Task<Result<>> resize(ByteCount size) override {
    bytes.resize(size.value());
    co_return Result<>();
  }
  Task<Result<ByteCount>> allocated() override { co_return ByteCount(bytes.size()); }
  Task<Result<>> lock() override { co_return Result<>(); }

 private:
  void submit(FileOperation& operation) override {
    operation.begin(*this);
    if (operation.kind() == FileOperation::Kind::kWrite) {
      if (counts_writes) {
        writes.push_back({operation.offset(), operation.length(), operation.durability()});
      }
      last_pieces.clear();
      for (const IoSlice& slice : operation.slices()) last_pieces.push_back(slice.data);
    }
    if (hold && operation.kind() != FileOperation::Kind::kRead) {
      held_.push_back(&operation);
    } else {
      end(operation);
    }
  }
  void cancel(Operation&) override {}
  void forget(Operation& operation) override { std::erase(held_, &operation); }

  // Whether this was the request that a countdown stands for; 0 means that none is running.
  static bool counted_down(std::uint64_t& left) {
    if (left == 0) return false;
    --left;
    return left == 0;
  }

  void end(FileOperation& operation) {
    std::uint64_t at = operation.offset();
    const bool write = operation.kind() == FileOperation::Kind::kWrite;
    const bool sync = operation.kind() == FileOperation::Kind::kSync;
    reads += operation.kind() == FileOperation::Kind::kRead;
    syncs += sync;
    const bool write_fails = write && counted_down(fail_write_in);
    const bool sync_fails = sync && counted_down(fail_sync_in);
    if (write_fails || sync_fails) {
      operation.fail(Error::data_loss("planned to fail"));
    } else if (grows && write && at + operation.length() > bytes.size()) {
      bytes.resize(at + operation.length());
      for (const IoSlice& slice : operation.slices()) {
        std::memcpy(bytes.data() + at, slice.data, slice.size);
        at += slice.size;
      }
    } else if (operation.kind() == FileOperation::Kind::kAllocate ||
               operation.kind() == FileOperation::Kind::kPunch) {
      if (operation.kind() == FileOperation::Kind::kPunch && at < bytes.size()) {
        const std::uint64_t length = std::min(operation.length(), bytes.size() - at);
        std::memset(bytes.data() + at, 0, length);
      }
    } else if (at + operation.length() > bytes.size()) {
      operation.fail(Error::out_of_range("beyond the end"));
    } else {
      for (const IoSlice& slice : operation.slices()) {
        if (write) std::memcpy(bytes.data() + at, slice.data, slice.size);
        if (!write) std::memcpy(slice.data, bytes.data() + at, slice.size);
        at += slice.size;
      }
    }
    operation.finish();
  }

  std::deque<FileOperation*> held_;
};

}  // namespace ashlar::test
