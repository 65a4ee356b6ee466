#pragma once
#include "kernels/ops/release_rows/release_rows.h"

namespace sutura {

/// What a device provides. Arguments are already checked and nothing is empty.
struct RowOps {
  using Quantise = void(Context& ctx, const RowSettings& settings, const Tensor& rows, Tensor& q);
  using Release = void(Context& ctx, const RowSettings& settings, const ChaChaKey& key, const NoiseNonce& nonce,
                       std::uint64_t first_element, const Tensor& rows, Tensor& wire);
  using Dequantise = void(Context& ctx, const RowSettings& settings, const Tensor& wire, Tensor& rows);
  using ClipBackward = void(Context& ctx, const RowSettings& settings, const Tensor& rows, const Tensor& grad_y, Tensor& grad_x);
};

/// The top bit of a nonce's kind marks the keystream of the rare second words.
inline constexpr std::uint32_t kExtensionKind = 0x80000000u;
/// 64-bit words, and so elements, of one keystream block.
inline constexpr std::uint64_t kWordsPerBlock = kChaChaBlockBytes / sizeof(std::uint64_t);

}  // namespace sutura

/// Both CPU backends.
namespace sutura::reference {
void quantise_rows(Context& ctx, const RowSettings& settings, const Tensor& rows, Tensor& q, Isa isa);
void release_rows(Context& ctx, const RowSettings& settings, const ChaChaKey& key, const NoiseNonce& nonce,
                  std::uint64_t first_element, const Tensor& rows, Tensor& wire, Isa isa);
RowOps::Dequantise dequantise_rows;
RowOps::ClipBackward clip_backward;
}  // namespace sutura::reference
#if defined(SUTURA_DEVICE)
namespace sutura::SUTURA_DEVICE {
RowOps::Quantise quantise_rows;
RowOps::Release release_rows;
RowOps::Dequantise dequantise_rows;
RowOps::ClipBackward clip_backward;
}  // namespace sutura::SUTURA_DEVICE
#endif
