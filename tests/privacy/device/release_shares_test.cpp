// A release is shared out over blocks: every element has one block, and a block writes its own elements only. Blocks of the
// executor run one after the other, so a block that also wrote a neighbour's elements would be repaired by it there, and be a race
// on a GPU: here each share runs alone.
#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "core/random/philox.h"
#include "kernels/context.h"
#include "kernels/cuda/launch.h"
#include "kernels/device_stream.h"
#include "kernels/ops/release_rows/noise_share.h"
#include "kernels/ops/release_rows/quantise_row.h"
#include "kernels/ops/release_rows/release_shares.h"
#include "tests/simt/executor.h"

namespace sutura::simt {
namespace {

template <class Wire>
__global__ void share_kernel(Noise noise, std::int64_t begin, std::int64_t end, const std::int32_t* q, Wire* wire) {
  SUTURA_SHARED(std::uint64_t, tree, kTreeSize);
  for (unsigned i = threadIdx.x; i < kTreeSize; i += blockDim.x) tree[i] = kNoiseTree.at[i];
  block_sync();
  noise_share(noise, begin, end, tree, q, wire);
}

constexpr std::int64_t kElements = 600;  // more keystream blocks than the 64 threads below

/// What lies in the wire after one block made [begin, end), of 0x55 bytes.
template <class Wire>
std::vector<Wire> wire_after(Context& ctx, const Noise& noise, const Tensor& q, std::int64_t begin, std::int64_t end) {
  Tensor wire({kElements}, sizeof(Wire) == 1 ? DType::kInt8 : DType::kInt16);
  std::ranges::fill(wire.bytes(), std::byte{0x55});
  wire = ctx.here(std::move(wire));
  SUTURA_LAUNCH(share_kernel<Wire>, 1, 64, 0, ctx.stream().stream(), noise, begin, end,
                static_cast<const std::int32_t*>(q.data()), static_cast<Wire*>(wire.data()));
  const Tensor host = ctx.host(std::move(wire));
  return {host.as<Wire>().begin(), host.as<Wire>().end()};
}

template <class Wire>
void expect_own_elements_only() {
  Context ctx(Backend::kNative, table());
  Tensor integers({kElements}, DType::kInt32);
  PhiloxStream random(3, "integers");
  for (std::int32_t& v : integers.as<std::int32_t>()) v = static_cast<std::int32_t>(random.next_below(2001)) - 1000;
  const Tensor q = ctx.here(std::move(integers));
  constexpr Wire kUntouched = sizeof(Wire) == 1 ? 0x55 : 0x5555;
  for (int skip = 0; skip < kDraws; ++skip) {
    const Noise noise{
        .stream = {{1, 2, 3, 4, 5, 6, 7, 8}, {9, 10, 11}}, .first_block = 12, .skip = skip, .shift = 4, .whole = skip == 0};
    const std::vector<Wire> all = wire_after<Wire>(ctx, noise, q, 0, kElements);
    EXPECT_GT(std::ranges::count_if(all, [&](Wire v) { return v != kUntouched; }), kElements * 9 / 10);
    for (const auto& [begin, end] :
         {std::pair{0, 1}, {0, 9}, {3, 5}, {5, 13}, {8, 16}, {7, 8}, {16, 529}, {17, 543}, {1, 600}, {599, 600}}) {
      std::vector<Wire> want(all.size(), kUntouched);
      std::copy(all.begin() + begin, all.begin() + end, want.begin() + begin);
      EXPECT_EQ(wire_after<Wire>(ctx, noise, q, begin, end), want) << skip << ": " << begin << " to " << end;
    }
  }
}

TEST(NoiseShare, WritesItsOwnElementsOnly) {
  expect_own_elements_only<std::int8_t>();
  expect_own_elements_only<std::int16_t>();
}

template <class Team>
__global__ void part_kernel(RowArguments r, const float* rows, std::int64_t from, std::int64_t to, std::int32_t* q) {
  SUTURA_SHARED(typename Team::Scratch, scratch, 1);
  const Team team(scratch[0]);
  if (team.index() == 0) quantise_row(team, r, rows, from, to, q);
}

template <class Team>
void expect_own_integers_only(double clip_norm) {
  constexpr std::int64_t kValues = 5000;
  constexpr std::int32_t kUntouched = 0x55555555;
  Context ctx(Backend::kNative, table());
  Tensor row({1, kValues});
  PhiloxStream random(4, "row");
  for (float& v : row.f32()) v = static_cast<float>(random.next_normal());
  RowSettings settings;
  settings.bound = 4096;
  settings.clip_norm = clip_norm;
  const RowArguments r = row_arguments(settings, row);
  const Tensor here = ctx.here(std::move(row));
  const auto part = [&](std::int64_t from, std::int64_t to) {
    Tensor q({kValues}, DType::kInt32);
    std::ranges::fill(q.as<std::int32_t>(), kUntouched);
    q = ctx.here(std::move(q));
    SUTURA_LAUNCH(part_kernel<Team>, 1, Team::kThreads, 0, ctx.stream().stream(), r, static_cast<const float*>(here.data()), from,
                  to, static_cast<std::int32_t*>(q.data()));
    const Tensor host = ctx.host(std::move(q));
    return std::vector<std::int32_t>(host.as<std::int32_t>().begin(), host.as<std::int32_t>().end());
  };
  const std::vector<std::int32_t> all = part(0, kValues);
  EXPECT_EQ(std::ranges::count(all, 0) == kValues, clip_norm < 1e-300) << "a row that the norm check drops";
  for (const auto& [from, to] : {std::pair{0, 1}, {1, 8}, {8, 16}, {31, 4097}, {512, 4999}, {4999, 5000}}) {
    std::vector<std::int32_t> want(all.size(), kUntouched);
    std::copy(all.begin() + from, all.begin() + to, want.begin() + from);
    EXPECT_EQ(part(from, to), want) << from << " to " << to;
  }
}

TEST(QuantisedPart, HasItsOwnIntegersOnly) {
  for (const double clip_norm : {0.8, 1e-310}) {
    expect_own_integers_only<WarpTeam>(clip_norm);
    expect_own_integers_only<BlockTeam>(clip_norm);
  }
}

constexpr std::int64_t kMultiprocessors = 132;  // an H100's
ReleaseShares for_blocks(std::int64_t n, std::int64_t d) { return release_shares(n, d, 512, 1, 2, kMultiprocessors); }
ReleaseShares for_warps(std::int64_t n, std::int64_t d) { return release_shares(n, d, 256, 8, 4, kMultiprocessors); }

TEST(ReleaseShares, ARowABlockAndSlicesWhereRowsAreFew) {
  const std::int64_t d = 64 * 28 * 28;  // 50176
  EXPECT_EQ(for_blocks(128, d).blocks, 128);
  EXPECT_EQ(for_blocks(128, d).slices, 1);
  EXPECT_EQ(for_blocks(512, d).blocks, 512);
  EXPECT_EQ(for_blocks(32, d).slices, 4);  // 128 blocks
  EXPECT_EQ(for_blocks(32, d).elements, d / 4);
  EXPECT_EQ(for_blocks(1, d).slices, 13);  // a keystream block a thread
  EXPECT_EQ(for_blocks(1, 2049).slices, 1);
  EXPECT_EQ(for_warps(512, 64).rows, 8);    // a row a warp
  EXPECT_EQ(for_warps(32, 2048).rows, 1);   // a row has enough noise for a block
  EXPECT_EQ(for_warps(10000, 1).rows, 18);  // all multiprocessors before full blocks
  EXPECT_EQ(for_warps(1 << 20, 64).rows, 256);
  EXPECT_EQ(for_warps(1 << 20, 2048).rows, 8);
}

TEST(ReleaseShares, CoverEveryElementOnce) {
  for (const std::int64_t d : {1, 7, 64, 300, 2048, 2049, 50176, 50177, 1 << 22})
    for (const std::int64_t n : {1, 2, 31, 131, 132, 133, 5000}) {
      const ReleaseShares s = d <= 2048 ? for_warps(n, d) : for_blocks(n, d);
      const std::int64_t groups = (n + s.rows - 1) / s.rows;
      EXPECT_EQ(s.blocks, groups * s.slices);
      EXPECT_EQ(s.elements % kDraws, 0) << "or accesses of eight values are lost";
      EXPECT_GE(s.slices * s.elements, s.rows * d);
      EXPECT_LT((s.slices - 1) * s.elements, s.rows * d) << "a slice that is always empty";
    }
}

}  // namespace
}  // namespace sutura::simt
