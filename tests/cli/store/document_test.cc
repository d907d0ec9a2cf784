#include "cli/store/document.h"

#include <gtest/gtest.h>

namespace ashlar::store_tool {
namespace {

TEST(DocumentTest, TheTextHasScalarsFirstAndUnitsAndTables) {
  const Document document = {
      {"list", {{{"name", "a"}, {"size_bytes", 4096u}}, {{"name", "longer"}, {"size_bytes", 1u}}}},
      {"in_use", false},
      {"inner", {{"nothing", nullptr}, {"some", {"x", "y"}}}},
      {"log_bytes", 3u << 20},
      {"left_out", Document::array()}};
  EXPECT_EQ(to_text(document),
            "in use  no\n"
            "log     3 MiB\n"
            "list:\n"
            "  name    size\n"
            "  a       4 KiB\n"
            "  longer  1 B\n"
            "inner:\n"
            "  nothing  -\n"
            "  some:\n"
            "    x\n"
            "    y\n");
}

TEST(DocumentTest, ListsOfWhatIsNotFlatAreBlocks) {
  const Document document = {{"replicas", {{{"n", 1}, {"layers", {1, 2}}}, {{"n", 2}}}}};
  EXPECT_EQ(to_text(document),
            "replicas 1 of 2:\n"
            "  n  1\n"
            "  layers:\n"
            "    1\n"
            "    2\n"
            "replicas 2 of 2:\n"
            "  n  2\n");
}

TEST(DocumentTest, ARowMayLackWhatOthersHave) {
  const Document document = {{"rows", {{{"a", 1}}, {{"a", 2}, {"b", 3}}}}};
  EXPECT_EQ(to_text(document),
            "rows:\n"
            "  a  b\n"
            "  1  -\n"
            "  2  3\n");
}

TEST(DocumentTest, ANameThatIsNoUtf8IsStillJson) {
  EXPECT_EQ(to_json(Document("a\xff")), "\"a\xef\xbf\xbd\"");
}

}  // namespace
}  // namespace ashlar::store_tool
