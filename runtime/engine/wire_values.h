#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "kernels/context.h"
#include "kernels/tensor.h"
#include "runtime/config/study.h"
#include "transport/message.h"

namespace sutura {

WireTensor to_wire(const Tensor& t);  ///< of a host tensor
Tensor to_tensor(const WireTensor& w);

/// `encode_values` in two steps, `decode_values` in three: the tensors of a message where `ctx` computes, their bytes, their
/// checks, and the values. What holds NaN or infinity is left for the caller to refuse, but for scales.
std::vector<Tensor> encoded_tensors(Context& ctx, Codec codec, const Tensor& value);
std::vector<WireTensor> to_wire(const std::vector<Tensor>& tensors);
void check_values(Codec codec, const std::vector<WireTensor>& tensors, const Shape& shape, const std::string& what);
Tensor decoded_tensors(Context& ctx, Codec codec, std::vector<Tensor> tensors);
/// Unguarded numbers have no norm to check against; beyond a million one message could still ruin everybody's weights (its
/// square is what an optimizer accumulates). Of checked values.
bool within_bounds(Codec codec, const std::vector<WireTensor>& tensors);

/// Values [n, ...] in clear as the study's codec puts them on the wire: one tensor of float32 or bfloat16, or int8 rows
/// and their scales [n].
std::vector<WireTensor> encode_values(Context& ctx, Codec codec, const Tensor& value);
/// The values of such a message: bfloat16 stays, int8 rows become float32. NaN and infinity are left for the caller to
/// refuse. Errors: kProtocol naming `what` ("a message of front>tail") and what does not fit.
Tensor decode_values(Context& ctx, Codec codec, const std::vector<WireTensor>& tensors, const Shape& shape,
                     const std::string& what);

/// What rounding to int8 took from each record's last gradient, added to its next one before that is rounded, so that the
/// sum over the visits stays within one rounding of the true sum.
/// Source   Seide et al. 2014, "1-bit stochastic gradient descent"; Karimireddy et al. 2019, arXiv 1901.09847.
class RoundingResidual {
 public:
  /// int8 rows and scales of `value` ([n, ...] float32), row k of record `records[k]` out of `total`.
  std::vector<WireTensor> encode(Context& ctx, const Tensor& value, std::span<const std::int64_t> records, std::int64_t total);

 private:
  Tensor kept_;  // [total, ...] float32
};

}  // namespace sutura
