// The timers of one executor, earliest first: a binary heap that knows each timer's place, so that
// disarming is O(log n) too. Timers with the same deadline fire in the order in which they were
// armed.
#pragma once

#include <vector>

#include "common/runtime/clock.h"

namespace ashlar {

class TimerQueue {
 public:
  TimerQueue() = default;
  TimerQueue(const TimerQueue&) = delete;
  TimerQueue& operator=(const TimerQueue&) = delete;
  ~TimerQueue();

  void arm(Timer& timer, MonoTime deadline);
  void disarm(Timer& timer);

  bool empty() const { return size() == 0; }
  std::size_t size() const { return heap_.size() + armed_meanwhile_.size(); }
  // MonoTime::kNever when there is none.
  MonoTime earliest() const;

  // Fires every timer with deadline ≤ `now`. Timers armed from on_timer() wait for the next call,
  // so one that re-arms itself in the past can neither keep the loop here nor hold up the others.
  void fire_until(MonoTime now);

 private:
  bool before(const Timer& a, const Timer& b) const;
  void place(std::size_t index, Timer* timer);
  void push(Timer& timer);
  void sift_up(std::size_t index);
  void sift_down(std::size_t index);

  std::vector<Timer*> heap_;
  // Armed while fire_until() runs: out of its sight, in no order, each knows its place here.
  std::vector<Timer*> armed_meanwhile_;
  bool firing_ = false;
  std::uint64_t next_sequence_ = 0;
};

}  // namespace ashlar
