#include "common/base/secret.h"

#include <ostream>
#include <string>
#include <type_traits>

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace ashlar {
namespace {

template <class T>
concept Streamable = requires(std::ostream& out, const T& value) { out << value; };

TEST(SecretTest, CannotBePrinted) {
  static_assert(fmt::is_formattable<std::string>::value && Streamable<std::string>);
  static_assert(!fmt::is_formattable<Secret>::value);
  static_assert(!Streamable<Secret>);
  static_assert(!std::is_convertible_v<Secret, std::string_view>);
  static_assert(!std::is_convertible_v<Secret, std::string>);
  static_assert(!std::is_convertible_v<std::string_view, Secret>);
}

TEST(SecretTest, RevealsItsText) {
  EXPECT_EQ(Secret("chap-password").reveal(), "chap-password");
  EXPECT_TRUE(Secret().empty());
  EXPECT_TRUE(Secret("").empty());
}

TEST(SecretTest, EqualsTheSameTextOnly) {
  const Secret secret("abcdef");
  EXPECT_TRUE(secret == Secret("abcdef"));
  EXPECT_FALSE(secret == Secret("abcdeg"));
  EXPECT_FALSE(secret == Secret("bbcdef"));
  EXPECT_FALSE(secret == Secret("abcde"));
  EXPECT_FALSE(secret == Secret());
  EXPECT_TRUE(secret.equals("abcdef"));
  EXPECT_TRUE(Secret() == Secret(""));
}

TEST(SecretTest, CopiesAndMovesKeepTheText) {
  Secret a("one");
  const Secret copy = a;
  Secret moved = std::move(a);
  EXPECT_TRUE(a.empty());  // NOLINT(bugprone-use-after-move)
  EXPECT_EQ(copy.reveal(), "one");
  EXPECT_EQ(moved.reveal(), "one");
  moved = Secret("two");
  EXPECT_EQ(moved.reveal(), "two");
  moved = copy;
  EXPECT_EQ(moved.reveal(), "one");
}

TEST(SecretTest, TakingWipesTheSource) {
  std::string source = "short";  // short enough to live inside the string object
  const char* const memory = source.data();
  const Secret secret = Secret::take(source);
  EXPECT_EQ(secret.reveal(), "short");
  EXPECT_TRUE(source.empty());
  EXPECT_EQ(std::string(memory, 5), std::string(5, '\0'));
}

}  // namespace
}  // namespace ashlar
