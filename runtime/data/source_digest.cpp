#include "runtime/data/source_digest.h"

#include <map>
#include <string>
#include <system_error>

#include "core/error.h"
#include "core/file.h"
#include "runtime/data/npz.h"

namespace sutura {

Digest source_digest(const std::filesystem::path& path) {
  std::error_code error;
  if (!std::filesystem::is_directory(path, error)) return blake2b(read_file(path, kArrayLimitBytes));
  std::map<std::string, std::filesystem::path> members;
  for (std::filesystem::directory_iterator at(path, error), end; !error && at != end; at.increment(error))
    if (at->path().extension() == ".npy") members.emplace(at->path().filename().string(), at->path());
  require(!error, Errc::kData, path.string() + ": cannot list the folder: " + error.message());
  require(!members.empty(), Errc::kData, path.string() + ": the folder holds no .npy files");
  std::string lines;
  for (const auto& [name, member] : members)
    lines += to_hex(blake2b(read_file(member, kArrayLimitBytes))) + "  " + name + '\n';
  return blake2b(as_bytes(lines));
}

}  // namespace sutura
