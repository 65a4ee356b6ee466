#pragma once
#include <cublasLt.h>
#include <cudnn.h>

#include <array>
#include <cstdint>
#include <map>
#include <memory>

#include "kernels/context.h"
#include "kernels/cuda/cudnn/tally.h"
#include "kernels/device_stream.h"

namespace sutura::cudnn {

struct ConvolutionPlan;  // convolution_plan.h

/// What one product of matrices was decided to be computed with; `served` false: by our own kernels.
struct ProductPlan {
  bool served = false;
  cublasLtMatmulAlgo_t algorithm{};
  std::size_t workspace_bytes = 0;
};

/// A handle of each library.
struct LibraryHandles {
  cudnnHandle_t dnn = nullptr;
  cublasLtHandle_t blas = nullptr;
};

/// The library handles of one stream, the algorithms chosen on it so far and the account of who computed, which is reported when
/// the stream goes. Choices come from the libraries' heuristics, which
/// run on the host, never from timing: a second run on the same machine chooses the same and so has the same bits, and a choice
/// made while a stream is captured disturbs nothing. Handles of a stream that is gone are kept for the next one: destroying one
/// waits for the whole device, which spoils what another session's thread is capturing at that moment.
class Handles final : public StreamAttachment {
 public:
  explicit Handles(Stream stream);
  ~Handles() override;
  Handles(const Handles&) = delete;
  Handles& operator=(const Handles&) = delete;
  static Handles& of(const Context& ctx) { return static_cast<Handles&>(*ctx.stream().attachment()); }

  cudnnHandle_t dnn = nullptr;
  cublasLtHandle_t blas = nullptr;
  std::map<std::array<std::int64_t, 16>, std::unique_ptr<ConvolutionPlan>> convolutions;
  std::map<std::array<std::int64_t, 12>, ProductPlan> products;
  Tally tally;
};

/// Workspace that one call may take: room for every algorithm that can be chosen on the shapes of the studies, little beside the
/// memory of any GPU from compute capability 8.0 on.
constexpr std::size_t kMostWorkspaceBytes = std::size_t{256} << 20;

/// Errors: kResources where memory ran out, else kDevice, with the library's own text.
void check(cudnnStatus_t status, const char* what);
void check(cublasStatus_t status, const char* what);
/// False where the library has nothing for these arguments and did nothing: our own kernel computes it then. Where it calls them
/// wrong, which none is by its documentation, the same, and a line on the error stream the first time, with what follows from it.
/// Errors as check().
bool served(cudnnStatus_t status, const char* what, const char* otherwise = "Sutura's own kernel computes it");
bool served(cublasStatus_t status, const char* what);

/// The table that this module's functions stand in front of.
const DeviceOps& own();

}  // namespace sutura::cudnn
