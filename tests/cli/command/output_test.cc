#include "cli/output.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "cli/client.h"
#include "cli/commands.h"

namespace ashlar::cli {
namespace {

using testing::HasSubstr;
using testing::Not;

v1::Volume volume() {
  v1::Volume one;
  one.set_name("a");
  one.set_uuid("ec4186c2-87f1-4b9f-829c-753dbfb82dfc");
  one.set_size_bytes(std::uint64_t{10} << 30);
  one.set_logical_block_size(512);
  one.set_state(v1::VOLUME_STATE_READY);
  one.mutable_access()->mutable_chap()->set_name("user");
  one.mutable_access()->mutable_chap()->set_secret("never to be shown");
  one.set_target_iqn("iqn.2026-01.io.ashlar:a");
  one.add_portals("192.0.2.7:3260");
  return one;
}

TEST(Output, ColumnsAreAsWideAsTheirWidest) {
  EXPECT_EQ(table(std::vector<Row>{{"A", "B", "C"}, {"long", "", "x"}, {"y", "z", ""}}),
            "A      B   C\nlong       x\ny      z\n");
}

TEST(Output, AVolumeSaysHowItIsReached) {
  EXPECT_THAT(describe(volume()), HasSubstr("iscsi://192.0.2.7:3260/iqn.2026-01.io.ashlar:a/0\n"));
}

TEST(Output, JsonHasSizesAsNumbersAndNoSecret) {
  const nlohmann::json json = to_json(volume());
  EXPECT_EQ(json["size_bytes"], std::uint64_t{10} << 30);
  EXPECT_EQ(json["access"]["chap"]["name"], "user");
  EXPECT_THAT(json.dump() + describe(volume()), Not(HasSubstr("never to be shown")));
}

TEST(Servers, AreAHostAndAPort) {
  for (const char* good : {"127.0.0.1:7470", "storage-1.example:1", "[2001:db8::7]:65535"}) {
    EXPECT_TRUE(check_server(good).ok()) << good;
  }
  for (const char* bad :
       {"", "host", "host:", ":7470", "host:0", "host:65536", "host:x", "::1:7470", "unix:/run/x",
        "a,b:1", "http://host:1", "host:99999999999"}) {
    EXPECT_FALSE(check_server(bad).ok()) << bad;
  }
}

TEST(ExitCodes, TellScriptsWhatToDo) {
  EXPECT_EQ(exit_code_of(Error::invalid_argument("x")), 2);
  EXPECT_EQ(exit_code_of(Error::not_found("x")), 3);
  EXPECT_EQ(exit_code_of(Error::already_exists("x")), 4);
  EXPECT_EQ(exit_code_of(Error::failed_precondition("x")), 5);
  EXPECT_EQ(exit_code_of(Error::unavailable("x")), 6);
  EXPECT_EQ(exit_code_of(Error::deadline_exceeded("x")), 6);
  EXPECT_EQ(exit_code_of(Error::data_loss("x")), 1);
}

}  // namespace
}  // namespace ashlar::cli
