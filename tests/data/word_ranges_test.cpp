#include "runtime/data/word_ranges.h"

#include <gmock/gmock.h>

#include "tests/data/scratch.h"

namespace sutura {
namespace {

using ::testing::HasSubstr;
using testing::message_of;

TEST(WordRanges, BothEndsBelongToARangeByTheWholePart) {
  const WordRanges w("code", {{"a", {"390-459", "785-785"}}, {"b", {"460-519"}}, {"c", {"0-0"}}});
  for (const char* text : {"390", "390.0", "410.91", "459", "459.9", "785.59", "0390"}) EXPECT_EQ(w.word(text), "a") << text;
  for (const char* text : {"460", "519.999"}) EXPECT_EQ(w.word(text), "b") << text;
  for (const char* text : {"0", "0.5"}) EXPECT_EQ(w.word(text), "c") << text;
  for (const char* text : {"389.99", "520", "784.9", "786", "-390", "V45", "", "390x", " 390", "4e2", "nan", "inf", "1e400", "1"})
    EXPECT_EQ(w.word(text), text);
}

TEST(WordRanges, ExactTextsWinOverRanges) {
  const WordRanges w("code", {{"a", {"1-99"}}, {"b", {"50.0", "V45"}}});
  EXPECT_EQ(w.word("50"), "a");
  EXPECT_EQ(w.word("50.0"), "b");
  EXPECT_EQ(w.word("V45"), "b");
}

TEST(WordRanges, ARangeIsAlsoATextOfItsOwn) {
  const WordRanges bands("age", {{"young", {"18-24", "25-34"}}, {"old", {"[60-70)"}}});
  EXPECT_EQ(bands.word("18-24"), "young");
  EXPECT_EQ(bands.word("20"), "young");
  EXPECT_EQ(bands.word("[60-70)"), "old");
  EXPECT_EQ(bands.word("65"), "65");  // not a range: the brackets make it a text
}

TEST(WordRanges, ContradictionsAreRefused) {
  const auto error = [](const std::map<std::string, std::vector<std::string>>& words) {
    return message_of(Errc::kConfig, [&] { WordRanges("code", words); });
  };
  EXPECT_THAT(error({{"a", {"1-5"}}, {"b", {"5-9"}}}), HasSubstr("column 'code': the range '5-9' overlaps"));
  EXPECT_THAT(error({{"a", {"5-9"}}, {"b", {"1-5"}}}), HasSubstr("overlaps"));
  EXPECT_THAT(error({{"a", {"1-9"}}, {"b", {"3-4"}}}), HasSubstr("overlaps"));
  EXPECT_THAT(error({{"a", {"3-4"}}, {"b", {"1-9"}}}), HasSubstr("overlaps"));
  EXPECT_THAT(error({{"a", {"V1"}}, {"b", {"V1"}}}), HasSubstr("'V1' is listed twice"));
  EXPECT_THAT(error({{"a", {"9-1"}}}), HasSubstr("runs backwards"));
  EXPECT_THAT(error({{"a", {}}}), HasSubstr("'a' has no texts"));
}

}  // namespace
}  // namespace sutura
