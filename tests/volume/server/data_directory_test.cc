#include "volume/server/data_directory.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ashlar::server {
namespace {

using testing::HasSubstr;

class DataDirectoryTest : public testing::Test {
 protected:
  DataDirectoryTest() {
    std::string pattern = testing::TempDir() + "/data_directory_XXXXXX";
    root_ = ::mkdtemp(pattern.data());
    path_ = root_ + "/data";
  }
  ~DataDirectoryTest() override { std::filesystem::remove_all(root_); }

  std::string root_;
  std::string path_;
};

TEST_F(DataDirectoryTest, TheServerIsTheSameForEver) {
  ServerUuid first;
  {
    const Result<DataDirectory> made = DataDirectory::open(path_);
    ASSERT_TRUE(made.ok()) << made.error().message();
    first = made->server();
    EXPECT_FALSE(first.is_nil());
  }
  const Result<DataDirectory> again = DataDirectory::open(path_);
  ASSERT_TRUE(again.ok()) << again.error().message();
  EXPECT_EQ(again->server(), first);
}

TEST_F(DataDirectoryTest, TwoServersDoNotShareOne) {
  const Result<DataDirectory> first = DataDirectory::open(path_);
  ASSERT_TRUE(first.ok());
  const Result<DataDirectory> second = DataDirectory::open(path_);
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.error().code(), ErrorCode::kFailedPrecondition);
  EXPECT_THAT(second.error().message(), HasSubstr("a server that is running"));
}

TEST_F(DataDirectoryTest, AnIdentityThatCannotBeReadIsLeftAsItIs) {
  std::filesystem::create_directory(path_);
  for (const char* text : {"", "no uuid\n", "00000000-0000-0000-0000-000000000000\n"}) {
    std::ofstream(path_ + "/server_uuid") << text;
    const Result<DataDirectory> opened = DataDirectory::open(path_);
    ASSERT_FALSE(opened.ok()) << text;
    EXPECT_EQ(opened.error().code(), ErrorCode::kDataLoss);
    std::ifstream file(path_ + "/server_uuid");
    EXPECT_EQ(std::string(std::istreambuf_iterator<char>(file), {}), text);
  }
}

TEST_F(DataDirectoryTest, AnIdentityThatWasNotFinishedIsMadeAnew) {
  std::filesystem::create_directory(path_);
  std::ofstream(path_ + "/server_uuid.new") << "half a u";
  EXPECT_TRUE(DataDirectory::open(path_).ok());
}

TEST_F(DataDirectoryTest, WithoutAParentThereIsNone) {
  const Result<DataDirectory> opened = DataDirectory::open(root_ + "/missing/data");
  ASSERT_FALSE(opened.ok());
  EXPECT_THAT(opened.error().message(), HasSubstr("missing/data"));
}

}  // namespace
}  // namespace ashlar::server
