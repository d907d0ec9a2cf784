#include "common/runtime/timer_queue.h"

#include <algorithm>

namespace ashlar {

void Timer::disarm() {
  if (queue_ != nullptr) queue_->disarm(*this);
}

TimerQueue::~TimerQueue() {
  for (Timer* timer : heap_) timer->queue_ = nullptr;
  for (Timer* timer : armed_meanwhile_) timer->queue_ = nullptr;
}

void TimerQueue::arm(Timer& timer, MonoTime deadline) {
  timer.disarm();
  timer.queue_ = this;
  timer.deadline_ = deadline;
  timer.sequence_ = next_sequence_++;
  timer.waits_outside_ = firing_;
  if (firing_) {
    timer.place_ = armed_meanwhile_.size();
    armed_meanwhile_.push_back(&timer);
  } else {
    push(timer);
  }
}

void TimerQueue::disarm(Timer& timer) {
  ASHLAR_CHECK(timer.queue_ == this);
  timer.queue_ = nullptr;
  std::vector<Timer*>& home = timer.waits_outside_ ? armed_meanwhile_ : heap_;
  const std::size_t hole = timer.place_;
  Timer* last = home.back();
  home.pop_back();
  if (last == &timer) return;
  home[hole] = last;
  last->place_ = hole;
  if (timer.waits_outside_) return;
  sift_up(hole);
  sift_down(last->place_);
}

MonoTime TimerQueue::earliest() const {
  MonoTime earliest = heap_.empty() ? MonoTime::kNever : heap_.front()->deadline_;
  for (const Timer* timer : armed_meanwhile_) earliest = std::min(earliest, timer->deadline_);
  return earliest;
}

void TimerQueue::fire_until(MonoTime now) {
  ASHLAR_CHECK(!firing_, "timers fired from a timer");
  firing_ = true;
  while (!heap_.empty() && heap_.front()->deadline_ <= now) {
    Timer& timer = *heap_.front();
    disarm(timer);
    timer.on_timer();
  }
  firing_ = false;
  for (Timer* timer : armed_meanwhile_) {
    timer->waits_outside_ = false;
    push(*timer);
  }
  armed_meanwhile_.clear();
}

bool TimerQueue::before(const Timer& a, const Timer& b) const {
  if (a.deadline_ != b.deadline_) return a.deadline_ < b.deadline_;
  return a.sequence_ < b.sequence_;
}

void TimerQueue::place(std::size_t index, Timer* timer) {
  heap_[index] = timer;
  timer->place_ = index;
}

void TimerQueue::push(Timer& timer) {
  heap_.push_back(nullptr);
  place(heap_.size() - 1, &timer);
  sift_up(timer.place_);
}

void TimerQueue::sift_up(std::size_t index) {
  Timer* timer = heap_[index];
  while (index > 0) {
    const std::size_t parent = (index - 1) / 2;
    if (!before(*timer, *heap_[parent])) break;
    place(index, heap_[parent]);
    index = parent;
  }
  place(index, timer);
}

void TimerQueue::sift_down(std::size_t index) {
  Timer* timer = heap_[index];
  while (true) {
    std::size_t child = 2 * index + 1;
    if (child >= heap_.size()) break;
    if (child + 1 < heap_.size() && before(*heap_[child + 1], *heap_[child])) ++child;
    if (!before(*heap_[child], *timer)) break;
    place(index, heap_[child]);
    index = child;
  }
  place(index, timer);
}

}  // namespace ashlar
