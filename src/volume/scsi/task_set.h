// TaskSet: the commands under way at one unit (SAM-5, 8). SIMPLE ones run side by side; an ORDERED
// one waits for all before it, and what comes after it waits for it; HEAD OF QUEUE runs at once and
// holds back what has not begun.
//
// A command that task management takes ends as soon as it can: one that has not begun, or waits for
// data, at once; one whose bytes are on their way to the log when they are there. abort_if() marks
// and wakes, wait_for_aborted() resolves when all of them are over, so that what is answered after
// it is true (L71).
#pragma once

#include <cstdint>
#include <utility>

#include "common/base/intrusive_list.h"
#include "common/runtime/cancel.h"
#include "common/runtime/sync.h"
#include "common/runtime/task.h"
#include "volume/scsi/command.h"

namespace ashlar::scsi {

class Nexus;
class TaskSet;

// One command; lives in the frame of Device::execute().
class ScsiTask : public ListHook<struct ScsiTaskTag> {
 public:
  ScsiTask(const Nexus& nexus, const Command& command, CancelScope* parent)
      : fetching(parent), nexus_(nexus), tag_(command.tag), attribute_(command.attribute) {}
  ~ScsiTask();

  const Nexus& nexus() const { return nexus_; }
  std::uint32_t tag() const { return tag_; }
  bool is_aborted() const { return is_aborted_; }
  // By task management or a reservation of another nexus.
  bool is_aborted_by_other() const { return is_aborted_by_other_; }

  // Cancelled when the command is aborted: what a handler waits in when it waits for the initiator.
  CancelScope fetching;

 private:
  friend class TaskSet;

  const Nexus& nexus_;
  const std::uint32_t tag_;
  const TaskAttribute attribute_;
  TaskSet* set_ = nullptr;
  std::uint64_t number_ = 0;
  bool is_aborted_ = false;
  bool is_aborted_by_other_ = false;
  bool is_enabled_ = false;
  Event enabled_;
};

class TaskSet {
 public:
  static constexpr std::uint32_t kMostTasks = 1024;

  // False: TASK SET FULL. The task leaves the set when it dies.
  bool add(ScsiTask& task);
  // True when the task may run now; else wait for it.
  bool may_run(const ScsiTask& task) const { return task.is_enabled_; }
  // May end early, when the task is aborted.
  Event::WaitAwaiter wait_until_enabled(ScsiTask& task) { return task.enabled_.wait(); }

  // Aborts, in the name of `by`, the tasks for which `which(task)` holds; returns how many.
  template <class F>
  std::uint32_t abort_if(const Nexus& by, F which) {
    std::uint32_t aborted = 0;
    tasks_.for_each([&](ScsiTask& task) {
      if (!which(std::as_const(task))) return;
      ++aborted;
      abort(task, by);
    });
    return aborted;
  }
  // Those that were aborted before the call are over when it resolves.
  Task<Result<>> wait_for_aborted();
  // Those that were there before `task`, which is of this set, are over when it resolves.
  Task<Result<>> wait_for_earlier(const ScsiTask& task);
  // Nothing is under way and nobody waits in wait_for_aborted() when it resolves.
  Task<Result<>> wait_until_empty();

  std::uint32_t size() const { return size_; }
  bool has_tasks_of(const Nexus& nexus) {
    bool found = false;
    tasks_.for_each([&](const ScsiTask& task) { found = found || &task.nexus() == &nexus; });
    return found;
  }

 private:
  friend class ScsiTask;

  static void abort(ScsiTask& task, const Nexus& by);
  static void enable(ScsiTask& task);
  void remove(ScsiTask& task);
  void enable_next();
  void tell_ended();

  IntrusiveList<ScsiTask, ScsiTaskTag> tasks_;  // in the order of arrival
  std::uint64_t next_number_ = 0;
  std::uint32_t size_ = 0;
  std::uint32_t waiting_ = 0;  // not enabled yet
  std::uint32_t ordered_ = 0;
  std::uint32_t heads_ = 0;      // HEAD OF QUEUE
  std::uint32_t observers_ = 0;  // in wait_for_aborted()
  Event ended_;                  // one of either
};

}  // namespace ashlar::scsi
