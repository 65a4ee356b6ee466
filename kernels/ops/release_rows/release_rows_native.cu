#include <algorithm>
#include <cstdint>

#include "kernels/context.h"
#include "kernels/cuda/launch.h"
#include "kernels/device_stream.h"
#include "kernels/ops/release_rows/noise_share.h"
#include "kernels/ops/release_rows/quantise_row.h"
#include "kernels/ops/release_rows/release_rows_impl.h"
#include "kernels/ops/release_rows/release_shares.h"

namespace sutura::SUTURA_DEVICE {
namespace {

/// Blocks on a multiprocessor: 32 warps, 64 registers a thread.
template <class Team>
constexpr unsigned kAtOnce = 1024 / Team::kThreads;

/// Clip, norm check, quantisation, noise and wire format of a block's share. Its teams quantise the rows that the share touches,
/// then all its threads draw the noise of the share's elements. The integers go through `q`, of which each block writes and reads
/// its own part only: those whose norm was checked are those that get the noise.
/// Limit: integer throughput, some 200 instructions a value for the noise (ChaCha20 1000 per eight values, a search twelve steps
/// of six), and before it some 130 a value for norms and integers, of which a row's one ordered pass has a latency that only other
/// blocks hide. Memory is far: seven reads of a value, all but the first from a cache; four bytes of q, which the same block writes,
/// masks and reads; one or two of wire.
/// Shape: 32 warps a multiprocessor is what 64 registers allow. For rows up to 2048 values that is four blocks of 256, a warp a
/// row; for longer ones two of 512, a row at a time: while one block is in the passes of its row, whose limit is latency and fp64,
/// the other draws noise. A block of 1024 would have neither neighbour nor room for one. Each block loads the 32 KiB tree once, for
/// a share of up to 16384 values (or one row): more blocks than run at once, so that the device levels out their time.
/// Few long rows: with a row for most multiprocessors (128 rows on 132) each has one block: four warps a scheduler, each with four
/// to eight independent chains of integer work, are enough for the noise, but nothing runs beside the ordered pass. Where there are
/// at most half as many rows as multiprocessors, blocks share a row: the passes are then repeated by each of them, only the noise
/// gets faster.
template <class Team, class Wire>
__global__ void __launch_bounds__(Team::kThreads, kAtOnce<Team>)
    release_kernel(RowArguments r, ReleaseShares shares, Noise noise, const float* rows, std::int32_t* q, Wire* wire) {
  SUTURA_SHARED(std::uint64_t, tree, kTreeSize);
  SUTURA_SHARED(typename Team::Scratch, scratch, 1);
  const std::int64_t group = blockIdx.x / shares.slices, slice = blockIdx.x % shares.slices;
  const std::int64_t group_end = std::min(r.rows, (group + 1) * shares.rows) * r.d;
  const std::int64_t begin = group * shares.rows * r.d + slice * shares.elements,
                     end = std::min(group_end, begin + shares.elements);
  if (begin >= end) return;  // a whole block: the last group may have fewer slices
  for (unsigned i = threadIdx.x; i < kTreeSize; i += Team::kThreads) tree[i] = kNoiseTree.at[i];

  const Team team(scratch[0]);
  for (std::int64_t row = begin / r.d + team.index(); row * r.d < end; row += Team::kRows) {
    const std::int64_t at = row * r.d;
    quantise_row(team, r, rows + at, std::max<std::int64_t>(begin - at, 0), std::min(end - at, r.d), q + at);
  }
  block_sync();  // teams without a row wait here
  noise_share(noise, begin, end, tree, q, wire);
}

template <class Team, class Wire>
void release(Context& ctx, const RowArguments& r, const Noise& noise, const Tensor& rows, Tensor& q, Tensor& wire) {
  const ReleaseShares shares =
      release_shares(r.rows, r.d, Team::kThreads, Team::kRows, kAtOnce<Team>, ctx.stream().runtime().multiprocessors());
  SUTURA_LAUNCH((release_kernel<Team, Wire>), static_cast<unsigned>(shares.blocks), Team::kThreads, 0, ctx.stream().stream(), r,
                shares, noise, static_cast<const float*>(rows.data()), static_cast<std::int32_t*>(q.data()),
                static_cast<Wire*>(wire.data()));
}
template <class Wire>
void release(Context& ctx, const RowArguments& r, Noise& noise, const Tensor& rows, Tensor& q, Tensor& wire) {
  noise.whole = noise.skip == 0 && reinterpret_cast<std::uintptr_t>(wire.data()) % (kDraws * sizeof(Wire)) == 0;
  if (r.d <= kWarpRow) {
    release<WarpTeam, Wire>(ctx, r, noise, rows, q, wire);
  } else {
    release<BlockTeam, Wire>(ctx, r, noise, rows, q, wire);
  }
}

/// This call's copy of the key, wiped also when a launch fails.
struct WipedNoise : Noise {
  ~WipedNoise() { wipe(std::as_writable_bytes(std::span(static_cast<Noise*>(this), 1))); }
};

/// Workspace whose values are overwritten before its memory serves others, also when a launch fails.
class Wiped {
 public:
  Wiped(Context& ctx, const Shape& shape, DType dtype) : ctx_(ctx), tensor_(ctx.tensor(shape, dtype)) {}
  ~Wiped() {
    try {
      ctx_.fill_zero(tensor_);
    } catch (const Error&) {  // the device takes no more work: nothing can run on that memory either
    }
  }
  Wiped(const Wiped&) = delete;
  Wiped& operator=(const Wiped&) = delete;
  Tensor& tensor() { return tensor_; }

 private:
  Context& ctx_;
  Tensor tensor_;
};

}  // namespace

void release_rows(Context& ctx, const RowSettings& settings, const ChaChaKey& key, const NoiseNonce& nonce,
                  std::uint64_t first_element, const Tensor& rows, Tensor& wire) {
  const RowArguments r = row_arguments(settings, rows);
  Wiped q(ctx, rows.shape(), DType::kInt32);
  WipedNoise noise{};
  std::copy(key.words().begin(), key.words().end(), noise.stream.key);
  noise.stream.nonce[0] = nonce.kind;
  noise.stream.nonce[1] = static_cast<std::uint32_t>(nonce.step);
  noise.stream.nonce[2] = static_cast<std::uint32_t>(nonce.step >> 32);
  noise.first_block = static_cast<std::uint32_t>(first_element / kWordsPerBlock);
  noise.skip = static_cast<int>(first_element % kWordsPerBlock);
  noise.shift = settings.shift;
  if (settings.wire == DType::kInt8) {
    release<std::int8_t>(ctx, r, noise, rows, q.tensor(), wire);
  } else {
    release<std::int16_t>(ctx, r, noise, rows, q.tensor(), wire);
  }
}

}  // namespace sutura::SUTURA_DEVICE
