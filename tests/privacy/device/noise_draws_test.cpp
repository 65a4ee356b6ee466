// The keystream and the draws that the kernels are made of, called from kernels of this test.
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "../rfc8439.h"
#include "core/bytes.h"
#include "core/random/chacha20.h"
#include "kernels/context.h"
#include "kernels/cuda/chacha.h"
#include "kernels/cuda/launch.h"
#include "kernels/device_stream.h"
#include "kernels/ops/release_rows/noise_draws.h"
#include "tests/simt/executor.h"

namespace sutura::simt {
namespace {

__global__ void keystream_kernel(ChaChaStream stream, std::uint32_t counter, std::uint32_t* out) {
  std::uint32_t words[16];
  const std::uint32_t block = blockIdx.x * blockDim.x + threadIdx.x;
  chacha20_block(stream, stream.nonce[0], counter + block, words);
  for (unsigned i = 0; i < 16; ++i) out[16 * block + i] = words[i];
}

/// Words from memory in place of a keystream.
struct GivenWords {
  const std::uint64_t* first;
  const std::uint64_t* extension;
  void operator()(std::uint32_t kind, std::uint32_t block, std::uint32_t (&words)[16]) const {
    const std::uint64_t* from = kind == 0 ? first : extension;
    for (unsigned e = 0; e < 8; ++e) {
      words[2 * e] = static_cast<std::uint32_t>(from[8 * block + e]);
      words[2 * e + 1] = static_cast<std::uint32_t>(from[8 * block + e] >> 32);
    }
  }
};
__global__ void draws_kernel(const std::uint64_t* first, const std::uint64_t* extension, std::int32_t* out) {
  SUTURA_SHARED(std::uint64_t, tree, kTreeSize);
  for (unsigned i = threadIdx.x; i < kTreeSize; i += blockDim.x) tree[i] = kNoiseTree.at[i];
  block_sync();
  const std::uint32_t block = blockIdx.x * blockDim.x + threadIdx.x;
  std::int32_t z[kDraws];
  noise_draws(GivenWords{first, extension}, block, tree, z);
  for (unsigned e = 0; e < 8; ++e) out[8 * block + e] = z[e];
}

Context device() { return Context(Backend::kNative, table()); }

/// Little-endian keystream of `blocks` blocks (a multiple of 32).
Bytes keystream(const std::string& key, const std::string& nonce, std::uint32_t counter, unsigned blocks = 32) {
  Context ctx = device();
  ChaChaStream stream{};
  const Bytes key_bytes = from_hex(key), nonce_bytes = from_hex(nonce);
  for (std::size_t i = 0; i < 8; ++i) stream.key[i] = load_le<std::uint32_t>(key_bytes, 4 * i);
  for (std::size_t i = 0; i < 3; ++i) stream.nonce[i] = load_le<std::uint32_t>(nonce_bytes, 4 * i);
  Tensor out = ctx.tensor({blocks, 16}, DType::kInt32);
  SUTURA_LAUNCH(keystream_kernel, blocks / 32, 32, 0, ctx.stream().stream(), stream, counter,
                static_cast<std::uint32_t*>(out.data()));
  const Tensor host = ctx.host(std::move(out));
  return {host.bytes().begin(), host.bytes().end()};
}

TEST(DeviceChaCha20, MatchesRfc8439) {
  for (const privacy_tests::Rfc8439Vector& v : privacy_tests::kRfc8439) {
    const Bytes out = keystream(v.key, v.nonce, v.counter);
    EXPECT_EQ(to_hex(ByteSpan(out).first(v.keystream.size() / 2)), v.keystream) << v.section;
  }
  // Blocks side by side are those of the CPU, up to the last counter.
  Bytes cpu(96 * 64);
  chacha20_keystream(ChaChaKey{from_hex(privacy_tests::kCountingKey)}, {5, 6, 7}, 0xffffffffu - 95, cpu);
  EXPECT_EQ(keystream(privacy_tests::kCountingKey, "050000000600000007000000", 0xffffffffu - 95, 96), cpu);
}

std::vector<std::int32_t> draws(const std::vector<std::uint64_t>& words, const std::vector<std::uint64_t>& extension) {
  Context ctx = device();
  const auto blocks = static_cast<std::int64_t>((words.size() + 255) / 256 * 32);
  const auto here = [&](const std::vector<std::uint64_t>& from) {
    Tensor t = Tensor::zeros({blocks, 16}, DType::kInt32);
    std::copy_n(std::as_bytes(std::span(from)).begin(), 8 * from.size(), t.bytes().begin());
    return ctx.here(std::move(t));
  };
  const Tensor first = here(words), second = here(extension);
  Tensor out = ctx.tensor({blocks, 8}, DType::kInt32);
  SUTURA_LAUNCH(draws_kernel, static_cast<unsigned>(blocks / 32), 32, 0, ctx.stream().stream(),
                static_cast<const std::uint64_t*>(first.data()), static_cast<const std::uint64_t*>(second.data()),
                static_cast<std::int32_t*>(out.data()));
  const Tensor host = ctx.host(std::move(out));
  return {host.as<std::int32_t>().begin(), host.as<std::int32_t>().begin() + static_cast<std::ptrdiff_t>(words.size())};
}

TEST(DeviceDraws, EqualTheCpusBesideAndOnEveryThreshold) {
  const auto table = rounded_gaussian_thresholds();
  std::vector<std::uint64_t> words, extension;
  for (std::size_t k = 0; k < table.size(); ++k)
    for (const std::uint64_t u : {table[k].high - 1, table[k].high, std::min(table[k].high + 1, ~std::uint64_t{0} >> 1)}) {
      words.push_back(u << 1 | (k & 1));
      const std::uint64_t low = table[k].low;
      extension.push_back(k % 3 == 0 ? low : k % 3 == 1 ? low - 1 : ~std::uint64_t{0});
    }
  words.insert(words.end(), {0, 1, ~std::uint64_t{0}, ~std::uint64_t{0} - 1});
  extension.insert(extension.end(), {0, 0, 0, ~std::uint64_t{0}});
  std::vector<std::int32_t> want(words.size());
  rounded_gaussian(Isa::kBaseline, words, want);
  std::size_t ties = 0, moved = 0;
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (!needs_extension(words[i])) continue;
    ++ties;
    const std::int32_t settled = extended_draw(words[i], extension[i]);
    moved += settled != want[i];
    want[i] = settled;
  }
  EXPECT_GT(ties, 3000u);
  EXPECT_GT(moved, 1000u) << "the second word must matter, or the tie branch is not tested";
  EXPECT_EQ(draws(words, extension), want);
}

TEST(DeviceDraws, EqualTheCpusOnAKeystream) {
  std::vector<std::uint64_t> words(1 << 16), none(words.size());
  chacha20_keystream(ChaChaKey{Bytes(32, std::byte{7})}, {1, 0, 0}, 0, std::as_writable_bytes(std::span(words)));
  std::vector<std::int32_t> want(words.size());
  ASSERT_EQ(rounded_gaussian(Isa::kBaseline, words, want), 0u);
  EXPECT_EQ(draws(words, none), want);
}

}  // namespace
}  // namespace sutura::simt
