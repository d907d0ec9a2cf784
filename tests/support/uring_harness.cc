#include <filesystem>
#include <system_error>

#include <stdlib.h>

#include "common/runtime/uring/reactor.h"
#include "tests/support/runtime_harness.h"

namespace ashlar::test {
namespace {

// GTEST_SKIP() returns from a void function.
void skip_test(const std::string& reason) {
  GTEST_SKIP() << reason;
}

// Made below the working directory, which under CTest is the build tree: /tmp may be a tmpfs, which
// cannot do O_DIRECT everywhere.
std::string make_directory() {
  std::string path = std::filesystem::current_path() / "runtime_test.XXXXXX";
  ASHLAR_CHECK(::mkdtemp(path.data()) != nullptr, "cannot make {}", path);
  return path;
}

class UringHarness final : public RuntimeHarness {
 public:
  explicit UringHarness(std::unique_ptr<uring::Reactor> reactor) : reactor_(std::move(reactor)) {}
  ~UringHarness() override {
    reactor_.reset();
    if (directory_.empty()) return;
    std::error_code error;
    std::filesystem::remove_all(directory_, error);
    EXPECT_FALSE(error) << "removing " << directory_ << ": " << error.message();
  }

  Runtime runtime() override { return reactor_->runtime(); }
  void run(Task<void> main) override { reactor_->run(std::move(main)); }
  std::string directory() override {
    if (directory_.empty()) directory_ = make_directory();
    return directory_;
  }
  Endpoint address() override { return Endpoint::ipv4(127, 0, 0, 1, 0); }

 private:
  std::unique_ptr<uring::Reactor> reactor_;
  std::string directory_;
};

}  // namespace

std::unique_ptr<RuntimeHarness> make_uring_harness() {
  auto reactor = uring::Reactor::create({});
  if (!reactor.ok()) {
    skip_test(reactor.error().to_string());
    return nullptr;
  }
  return std::make_unique<UringHarness>(std::move(reactor).value());
}

}  // namespace ashlar::test
