#include "runtime/data/npz.h"

#include <zip.h>

#include <memory>
#include <utility>

#include "core/error.h"
#include "core/file.h"

namespace sutura {
namespace {

struct Discard {
  void operator()(zip_t* z) const { zip_discard(z); }
  void operator()(zip_file_t* f) const { zip_fclose(f); }
};
using Archive = std::unique_ptr<zip_t, Discard>;
using Member = std::unique_ptr<zip_file_t, Discard>;

Archive open_archive(const std::filesystem::path& path) {
  int code = 0;
  // Local headers must agree with the directory: two readers must not see two different archives.
  Archive archive(zip_open(path.c_str(), ZIP_RDONLY | ZIP_CHECKCONS, &code));
  if (archive != nullptr) return archive;
  zip_error_t error;
  zip_error_init_with_code(&error, code);
  const std::string reason = zip_error_strerror(&error);
  zip_error_fini(&error);
  throw Error(Errc::kData, path.string() + ": not a readable .npz archive: " + reason);
}

/// Sizes come from the archive and are believed only as far as its packing method allows.
void check_sizes(const zip_stat_t& s, const std::string& source, std::uint64_t file_bytes, std::size_t limit_bytes) {
  constexpr zip_uint64_t kNeeded =
      ZIP_STAT_SIZE | ZIP_STAT_COMP_SIZE | ZIP_STAT_COMP_METHOD | ZIP_STAT_ENCRYPTION_METHOD;
  require((s.valid & kNeeded) == kNeeded, Errc::kData, source + ": the archive does not give the member's size");
  require(s.encryption_method == ZIP_EM_NONE, Errc::kData, source + ": the member is encrypted");
  require(s.comp_method == ZIP_CM_STORE || s.comp_method == ZIP_CM_DEFLATE, Errc::kData,
          source + ": the member is packed with a method other than store or deflate");
  require(s.size <= limit_bytes, Errc::kData,
          source + ": unpacks to " + std::to_string(s.size) + " bytes, the limit is " + std::to_string(limit_bytes));
  require(s.comp_size <= file_bytes, Errc::kData, source + ": the member is larger than its file");
  // Deflate packs at best 1032 to 1 (zlib's documentation), so more than that is a lie about the size.
  constexpr zip_uint64_t kBestDeflate = 1032;
  const bool possible = s.comp_method == ZIP_CM_STORE ? s.size == s.comp_size : s.size / kBestDeflate <= s.comp_size;
  require(possible, Errc::kData, source + ": the archive gives an impossible size for the member");
}

Bytes read_member(const std::filesystem::path& path, const std::string& file, const std::string& source,
                  std::size_t limit_bytes) {
  const Archive archive = open_archive(path);
  const zip_int64_t index = zip_name_locate(archive.get(), file.c_str(), 0);
  require(index >= 0, Errc::kData, source + ": no such member in the archive");
  zip_stat_t s;
  zip_stat_init(&s);
  require(zip_stat_index(archive.get(), static_cast<zip_uint64_t>(index), 0, &s) == 0, Errc::kData,
          source + ": the archive does not describe the member");
  check_sizes(s, source, std::filesystem::file_size(path), limit_bytes);

  const Member member(zip_fopen_index(archive.get(), static_cast<zip_uint64_t>(index), 0));
  require(member != nullptr, Errc::kData, source + ": the member cannot be opened");
  Bytes content(static_cast<std::size_t>(s.size));
  std::size_t done = 0;
  for (;;) {
    // The read that finds the end is the one in which libzip compares the checksum, so it is never left out.
    std::byte beyond;
    const bool full = done == content.size();
    const zip_int64_t n =
        zip_fread(member.get(), full ? &beyond : content.data() + done, full ? 1 : content.size() - done);
    require(n >= 0, Errc::kData, source + ": the member is damaged: " + zip_file_strerror(member.get()));
    if (n == 0) break;
    require(!full, Errc::kData, source + ": the member is longer than the archive says");
    done += static_cast<std::size_t>(n);
  }
  require(done == content.size(), Errc::kData, source + ": the member is truncated");
  return content;
}

}  // namespace

NpyArray read_array(const std::filesystem::path& path, std::string_view name, std::size_t limit_bytes) {
  const std::string file = std::string(name) + ".npy";
  require(!name.empty() && name.find('/') == std::string_view::npos && name.find('\0') == std::string_view::npos,
          Errc::kConfig, "an array name in data.arrays is empty or holds a slash");
  std::error_code ignored;
  const auto status = std::filesystem::status(path, ignored);
  require(std::filesystem::exists(status), Errc::kData, path.string() + ": no such file or folder");
  if (std::filesystem::is_directory(status)) {
    const std::filesystem::path member = path / file;
    return parse_npy(read_file(member, limit_bytes), member.string());
  }
  require(std::filesystem::is_regular_file(status), Errc::kData, path.string() + ": not a regular file");
  std::string source = path.string() + ", member " + std::string(name);
  Bytes content = read_member(path, file, source, limit_bytes);
  return parse_npy(std::move(content), std::move(source));
}

}  // namespace sutura
