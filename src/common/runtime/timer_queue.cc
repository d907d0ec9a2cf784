#include "common/runtime/timer_queue.h"

namespace ashlar {

void Timer::disarm() {
  if (queue_ != nullptr) queue_->disarm(*this);
}

TimerQueue::~TimerQueue() {
  for (Timer* timer : heap_) timer->queue_ = nullptr;
}

void TimerQueue::arm(Timer& timer, MonoTime deadline) {
  timer.disarm();
  timer.queue_ = this;
  timer.deadline_ = deadline;
  timer.sequence_ = next_sequence_++;
  heap_.push_back(nullptr);
  place(heap_.size() - 1, &timer);
  sift_up(timer.place_);
}

void TimerQueue::disarm(Timer& timer) {
  ASHLAR_CHECK(timer.queue_ == this);
  const std::size_t hole = timer.place_;
  Timer* last = heap_.back();
  heap_.pop_back();
  timer.queue_ = nullptr;
  if (last == &timer) return;
  place(hole, last);
  sift_up(hole);
  sift_down(last->place_);
}

MonoTime TimerQueue::earliest() const {
  return heap_.empty() ? MonoTime::kNever : heap_.front()->deadline_;
}

void TimerQueue::fire_until(MonoTime now) {
  const std::uint64_t armed_before = next_sequence_;
  while (!heap_.empty()) {
    Timer& timer = *heap_.front();
    if (timer.deadline_ > now || timer.sequence_ >= armed_before) return;
    disarm(timer);
    timer.on_timer();
  }
}

bool TimerQueue::before(const Timer& a, const Timer& b) const {
  if (a.deadline_ != b.deadline_) return a.deadline_ < b.deadline_;
  return a.sequence_ < b.sequence_;
}

void TimerQueue::place(std::size_t index, Timer* timer) {
  heap_[index] = timer;
  timer->place_ = index;
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
