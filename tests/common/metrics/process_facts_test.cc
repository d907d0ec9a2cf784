#include "common/metrics/process_facts.h"

#include <ctime>
#include <vector>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

namespace ashlar {
namespace {

TEST(ProcessFactsTest, TheyArePlausible) {
  const auto facts = read_process_facts();
  ASSERT_TRUE(facts.ok()) << facts.error().message();
  const auto now = static_cast<double>(std::time(nullptr));
  EXPECT_LE(facts->start_time_seconds, now + 2);
  EXPECT_GE(facts->start_time_seconds, now - 3600);
  EXPECT_GT(facts->resident_bytes, 1U << 20);
  EXPECT_LT(facts->resident_bytes, facts->virtual_bytes);
  EXPECT_GT(facts->max_fds, facts->open_fds);
}

TEST(ProcessFactsTest, OpenDescriptorsAreCounted) {
  const auto before = read_process_facts();
  const int fd = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  const auto after = read_process_facts();
  ::close(fd);
  ASSERT_TRUE(before.ok() && after.ok());
  EXPECT_EQ(after->open_fds, before->open_fds + 1);
}

TEST(ProcessFactsTest, CpuTimeGrowsWithWork) {
  const auto before = read_process_facts();
  const std::clock_t start = std::clock();
  while (std::clock() - start < CLOCKS_PER_SEC / 20) {
  }
  const auto after = read_process_facts();
  ASSERT_TRUE(before.ok() && after.ok());
  EXPECT_GT(after->cpu_seconds, before->cpu_seconds);
}

}  // namespace
}  // namespace ashlar
