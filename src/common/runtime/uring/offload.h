// Offload: one helper thread beside a reactor for the system calls that block and have no good
// place in io_uring (open, rename, list, lock, statvfs). They are rare: none is on the path of an
// I/O. The thread starts with the first call.
#pragma once

#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <type_traits>
#include <utility>

#include "common/runtime/operation.h"

namespace ashlar::uring {

class Offload final : public OperationBackend {
 public:
  explicit Offload(Executor& executor) : executor_(executor) {}
  ~Offload();

  template <class F>
  class [[nodiscard]] Call final : public Operation {
   public:
    using Value = std::invoke_result_t<F>;

    Call(Offload& offload, F f) : offload_(offload), f_(std::move(f)) {}
    bool await_ready() const noexcept { return false; }
    template <class Promise>
    void await_suspend(std::coroutine_handle<Promise> caller) {
      attach(caller.promise());
      begin(offload_);
      offload_.enqueue(std::make_unique<Work>(*this));
    }
    Value await_resume() { return std::move(*value_); }

   private:
    class Work final : public PostedWork {
     public:
      explicit Work(Call& call) : call_(call) {}
      void run() override {
        call_.value_.emplace(call_.f_());
        call_.offload_.executor_.post([call = &call_] { call->finish(); });
      }

     private:
      Call& call_;
    };

    Offload& offload_;
    F f_;
    std::optional<Value> value_;
  };

  // Runs `f()` on the helper thread and gives what it returns. Not cancellable; calls run one by
  // one in order.
  template <class F>
  Call<F> run(F f) {
    return Call<F>(*this, std::move(f));
  }

  void cancel(Operation&) override {}
  void forget(Operation& operation) override;

 private:
  void enqueue(std::unique_ptr<PostedWork> work);
  void serve();

  Executor& executor_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::unique_ptr<PostedWork>> queue_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace ashlar::uring
