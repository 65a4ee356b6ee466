#include <algorithm>

#include "core/shape.h"
#include "runtime/config/sections.h"

namespace sutura {
namespace {

constexpr std::int64_t kMostClasses = 100'000;

void read_table(Section& section, TableConfig& table) {
  section.path(
      {"path", "A .csv or .csv.gz file with a header line; `{site}` stands for the site's name.", Need::kRequired, Scope::kLocal},
      table.path);
  section.text({"label", "Column that holds the label.", Need::kRequired}, TextRule::kNotEmpty, table.label);
  section.texts({"classes", "Label texts in class order; without it the label is a number (regression)."}, TextRule::kAny,
                table.classes);
  section.texts({"features", "Numeric columns.", Need::kOptional, Scope::kShared, {}, "all columns without another role"},
                TextRule::kNotEmpty, table.features);
  section.section_or_defaults({"categories", "Columns that hold words, each with its known words; encoded one-hot."})
      .text_lists("COLUMN", "Known words of this column.", table.categories);
  section.texts({"missing", "Texts that mean \"not there\"; filled in, with an indicator column."}, TextRule::kAny,
                table.missing);
  section.texts({"missing_columns", "Feature columns where such texts may stand; elsewhere they are an error."}, TextRule::kNotEmpty,
                table.missing_columns);
  section.texts({"drop", "Columns that are not used."}, TextRule::kNotEmpty, table.drop);
  section.texts({"columns", "Names of the columns of a file without a header line.", Need::kOptional, Scope::kShared, {}, "the header"},
                TextRule::kNotEmpty, table.columns);
  section.section_or_defaults({"class_texts", "Classes that several texts mean, each with its texts."})
      .text_lists("CLASS", "Texts that mean this class.", table.class_texts);
  section.text({"group", "Column whose equal texts (one patient) stay at one site and in one split."}, TextRule::kNotEmpty, table.group);
  if (section.describes()) return;
  if (table.classes.size() == 1)
    section.error_at("classes", section.path_of("classes") + " must name at least two classes", "leave it out for a regression");
  const auto holds = [](const std::vector<std::string>& list, const std::string& column) {
    return std::find(list.begin(), list.end(), column) != list.end();
  };
  for (std::size_t i = 0; i < table.features.size(); ++i) {
    const std::string& column = table.features[i];
    const char* other = column == table.label               ? "the label"
                        : table.categories.contains(column) ? "a category"
                        : holds(table.drop, column)         ? "dropped"
                                                            : nullptr;
    if (other != nullptr) section.error_at_item("features", i, "column " + column + " is a feature and also " + other);
  }
  if (table.categories.contains(table.label) || holds(table.drop, table.label))
    section.error_at("label", "the label column " + table.label + " also stands among the categories or dropped columns");
}

void read_split(Section section, Need need, std::string& features, std::string& labels) {
  section.text({"features", "Array of the records' features, first dimension the record.", need}, TextRule::kNotEmpty, features);
  section.text({"labels", "Array of their labels.", need}, TextRule::kNotEmpty, labels);
}

void read_arrays(Section& section, ArraysConfig& arrays) {
  section.path(
      {"path", "An .npz file, or a folder of .npy files; `{site}` stands for the site's name.", Need::kRequired, Scope::kLocal},
      arrays.path);
  if (auto part = section.section({"train", "Arrays to train on.", Need::kRequired})) {
    read_split(*part, Need::kRequired, arrays.train_features, arrays.train_labels);
    part->text({"groups", "Array of group numbers (one patient) that stay at one site and in one split."}, TextRule::kNotEmpty,
               arrays.train_groups);
  }
  if (const auto part = section.section({"validation", "Arrays for model selection."}))
    read_split(*part, Need::kRequired, arrays.validation_features, arrays.validation_labels);
  if (const auto part = section.section({"test", "Arrays for the final test."}))
    read_split(*part, Need::kRequired, arrays.test_features, arrays.test_labels);
  section.number({"divide_by", "Applied to the raw features, for example 255 for 8-bit images."}, {.above = 0}, arrays.divide_by);
  static constexpr Choice<Layout> kLayouts[] = {{"rows", Layout::kRows}, {"images", Layout::kImages}, {"signals", Layout::kSignals}};
  section.choice({"layout", "How the features lie: `rows` [N, D], `images` [N, H, W(, C)], `signals` [N, L]; by default two "
                            "dimensions are rows, more are images."},
                 kLayouts, arrays.layout);
  section.integer({"classes", "Number of classes; 0: the labels are numbers (regression)."}, {0, kMostClasses}, arrays.classes);
  if (arrays.classes == 1)
    section.error_at("classes", section.path_of("classes") + " must be at least 2, or 0 for a regression (got 1)");
}

void read_standardize(Section& data_section, DataConfig& data) {
  static constexpr Choice<Standardize> kWords[] = {{"none", Standardize::kNone}, {"training", Standardize::kTraining}};
  if (data_section.may_be_word("standardize"))
    data_section.choice({"standardize",
                         "`training`: by mean and deviation of each site's training records, which then "
                         "depend on them; or a map of public constants."},
                        kWords, data.standardize);
  if (!data_section.may_be_map("standardize")) return;
  auto section = data_section.section({"standardize", "Public constants: (x - centre) / scale."});
  data.standardize = data_section.describes() ? Standardize::kNone : Standardize::kConstants;
  section->numbers({"centre", "One for all features, or one per feature column.", Need::kRequired}, {}, data.centre);
  section->numbers({"scale", "One for all features, or one per feature column.", Need::kRequired}, {.above = 0}, data.scale);
  if (data.centre.size() > 1 && data.scale.size() > 1 && data.centre.size() != data.scale.size())
    section->error_at("scale", section->path() + " holds " + std::to_string(data.centre.size()) + " centres and " +
                                   std::to_string(data.scale.size()) + " scales");
}

void read_partition(Section& data_section, DataConfig& data) {
  static constexpr Choice<PartitionBy> kWords[] = {{"evenly", PartitionBy::kEvenly}};
  static constexpr Choice<PartitionBy> kRules[] = {{"column", PartitionBy::kColumn}, {"label_skew", PartitionBy::kLabelSkew}};
  if (data_section.may_be_word("partition"))
    data_section.choice({"partition", "How simulated sites share one file; `evenly`: at random, equal parts."}, kWords,
                        data.partition);
  if (!data_section.may_be_map("partition")) return;
  auto section = data_section.section({"partition", "A rule that needs more than a word."});
  std::optional<PartitionBy> by;
  section->choice({"by", "`column`: a column names the site; `label_skew`: Dirichlet shares per class.", Need::kRequired}, kRules,
                  by);
  if (section->describes() || by == PartitionBy::kColumn)
    section->text({"column", "`by: column`: the table column whose text is the site's name.", Need::kRequired},
                  TextRule::kNotEmpty, data.partition_column);
  if (section->describes() || by == PartitionBy::kLabelSkew)
    section->number({"alpha", "`by: label_skew`: concentration; small means skewed."}, {.above = 0}, data.partition_alpha);
  data.partition = by.value_or(PartitionBy::kEvenly);
  if (!by)
    for (const char* name : {"column", "alpha"}) section->ignore(name);
  if (by == PartitionBy::kColumn && data.arrays && !section->describes())
    section->error_at("by", section->path() + " by column needs data.table");
}

}  // namespace

void read_data(Section& root, DataConfig& data) {
  const auto found = root.section({"data", "Where the records come from and how they are split.", Need::kRequired});
  if (!found) return;
  Section section = *found;
  const bool both = section.has("table") && section.has("arrays");
  if (!section.describes() && (both || (!section.has("table") && !section.has("arrays"))))
    section.error(both ? "data holds both table and arrays" : "data must hold table or arrays", "give one of them");
  if (auto table = section.section({"table", "Records are the lines of one text table."}))
    read_table(*table, data.table.emplace());
  if (auto arrays = section.section({"arrays", "Records are rows of NumPy arrays."})) read_arrays(*arrays, data.arrays.emplace());
  read_standardize(section, data);
  section.number({"validation_fraction", "Share of each site's records for model selection."}, {.at_least = 0, .below = 1},
                 data.validation_fraction);
  section.number({"test_fraction", "Share of each site's records for the final test."}, {.at_least = 0, .below = 1},
                 data.test_fraction);
  section.texts({"sites", "Names of the hospitals, in order; 1 to 1000 of them.", Need::kRequired}, TextRule::kName, data.sites);
  read_partition(section, data);
  section.section_or_defaults({"party_columns", "Vertical studies: which columns each party holds."})
      .text_lists("PARTY", "Columns that this party holds.", data.party_columns);
  static constexpr IntegerRange kExtent{1, std::int64_t{1} << 24};
  section.integers(
      {"record_shape", "Shape of one record as the front sees it, such as [30] or [28, 28, 1]; the server needs it."}, kExtent,
      data.record_shape);
  section.section_or_defaults({"party_shapes", "Vertical studies: the same for each party."})
      .integer_lists("PARTY", "Shape of this party's part of a record.", kExtent, data.party_shapes);
  if (data.record_shape.size() >= static_cast<std::size_t>(Shape::kMaxRank))
    section.error_at("record_shape", "data.record_shape has more than " + std::to_string(Shape::kMaxRank - 1) + " dimensions");
  for (const auto& [party, shape] : data.party_shapes)
    if (shape.size() >= static_cast<std::size_t>(Shape::kMaxRank))
      section.error_at("party_shapes",
                       "data.party_shapes." + party + " has more than " + std::to_string(Shape::kMaxRank - 1) + " dimensions");
  Section augment = section.section_or_defaults({"augment", "Changes to training records, made at the client."});
  augment.integer(
      {"shift", "Images: random shift in both directions, at most this far.", Need::kOptional, Scope::kShared, "pixels"}, {0, 64},
      data.augment_shift);
  if (section.describes()) return;
  if (data.validation_fraction + data.test_fraction >= 1)
    section.error_at("test_fraction", "data.validation_fraction and data.test_fraction leave nothing to train on",
                     "their sum must be < 1");
  if (section.is_list("sites") && (data.sites.empty() || data.sites.size() > 1000))
    section.error_at("sites", "data.sites must name 1 to 1000 sites (found " + std::to_string(data.sites.size()) + ")");
}

}  // namespace sutura
