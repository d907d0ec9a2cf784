#include "volume/scsi/task_set.h"

namespace ashlar::scsi {

ScsiTask::~ScsiTask() {
  if (set_ != nullptr) set_->remove(*this);
}

bool TaskSet::add(ScsiTask& task) {
  if (size_ >= kMostTasks) return false;
  task.set_ = this;
  task.number_ = next_number_++;
  const bool is_head = task.attribute_ == TaskAttribute::kHeadOfQueue;
  const bool is_ordered = task.attribute_ == TaskAttribute::kOrdered;
  const bool runs = is_head || (heads_ == 0 && (is_ordered ? size_ == 0 : ordered_ == 0));
  tasks_.push_back(task);
  ++size_;
  heads_ += is_head ? 1 : 0;
  ordered_ += is_ordered ? 1 : 0;
  if (runs) {
    task.is_enabled_ = true;
  } else {
    ++waiting_;
  }
  return true;
}

void TaskSet::enable(ScsiTask& task) {
  task.is_enabled_ = true;
  task.enabled_.set();
}

void TaskSet::remove(ScsiTask& task) {
  static_cast<ListHook<ScsiTaskTag>&>(task).unlink();
  --size_;
  if (task.attribute_ == TaskAttribute::kHeadOfQueue) --heads_;
  if (task.attribute_ == TaskAttribute::kOrdered) --ordered_;
  if (!task.is_enabled_) --waiting_;
  if (waiting_ != 0) enable_next();
  tell_ended();
}

void TaskSet::enable_next() {
  if (heads_ != 0) return;
  bool is_first = true;
  bool is_blocked = false;  // by an ORDERED one before
  tasks_.for_each([&](ScsiTask& task) {
    const bool is_ordered = task.attribute_ == TaskAttribute::kOrdered;
    if (!is_blocked && !task.is_enabled_ && (!is_ordered || is_first)) {
      --waiting_;
      enable(task);
    }
    is_first = false;
    is_blocked = is_blocked || is_ordered;
  });
}

void TaskSet::abort(ScsiTask& task, const Nexus& by) {
  if (task.is_aborted_) return;
  task.is_aborted_ = true;
  task.is_aborted_by_other_ = &task.nexus_ != &by;
  task.enabled_.set();
  task.fetching.cancel();
}

void TaskSet::tell_ended() {
  ended_.set();
  ended_.reset();
}

Task<Result<>> TaskSet::wait_for_aborted() {
  const std::uint64_t end = next_number_;
  ++observers_;
  Result<> waited;
  bool is_over = false;
  while (waited.ok() && !is_over) {
    is_over = true;
    tasks_.for_each([&](const ScsiTask& task) {
      if (task.number_ < end && task.is_aborted_) is_over = false;
    });
    if (!is_over) waited = co_await ended_.wait();
  }
  --observers_;
  tell_ended();
  co_return waited;
}

Task<Result<>> TaskSet::wait_for_earlier(const ScsiTask& task) {
  const std::uint64_t end = task.number_;
  Result<> waited;
  bool is_over = false;
  while (waited.ok() && !is_over) {
    is_over = true;
    tasks_.for_each([&](const ScsiTask& other) {
      if (other.number_ < end) is_over = false;
    });
    if (!is_over) waited = co_await ended_.wait();
  }
  co_return waited;
}

Task<Result<>> TaskSet::wait_until_empty() {
  while (size_ != 0 || observers_ != 0) ASHLAR_CO_TRY(co_await ended_.wait());
  co_return {};
}

}  // namespace ashlar::scsi
