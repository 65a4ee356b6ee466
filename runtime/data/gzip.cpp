#include "runtime/data/gzip.h"

#include <zlib.h>

#include <algorithm>
#include <limits>

#include "core/error.h"
#include "core/file.h"

namespace sutura {
namespace {

/// zlib's inflate state for gzip framing, released on every way out.
class Inflater {
 public:
  Inflater() {
    constexpr int kGzipOnly = 15 + 16;  // largest window, gzip header and trailer required
    require(inflateInit2(&stream_, kGzipOnly) == Z_OK, Errc::kResources, "zlib could not be started");
  }
  ~Inflater() { inflateEnd(&stream_); }
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;
  z_stream& get() { return stream_; }

 private:
  z_stream stream_{};
};

}  // namespace

bool is_gzip(ByteSpan content) {
  return content.size() >= 2 && content[0] == std::byte{0x1f} && content[1] == std::byte{0x8b};
}

std::string gunzip(ByteSpan content, const std::string& source, std::size_t limit_bytes) {
  require(content.size() <= std::numeric_limits<uInt>::max(), Errc::kData, source + ": the packed file is too large");
  Inflater inflater;
  z_stream& z = inflater.get();
  z.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(content.data()));  // zlib does not write through it
  z.avail_in = static_cast<uInt>(content.size());
  std::string text;
  constexpr std::size_t kStep = std::size_t{1} << 18;
  for (;;) {
    const std::size_t done = text.size();
    // One byte beyond the limit is room enough to see that the limit is broken.
    const std::size_t room = std::min(kStep, limit_bytes - done + 1);
    text.resize(done + room);
    z.next_out = reinterpret_cast<Bytef*>(text.data() + done);
    z.avail_out = static_cast<uInt>(room);
    const int status = inflate(&z, Z_NO_FLUSH);
    text.resize(done + room - z.avail_out);
    require(text.size() <= limit_bytes, Errc::kData,
            source + ": unpacks to more than " + std::to_string(limit_bytes) + " bytes");
    if (status == Z_STREAM_END) {
      if (z.avail_in == 0) return text;
      require(is_gzip(content.subspan(content.size() - z.avail_in)), Errc::kData,
              source + ": bytes follow the end of the gzip data");
      require(inflateReset(&z) == Z_OK, Errc::kInternal, "zlib could not be reset");
      continue;
    }
    const bool starved = z.avail_in == 0 && z.avail_out > 0;  // all input used, and still not at the end
    require(status != Z_BUF_ERROR && !(status == Z_OK && starved), Errc::kData,
            source + ": the gzip data is truncated");
    require(status == Z_OK, Errc::kData, source + ": the gzip data is damaged");
  }
}

TextFile read_text_or_gzip(const std::filesystem::path& path, std::size_t limit_bytes) {
  const Bytes content = read_file(path, limit_bytes);
  const Digest digest = blake2b(content);
  if (is_gzip(content)) return {gunzip(content, path.string(), limit_bytes), digest};
  require(path.extension() != ".gz", Errc::kData, path.string() + ": not a gzip file");
  return {std::string(reinterpret_cast<const char*>(content.data()), content.size()), digest};
}

}  // namespace sutura
