#include <algorithm>

#include "runtime/config/scalar.h"
#include "runtime/config/sections.h"

namespace sutura {
namespace {

bool holds(const std::vector<std::string>& list, const std::string& name) {
  return std::find(list.begin(), list.end(), name) != list.end();
}

/// What the column is besides a feature; nothing when it is free to be one.
const char* other_role(const TableConfig& table, const std::string& column) {
  if (column == table.label) return "the label";
  if (column == table.id) return "the id, which never leaves";
  if (table.categories.contains(column)) return "a category";
  if (table.ranges.contains(column)) return "made of words by ranges";
  if (holds(table.drop, column)) return "dropped";
  return nullptr;
}

void check_roles(const Section& section, TableOf whose, const TableConfig& table) {
  if (table.classes.size() == 1)
    section.error_at("classes", section.path_of("classes") + " must name at least two classes", "leave it out for a regression");
  for (std::size_t i = 0; i < table.features.size(); ++i)
    if (const char* other = other_role(table, table.features[i]))
      section.error_at_item("features", i, "column " + table.features[i] + " is a feature and also " + other);
  if (table.label.empty() && whose == TableOf::kOneParty) {
    for (const char* name : {"classes", "class_texts"})
      if (section.has(name))
        section.error_at(name, section.path_of(name) + " needs a label", "only the table of the label holder has one");
  } else if (table.categories.contains(table.label) || holds(table.drop, table.label)) {
    section.error_at("label", "the label column " + table.label + " also stands among the categories or dropped columns");
  }
  for (const auto& [column, texts] : table.numbers)
    if (table.categories.contains(column))
      section.error_at_path(member_path(section.path_of("numbers"), column), "column " + column + " holds words and also numbers",
                            "it stands among the categories");
  if (table.id.empty()) return;
  if (table.id == table.label || table.categories.contains(table.id))
    section.error_at("id", "the id column " + table.id + " also stands as the label or among the categories");
}

/// "390-459" and the like where the first number is the larger one; other texts stand for themselves.
bool reversed(const std::string& text) {
  for (std::size_t dash = text.find('-', 1); dash != std::string::npos; dash = text.find('-', dash + 1)) {
    const auto low = parse_number(text.substr(0, dash)), high = parse_number(text.substr(dash + 1));
    if (low && high) return *low > *high;
  }
  return false;
}

/// A word that nobody knows would stop the run at the first record that becomes it.
void check_ranges(const Section& section, const TableConfig& table) {
  for (const auto& [column, words] : table.ranges) {
    const std::string path = member_path(section.path_of("ranges"), column);
    const auto known = table.categories.find(column);
    const std::vector<std::string>* names = known != table.categories.end() ? &known->second
                                            : column == table.label         ? &table.classes
                                                                            : nullptr;
    if (names == nullptr)
      section.error_at_path(path, "ranges make words of column " + column + ", which is not among the categories",
                            "list its words in " + section.path_of("categories"));
    for (const auto& [word, members] : words) {
      if (names != nullptr && !holds(*names, word))
        section.error_at_path(member_path(path, word), "column " + column + " has no known word " + word,
                              nearest_hint(word, *names));
      for (std::size_t i = 0; i < members.size(); ++i)
        if (reversed(members[i]))
          section.error_at_path(item_path(member_path(path, word), i), "the range " + members[i] + " ends before it begins");
    }
  }
}

void check_rows(const Section& section, const TableConfig& table) {
  for (const auto& [column, texts] : table.keep) {
    const std::string path = member_path(section.path_of("keep"), column);
    if (texts.empty()) section.error_at_path(path, path + " keeps no record at all");
    if (table.leave_out.contains(column))
      section.error_at_path(path, "column " + column + " stands under keep and under leave_out", "give one of them");
  }
}

}  // namespace

void read_table(Section& section, TableOf whose, TableConfig& table) {
  const Need by_party = whose == TableOf::kOneParty ? Need::kOptional : Need::kRequired;
  section.path(
      {"path", "A .csv or .csv.gz file with a header line; `{site}` stands for the site's name.", Need::kRequired, Scope::kLocal},
      table.path);
  section.text({"label",
                whose == TableOf::kOneParty ? "Column that holds the label; in the table of the label holder alone."
                                            : "Column that holds the label.",
                by_party},
               TextRule::kNotEmpty, table.label);
  section.texts({"classes", "Label texts in class order; without it the label is a number (regression)."}, TextRule::kAny,
                table.classes);
  section.texts({"features", "Numeric columns.", Need::kOptional, Scope::kShared, {}, "all columns without another role"},
                TextRule::kNotEmpty, table.features);
  section.section_or_defaults({"categories", "Columns that hold words, each with its known words; encoded one-hot."})
      .text_lists("COLUMN", "Known words of this column; a last word `*` stands for every other word.", table.categories);
  section.texts({"missing", "Texts that mean \"not there\"; filled in, with an indicator column."}, TextRule::kAny,
                table.missing);
  section.texts({"missing_columns", "Feature columns where such texts may stand; elsewhere they are an error."},
                TextRule::kNotEmpty, table.missing_columns);
  section.section_or_defaults({"missing_in", "Columns with texts of their own that mean \"not there\"."})
      .text_lists("COLUMN", "Texts that mean \"not there\" in this column alone.", table.missing_in);
  Section numbers = section.section_or_defaults({"numbers", "Columns where some texts stand for numbers."});
  for (auto& [column, texts] : numbers.named_sections("COLUMN", "Texts of this column with their numbers.", TextRule::kNotEmpty))
    texts.number_values("TEXT", "The number that this text stands for, such as 90 for \"> 89\".", {}, table.numbers[column]);
  Section ranges =
      section.section_or_defaults({"ranges", "Columns whose codes become words before anything else looks at them."});
  for (auto& [column, words] :
       ranges.named_sections("COLUMN", "Words of this column with what becomes them.", TextRule::kNotEmpty))
    words.text_lists("WORD", "Texts, or number ranges `390-459` (both ends belong to it), that become this word.",
                     table.ranges[column]);
  section.section_or_defaults({"keep", "Columns that decide which rows are records: only those with one of these texts."})
      .text_lists("COLUMN", "Only rows with one of these texts are records.", table.keep);
  section.section_or_defaults({"leave_out", "Columns that decide which rows are no records: those with one of these texts."})
      .text_lists("COLUMN", "Rows with one of these texts are no records.", table.leave_out);
  section.text({"first_of", "Column: of rows with equal texts only the first is a record."}, TextRule::kNotEmpty, table.first_of);
  section.texts({"drop", "Columns that are not used."}, TextRule::kNotEmpty, table.drop);
  section.texts(
      {"columns", "Names of the columns of a file without a header line.", Need::kOptional, Scope::kShared, {}, "the header"},
      TextRule::kNotEmpty, table.columns);
  section.section_or_defaults({"class_texts", "Classes that several texts mean, each with its texts."})
      .text_lists("CLASS", "Texts that mean this class.", table.class_texts);
  section.text({"group", "Column whose equal texts (one patient) stay at one site and in one split."}, TextRule::kNotEmpty,
               table.group);
  section.text({"id", "Column that names the record at every party; unique, never a feature, never sent.",
                whose == TableOf::kOneParty ? Need::kRequired : Need::kOptional},
               TextRule::kNotEmpty, table.id);
  if (section.describes()) return;
  check_roles(section, whose, table);
  check_ranges(section, table);
  check_rows(section, table);
}

}  // namespace sutura
