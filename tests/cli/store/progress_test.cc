#include "cli/store/progress.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ashlar::store_tool {
namespace {

class HandClock final : public Clock {
 public:
  MonoTime now() const override { return now_; }
  WallTime wall_now() const override { return {}; }
  void arm(Timer&, MonoTime) override {}
  void advance(Duration by) { now_ += by; }

 private:
  MonoTime now_;
};

TEST(ProgressTest, IsSilentForTwoSeconds) {
  HandClock clock;
  Progress progress(clock);
  testing::internal::CaptureStderr();
  progress.begin("log");
  progress.add(4096);
  clock.advance(1999ms);
  progress.add(4096);
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
}

TEST(ProgressTest, SpeaksEveryTwoSeconds) {
  HandClock clock;
  Progress progress(clock);
  testing::internal::CaptureStderr();
  progress.begin("log");
  for (int i = 0; i < 50; ++i) {
    clock.advance(100ms);
    progress.add(1 << 20);
  }
  EXPECT_EQ(testing::internal::GetCapturedStderr(),
            "ashlar-store: 2 s, 20 MiB read, now log\n"
            "ashlar-store: 4 s, 40 MiB read, now log\n");
}

}  // namespace
}  // namespace ashlar::store_tool
