#include "models/safetensors.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>

#include "core/error.h"
#include "core/file.h"
#include "tests/models/zoo_cases.h"

namespace sutura::testing {
namespace {

class Safetensors : public ::testing::Test {
 protected:
  Safetensors() { std::filesystem::create_directories(folder); }
  ~Safetensors() override { std::filesystem::remove_all(folder); }
  const std::filesystem::path folder =
      std::filesystem::temp_directory_path() / ("sutura_safetensors_" + std::to_string(::getpid()));
};

Bytes file_of(std::string header, std::size_t value_bytes) {
  Bytes b(8 + header.size() + value_bytes);
  store_le(std::span(b), 0, static_cast<std::uint64_t>(header.size()));
  std::memcpy(b.data() + 8, header.data(), header.size());
  return b;
}

std::string refusal(ByteSpan file) {
  try {
    decode_safetensors(file);
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), Errc::kData) << e.what();
    return e.what();
  }
  return "no error";
}

std::string entry(const std::string& name, const std::string& shape, int begin, int end, const std::string& dtype = "F32") {
  return "\"" + name + R"(":{"dtype":")" + dtype + R"(","shape":)" + shape + R"(,"data_offsets":[)" + std::to_string(begin) +
         "," + std::to_string(end) + "]}";
}

TEST_F(Safetensors, RoundTripKeepsEveryBit) {
  Tensor odd({3});
  odd.f32()[0] = std::nanf("7");
  odd.f32()[1] = -0.0f;
  odd.f32()[2] = 1e-42f;
  const Tensor a = random_values({2, 3, 4}, "a"), empty({0, 5}), scalar = random_values({}, "s");
  const auto back = decode_safetensors(encode_safetensors({{"a", &a}, {"odd", &odd}, {"empty", &empty}, {"scalar", &scalar}}));
  ASSERT_EQ(back.size(), 4u);
  EXPECT_TRUE(same_bytes(back.at("a"), a));
  EXPECT_TRUE(same_bytes(back.at("odd"), odd));
  EXPECT_EQ(back.at("empty").shape(), (Shape{0, 5}));
  EXPECT_TRUE(same_bytes(back.at("scalar"), scalar));
  EXPECT_TRUE(decode_safetensors(encode_safetensors({})).empty());
}

TEST_F(Safetensors, ReadsWhatPythonWritesAndPythonReadsWhatWeWrite) {
  const auto ours = folder / "ours.safetensors", theirs = folder / "theirs.safetensors";
  const Network network = build(zoo_cases()[4]);
  const ParamStore params = network.make_params(4);
  save_params(params, ours);
  // The script reads `ours` with struct, json and numpy alone, adds 1 to every value and writes `theirs`.
  const std::string command =
      "/usr/bin/python3 " SUTURA_SOURCE_DIR "/tests/models/add_one_safetensors.py " + ours.string() + " " + theirs.string();
  ASSERT_EQ(std::system(command.c_str()), 0) << command;
  ParamStore read = network.make_params(5);
  load_params(read, theirs);
  ASSERT_GT(read.total(), 1000);
  for (std::int64_t i = 0; i < read.total(); ++i)
    ASSERT_EQ(read.values().f32()[static_cast<std::size_t>(i)], params.values().f32()[static_cast<std::size_t>(i)] + 1.0f);
}

TEST_F(Safetensors, ParametersComeBackStatisticsIncluded) {
  const ZooCase c = zoo_cases()[4];
  const Network network = build(c);
  ParamStore params = network.make_params(4);
  Context ctx(Backend::kReference);
  Saved saved;
  network.forward(ctx, params, inputs_of(c), saved, {});  // moves the running statistics
  save_params(params, folder / "p");
  ParamStore read = network.make_params(9);
  load_params(read, folder / "p");
  EXPECT_TRUE(same_bytes(read.values(), params.values()));
}

TEST_F(Safetensors, LoadRefusesOtherNetworksAndChangesNothing) {
  const auto store = [](std::int64_t n, const std::string& extra) {
    std::vector<ParamSpec> specs = {{"weight", {n}, Init::kFanInUniform, 1}};
    if (!extra.empty()) specs.push_back({extra, {2}, Init::kOnes});
    return ParamStore({"fc"}, {specs}, 1);
  };
  save_params(store(3, "bias"), folder / "p");
  const auto refused = [&](ParamStore params) -> std::string {
    const Tensor before = params.values().clone();
    try {
      load_params(params, folder / "p");
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), Errc::kData);
      EXPECT_TRUE(same_bytes(params.values(), before));
      return e.what();
    }
    return "no error";
  };
  EXPECT_NE(refused(store(4, "bias")).find("fc.weight is [3] in the file and [4] in the network"), std::string::npos);
  EXPECT_NE(refused(store(3, "")).find("holds fc.bias, which the network does not have"), std::string::npos);
  EXPECT_NE(refused(store(3, "offset")).find("holds no fc.offset"), std::string::npos);
  EXPECT_EQ(refused(store(3, "bias")), "no error");
  EXPECT_THROW(read_safetensors(folder / "missing"), Error);
}

TEST_F(Safetensors, HostileFilesAreRefused) {
  const auto file = [](const std::string& entries, std::size_t bytes) { return file_of("{" + entries + "}", bytes); };
  EXPECT_EQ(refusal(file(entry("a", "[2]", 0, 8), 8)), "no error");  // control: the form itself is accepted
  EXPECT_NE(refusal(Bytes(7)).find("shorter"), std::string::npos);
  EXPECT_NE(refusal(file_of("[]", 0)).find("not a JSON object"), std::string::npos);
  EXPECT_NE(refusal(file_of("{", 0)).find("not a JSON object"), std::string::npos);
  EXPECT_NE(refusal(file_of("{} x", 0)).find("not a JSON object"), std::string::npos);
  EXPECT_NE(refusal(file(entry("a", "[2]", 0, 8) + "," + entry("a", "[2]", 8, 16), 16)).find("twice"), std::string::npos);
  EXPECT_NE(refusal(file(entry("a", "[2]", 0, 8) + "," + entry("b", "[2]", 4, 12), 12)).find("hole or overlap"),
            std::string::npos);
  EXPECT_NE(refusal(file(entry("a", "[2]", 0, 8) + "," + entry("b", "[2]", 12, 20), 20)).find("hole or overlap"),
            std::string::npos);
  EXPECT_NE(refusal(file(entry("a", "[2]", 4, 12), 12)).find("hole or overlap"), std::string::npos);
  EXPECT_NE(refusal(file(entry("a", "[2]", 0, 8), 9)).find("after the last"), std::string::npos);
  EXPECT_NE(refusal(file(entry("a", "[2]", 0, 8), 4)).find("outside the file"), std::string::npos);
  EXPECT_NE(refusal(file(entry("a", "[3]", 0, 8), 8)).find("differs from its shape"), std::string::npos);
  EXPECT_NE(refusal(file(entry("a", "[2]", 8, 0), 8)).find("outside the file"), std::string::npos);
  EXPECT_NE(refusal(file(entry("a", "[-2]", 0, 8), 8)).find("not a whole number"), std::string::npos);
  EXPECT_NE(refusal(file(entry("a", "[2.0]", 0, 8), 8)).find("not a whole number"), std::string::npos);
  EXPECT_NE(refusal(file(entry("a", "[1,1,1,1,1,1,2]", 0, 8), 8)).find("at most six"), std::string::npos);
  // 2^32 * 2^32 elements: the product must not wrap to something small.
  EXPECT_NE(refusal(file(entry("a", "[4294967296,4294967296]", 0, 0), 0)).find("too large"), std::string::npos);
  EXPECT_NE(refusal(file(entry("a", "[4]", 0, 8, "F16"), 8)).find("not float32"), std::string::npos);
  EXPECT_NE(refusal(file(R"("a":{"dtype":"F32","shape":[2]})", 8)).find("{dtype, shape, data_offsets}"), std::string::npos);
  EXPECT_NE(refusal(file(R"("a":3)", 0)).find("{dtype, shape, data_offsets}"), std::string::npos);
  EXPECT_NE(refusal(file(R"("__metadata__":[])", 0)).find("__metadata__"), std::string::npos);
  EXPECT_EQ(refusal(file(R"("__metadata__":{"format":"pt"},)" + entry("a", "[2]", 0, 8), 8)), "no error");
  EXPECT_NE(refusal(file_of(std::string((1 << 20) + 1, ' '), 0)).find("above 1 MB"), std::string::npos);
  Bytes longer = file(entry("a", "[2]", 0, 8), 8);
  store_le(std::span(longer), 0, std::uint64_t{1000});
  EXPECT_NE(refusal(longer).find("longer than the file"), std::string::npos);
  store_le(std::span(longer), 0, ~std::uint64_t{0});
  EXPECT_NE(refusal(longer).find("above 1 MB"), std::string::npos);
  EXPECT_NE(refusal(file_of(std::string(500000, '['), 0)).find("not a JSON object"), std::string::npos);
}

/// Any damage of one byte is either refused as kData or read as other numbers: never a crash, never another error.
TEST_F(Safetensors, EveryFlippedHeaderByteIsHandled) {
  const Tensor a = random_values({2, 3}, "a"), b = random_values({4}, "b");
  const Bytes good = encode_safetensors({{"a", &a}, {"b", &b}});
  int refused = 0;
  for (std::size_t i = 0; i < good.size() - 40; ++i) {
    for (const int bit : {0, 3, 6, 7}) {
      Bytes damaged = good;
      damaged[i] ^= static_cast<std::byte>(1 << bit);
      refused += refusal(damaged) != "no error";
    }
  }
  EXPECT_GT(refused, 100);
}

TEST_F(Safetensors, WritingRefusesWhatItCouldNotReadBack) {
  const Tensor a = Tensor::zeros({2}), whole = Tensor::zeros({2}, DType::kInt32), none;
  EXPECT_THROW(encode_safetensors({{"a", &a}, {"a", &a}}), Error);
  EXPECT_THROW(encode_safetensors({{"", &a}}), Error);
  EXPECT_THROW(encode_safetensors({{"__metadata__", &a}}), Error);
  EXPECT_THROW(encode_safetensors({{"a", &whole}}), Error);
  EXPECT_THROW(encode_safetensors({{"a", &none}}), Error);
  EXPECT_THROW(encode_safetensors({{"\xff", &a}}), Error);
  EXPECT_THROW(encode_safetensors({{std::string(2 << 20, 'a'), &a}}), Error);
}

}  // namespace
}  // namespace sutura::testing
