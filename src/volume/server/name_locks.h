// NameLocks: one change of a volume at a time, by its name, across all threads of the admin API.
// Whoever comes second waits; the number of threads is the bound.
#pragma once

#include <condition_variable>
#include <mutex>
#include <set>
#include <string>
#include <utility>

namespace ashlar::server {

class NameLocks {
 public:
  class [[nodiscard]] Held {
   public:
    Held(NameLocks& locks, std::string name) : locks_(&locks), name_(std::move(name)) {}
    Held(Held&& other) noexcept
        : locks_(std::exchange(other.locks_, nullptr)), name_(std::move(other.name_)) {}
    Held& operator=(Held&&) = delete;
    ~Held() {
      if (locks_ != nullptr) locks_->release(name_);
    }

   private:
    NameLocks* locks_;
    std::string name_;
  };

  Held lock(const std::string& name) {
    std::unique_lock guard(lock_);
    released_.wait(guard, [&] { return !held_.contains(name); });
    held_.insert(name);
    return Held(*this, name);
  }
  // Two at once, whatever their order in other calls. The names differ.
  std::pair<Held, Held> lock(const std::string& first, const std::string& second) {
    std::unique_lock guard(lock_);
    released_.wait(guard, [&] { return !held_.contains(first) && !held_.contains(second); });
    held_.insert(first);
    held_.insert(second);
    return {Held(*this, first), Held(*this, second)};
  }

 private:
  void release(const std::string& name) {
    {
      const std::lock_guard guard(lock_);
      held_.erase(name);
    }
    released_.notify_all();
  }

  std::mutex lock_;
  std::condition_variable released_;
  std::set<std::string> held_;
};

}  // namespace ashlar::server
