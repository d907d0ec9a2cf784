#include "cli/chap_secret.h"

#include <cstdlib>
#include <fstream>
#include <string>

#include <gtest/gtest.h>

namespace ashlar::cli {
namespace {

constexpr const char* kVariable = "ASHLAR_TEST_CHAP_SECRET";

std::string file_with(const std::string& text) {
  const std::string path =
      testing::TempDir() + "/" + testing::UnitTest::GetInstance()->current_test_info()->name();
  std::ofstream(path, std::ios::binary) << text;
  return path;
}

TEST(ChapSecret, ComesFromAFileWithoutItsNewline) {
  EXPECT_EQ(read_chap_secret(file_with("twelve bytes\n"), kVariable)->reveal(), "twelve bytes");
  EXPECT_EQ(read_chap_secret(file_with("twelve\nbytes\n\n"), kVariable)->reveal(),
            "twelve\nbytes\n");
}

TEST(ChapSecret, ComesFromTheEnvironmentWhenNoFileIsNamed) {
  ASSERT_EQ(::setenv(kVariable, "of the environment", 1), 0);
  EXPECT_EQ(read_chap_secret("", kVariable)->reveal(), "of the environment");
  ASSERT_EQ(::unsetenv(kVariable), 0);
  EXPECT_TRUE(read_chap_secret("", kVariable)->empty());
}

TEST(ChapSecret, AFileWithoutOneIsRefused) {
  EXPECT_FALSE(read_chap_secret(file_with("\n"), kVariable).ok());
  EXPECT_FALSE(read_chap_secret(file_with(std::string(5000, 'x')), kVariable).ok());
  EXPECT_FALSE(read_chap_secret("/nowhere/at/all", kVariable).ok());
}

}  // namespace
}  // namespace ashlar::cli
