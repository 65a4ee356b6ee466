// Sums over a row must have the CPU's bits, not only its integers: another order of additions changes an integer too rarely for
// a test of integers to see it.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <vector>

#include "core/random/philox.h"
#include "kernels/context.h"
#include "kernels/ops/release_rows/row_loops.h"
#include "kernels/ops/release_rows/row_teams.h"
#include "tests/simt/executor.h"

namespace sutura::simt {
namespace {

/// out: [N, 2] norm and a.g of each row.
template <class Team>
__global__ void sums_kernel(RowArguments r, const float* rows, const float* g, double* out) {
  SUTURA_SHARED(typename Team::Scratch, scratch, 1);
  const Team team(scratch[0]);
  if (team.row() >= r.rows) return;
  const float *a = rows + team.row() * r.d, *b = g + team.row() * r.d;
  const double norm = row_norm(team, r, a).norm;
  const double dot =
      ordered_sum(team, r.d, [&](std::int64_t j) { return exact_mul(sanitised(r, a[j]), static_cast<double>(b[j])); });
  if (team.rank() == 0) {
    out[2 * team.row()] = norm;
    out[2 * team.row() + 1] = dot;
  }
}

template <class Team>
void expect_the_cpus_bits(std::int64_t d) {
  constexpr std::int64_t kRows = 11;
  Tensor rows({kRows, d}), g({kRows, d});
  PhiloxStream random(static_cast<std::uint64_t>(d), "sums");
  for (float& v : rows.f32()) v = static_cast<float>(random.next_normal());
  for (float& v : g.f32()) v = static_cast<float>(random.next_normal());
  Context ctx(Backend::kNative, table());
  const RowArguments r = row_arguments(RowSettings{}, rows);
  const Tensor a = ctx.clone(rows), b = ctx.clone(g);
  Tensor out = ctx.tensor({kRows, 2}, DType::kFloat64);
  SUTURA_LAUNCH(sums_kernel<Team>, static_cast<unsigned>((kRows + Team::kRows - 1) / Team::kRows), Team::kThreads, 0,
                ctx.stream().stream(), r, static_cast<const float*>(a.data()), static_cast<const float*>(b.data()),
                static_cast<double*>(out.data()));
  const Tensor got = ctx.host(std::move(out));
  const auto width = static_cast<std::size_t>(d);
  int in_order_differs = 0;
  for (std::size_t i = 0; i < kRows; ++i) {
    std::vector<float> scratch(static_cast<std::size_t>(row_loops::padded(d)));
    row_loops::RowNorm norm{};
    double dot = 0;
    const float *x = rows.f32().data() + i * width, *y = g.f32().data() + i * width;
    dispatch<row_loops::Prepare<RowSettings::Sign::kSigned>>(Isa::kBaseline, x, d, scratch.data(), &norm);
    dispatch<row_loops::Dot>(Isa::kBaseline, static_cast<const float*>(scratch.data()), y, d, &dot);
    EXPECT_EQ(std::bit_cast<std::uint64_t>(got.as<double>()[2 * i]), std::bit_cast<std::uint64_t>(norm.norm)) << d;
    EXPECT_EQ(std::bit_cast<std::uint64_t>(got.as<double>()[2 * i + 1]), std::bit_cast<std::uint64_t>(dot)) << d;
    double plain = 0;
    for (std::size_t j = 0; j < width; ++j) plain += static_cast<double>(x[j]) * static_cast<double>(y[j]);
    in_order_differs += plain != dot;
  }
  if (d > 100) {
    EXPECT_GT(in_order_differs, 5) << "the rows tell orders apart";
  }
}

TEST(RowTeams, SumsHaveTheCpusBits) {
  for (const std::int64_t d : {1, 31, 32, 33, 63, 64, 65, 127, 500, 511, 512, 513, 1024, 2100}) {
    expect_the_cpus_bits<WarpTeam>(d);
    expect_the_cpus_bits<BlockTeam>(d);
  }
}

}  // namespace
}  // namespace sutura::simt
