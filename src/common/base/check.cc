#include "common/base/check.h"

#include <atomic>
#include <cstdio>
#include <cstdlib>

namespace ashlar {
namespace {

thread_local CheckDumpHook* dump_hooks = nullptr;
thread_local bool failing = false;
std::atomic<CheckLastWords> last_words_of_process{nullptr};

}  // namespace

struct CheckDumpHooks {
  static void print_all() {
    for (const CheckDumpHook* hook = dump_hooks; hook != nullptr; hook = hook->next_) {
      std::fprintf(stderr, "  %s: %s\n", hook->name_, hook->print_(hook->subject_).c_str());
    }
  }
  static void unlink(const CheckDumpHook* gone) {
    for (CheckDumpHook** link = &dump_hooks; *link != nullptr; link = &(*link)->next_) {
      if (*link == gone) {
        *link = gone->next_;
        return;
      }
    }
  }
};

CheckDumpHook::CheckDumpHook(const char* name, const void* subject, Print print)
    : name_(name), subject_(subject), print_(print), next_(dump_hooks) {
  dump_hooks = this;
}

CheckDumpHook::~CheckDumpHook() {
  CheckDumpHooks::unlink(this);
}

CheckLastWords set_check_last_words(CheckLastWords last_words) {
  return last_words_of_process.exchange(last_words);
}

namespace detail {

void check_failed(const char* expression, const char* file, int line, const std::string& message) {
  std::fprintf(stderr, "FATAL %s:%d: check failed: %s%s%s\n", file, line, expression,
               message.empty() ? "" : ": ", message.c_str());
  // A hook that fails a check itself must not recurse.
  if (!failing) {
    failing = true;
    CheckDumpHooks::print_all();
    std::fflush(stderr);
    if (const CheckLastWords last_words = last_words_of_process.load()) last_words();
  }
  std::fflush(stderr);
  std::abort();
}

}  // namespace detail
}  // namespace ashlar
