#include <omp.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <vector>

#include "kernels/ops/release_rows/release_rows_impl.h"
#include "kernels/ops/release_rows/row_loops.h"

namespace sutura::reference {
namespace {

constexpr std::int64_t kChunk = 2048;  // elements noised at once: keystream, draws and integers stay in the first cache

ChaChaPath keystream_path(Isa isa) {
  switch (isa) {
    case Isa::kAvx512: return ChaChaPath::kAvx512;
    case Isa::kAvx2: return ChaChaPath::kAvx2;
    case Isa::kBaseline: break;
  }
  return ChaChaPath::kBaseline;
}

/// Buffers of one thread. Noise does not outlive them.
struct Workspace {
  explicit Workspace(std::int64_t row_elements)
      : row(static_cast<std::size_t>(row_loops::padded(row_elements))),
        q(static_cast<std::size_t>(std::max(row_elements, kChunk))),
        words(static_cast<std::size_t>(kChunk) + 2 * kWordsPerBlock),
        z(static_cast<std::size_t>(kChunk)) {}
  ~Workspace() {
    wipe(std::as_writable_bytes(std::span(words)));
    wipe(std::as_writable_bytes(std::span(z)));
    wipe(std::as_writable_bytes(std::span(q)));
    wipe(std::as_writable_bytes(std::span(row)));
  }
  Workspace(Workspace&&) noexcept = default;
  std::vector<float> row;
  std::vector<std::int32_t> q;
  std::vector<std::uint64_t> words;
  std::vector<std::int32_t> z;
};

std::vector<Workspace> workspaces(const Context& ctx, std::int64_t row_elements) {
  std::vector<Workspace> all;
  for (int t = 0; t < ctx.threads(); ++t) all.emplace_back(row_elements);
  return all;
}

void prepare(Isa isa, const RowSettings& s, const float* a, std::int64_t d, float* out, row_loops::RowNorm& norm) {
  if (s.sign == RowSettings::Sign::kNonnegative) {
    dispatch<row_loops::Prepare<RowSettings::Sign::kNonnegative>>(isa, a, d, out, &norm);
  } else {
    dispatch<row_loops::Prepare<RowSettings::Sign::kSigned>>(isa, a, d, out, &norm);
  }
}

std::uint64_t all_ones_if(bool condition) { return -static_cast<std::uint64_t>(condition); }
double select(std::uint64_t mask, double chosen, double otherwise) {
  return std::bit_cast<double>((std::bit_cast<std::uint64_t>(chosen) & mask) | (std::bit_cast<std::uint64_t>(otherwise) & ~mask));
}

/// Steps 1-4 for one row. Every row takes the same passes whatever it holds: selections are by mask.
void quantise_row(Isa isa, const RowSettings& s, const float* a, std::int64_t d, std::vector<float>& scratch, std::int32_t* q) {
  row_loops::RowNorm norm{};
  prepare(isa, s, a, d, scratch.data(), norm);
  const auto [clip_norm, bound, bound_squared, shrink, per_grid] = row_steps::constants(s, d);
  const double stretch = clip_norm / norm.norm;
  double f = s.fit == RowSettings::Fit::kClip ? select(all_ones_if(norm.norm > clip_norm), stretch, 1.0)
                                              : select(all_ones_if(norm.norm > row_steps::kTinyNorm), stretch, 0.0);
  f *= shrink;
  f = select(all_ones_if(norm.finite != 0), f, 0.0);

  double squared = 0;
  for (int repeat = 0; repeat < row_steps::kRepeats; ++repeat) {
    dispatch<row_loops::SquaredNorm>(isa, scratch.data(), row_loops::padded(d), f * per_grid, bound, &squared);
    const double smaller = f * std::sqrt(bound_squared / squared) * row_steps::kMargin;
    f = select(all_ones_if(squared > bound_squared), smaller, f);
  }
  dispatch<row_loops::SquaredNorm>(isa, scratch.data(), row_loops::padded(d), f * per_grid, bound, &squared);
  const std::uint32_t truncate = squared > bound_squared ? ~0u : 0u;
  dispatch<row_loops::Quantise>(isa, scratch.data(), d, f * per_grid, bound, truncate, q);

  // The only line the guarantee rests on: whatever was computed above, these integers have norm <= B or are zero.
  std::uint64_t final_norm = 0;
  dispatch<row_loops::IntegerNorm>(isa, static_cast<const std::int32_t*>(q), d, &final_norm);
  const std::uint32_t keep = final_norm <= static_cast<std::uint64_t>(s.bound) * static_cast<std::uint64_t>(s.bound) ? ~0u : 0u;
  dispatch<row_loops::Mask>(isa, q, d, keep);
}

/// z for elements first .. first + n - 1 (n <= kChunk) of a nonce.
void draw_noise(Isa isa, const ChaChaKey& key, const NoiseNonce& nonce, std::uint64_t first, std::int64_t n, Workspace& w) {
  ChaChaNonce words_of = {nonce.kind, static_cast<std::uint32_t>(nonce.step), static_cast<std::uint32_t>(nonce.step >> 32)};
  const auto block = static_cast<std::uint32_t>(first / kWordsPerBlock);
  const auto skip = static_cast<std::size_t>(first % kWordsPerBlock);
  const auto count = static_cast<std::size_t>(n);
  const std::size_t blocks = (skip + count + kWordsPerBlock - 1) / kWordsPerBlock;
  chacha20_keystream(key, words_of, block, std::as_writable_bytes(std::span(w.words).first(blocks * kWordsPerBlock)),
                     keystream_path(isa));
  const auto words = std::span<const std::uint64_t>(w.words).subspan(skip, count);
  if (rounded_gaussian(isa, words, std::span(w.z).first(count)) == 0) return;
  words_of[0] |= kExtensionKind;
  for (std::size_t i = 0; i < count; ++i) {
    if (!needs_extension(words[i])) continue;
    std::array<std::uint64_t, kWordsPerBlock> more{};
    const std::uint64_t element = first + i;
    chacha20_keystream(key, words_of, static_cast<std::uint32_t>(element / kWordsPerBlock),
                       std::as_writable_bytes(std::span(more)));
    w.z[i] = extended_draw(words[i], more[element % kWordsPerBlock]);
    wipe(std::as_writable_bytes(std::span(more)));
  }
}

template <class Wire>
void to_wire(Isa isa, const RowSettings& s, const std::int32_t* q, const std::int32_t* z, std::int64_t n, Wire* wire) {
  dispatch<row_loops::ToWire<Wire>>(isa, q, z, n, s.shift, wire);
}

}  // namespace

void quantise_rows(Context& ctx, const RowSettings& settings, const Tensor& rows, Tensor& q, Isa isa) {
  const std::int64_t n = rows.shape()[0], d = rows.shape().row_elements();
  const float* from = rows.f32().data();
  std::int32_t* to = q.as<std::int32_t>().data();
  std::vector<Workspace> spaces = workspaces(ctx, d);
#pragma omp parallel for num_threads(ctx.threads()) schedule(static)
  for (std::int64_t i = 0; i < n; ++i)
    quantise_row(isa, settings, from + i * d, d, spaces[static_cast<std::size_t>(omp_get_thread_num())].row, to + i * d);
}

void release_rows(Context& ctx, const RowSettings& settings, const ChaChaKey& key, const NoiseNonce& nonce,
                  std::uint64_t first_element, const Tensor& rows, Tensor& wire, Isa isa) {
  const std::int64_t n = rows.shape()[0], d = rows.shape().row_elements();
  const float* from = rows.f32().data();
  void* to = wire.data();
  const std::int64_t group = std::max<std::int64_t>(1, kChunk / d);  // short rows share a chunk
  const std::int64_t groups = (n + group - 1) / group;
  std::vector<Workspace> spaces = workspaces(ctx, d);
#pragma omp parallel for num_threads(ctx.threads()) schedule(static)
  for (std::int64_t g = 0; g < groups; ++g) {
    Workspace& w = spaces[static_cast<std::size_t>(omp_get_thread_num())];
    const std::int64_t begin = g * group, end = std::min(n, begin + group);
    for (std::int64_t i = begin; i < end; ++i) quantise_row(isa, settings, from + i * d, d, w.row, w.q.data() + (i - begin) * d);
    const std::int64_t size = (end - begin) * d;
    for (std::int64_t at = 0; at < size; at += kChunk) {
      const std::int64_t part = std::min(kChunk, size - at);
      draw_noise(isa, key, nonce, first_element + static_cast<std::uint64_t>(begin * d + at), part, w);
      if (settings.wire == DType::kInt8) {
        to_wire(isa, settings, w.q.data() + at, w.z.data(), part, static_cast<std::int8_t*>(to) + begin * d + at);
      } else {
        to_wire(isa, settings, w.q.data() + at, w.z.data(), part, static_cast<std::int16_t*>(to) + begin * d + at);
      }
    }
  }
}

void dequantise_rows(Context&, const RowSettings& settings, const Tensor& wire, Tensor& rows) {
  const double step = std::ldexp(settings.grid(), settings.shift);
  float* to = rows.f32().data();
  if (settings.wire == DType::kInt8) {
    dispatch<row_loops::FromWire<std::int8_t>>(widest_isa(), wire.as<std::int8_t>().data(), wire.elements(), step, to);
  } else {
    dispatch<row_loops::FromWire<std::int16_t>>(widest_isa(), wire.as<std::int16_t>().data(), wire.elements(), step, to);
  }
}

void clip_backward(Context& ctx, const RowSettings& settings, const Tensor& rows, const Tensor& grad_y, Tensor& grad_x) {
  const std::int64_t n = rows.shape()[0], d = rows.shape().row_elements();
  const float* a = rows.f32().data();
  const float* g = grad_y.f32().data();
  float* out = grad_x.f32().data();
  const Isa isa = widest_isa();
  const std::uint32_t keep_all = settings.sign == RowSettings::Sign::kNonnegative ? 0u : ~0u;
  std::vector<Workspace> spaces = workspaces(ctx, d);
#pragma omp parallel for num_threads(ctx.threads()) schedule(static)
  for (std::int64_t i = 0; i < n; ++i) {
    float* row = spaces[static_cast<std::size_t>(omp_get_thread_num())].row.data();
    row_loops::RowNorm norm{};
    prepare(isa, settings, a + i * d, d, row, norm);
    double scale = 1.0, along = 0.0;
    std::uint32_t usable = norm.finite;
    if (settings.fit == RowSettings::Fit::kScaleToNorm || norm.norm > settings.clip_norm) {
      double dot = 0;
      dispatch<row_loops::Dot>(isa, static_cast<const float*>(row), g + i * d, d, &dot);
      const bool stretchable = norm.norm > row_steps::kTinyNorm;
      scale = stretchable ? settings.clip_norm / norm.norm : 0.0;
      along = stretchable ? dot / norm.norm / norm.norm : 0.0;
      if (!stretchable) usable = 0;
    }
    dispatch<row_loops::ClipBackward>(isa, static_cast<const float*>(row), g + i * d, d, scale, along, keep_all, usable,
                                      out + i * d);
  }
}

}  // namespace sutura::reference
