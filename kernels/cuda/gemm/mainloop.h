#pragma once
#include "kernels/cuda/gemm/loader.h"
#include "kernels/cuda/gemm/precision.h"

namespace sutura::SUTURA_DEVICE::gemm {

/// One matrix product: operands, epilogue, the sizes of the result and the depths [depth_begin, depth_end) to sum over
/// (depth_begin a multiple of a stage's depth; depths at and beyond the operands' own ends are zeros).
template <class A, class B, class Store>
struct Product {
  A a;
  B b;
  Store store;
  int rows, columns, depth_begin, depth_end;
};

/// Runs the products problem.part(blockIdx.z); Problem::kMajorA and kMajorB say how their operands lie. Blocks with equal rows
/// follow each other, so that A's rows come from memory once and from L2 after that.
///
/// Limit: large products are near L2's bandwidth before the tensor cores': a 128x128 block does 32 multiply-adds for each byte
/// of bf16 that it fetches, 64x64 half of that, and neighbouring taps find their rows in L2. Products with few blocks are bound
/// by latency, pointwise ones with few channels by memory, exact float32 by the FMA units.
/// Shape: choose_block() takes the largest block that still gives every multiprocessor one. One barrier a stage: behind it the
/// slot read in the stage before is free for the copy of the stage kStages - 1 ahead.
template <class Shape, class Precision, Access kAccess, class Problem>
__global__ void __launch_bounds__(Shape::kThreads) product_kernel(Problem problem) {
  using T = typename Precision::Element;
  using TileA = OperandTile<T, Shape::kRows, Problem::kMajorA>;
  using TileB = OperandTile<T, Shape::kColumns, Problem::kMajorB>;
  constexpr int kStages = Shape::kStages, kStep = TileA::kDepth;
  SUTURA_DYNAMIC_SHARED(T, shared);

  const auto p = problem.part(blockIdx.z);
  const unsigned blocks_across = static_cast<unsigned>(p.columns + Shape::kColumns - 1) / Shape::kColumns;
  const int block_row = static_cast<int>(blockIdx.x / blocks_across);
  const int first_row = block_row * Shape::kRows;
  const int first_column = static_cast<int>(blockIdx.x - static_cast<unsigned>(block_row) * blocks_across) * Shape::kColumns;
  if (first_row >= p.rows) return;  // a phase with fewer rows than the largest

  const Loader<TileA, decltype(p.a), kAccess, Shape::kThreads> load_rows(p.a, first_row);
  const Loader<TileB, decltype(p.b), kAccess, Shape::kThreads> load_columns(p.b, first_column);
  const auto slot_a = [&](int stage) { return shared + stage % kStages * (TileA::kElements + TileB::kElements); };
  const auto slot_b = [&](int stage) { return slot_a(stage) + TileA::kElements; };
  const int stages = (p.depth_end - p.depth_begin + kStep - 1) / kStep;
  const auto fetch = [&](int stage) {  // an empty group beyond the end keeps the count of groups in step
    if (stage < stages) {
      load_rows.load(slot_a(stage), p.depth_begin + stage * kStep);
      load_columns.load(slot_b(stage), p.depth_begin + stage * kStep);
    }
    copy_async_commit();
  };

  const ThreadPlace<Shape> place;
  typename Shape::Sums sums = {};
  SUTURA_NO_UNROLL
  for (int stage = 0; stage < kStages - 1; ++stage) fetch(stage);
  SUTURA_NO_UNROLL
  for (int stage = 0; stage < stages; ++stage) {
    copy_async_wait<kStages - 2>();
    block_sync();
    fetch(stage + kStages - 1);
    Precision::template multiply<Shape, TileA, TileB>(sums, slot_a(stage), slot_b(stage), place);
  }
  copy_async_wait<0>();
  p.store.template operator()<Shape>(sums, first_row, first_column, p.rows, p.columns, shared);
}

}  // namespace sutura::SUTURA_DEVICE::gemm
