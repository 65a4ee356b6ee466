// Untrusted YAML: what the parser refuses, where it says so, and how files and overrides are put together.
#include "runtime/config/yaml_tree.h"

#include <gmock/gmock.h>

#include "tests/config/study_folder.h"

namespace sutura {
namespace {

using sutura::testing::StudyFolder;
using ::testing::HasSubstr;
using ::testing::StartsWith;

std::string numbered(std::string before, int number, std::string_view after) {
  return before.append(std::to_string(number)).append(after);
}

class YamlTree : public StudyFolder {
 protected:
  /// Loads without reading a study: only what the tree itself finds.
  std::string findings(std::string_view text, const std::vector<std::string>& overrides = {}, const YamlLimits& limits = {}) {
    return findings_of(write("a.yaml", text), overrides, limits);
  }
  std::string findings_of(const std::filesystem::path& path, const std::vector<std::string>& overrides = {},
                          const YamlLimits& limits = {}) {
    Diagnostics found;
    try {
      root_ = load_yaml(path, overrides, found, limits);
      return without_folder(found.report());
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), Errc::kConfig);
      return without_folder(e.what());
    }
  }
  std::string text_at(std::initializer_list<std::string_view> keys) const {
    const YamlNode* node = &root_;
    for (const auto key : keys)
      if ((node = node->find(key)) == nullptr) return "(missing)";
    return node->text;
  }
  YamlNode root_;
};

struct Refused {
  const char* name;
  std::string text;
  const char* report;  // whole
};
void PrintTo(const Refused& r, std::ostream* out) { *out << r.name; }

class RefusedText : public YamlTree, public ::testing::WithParamInterface<Refused> {};

TEST_P(RefusedText, IsReportedWithItsPlace) { EXPECT_EQ(findings(GetParam().text), GetParam().report); }

INSTANTIATE_TEST_SUITE_P(
    YamlTree, RefusedText,
    ::testing::Values(
        Refused{"empty", "", "a.yaml: error: the file is empty"},
        Refused{"only_comments", "# nothing\n\n", "a.yaml: error: the file is empty"},
        Refused{"empty_document", "---\n", "a.yaml: error: the file is empty"},
        Refused{"a_list", "- a\n", "a.yaml:1:1: error: the file must hold a map of keys\n  - a\n  ^"},
        Refused{"bom",
                "\xEF\xBB\xBF"
                "a: 1\n",
                "a.yaml: error: the file begins with a byte order mark\n  hint: save it as UTF-8 without BOM"},
        Refused{"utf16",
                std::string("\xFF\xFE"
                            "a\0:\0 \0001\0",
                            10),
                "a.yaml: error: the file is UTF-16 or UTF-32\n  hint: save it as UTF-8"},
        Refused{"utf16_without_bom", std::string("a\0:\0", 4),
                "a.yaml:1:2: error: a control character stands in the text\n  a?:?\n   ^\n  hint: is this a text file?"},
        Refused{"latin1", "a: M\xFCnchen\n",
                "a.yaml:1:5: error: this is not UTF-8 text\n  a: M?nchen\n      ^\n  hint: save the file as UTF-8"},
        Refused{"elf",
                "\x7f"
                "ELF\x02\x01",
                "a.yaml:1:1: error: a control character stands in the text\n  ?ELF??\n  ^\n  hint: is this a text file?"},
        Refused{"lone_carriage_return", "a: 1\rb: 2\n",
                "a.yaml:1:5: error: a control character stands in the text\n  a: 1?b: 2\n      ^\n  hint: is this a "
                "text file?"},
        Refused{"tab", "a:\n\tb: 1\n",
                "a.yaml:2:1: error: a tab is used as indentation\n   b: 1\n  ^\n  hint: indent with spaces"},
        Refused{"tab_after_spaces", "a:\n  \tb: 1\n",
                "a.yaml:2:3: error: a tab is used as indentation\n     b: 1\n    ^\n  hint: indent with spaces"},
        Refused{"two_documents", "a: 1\n---\nb: 2\n",
                "a.yaml:2:1: error: a second document begins here\n  ---\n  ^\n  hint: a study is one YAML document"},
        Refused{"duplicate", "a: 1\nb:\n  c: 1\n  c: 2\n",
                "a.yaml:4:3: error: duplicate key b.c\n    c: 2\n    ^\n  hint: it is set first in line 3"},
        Refused{"duplicate_in_list", "a:\n  - {k: 1, k: 2}\n",
                "a.yaml:2:12: error: duplicate key a[0].k\n    - {k: 1, k: 2}\n             ^\n  hint: it is set first "
                "in line 2"},
        Refused{"integer_key", "a:\n  1: x\n",
                "a.yaml:2:3: error: this key is not a text (in a)\n    1: x\n    ^\n  hint: put it in quotes: \"1\""},
        Refused{"boolean_key", "true: x\n",
                "a.yaml:1:1: error: this key is not a text\n  true: x\n  ^\n  hint: put it in quotes: \"true\""},
        Refused{"list_key", "? [a, b]\n: x\n", "a.yaml:1:3: error: this key is not a text\n  ? [a, b]\n    ^"},
        Refused{"anchor", "a: &here 1\n",
                "a.yaml:1:4: error: anchors are not allowed\n  a: &here 1\n     ^\n  hint: write the value out where "
                "it is needed"},
        Refused{"tag", "a: !python/object x\n",
                "a.yaml:1:4: error: the tag !python/object is not allowed\n  a: !python/object x\n     ^\n  hint: "
                "plain YAML values need no tags"},
        Refused{"binary_tag", "a: !!binary aGk=\n",
                "a.yaml:1:4: error: the tag tag:yaml.org,2002:binary is not allowed\n  a: !!binary aGk=\n     ^\n  "
                "hint: plain YAML values need no tags"},
        Refused{"include_no_list", "include: b.yaml\n",
                "a.yaml:1:10: error: include must be a list of files\n  include: b.yaml\n           ^\n  hint: "
                "include: [topologies/NAME.yaml]"},
        Refused{"include_absolute", "include: [/b.yaml]\n",
                "a.yaml:1:11: error: include must name files relative to this one\n  include: [/b.yaml]\n            ^"}),
    [](const auto& test) { return test.param.name; });

TEST_F(YamlTree, SyntaxErrorsAreReportedAtTheirPlace) {
  EXPECT_THAT(findings("a: 1\nb: [1, 2\nc: 3\n"), ::testing::ContainsRegex("^a\\.yaml:[23]:[0-9]+: error: not valid YAML: "));
  EXPECT_THAT(findings("a: 1\n  b: 2\n"), StartsWith("a.yaml:2:4: error: not valid YAML: "));
  EXPECT_EQ(findings("a: 'it''s'\nb: \"open \\\"\n"),
            "a.yaml:2:4: error: the quotes that open here are never closed\n  b: \"open \\\"\n     ^");
}

TEST_F(YamlTree, CoreTagsAndQuotesAreAllowed) {
  EXPECT_EQ(findings("a: !!str 12\nb: '12'\nc: 12\n"), "");
  EXPECT_EQ(root_.find("a")->quoting, Quoting::kQuoted);
  EXPECT_EQ(root_.find("b")->quoting, Quoting::kQuoted);
  EXPECT_EQ(root_.find("c")->quoting, Quoting::kPlain);
}

TEST_F(YamlTree, AllFindingsOfAFileComeTogether) {
  const std::string report = findings("a: &x 1\na: 2\nb: *x\nc: !t 1\n");
  EXPECT_THAT(report, HasSubstr("a.yaml:1:4: error: anchors"));
  EXPECT_THAT(report, HasSubstr("a.yaml:2:1: error: duplicate key a"));
  EXPECT_THAT(report, HasSubstr("a.yaml:3:4: error: aliases"));
  EXPECT_THAT(report, HasSubstr("a.yaml:4:4: error: the tag !t"));
}

TEST_F(YamlTree, AliasBombEndsEarly) {
  std::string bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n";
  for (int i = 1; i < 10; ++i) {
    const std::string last = numbered("*a", i - 1, "");
    bomb += numbered("a", i, ": &a").append(std::to_string(i)).append(" [").append(last);
    for (int k = 0; k < 8; ++k) bomb += ", " + last;
    bomb += "]\n";
  }
  const std::string report = findings(bomb);
  EXPECT_THAT(report, HasSubstr("a.yaml:2:10: error: aliases are not allowed"));
  EXPECT_LT(report.size(), 40'000u);
  EXPECT_THAT(findings("a: &a [*a]\n"), HasSubstr("aliases are not allowed"));  // refers to itself
}

TEST_F(YamlTree, ManyFindingsAreCounted) {
  std::string text;
  for (int i = 0; i < 150; ++i) text += "k: 1\n";
  EXPECT_THAT(findings(text), ::testing::EndsWith("and 49 more errors"));
}

TEST_F(YamlTree, SizeDepthAndNodesAreBounded) {
  EXPECT_EQ(findings("a: \"" + std::string(10u << 20, 'x') + "\"\n"),
            "a.yaml: error: a.yaml is larger than 1024 KiB\n  hint: is this a study file?");
  const auto nested = [](int depth) { return "a: " + std::string(depth - 1, '[') + std::string(depth - 1, ']') + "\n"; };
  EXPECT_EQ(findings(nested(32)), "");
  EXPECT_THAT(findings(nested(33)), StartsWith("a.yaml:1:35: error: lists and maps are nested more than 32 deep"));
  EXPECT_THAT(findings("a: " + std::string(200'000, '[')), HasSubstr("nested more than 32 deep"));
  const auto many = [](int items) {
    std::string text = "a:\n";
    for (int i = 0; i < items; ++i) text += "- x\n";
    return text;
  };
  EXPECT_EQ(findings(many(9'997)), "");  // and the map, the key, the list
  EXPECT_THAT(findings(many(9'998)), StartsWith("a.yaml:9999:3: error: the study holds more than 10000 values"));
}

TEST_F(YamlTree, WindowsLineEndsCountAsOne) {
  EXPECT_EQ(findings("a: 1\r\nb: 2\r\n"), "");
  EXPECT_EQ(text_at({"a"}), "1");
  EXPECT_EQ(text_at({"b"}), "2");
  EXPECT_EQ(findings("a: 1\r\nb: &x 2\r\n"),
            "a.yaml:2:4: error: anchors are not allowed\n  b: &x 2\n     ^\n  hint: write the value out where it is needed");
}

TEST_F(YamlTree, ColumnsCountCharactersAndTheCaretCountsCells) {
  // 4 bytes of umlauts, then 2 wide characters of 2 cells each.
  EXPECT_EQ(findings("\"\xC3\xBC\xC3\xA4\": &x 1\n"),
            "a.yaml:1:7: error: anchors are not allowed\n  \"\xC3\xBC\xC3\xA4\": &x 1\n        ^\n  hint: write the "
            "value out where it is needed");
  EXPECT_EQ(findings("\"\xE7\x97\x85\xE9\x99\xA2\": &x 1\n"),
            "a.yaml:1:7: error: anchors are not allowed\n  \"\xE7\x97\x85\xE9\x99\xA2\": &x 1\n          ^\n  hint: "
            "write the value out where it is needed");
}

TEST_F(YamlTree, LongLinesAreShownAroundTheCaret) {
  const std::string report = findings("a: [" + std::string(3000, 'x') + ", &y 1, " + std::string(3000, 'z') + "]\n");
  EXPECT_THAT(report, StartsWith("a.yaml:1:3007: error: anchors"));
  std::vector<std::string> lines;
  std::istringstream stream(report);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  ASSERT_GE(lines.size(), 3u);
  EXPECT_LT(lines[1].size(), 130u);
  EXPECT_EQ(lines[1].find('&'), lines[2].find('^'));
}

TEST_F(YamlTree, SecretsAreNotQuoted) {
  EXPECT_EQ(findings("connection: {secret_key: &a CANARY}\n"),
            "a.yaml:1:26: error: anchors are not allowed\n  hint: write the value out where it is needed");
}

TEST_F(YamlTree, IncludesMergeMapsReplaceListsAndTheIncludingFileWins) {
  write("sub/one.yaml", "m: {a: 1, b: 1, c: 1}\nlist: [1, 2, 3]\nonly_one: x\n");
  write("sub/two.yaml", "m: {b: 2, c: 2}\n");
  EXPECT_EQ(findings("include: [sub/one.yaml, sub/two.yaml]\nm: {c: 3}\nlist: [9]\n"), "");
  EXPECT_EQ(text_at({"m", "a"}), "1");
  EXPECT_EQ(text_at({"m", "b"}), "2");
  EXPECT_EQ(text_at({"m", "c"}), "3");
  EXPECT_EQ(text_at({"only_one"}), "x");
  EXPECT_EQ(root_.find("list")->children.size(), 1u);
  EXPECT_EQ(root_.find("include"), nullptr);
}

TEST_F(YamlTree, IncludesAreRelativeToTheIncludingFile) {
  write("sub/one.yaml", "include: [deep/two.yaml]\n");
  write("sub/deep/two.yaml", "x: found\n");
  EXPECT_EQ(findings("include: [sub/one.yaml]\n"), "");
  EXPECT_EQ(text_at({"x"}), "found");
}

TEST_F(YamlTree, IncludeCyclesAndDepthAreRefused) {
  write("b.yaml", "x: 1\ninclude: [a.yaml]\n");
  EXPECT_THAT(findings("include: [b.yaml]\n"), StartsWith("b.yaml:2:11: error: this include leads back to a.yaml"));
  EXPECT_THAT(findings("include: [./a.yaml]\n"), HasSubstr("leads back"));
  const auto chain = [this](int length) {
    for (int i = 1; i < length; ++i) write(numbered("c", i, ".yaml"), numbered("include: [c", i + 1, ".yaml]\n"));
    write(numbered("c", length, ".yaml"), "x: end\n");
    return findings("include: [c1.yaml]\n");
  };
  EXPECT_EQ(chain(8), "");
  EXPECT_EQ(text_at({"x"}), "end");
  EXPECT_THAT(chain(9), StartsWith("c8.yaml:1:11: error: includes are nested more than 8 deep"));
  write("many.yaml", "x: 1\n");
  std::string wide = "include: [many.yaml";
  for (int i = 0; i < 100; ++i) wide += ", many.yaml";
  EXPECT_THAT(findings(wide + "]\n"), HasSubstr("more than 64 files"));
}

TEST_F(YamlTree, MissingIncludesAreReportedWhereTheyAreNamed) {
  EXPECT_THAT(findings("x: 1\ninclude: [gone.yaml]\n"),
              StartsWith("a.yaml:2:11: error: gone.yaml: cannot open: No such file or directory"));
  EXPECT_EQ(findings_of(folder() / "gone.yaml"), "gone.yaml: error: cannot open: No such file or directory");
}

TEST_F(YamlTree, OverridesSetReplaceAndCreate) {
  const char* text = "a: {b: 1, l: [{k: 1}, {k: 2}]}\n\"odd key\": {x: 1}\n";
  EXPECT_EQ(findings(text, {"a.b=[5, 6]", "a.l[1].k=7", "new.deep.key=x y, z", "\"odd key\".x=2", "a.b=8", "empty="}), "");
  EXPECT_EQ(text_at({"a", "b"}), "8");
  EXPECT_EQ(root_.find("a")->find("l")->children[1].find("k")->text, "7");
  EXPECT_EQ(root_.find("a")->find("l")->children[0].find("k")->text, "1");
  EXPECT_EQ(text_at({"new", "deep", "key"}), "x y, z");
  EXPECT_EQ(text_at({"odd key", "x"}), "2");
  EXPECT_EQ(root_.find("empty")->form, NodeForm::kScalar);
  EXPECT_EQ(findings(text, {"a={c: 3}"}), "");
  EXPECT_EQ(text_at({"a", "c"}), "3");
  EXPECT_EQ(text_at({"a", "b"}), "(missing)");  // a map replaces the old one whole
}

TEST_F(YamlTree, BadOverridesAreReported) {
  const char* text = "a: {b: 1, l: [1]}\n";
  EXPECT_EQ(findings(text, {"a.b"}), "command line: error: this is no override\n  a.b\n  ^\n  hint: write key.sub=value");
  for (const char* path : {"=1", ".a=1", "a..b=1", "a.=1", "a[x]=1", "[0]=1", "a[0=1", "\"a=1"})
    EXPECT_THAT(findings(text, {path}), StartsWith("command line: error: this is no override")) << path;
  EXPECT_THAT(findings(text, {"a.b.c=1"}), StartsWith("command line: error: a.b is not a map, so it has no key c"));
  EXPECT_THAT(findings(text, {"a.l[1]=1"}), StartsWith("command line: error: a.l[1] does not exist"));
  EXPECT_THAT(findings(text, {"include=[x.yaml]"}), HasSubstr("include cannot be set from the command line"));
  EXPECT_THAT(findings(text, {"a.b=[1"}), StartsWith("command line: error: not valid YAML"));
  EXPECT_THAT(findings(text, {"a.b=&x 1"}), StartsWith("command line: error: anchors are not allowed\n  &x 1\n  ^"));
  const std::string both = findings(text, {"x", "a.l[3]=1"});
  EXPECT_THAT(both, HasSubstr("this is no override"));
  EXPECT_THAT(both, HasSubstr("a.l[3] does not exist"));
}

}  // namespace
}  // namespace sutura
