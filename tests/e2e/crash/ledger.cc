#include "tests/e2e/crash/ledger.h"

#include <algorithm>

#include <fmt/format.h>

#include "common/base/check.h"

namespace ashlar::crash {
namespace {

constexpr std::size_t kMostProblems = 20;

}  // namespace

Ledger::Ledger(std::uint64_t run, std::uint64_t cells) : run_(run), cells_(cells) {}

bool Ledger::claim(std::uint64_t first, std::uint64_t count) {
  ASHLAR_CHECK(first + count <= cells_.size());
  for (std::uint64_t lba = first; lba < first + count; ++lba) {
    if (cells_[lba].busy) return false;
  }
  for (std::uint64_t lba = first; lba < first + count; ++lba) cells_[lba].busy = true;
  return true;
}

void Ledger::release(std::uint64_t first, std::uint64_t count) {
  for (std::uint64_t lba = first; lba < first + count; ++lba) {
    ASHLAR_CHECK(cells_[lba].busy);
    cells_[lba].busy = false;
  }
}

void Ledger::acknowledged(std::uint64_t first, std::uint64_t count, Written written) {
  release(first, count);
  for (std::uint64_t lba = first; lba < first + count; ++lba) {
    cells_[lba].known = written;
    cells_[lba].unsettled = false;
  }
}

void Ledger::lost(std::uint64_t first, std::uint64_t count, Written written) {
  release(first, count);
  for (std::uint64_t lba = first; lba < first + count; ++lba) {
    // A look comes between two writes that were lost: the writer verifies before it goes on.
    ASHLAR_CHECK(!cells_[lba].unsettled);
    cells_[lba].perhaps = written;
    cells_[lba].unsettled = true;
  }
}

void Ledger::fill_known(std::uint64_t lba, std::span<std::byte> cell) const {
  const Written& known = cells_[lba].known;
  if (known.pattern == Pattern::kZeros) {
    std::ranges::fill(cell, std::byte{0});
  } else {
    fill_cell(cell, known.stamp(run_, lba));
  }
}

bool Ledger::look(std::uint64_t lba, std::span<const std::byte> bytes) {
  Cell& cell = cells_[lba];
  Stamp stamp;
  const CellContent content = read_cell(bytes, stamp);
  const auto holds = [&](const Written& written) {
    if (written.pattern == Pattern::kZeros) return content == CellContent::kZeros;
    return content == CellContent::kStamp && stamp == written.stamp(run_, lba);
  };
  if (holds(cell.known)) {
    cell.unsettled = false;
    return true;
  }
  if (cell.unsettled && holds(cell.perhaps)) {
    cell.known = cell.perhaps;
    cell.unsettled = false;
    return true;
  }
  if (content == CellContent::kZeros) {
    ++lost_;
    problem(lba, cell, "zeros");
    cell.known = {};
  } else if (content == CellContent::kStamp && stamp.run == run_ && stamp.lba == lba &&
             stamp.sequence < cell.known.sequence) {
    ++lost_;
    problem(lba, cell, fmt::format("the older write {}", stamp.sequence));
    cell.known = {.sequence = stamp.sequence, .pattern = Pattern::kStamps, .first = lba};
  } else {
    ++foreign_;
    problem(lba, cell,
            content == CellContent::kGarbage
                ? std::string("bytes that are no stamp or not of one write")
                : fmt::format("write {} of run {:x} for block {}", stamp.sequence, stamp.run,
                              stamp.lba));
    // Garbage cannot be taken as what stands there: it is counted again until it is written over.
    cell.known = {.sequence = stamp.sequence, .pattern = Pattern::kSame, .first = stamp.lba};
  }
  cell.unsettled = false;
  return false;
}

void Ledger::problem(std::uint64_t lba, const Cell& cell, std::string found) {
  if (problems_.size() >= kMostProblems) return;
  std::string line = fmt::format("block {}: wants write {}", lba, cell.known.sequence);
  if (cell.unsettled) line += fmt::format(" or {}", cell.perhaps.sequence);
  problems_.push_back(line + ", has " + found);
}

}  // namespace ashlar::crash
