// A doubly linked list through hooks inside its elements: no allocation, O(1) removal by the
// element itself, and an element that dies leaves its list. Single-threaded.
//
//   struct Waiter : ListHook<> { … };
//   IntrusiveList<Waiter> waiters;
//
// An element that sits in two lists at once derives from two hooks with different tags.
#pragma once

#include <cstddef>

#include "common/base/check.h"

namespace ashlar {

struct DefaultListTag;

template <class Tag = DefaultListTag>
class ListHook {
 public:
  ListHook() = default;
  ListHook(const ListHook&) = delete;
  ListHook& operator=(const ListHook&) = delete;
  ~ListHook() { unlink(); }

  bool is_linked() const { return next_ != this; }

  void unlink() {
    previous_->next_ = next_;
    next_->previous_ = previous_;
    previous_ = next_ = this;
  }

 private:
  template <class T, class U>
  friend class IntrusiveList;

  void insert_before(ListHook& position) {
    previous_ = position.previous_;
    next_ = &position;
    previous_->next_ = this;
    position.previous_ = this;
  }

  ListHook* previous_ = this;
  ListHook* next_ = this;
};

template <class T, class Tag = DefaultListTag>
class IntrusiveList {
 public:
  IntrusiveList() = default;
  // Elements outlive the list or not, as they like: what is left is unlinked.
  ~IntrusiveList() { clear(); }

  bool empty() const { return !head_.is_linked(); }

  T& front() {
    ASHLAR_CHECK(!empty());
    return static_cast<T&>(*head_.next_);
  }

  T& back() {
    ASHLAR_CHECK(!empty());
    return static_cast<T&>(*head_.previous_);
  }

  void push_back(T& element) {
    ListHook<Tag>& hook = element;
    ASHLAR_CHECK(!hook.is_linked());
    hook.insert_before(head_);
  }

  void push_front(T& element) {
    ListHook<Tag>& hook = element;
    ASHLAR_CHECK(!hook.is_linked());
    hook.insert_before(*head_.next_);
  }

  T& pop_front() {
    T& element = front();
    static_cast<ListHook<Tag>&>(element).unlink();
    return element;
  }

  T& pop_back() {
    T& element = back();
    static_cast<ListHook<Tag>&>(element).unlink();
    return element;
  }

  // The element `index` places behind the front, or the last one when there are fewer.
  T& at_most(std::size_t index) {
    ListHook<Tag>* hook = head_.next_;
    while (index-- > 0 && hook->next_ != &head_) hook = hook->next_;
    ASHLAR_CHECK(hook != &head_);
    return static_cast<T&>(*hook);
  }

  // Calls `f(element)` from front to back. `f` may unlink the element that it is given.
  template <class F>
  void for_each(F f) {
    for (ListHook<Tag>* hook = head_.next_; hook != &head_;) {
      ListHook<Tag>* const next = hook->next_;
      f(static_cast<T&>(*hook));
      hook = next;
    }
  }

  void clear() {
    while (!empty()) head_.next_->unlink();
  }

 private:
  ListHook<Tag> head_;
};

}  // namespace ashlar
