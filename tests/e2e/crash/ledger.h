// What each cell of the unit must hold, in the memory of a writer that survives the server.
//
// Commands that are under way at the same time never overlap (`claim`), so the writes of a cell
// have an order. A cell holds what was acknowledged last (`known`), or, when a command on it was
// lost with its session, perhaps that command's bytes (`perhaps`). A look at the cell settles it:
// what was seen once must stay.
//
//   if (!ledger.claim(first, count)) …                 // somebody is at work there
//   ledger.acknowledged(first, count, written);        // or lost(…)
//   ledger.look(lba, cell);                            // counts what is wrong, and settles
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "common/base/bytes.h"
#include "tests/e2e/crash/stamp.h"

namespace ashlar::crash {

enum class Pattern : std::uint8_t {
  kStamps,  // every cell carries a stamp of its own
  kSame,    // WRITE SAME: every cell carries the stamp of the first
  kZeros,   // UNMAP, and what was never written
};

// What a command leaves in its cells.
struct Written {
  std::uint64_t sequence = 0;  // of the command, from 1; 0: before the first
  Pattern pattern = Pattern::kZeros;
  std::uint64_t first = 0;  // its first cell

  Stamp stamp(std::uint64_t run, std::uint64_t lba) const {
    return {.run = run, .sequence = sequence, .lba = pattern == Pattern::kSame ? first : lba};
  }
};

class Ledger {
 public:
  Ledger(std::uint64_t run, std::uint64_t cells);

  std::uint64_t cells() const { return cells_.size(); }
  std::uint64_t run() const { return run_; }

  // True when no command is at work on any of the cells: they are the caller's until released by
  // one of the next three.
  bool claim(std::uint64_t first, std::uint64_t count);
  void release(std::uint64_t first, std::uint64_t count);
  void acknowledged(std::uint64_t first, std::uint64_t count, Written written);
  // It may have happened or not.
  void lost(std::uint64_t first, std::uint64_t count, Written written);

  // The cell as it must be now; only for a cell that is certain.
  bool is_certain(std::uint64_t lba) const { return !cells_[lba].unsettled; }
  void fill_known(std::uint64_t lba, std::span<std::byte> cell) const;

  // Compares what the unit returned for a cell. False when it is wrong: counted, told in
  // problems(), and taken as what stands there from now on.
  bool look(std::uint64_t lba, std::span<const std::byte> cell);

  std::uint64_t lost_cells() const { return lost_; }        // an acknowledged write is not there
  std::uint64_t foreign_cells() const { return foreign_; }  // bytes that were never written there
  const std::vector<std::string>& problems() const { return problems_; }  // the first few

 private:
  struct Cell {
    Written known;
    Written perhaps;
    bool unsettled = false;
    bool busy = false;
  };
  void problem(std::uint64_t lba, const Cell& cell, std::string found);

  std::uint64_t run_;
  std::vector<Cell> cells_;
  std::uint64_t lost_ = 0;
  std::uint64_t foreign_ = 0;
  std::vector<std::string> problems_;
};

}  // namespace ashlar::crash
