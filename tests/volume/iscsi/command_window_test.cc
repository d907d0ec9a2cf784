#include "volume/iscsi/command_window.h"

#include <gtest/gtest.h>

namespace ashlar::iscsi {
namespace {

using Place = CommandWindow::Place;

TEST(CommandWindowTest, CommandsHaveTheirPlaceAlsoWhereNumbersWrap) {
  for (const std::uint32_t first : {1u, 0u, 0x7ffffff0u, 0xfffffff8u, 0xffffffffu}) {
    CommandWindow window(first, 16);
    EXPECT_EQ(window.max_cmd_sn(), first + 15);
    EXPECT_EQ(window.place(first), Place::kNext);
    EXPECT_EQ(window.place(first + 1), Place::kAhead);
    EXPECT_EQ(window.place(first + 15), Place::kAhead);
    EXPECT_EQ(window.place(first + 16), Place::kOutside);
    EXPECT_EQ(window.place(first - 1), Place::kOutside);
    for (std::uint32_t i = 0; i < 16; ++i) window.advance();
    EXPECT_EQ(window.exp_cmd_sn(), first + 16);
    EXPECT_EQ(window.place(first + 16), Place::kOutside) << "the window is closed";
    window.open(1);
    EXPECT_EQ(window.place(first + 16), Place::kNext);
    EXPECT_EQ(window.place(first + 17), Place::kOutside);
  }
}

TEST(CommandWindowTest, MaxCmdSnNeverGoesDown) {
  CommandWindow window(10, 8);
  window.open(2);
  EXPECT_EQ(window.max_cmd_sn(), 17u);
  for (int i = 0; i < 5; ++i) window.advance();
  window.open(1);
  EXPECT_EQ(window.max_cmd_sn(), 17u);
  window.open(8);
  EXPECT_EQ(window.max_cmd_sn(), 22u);
}

}  // namespace
}  // namespace ashlar::iscsi
