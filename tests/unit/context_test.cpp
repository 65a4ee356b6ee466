#include "kernels/context.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <regex>
#include <string>
#include <utility>

#include "core/error.h"

namespace sutura {
namespace {

template <class Action>
std::string message_of(Errc code, Action action) {
  try {
    action();
  } catch (const Error& e) {
    EXPECT_EQ(name(e.code()), name(code)) << e.what();
    return e.what();
  }
  ADD_FAILURE() << "nothing was thrown";
  return {};
}

bool told_to_stay_at_avx2() {
  const char* most = std::getenv("ONEDNN_MAX_CPU_ISA");
  return most != nullptr && std::string(most) == "AVX2";
}

TEST(Context, BackendsHaveNames) {
  for (const Backend b : {Backend::kReference, Backend::kOnednn}) EXPECT_EQ(backend_from_name(name(b)), b);
  EXPECT_EQ(name(Backend::kReference), "reference");
  EXPECT_EQ(name(Backend::kOnednn), "onednn");
  for (const char* wrong : {"", "Reference", "onednn ", "cuda"}) {
    const std::string text = message_of(Errc::kInvalidArgument, [&] { backend_from_name(wrong); });
    EXPECT_NE(text.find("reference, onednn, native or cudnn"), std::string::npos) << text;
  }
}

TEST(Context, TheReferenceBackendIsOneThread) {
  const Context ctx(Backend::kReference, 8);
  EXPECT_EQ(ctx.threads(), 1);
  EXPECT_EQ(ctx.compute(), DType::kFloat32);
  EXPECT_EQ(ctx.description(), "reference, 1 thread, f32");
}

TEST(Context, TheDescriptionSaysWhatComputes) {
  for (const int threads : {1, 2}) {
    const Context ctx(Backend::kOnednn, threads);
    EXPECT_EQ(ctx.threads(), threads);
    const std::string text = ctx.description();
    const std::regex form(R"(onednn \d+\.\d+\.\d+, (1 thread|2 threads), f32, \w+)");
    EXPECT_TRUE(std::regex_match(text, form)) << text;
    EXPECT_NE(text.find(threads == 1 ? "1 thread," : "2 threads,"), std::string::npos) << text;
    if (told_to_stay_at_avx2()) {
      EXPECT_TRUE(text.ends_with(", avx2")) << text;
    }
  }
}

TEST(Context, ThreadsAreBounded) {
  for (const Backend b : {Backend::kReference, Backend::kOnednn})
    for (const int threads : {0, -1, 1025}) message_of(Errc::kInvalidArgument, [&] { Context ctx(b, threads); });
}

TEST(Context, ActivationsAreFloat32OrBfloat16) {
  for (const Backend b : {Backend::kReference, Backend::kOnednn}) {
    for (const DType type : {DType::kInt8, DType::kFloat64, DType::kInt32, static_cast<DType>(200)}) {
      message_of(Errc::kInvalidArgument, [&] { Context ctx(b, 1, type); });
    }
  }
}

TEST(Context, Bfloat16IsADeviceErrorWhereItIsNotSupported) {
  message_of(Errc::kDevice, [] { Context ctx(Backend::kReference, 1, DType::kBfloat16); });
  if (told_to_stay_at_avx2()) {
    EXPECT_FALSE(Context::cpu_has_bf16());
  }
  if (!Context::cpu_has_bf16()) {
    const std::string text = message_of(Errc::kDevice, [] { Context ctx(Backend::kOnednn, 1, DType::kBfloat16); });
    EXPECT_NE(text.find("AVX512-BF16"), std::string::npos) << text;
    return;
  }
  const Context ctx(Backend::kOnednn, 1, DType::kBfloat16);
  EXPECT_EQ(ctx.compute(), DType::kBfloat16);
  EXPECT_NE(ctx.description().find(", bf16, avx512_core_"), std::string::npos) << ctx.description();
}

TEST(Context, OnlyOnednnHasAnEngineAndMovingTakesItAlong) {
  Context reference(Backend::kReference);
  message_of(Errc::kInternal, [&] { reference.engine(); });
  Context fast(Backend::kOnednn);
  const onednn::Engine* engine = &fast.engine();
  Context moved(std::move(fast));
  EXPECT_EQ(&moved.engine(), engine);
  reference = std::move(moved);
  EXPECT_EQ(&reference.engine(), engine);
  EXPECT_EQ(reference.backend(), Backend::kOnednn);
}

}  // namespace
}  // namespace sutura
