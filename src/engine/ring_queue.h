// RingQueue: a first-in first-out queue in one array that only grows, so that a queue which stays
// short allocates nothing, however much goes through it.
#pragma once

#include <bit>
#include <cstddef>
#include <utility>
#include <vector>

#include "common/base/check.h"

namespace ashlar::engine {

template <class T>
class RingQueue {
 public:
  bool empty() const { return size_ == 0; }
  std::size_t size() const { return size_; }

  T& operator[](std::size_t index) {
    ASHLAR_CHECK_LT(index, size_);
    return items_[(begin_ + index) & (items_.size() - 1)];
  }
  T& front() { return (*this)[0]; }
  T& back() { return (*this)[size_ - 1]; }

  void push_back(T item) {
    if (size_ == items_.size()) grow();
    items_[(begin_ + size_) & (items_.size() - 1)] = std::move(item);
    ++size_;
  }
  T pop_front() {
    T item = std::move(front());
    begin_ = (begin_ + 1) & (items_.size() - 1);
    --size_;
    return item;
  }
  T pop_back() {
    T item = std::move(back());
    --size_;
    return item;
  }

 private:
  void grow() {
    std::vector<T> larger(items_.empty() ? 16 : items_.size() * 2);
    for (std::size_t i = 0; i < size_; ++i) larger[i] = std::move((*this)[i]);
    items_ = std::move(larger);
    begin_ = 0;
  }

  std::vector<T> items_;
  std::size_t begin_ = 0;
  std::size_t size_ = 0;
};

}  // namespace ashlar::engine
