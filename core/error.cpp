#include "core/error.h"

#include <utility>

namespace sutura {

int exit_status(Errc code) {
  switch (code) {
    case Errc::kUsage: return 2;
    case Errc::kConfig: return 3;
    case Errc::kAuthentication: return 4;
    case Errc::kNetwork: return 5;
    case Errc::kPlanMismatch: return 6;
    case Errc::kData: return 7;
    case Errc::kCheckpoint: return 8;
    case Errc::kPrivacyBudget: return 9;
    case Errc::kDetector: return 10;
    case Errc::kResources: return 70;
    case Errc::kDevice: return 71;
    case Errc::kInterrupted: return 75;
    case Errc::kProtocol: return 6;
    case Errc::kInternal:
    case Errc::kShapeMismatch:
    case Errc::kInvalidArgument: return 1;
  }
  return 1;
}

std::string_view name(Errc code) {
  switch (code) {
    case Errc::kInternal: return "internal";
    case Errc::kUsage: return "usage";
    case Errc::kConfig: return "config";
    case Errc::kAuthentication: return "authentication";
    case Errc::kNetwork: return "network";
    case Errc::kPlanMismatch: return "plan-mismatch";
    case Errc::kData: return "data";
    case Errc::kCheckpoint: return "checkpoint";
    case Errc::kPrivacyBudget: return "privacy-budget";
    case Errc::kDetector: return "detector";
    case Errc::kResources: return "resources";
    case Errc::kDevice: return "device";
    case Errc::kInterrupted: return "interrupted";
    case Errc::kShapeMismatch: return "shape-mismatch";
    case Errc::kInvalidArgument: return "invalid-argument";
    case Errc::kProtocol: return "protocol";
  }
  return "internal";
}

Error::Error(Errc code, std::string message, const char* file, int line)
    : code_(code), text_(std::move(message)), file_(file), line_(line) {}

Error& Error::in(std::string_view context) & {
  text_.append(" (").append(context).append(")");
  return *this;
}

Error&& Error::in(std::string_view context) && {
  in(context);
  return std::move(*this);
}

std::string Error::where() const { return std::string(file_) + ":" + std::to_string(line_); }

void require(bool condition, Errc code, std::string_view message, const char* file, int line) {
  if (!condition) throw Error(code, std::string(message), file, line);
}

}  // namespace sutura
