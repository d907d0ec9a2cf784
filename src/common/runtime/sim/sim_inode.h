// SimInode: one file or directory of a simulated disk, with the two lives of its content: what a
// reader sees now, and what is there after the power fails.
//
// Content is kept in 4 KiB pages on demand; a page that is not there reads as zeros. Each page has
// a durable image and, newer than that, the versions written since the last sync that covered it.
// A power failure decides about every version on its own: kept, dropped, or torn at 512 bytes. So a
// later version of one page may survive while an earlier one of another page is lost. Changes of
// the size survive as a prefix of their order, as in a journalling file system.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "common/base/random.h"

namespace ashlar::sim {

inline constexpr std::uint64_t kSimPage = 4096;
inline constexpr std::uint64_t kSimSector = 512;

using PageBytes = std::array<std::byte, kSimPage>;
using PageRef = std::shared_ptr<PageBytes>;  // null: zeros; never written to once it is shared

// Numbers the changes of one inode in the order in which they took effect.
using ChangeNumber = std::uint64_t;

// What one power failure is like: percentages over the versions not synced.
struct PowerFailureMood {
  std::uint32_t kept_percent = 50;
  std::uint32_t torn_percent = 20;

  static PowerFailureMood draw(Random& random);
};

// Pages taken up, as disjoint intervals [first, end).
class PageSet {
 public:
  void add(std::uint64_t first, std::uint64_t end);
  void remove(std::uint64_t first, std::uint64_t end);
  std::uint64_t size() const { return size_; }
  // How many of [first, end) are not in the set.
  std::uint64_t missing(std::uint64_t first, std::uint64_t end) const;

 private:
  std::map<std::uint64_t, std::uint64_t> intervals_;
  std::uint64_t size_ = 0;
};

class SimInode {
 public:
  using Entries = std::map<std::string, std::shared_ptr<SimInode>>;

  // `pages_used` counts those of the whole disk.
  SimInode(std::uint64_t number, bool is_directory, std::shared_ptr<std::uint64_t> pages_used);
  SimInode(const SimInode&) = delete;
  SimInode& operator=(const SimInode&) = delete;
  ~SimInode();

  std::uint64_t number() const { return number_; }
  bool is_directory() const { return is_directory_; }

  // Files. Pages are counted from the start of the file.
  std::uint64_t size() const { return size_; }
  PageRef page(std::uint64_t index) const;
  std::uint64_t allocated_pages() const { return allocated_.size(); }
  std::uint64_t missing_pages(std::uint64_t first, std::uint64_t end) const {
    return allocated_.missing(first, end);
  }

  void write_page(std::uint64_t index, PageRef bytes);
  void resize(std::uint64_t size);
  void allocate(std::uint64_t first, std::uint64_t end);
  void punch(std::uint64_t first, std::uint64_t end);

  // Everything that took effect so far has a number ≤ this.
  ChangeNumber last_change() const { return last_change_; }
  // Makes durable what took effect up to `upto`, in the whole file or in a range of pages (whose
  // size it then covers too).
  void make_durable(ChangeNumber upto);
  void make_range_durable(std::uint64_t first, std::uint64_t end);

  // A failed sync: the un-synced versions are gone at once …
  void drop_unsynced(ChangeNumber upto);
  // … or stay readable, but no later sync writes them: the kernel took them for clean.
  void forget_unsynced(ChangeNumber upto);

  void power_fail(Random& random, PowerFailureMood mood);
  // What a write in flight leaves behind when the power fails: applied like an un-synced version.
  void land_at_power_failure(Random& random, std::uint64_t index, PageRef bytes);

  bool has_bad_page(std::uint64_t first, std::uint64_t end) const;
  void make_bad(std::uint64_t index) { bad_.insert(index); }
  void flip_bit(std::uint64_t offset, unsigned bit);

  bool locked = false;
  // Directories: as seen now, and as after a power failure (SimDisk keeps the changes between).
  Entries entries;
  Entries durable_entries;

 private:
  struct Version {
    ChangeNumber number;
    PageRef bytes;
    bool unflushable = false;
  };
  struct Page {
    PageRef durable;
    std::vector<Version> pending;  // oldest first
  };
  struct SizeChange {
    ChangeNumber number;
    std::uint64_t size;
  };

  void use(std::uint64_t first, std::uint64_t end);
  void give_back(std::uint64_t first, std::uint64_t end);
  void add_version(std::uint64_t index, PageRef bytes);
  static PageRef torn(Random& random, const PageRef& old, const PageRef& fresh);

  const std::uint64_t number_;
  const bool is_directory_;
  std::shared_ptr<std::uint64_t> pages_used_;
  std::map<std::uint64_t, Page> pages_;
  std::set<std::uint64_t> dirty_;  // pages with pending versions
  std::set<std::uint64_t> bad_;    // unreadable until written again
  std::uint64_t size_ = 0;
  std::uint64_t durable_size_ = 0;
  std::vector<SizeChange> size_changes_;
  PageSet allocated_;
  ChangeNumber last_change_ = 0;
};

}  // namespace ashlar::sim
