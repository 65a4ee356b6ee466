#pragma once
#include <exception>
#include <string>
#include <string_view>

namespace sutura {

/// What went wrong. Each code maps to one documented exit code of the programs (docs/operations.md).
enum class Errc {
  kInternal,         ///< a bug in Sutura
  kUsage,            ///< command line
  kConfig,           ///< study file
  kAuthentication,   ///< keys, CURVE, unknown peer
  kNetwork,          ///< deadline passed, peer gone
  kPlanMismatch,     ///< version or plan digest differs
  kData,             ///< a data file is unusable
  kCheckpoint,       ///< no usable checkpoint
  kPrivacyBudget,    ///< a release would cross the budget
  kDetector,         ///< a detector raised an alarm
  kResources,        ///< memory, disk, file descriptors
  kDevice,           ///< accelerator
  kInterrupted,      ///< stopped by a signal; a restart goes on
  kShapeMismatch,    ///< tensors do not fit an operation
  kInvalidArgument,  ///< a value outside its domain
  kProtocol,         ///< a peer broke the wire format
};

/// Exit status of a program that ends with `code`.
int exit_status(Errc code);
/// Short stable name, for logs and JSON ("config", "privacy-budget", ...).
std::string_view name(Errc code);

/// The one exception type: what ends a session or the process. Context is added on the way up with in().
/// Messages never hold tensor values, labels, record identifiers or keys.
class Error : public std::exception {
 public:
  Error(Errc code, std::string message, const char* file = __builtin_FILE(), int line = __builtin_LINE());
  Errc code() const noexcept { return code_; }
  /// Appends " (CONTEXT)" to the message and returns the same error.
  Error& in(std::string_view context) &;
  Error&& in(std::string_view context) &&;
  const char* what() const noexcept override { return text_.c_str(); }
  /// Source position of the throw, for debug logs.
  std::string where() const;

 private:
  Errc code_;
  std::string text_;
  const char* file_;
  int line_;
};

/// Throws Error(code, message) unless `condition`.
void require(bool condition, Errc code, std::string_view message, const char* file = __builtin_FILE(),
             int line = __builtin_LINE());

}  // namespace sutura
