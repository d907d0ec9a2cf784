// The name space of a simulated disk: directories, and which of their changes are durable.
#include <algorithm>
#include <cerrno>
#include <utility>

#include <fmt/format.h>

#include "common/runtime/sim/sim_disk.h"

namespace ashlar::sim {

void SimDisk::format() {
  root_ = make_inode(true);
  InodeRef data = make_inode(true);
  root_->entries["data"] = data;
  root_->durable_entries["data"] = data;
  journal_.clear();
}

void SimDisk::destroy() {
  destroyed_ = true;
  world_.note_fault(node_, 210);
}

void SimDisk::replace() {
  format();
  destroyed_ = false;
}

SimDisk::InodeRef SimDisk::make_inode(bool is_directory) {
  return std::make_shared<SimInode>(next_inode_++, is_directory, pages_used_);
}

void SimDisk::apply(const NameChange& change) {
  const auto set = [](const InodeRef& directory, const std::string& name, const InodeRef& target) {
    if (directory == nullptr) return;
    if (target == nullptr) {
      directory->durable_entries.erase(name);
    } else {
      directory->durable_entries[name] = target;
    }
  };
  set(change.directory, change.name, change.target);
  set(change.second_directory, change.second_name, change.second_target);
}

void SimDisk::record(NameChange change) {
  change.number = ++last_name_change_;
  journal_.push_back(std::move(change));
}

Result<SimDisk::Place> SimDisk::locate(std::string_view path) const {
  if (destroyed_) return gone();
  InodeRef directory = root_;
  std::string name;
  for (std::string_view rest = path; !rest.empty();) {
    const std::size_t slash = rest.find('/');
    const std::string_view part = rest.substr(0, slash);
    rest = slash == std::string_view::npos ? std::string_view() : rest.substr(slash + 1);
    if (part.empty() || part == ".") continue;
    if (!name.empty()) {
      const auto next = directory->entries.find(name);
      if (next == directory->entries.end()) return Error::from_errno(ENOENT, path);
      if (!next->second->is_directory()) return Error::from_errno(ENOTDIR, path);
      directory = next->second;
    }
    name = part;
  }
  return Place{std::move(directory), std::move(name)};
}

Result<SimDisk::InodeRef> SimDisk::find(std::string_view path) const {
  ASHLAR_TRY_ASSIGN(Place place, locate(path));
  if (place.name.empty()) return root_;
  const auto entry = place.directory->entries.find(place.name);
  if (entry == place.directory->entries.end()) return Error::from_errno(ENOENT, path);
  return entry->second;
}

SimDisk::InodeRef SimDisk::file_at(std::string_view path) const {
  Result<InodeRef> inode = find(path);
  ASHLAR_CHECK(inode.ok() && !(*inode)->is_directory(), "{} is no file", path);
  return *inode;
}

void SimDisk::rot(std::string_view path, std::uint64_t offset) {
  file_at(path)->flip_bit(offset, static_cast<unsigned>(random_.below(8)));
  world_.note_fault(node_, 204);
}

void SimDisk::make_unreadable(std::string_view path, std::uint64_t offset) {
  file_at(path)->make_bad(offset / kSimPage);
  world_.note_fault(node_, 203);
}

Result<SimDisk::InodeRef> SimDisk::open(std::string_view path, OpenMode mode) {
  ASHLAR_TRY_ASSIGN(Place place, locate(path));
  if (place.name.empty()) return Error::from_errno(EISDIR, path);
  const auto entry = place.directory->entries.find(place.name);
  if (entry != place.directory->entries.end()) {
    if (mode == OpenMode::kCreateNew) return Error::from_errno(EEXIST, path);
    if (entry->second->is_directory()) return Error::from_errno(EISDIR, path);
    return entry->second;
  }
  const bool may_create = mode == OpenMode::kCreateNew || mode == OpenMode::kCreate;
  if (!may_create) return Error::from_errno(ENOENT, path);
  InodeRef inode = make_inode(false);
  place.directory->entries[place.name] = inode;
  record({.number = 0, .directory = place.directory, .name = place.name, .target = inode});
  return inode;
}

Result<> SimDisk::remove(std::string_view path) {
  ASHLAR_TRY_ASSIGN(Place place, locate(path));
  const auto entry = place.directory->entries.find(place.name);
  if (entry == place.directory->entries.end()) return Error::from_errno(ENOENT, path);
  if (entry->second->is_directory()) return Error::from_errno(EISDIR, path);
  place.directory->entries.erase(entry);
  record({.number = 0, .directory = place.directory, .name = place.name});
  return {};
}

Result<> SimDisk::rename(std::string_view from, std::string_view to) {
  ASHLAR_TRY_ASSIGN(Place source, locate(from));
  ASHLAR_TRY_ASSIGN(Place target, locate(to));
  const auto entry = source.directory->entries.find(source.name);
  if (entry == source.directory->entries.end()) return Error::from_errno(ENOENT, from);
  if (target.name.empty()) return Error::from_errno(EBUSY, to);
  const InodeRef moved = entry->second;
  const auto old = target.directory->entries.find(target.name);
  if (old != target.directory->entries.end()) {
    if (old->second == moved) return {};
    if (old->second->is_directory() != moved->is_directory()) {
      return Error::from_errno(moved->is_directory() ? ENOTDIR : EISDIR, to);
    }
    if (!old->second->entries.empty()) return Error::from_errno(ENOTEMPTY, to);
  }
  // A directory cannot move below itself.
  if (to.starts_with(from) && to.substr(from.size()).starts_with('/')) {
    return Error::from_errno(EINVAL, to);
  }
  source.directory->entries.erase(source.name);
  target.directory->entries[target.name] = moved;
  record({.number = 0,
          .directory = source.directory,
          .name = source.name,
          .target = nullptr,
          .second_directory = target.directory,
          .second_name = target.name,
          .second_target = moved});
  return {};
}

Result<> SimDisk::make_directory(std::string_view path) {
  ASHLAR_TRY_ASSIGN(Place place, locate(path));
  if (place.name.empty() || place.directory->entries.contains(place.name)) {
    return Error::from_errno(EEXIST, path);
  }
  InodeRef inode = make_inode(true);
  place.directory->entries[place.name] = inode;
  record({.number = 0, .directory = place.directory, .name = place.name, .target = inode});
  return {};
}

Result<> SimDisk::remove_directory(std::string_view path) {
  ASHLAR_TRY_ASSIGN(Place place, locate(path));
  if (place.name.empty()) return Error::from_errno(EBUSY, path);
  const auto entry = place.directory->entries.find(place.name);
  if (entry == place.directory->entries.end()) return Error::from_errno(ENOENT, path);
  if (!entry->second->is_directory()) return Error::from_errno(ENOTDIR, path);
  if (!entry->second->entries.empty()) return Error::from_errno(ENOTEMPTY, path);
  place.directory->entries.erase(entry);
  record({.number = 0, .directory = place.directory, .name = place.name});
  return {};
}

Result<std::vector<DirectoryEntry>> SimDisk::list(std::string_view path) const {
  ASHLAR_TRY_ASSIGN(InodeRef directory, find(path));
  if (!directory->is_directory()) return Error::from_errno(ENOTDIR, path);
  std::vector<DirectoryEntry> entries;
  for (const auto& [name, inode] : directory->entries) {
    entries.push_back({name, inode->is_directory()});
  }
  return entries;
}

Result<std::uint64_t> SimDisk::begin_sync_directory(std::string_view path) const {
  ASHLAR_TRY_ASSIGN(InodeRef directory, find(path));
  if (!directory->is_directory()) return Error::from_errno(ENOTDIR, path);
  return last_name_change_;
}

Result<> SimDisk::sync_directory(std::string_view path, std::uint64_t upto) {
  ASHLAR_TRY_ASSIGN(InodeRef directory, find(path));
  if (strikes(faults.sync_error)) {
    world_.note_fault(node_, 209);
    return Error::from_errno(EIO, fmt::format("fsync of {}", path));
  }
  // Only this directory's changes: a real journal would commit the others too, but nobody may
  // count on that.
  std::erase_if(journal_, [&](const NameChange& change) {
    if (change.number > upto) return false;
    if (change.directory != directory && change.second_directory != directory) return false;
    apply(change);
    return true;
  });
  return {};
}

FileSystemSpace SimDisk::space() const {
  const std::uint64_t used = std::min(*pages_used_, capacity_pages_);
  return {.total = ByteCount(capacity_pages_ * kSimPage),
          .available = ByteCount((capacity_pages_ - used) * kSimPage)};
}

}  // namespace ashlar::sim
