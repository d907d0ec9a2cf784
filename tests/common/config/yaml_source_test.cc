#include "common/config/yaml_source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/common/config/probe_config.h"

namespace ashlar {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::StartsWith;

class YamlSourceTest : public testing::Test {
 protected:
  ConfigFindings read(const std::string& content) {
    return read_yaml(probe_.schema, "/etc/p.yaml", content);
  }
  std::vector<std::string> errors(const std::string& content) { return read(content).errors; }
  test::Probe probe_;
};

TEST_F(YamlSourceTest, NestedMapsAreDottedKeysWithTheirLines) {
  const auto found = read(
      "# a comment\n"
      "data_dir: \"/a b\"\n"
      "log:\n"
      "  size: 2GiB # of each volume\n"
      "\n"
      "  form: 'json'\n"
      "masters:\n"
      "  - a:1\n"
      "  - b:2\n"
      "tags: [x, \"y,z\"]\n"
      "tls: true\n");
  EXPECT_THAT(found.errors, IsEmpty());
  ASSERT_EQ(found.settings.size(), 6U);
  EXPECT_EQ(found.settings[0].name.field->key, "data_dir");
  EXPECT_THAT(found.settings[0].texts, ElementsAre("/a b"));
  EXPECT_EQ(found.settings[1].where, "/etc/p.yaml:4: log.size");
  EXPECT_EQ(found.settings[1].origin, "/etc/p.yaml:4");
  EXPECT_THAT(found.settings[1].texts, ElementsAre("2GiB"));
  EXPECT_EQ(found.settings[2].origin, "/etc/p.yaml:6");
  EXPECT_THAT(found.settings[3].texts, ElementsAre("a:1", "b:2"));
  EXPECT_THAT(found.settings[4].texts, ElementsAre("x", "y,z"));
  EXPECT_THAT(found.settings[5].texts, ElementsAre("true"));
}

TEST_F(YamlSourceTest, EmptyFilesEmptySectionsAndEmptyTextsAreFine) {
  for (const char* content : {"", "# nothing\n", "---\n", "log:\n", "log: {}\n"}) {
    EXPECT_THAT(read(content).errors, IsEmpty()) << content;
    EXPECT_THAT(read(content).settings, IsEmpty()) << content;
  }
  EXPECT_THAT(read("data_dir: \"\"\n").settings.at(0).texts, ElementsAre(""));
  EXPECT_THAT(read("tags: []\n").settings.at(0).texts, IsEmpty());
}

TEST_F(YamlSourceTest, UnknownKeysAreRefusedWithTheNearestKnownOne) {
  EXPECT_THAT(errors("log:\n  sizes: 1\nlogs:\n  size: 1\nqwertyuiop: 1\n"),
              ElementsAre("/etc/p.yaml:2: log.sizes: unknown key; did you mean log.size?",
                          "/etc/p.yaml:4: logs.size: unknown key; did you mean log.size?",
                          "/etc/p.yaml:5: qwertyuiop: unknown key"));
}

TEST_F(YamlSourceTest, AnUnknownKeyCannotBreakTheLineOfItsError) {
  EXPECT_THAT(errors("\"a\\nb\\e[31m\": 1\n"),
              ElementsAre("/etc/p.yaml:1: \"a\\x0ab\\x1b[31m\": unknown key"));
}

TEST_F(YamlSourceTest, KeysGivenTwiceAreRefusedWhereTheyComeAgain) {
  EXPECT_THAT(
      errors("tls: true\nlog:\n  size: 1Gi\n  size: 2Gi\ntls: false\n"),
      ElementsAre("/etc/p.yaml:4: log.size: given twice", "/etc/p.yaml:5: tls: given twice"));
  EXPECT_THAT(errors("log:\n  size: 1Gi\nlog:\n  form: text\n"),
              ElementsAre("/etc/p.yaml:3: log: given twice"));
}

TEST_F(YamlSourceTest, ValuesOfTheWrongShapeAreRefused) {
  EXPECT_THAT(
      errors("data_dir: [a]\nlog: 5\ntags: a\nmasters:\n  - {a: 1}\ntls:\nlisten: {a: 1}\n"
             "lease:\n  - 1\n"),
      ElementsAre("/etc/p.yaml:1: data_dir: is a single value",
                  "/etc/p.yaml:2: log: is a section, a map of settings",
                  "/etc/p.yaml:3: tags: is a list, write [a, b]",
                  "/etc/p.yaml:5: masters: an item is a single value",
                  "/etc/p.yaml:6: tls: has no value", "/etc/p.yaml:7: listen: is a single value",
                  "/etc/p.yaml:8: lease: is a section, a map of settings"));
}

TEST_F(YamlSourceTest, WhatIsNoConfigFileIsRefused) {
  EXPECT_THAT(errors("- a\n"),
              ElementsAre("/etc/p.yaml:1: a config file is a map of keys to values"));
  EXPECT_THAT(errors("tls: true\n---\ntls: false\n"),
              ElementsAre("/etc/p.yaml:3: a second YAML document; a config file has one"));
  EXPECT_THAT(errors("? [a]\n: 1\n"),
              ElementsAre("/etc/p.yaml:1: a key is a word, not a list or map"));
}

TEST_F(YamlSourceTest, BrokenYamlIsRefusedWithItsLine) {
  const auto found = read("tls: true\nlog: {size: 1\n");
  EXPECT_TRUE(found.unreadable);
  EXPECT_THAT(found.errors, ElementsAre(testing::ContainsRegex("^/etc/p.yaml:[23]: ")));
  EXPECT_THAT(errors("tls: *nowhere\n"), ElementsAre(StartsWith("/etc/p.yaml:1: ")));
}

TEST_F(YamlSourceTest, AnAliasInsideItsOwnAnchorEnds) {
  EXPECT_FALSE(errors("log: &a\n  b: *a\n").empty());
  std::string many = "log: &a\n";
  for (int i = 0; i < 50; ++i) many += "  k" + std::to_string(i) + ": *a\n";
  EXPECT_LE(errors(many).size(), 100U);
}

TEST_F(YamlSourceTest, ScalarsWrittenReadBackAsTheSameText) {
  for (const std::string text : {"plain",       "",
                                 " ",           "a b",
                                 "null",        "~",
                                 "Yes",         "a: b",
                                 "a #b",        "# a",
                                 "-",           "- a",
                                 "[a]",         "{",
                                 "\"q\"",       "'q'",
                                 "back\\slash", "line\nend",
                                 "tab\t",       "\x01",
                                 "é",           "127.0.0.1:3260",
                                 "*a",          "&a",
                                 "%a",          "@a",
                                 "!a",          "a:",
                                 ":a",          "1GiB",
                                 "<secret>"}) {
    const auto found = read("data_dir: " + yaml_scalar(text) + "  # comment\n");
    EXPECT_THAT(found.errors, IsEmpty()) << text;
    ASSERT_EQ(found.settings.size(), 1U) << text;
    EXPECT_THAT(found.settings[0].texts, ElementsAre(text));
  }
  EXPECT_EQ(yaml_scalar("/var/lib/ashlar"), "/var/lib/ashlar");
  EXPECT_EQ(yaml_scalar("10GiB"), "10GiB");
}

}  // namespace
}  // namespace ashlar
