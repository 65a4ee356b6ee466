#include "core/shape.h"
#include "runtime/config/scalar.h"
#include "runtime/config/sections.h"

namespace sutura {
namespace {

constexpr std::int64_t kMostClasses = 100'000;

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
  static constexpr Choice<Layout> kLayouts[] = {
      {"rows", Layout::kRows}, {"images", Layout::kImages}, {"signals", Layout::kSignals}};
  section.choice({"layout",
                  "How the features lie: `rows` [N, D], `images` [N, H, W(, C)], `signals` [N, L]; by default two "
                  "dimensions are rows, more are images."},
                 kLayouts, arrays.layout);
  section.integers({"class_values",
                    "Raw label values in class order; records with other values are left out.",
                    Need::kOptional,
                    Scope::kShared,
                    {},
                    "0, 1, ..."},
                   {INT32_MIN, INT32_MAX}, arrays.class_values);
  const auto values = static_cast<std::int64_t>(arrays.class_values.size());
  if (values > 0) arrays.classes = values;
  section.integer({"classes", "Number of classes, as many as `class_values` holds; 0: the labels are numbers (regression)."},
                  {0, kMostClasses}, arrays.classes);
  if (section.describes()) return;
  if (values == 1) section.error_at("class_values", section.path_of("class_values") + " must hold at least two values");
  for (std::size_t i = 0; i < arrays.class_values.size(); ++i)
    for (std::size_t j = 0; j < i; ++j)
      if (arrays.class_values[i] == arrays.class_values[j])
        section.error_at_item("class_values", i,
                              section.path_of("class_values") + " holds " + std::to_string(arrays.class_values[i]) + " twice");
  if (values == 0 && arrays.classes == 1)
    section.error_at("classes", section.path_of("classes") + " must be at least 2, or 0 for a regression (got 1)");
  if (values > 1 && arrays.classes != values)
    section.error_at("classes",
                     section.path_of("classes") + " is " + std::to_string(arrays.classes) + ", but class_values holds " +
                         std::to_string(values) + " values",
                     "leave classes out");
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
    section->text({"column", "`by: column`: the table column, or the array, whose text is the site's name.", Need::kRequired},
                  TextRule::kNotEmpty, data.partition_column);
  if (section->describes() || by == PartitionBy::kLabelSkew)
    section->number({"alpha", "`by: label_skew`: concentration; small means skewed."}, {.above = 0}, data.partition_alpha);
  data.partition = by.value_or(PartitionBy::kEvenly);
  if (!by)
    for (const char* name : {"column", "alpha"}) section->ignore(name);
}

void read_party_tables(Section& section, DataConfig& data) {
  Section tables = section.section_or_defaults({"party_tables", "Vertical studies: each party's own file of the same patients."});
  std::string label_holder;
  for (auto& [party, part] : tables.named_sections("PARTY", "The table that this party holds.", TextRule::kIdentifier)) {
    TableConfig& table = data.party_tables[party];
    read_table(part, TableOf::kOneParty, table);
    if (table.label.empty()) continue;
    if (label_holder.empty())
      label_holder = party;
    else
      part.error_at("label", "the tables of " + label_holder + " and " + party + " both hold a label",
                    "one party holds the labels");
  }
  section.text({"split_party",
                "Of `party_tables`: the party whose file (labels, group) decides the splits.",
                Need::kOptional,
                Scope::kShared,
                {},
                "the label holder"},
               TextRule::kIdentifier, data.split_party);
  if (section.describes()) return;
  if (section.has("party_tables")) {
    if (data.party_tables.size() < 2)
      section.error_at("party_tables", "data.party_tables must hold the tables of at least two parties");
    else if (label_holder.empty())
      section.error_at("party_tables", "no table of data.party_tables holds a label", "give the label holder's table a label");
    for (const char* other : {"party_columns", "partition"})
      if (section.has(other))
        section.error_at(other, "data." + std::string(other) + " does not go with data.party_tables",
                         "each party has a file of its own");
  }
  std::vector<std::string> parties;
  for (const auto& [party, table] : data.party_tables) parties.push_back(party);
  if (!data.split_party.empty() && !data.party_tables.contains(data.split_party))
    section.error_at("split_party", "data.party_tables holds no table of " + data.split_party,
                     parties.empty() ? "" : nearest_hint(data.split_party, parties));
}

void read_folds(Section& section, DataConfig& data) {
  section.integer({"folds", "Cross-validation: the test records are one of so many equal parts; 0: `test_fraction` says."},
                  {0, 1000}, data.folds);
  section.integer({"fold", "Which of the parts, counted from 0."}, {0, 999}, data.fold);
  if (section.describes()) return;
  if (data.folds == 1)
    section.error_at("folds", "data.folds must be 0 or at least 2 (got 1)", "one part leaves nothing to train on");
  if (data.folds != 1 && data.fold > 0 && data.fold >= data.folds)
    section.error_at("fold", data.folds == 0 ? std::string("data.fold needs data.folds")
                                             : "data.fold must be below data.folds, which is " + std::to_string(data.folds));
  if (data.folds > 1 && data.test_fraction > 0)
    section.error_at("test_fraction", "data.folds and data.test_fraction both say which records are for the test",
                     "set data.test_fraction to 0");
  if (data.folds > 1 && data.arrays && !data.arrays->test_features.empty())
    section.error_at("folds", "data.folds and data.arrays.test both say which records are for the test", "leave one of them out");
}

}  // namespace

void read_data(Section& root, DataConfig& data) {
  const auto found = root.section({"data", "Where the records come from and how they are split.", Need::kRequired});
  if (!found) return;
  Section section = *found;
  int forms = 0;
  for (const std::string_view form : {"table", "arrays", "party_tables"}) forms += section.has(form) ? 1 : 0;
  if (forms != 1 && !section.describes())
    section.error("data must hold exactly one of table, arrays, party_tables (found " + std::to_string(forms) + ")");
  if (auto table = section.section({"table", "Records are the lines of one text table."}))
    read_table(*table, TableOf::kWholeStudy, data.table.emplace());
  if (auto arrays = section.section({"arrays", "Records are rows of NumPy arrays."})) read_arrays(*arrays, data.arrays.emplace());
  read_party_tables(section, data);
  read_standardize(section, data);
  section.number({"validation_fraction", "Share of each site's records for model selection."}, {.at_least = 0, .below = 1},
                 data.validation_fraction);
  section.number({"test_fraction", "Share of each site's records for the final test."}, {.at_least = 0, .below = 1},
                 data.test_fraction);
  read_folds(section, data);
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
