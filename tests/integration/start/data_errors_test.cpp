// Data files that are unusable: exit 7, file and row named, no value shown, nothing written, nothing sent.
#include <functional>

#include "tests/integration/start/refused_start.h"

namespace sutura::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr int kData = 7;
constexpr char kCanary[] = "31337.271828";
constexpr char kWord[] = "Canaryword";

/// The shipped records with row `row` (the header is row 1) replaced.
std::string with_row(std::size_t row, const std::function<std::string(std::string)>& change) {
  std::string text = content_of(shipped_records());
  std::size_t begin = 0;
  for (std::size_t r = 1; r < row; ++r) begin = text.find('\n', begin) + 1;
  const std::size_t end = text.find('\n', begin);
  return text.replace(begin, end - begin, change(text.substr(begin, end - begin)));
}
/// A row with its first measurement replaced.
std::string first_value(const std::string& row, const std::string& value) {
  const std::size_t first = row.find(',') + 1;
  return row.substr(0, first) + value + row.substr(row.find(',', first));
}

struct Damage {
  const char* name;
  std::function<std::string()> file;
  const char* says;
};
void PrintTo(const Damage& d, std::ostream* out) { *out << d.name; }

class BadTable : public RefusedStart, public ::testing::WithParamInterface<Damage> {};

TEST_P(BadTable, IsRefusedWithFileAndRowAndNoValue) {
  make_keys();
  const std::string table = "data.table.path=" + write("records.csv", GetParam().file()).string();
  const std::string dead = "connection.endpoint=tcp://127.0.0.1:1";
  for (const std::string& said :
       {refused("sutura-client", with(study, client_overrides({table, dead}), {"--site", kHospitalA}), kData),
        refused("sutura", with(study, {table}, {"simulate"}), kData)}) {
    EXPECT_THAT(said, AllOf(HasSubstr("records.csv"), HasSubstr(GetParam().says)));
    EXPECT_THAT(said, AllOf(Not(HasSubstr(kCanary)), Not(HasSubstr(kWord))));
  }
}

INSTANTIATE_TEST_SUITE_P(
    Csv, BadTable,
    ::testing::Values(
        Damage{"Ragged",
               [] { return with_row(17, [](const std::string& row) { return first_value(row, kCanary) + "," + kWord; }); },
               "row 17"},
        Damage{"Short", [] { return with_row(17, [](const std::string&) { return std::string("M,") + kCanary; }); }, "row 17"},
        Damage{"TextForANumber", [] { return with_row(9, [](const std::string& row) { return first_value(row, kWord); }); },
               "row 9, column 'mean_radius'"},
        Damage{"Nan", [] { return with_row(9, [](const std::string& row) { return first_value(row, "nan"); }); },
               "row 9, column 'mean_radius'"},
        Damage{"Infinity", [] { return with_row(9, [](const std::string& row) { return first_value(row, "1e999"); }); },
               "row 9, column 'mean_radius'"},
        Damage{"EmptyField", [] { return with_row(9, [](const std::string& row) { return first_value(row, ""); }); },
               "row 9, column 'mean_radius'"},
        Damage{"UnknownLabel", [] { return with_row(30, [](const std::string& row) { return kWord + row.substr(1); }); },
               "row 30, column 'diagnosis'"},
        Damage{"OpenQuote",
               [] { return with_row(30, [](const std::string& row) { return first_value(row, std::string("\"") + kCanary); }); },
               "row 30"},
        Damage{"NoRows", [] { return content_of(shipped_records()).substr(0, content_of(shipped_records()).find('\n') + 1); },
               "records.csv"},
        Damage{"Empty", [] { return std::string(); }, "records.csv"},
        Damage{"OneClass",
               [] {
                 std::string text = content_of(shipped_records());
                 for (std::size_t at = 0; (at = text.find("\nM,", at)) != std::string::npos;) text[at + 1] = 'B';
                 return text;
               },
               "all records are of one class"}),
    [](const auto& test) { return std::string(test.param.name); });

TEST_F(RefusedStart, ATableThatIsNotThere) {
  EXPECT_THAT(refused("sutura", with(study, {"data.table.path=none.csv"}, {"simulate"}), kData),
              HasSubstr("none.csv: cannot open"));
}

TEST_F(RefusedStart, RecordsOfAnotherShape) {
  EXPECT_THAT(refused("sutura", with(study, {"data.record_shape=[31]"}, {"simulate"}), kData),
              HasSubstr("a record has shape [1, 30], the study says [1, 31]"));
}

constexpr char kArrayStudy[] = R"(include: [topologies/vanilla.yaml]
study: arrays
data:
  arrays:
    path: records.npz
    train: {features: features, labels: labels}
    classes: 2
  test_fraction: 0.25
  sites: [hospital_a, hospital_b]
network: {zoo: mlp, hidden: [4], cuts: [act1]}
training: {loss: binary_cross_entropy, epochs: 1, optimizer: {name: sgd, learning_rate: 0.1}}
privacy: {mechanism: none, because: test, labels: public}
compute: {default: {backend: reference, threads: 1}}
)";

class BadArrays : public RefusedStart {
 protected:
  std::filesystem::path array_study() const { return write_study("study.yaml", kArrayStudy); }
  static std::string good() {
    return content_of(std::filesystem::path(SUTURA_SOURCE_DIR) / "tests/integration/start/records.npz");
  }
  std::string said_of(const std::string& npz) const {
    const auto file = write("records.npz", npz);
    return refused("sutura", with(array_study(), {"data.arrays.path=" + file.string()}, {"simulate"}), kData);
  }
  /// The archive with one bit of member `name` flipped, `offset` bytes into its NumPy content.
  static std::string flipped(const std::string& name, std::size_t offset) {
    std::string bent = good();
    const std::size_t at = bent.find("\x93NUMPY", bent.find(name + ".npy"));
    bent.at(at + offset) = static_cast<char>(bent.at(at + offset) ^ 1);
    return bent;
  }
};

TEST_F(BadArrays, TheGoodOnesRun) {
  const auto file = write("records.npz", good());
  const auto run = start("sutura", with(array_study(), {"data.arrays.path=" + file.string()}, {"simulate"}));
  expect_exit(*run, 0);
  EXPECT_TRUE(std::filesystem::exists(folder() / "out" / "summary.json"));
}

TEST_F(BadArrays, Truncated) { EXPECT_THAT(said_of(good().substr(0, good().size() / 2)), HasSubstr("records.npz")); }

TEST_F(BadArrays, NoArchive) { EXPECT_THAT(said_of(std::string(4000, 'x')), HasSubstr("records.npz")); }

TEST_F(BadArrays, AFlippedBitOfTheValues) {
  EXPECT_THAT(said_of(flipped("features", 500)), HasSubstr("records.npz, member features"));
}

TEST_F(BadArrays, AFlippedBitOfTheHeader) { EXPECT_THAT(said_of(flipped("labels", 1)), HasSubstr("records.npz, member labels")); }

TEST_F(BadArrays, ObjectsThatWouldRunCode) {
  const auto objects = content_of(std::filesystem::path(SUTURA_SOURCE_DIR) / "tests/data/fixtures/object.npz");
  const auto file = write("records.npz", objects);
  const Overrides names{"data.arrays.path=" + file.string(), "data.arrays.train.features=names"};
  EXPECT_THAT(refused("sutura", with(array_study(), names, {"simulate"}), kData), HasSubstr("records.npz, member names"));
}

}  // namespace
}  // namespace sutura::testing
