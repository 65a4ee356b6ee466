#include "core/file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "core/error.h"

namespace sutura {
namespace {

[[noreturn]] void fail(Errc code, const std::filesystem::path& path, const char* what) {
  const int reason = errno;  // before anything below can change it
  throw Error(code, path.string() + ": cannot " + what + ": " + std::strerror(reason));
}

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }
  int release() { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

void write_all(int fd, ByteSpan content, const std::filesystem::path& path) {
  while (!content.empty()) {
    const ssize_t n = ::write(fd, content.data(), content.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) fail(Errc::kResources, path, "write");
    content = content.subspan(static_cast<std::size_t>(n));
  }
}

std::filesystem::path folder_of(const std::filesystem::path& path) {
  return path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
}

Descriptor open_folder(const std::filesystem::path& folder) {
  const int fd = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) fail(Errc::kResources, folder, "open the folder");
  return Descriptor(fd);
}

/// Makes names durable. EINVAL is a file system without this operation: there the rename itself is all that can be had.
void sync_folder(const Descriptor& fd, const std::filesystem::path& folder) {
  if (::fsync(fd.get()) != 0 && errno != EINVAL) fail(Errc::kResources, folder, "sync the folder");
}

}  // namespace

void write_file_durably(const std::filesystem::path& path, ByteSpan content) {
  const auto folder = folder_of(path);
  const Descriptor dir = open_folder(folder);  // first: nothing is touched if it cannot be synced at the end
  // A random name: a process number comes again (in a container at every start) and would meet what a crash left behind.
  std::string temporary = path.string() + ".tmp.XXXXXX";
  {
    const Descriptor fd(::mkostemp(temporary.data(), O_CLOEXEC));
    if (fd.get() < 0) fail(Errc::kResources, path, "create a temporary file beside it");
    try {
      write_all(fd.get(), content, path);
      if (::fdatasync(fd.get()) != 0) fail(Errc::kResources, path, "sync");
    } catch (...) {
      ::unlink(temporary.c_str());
      throw;
    }
  }
  if (::rename(temporary.c_str(), path.c_str()) != 0) {
    const int reason = errno;
    ::unlink(temporary.c_str());
    errno = reason;
    fail(Errc::kResources, path, "rename into place");
  }
  sync_folder(dir, folder);
}

Bytes read_file(const std::filesystem::path& path, std::size_t limit_bytes) {
  const Descriptor fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (fd.get() < 0) fail(Errc::kData, path, "open");
  struct stat st {};
  if (::fstat(fd.get(), &st) != 0) fail(Errc::kData, path, "stat");
  if (!S_ISREG(st.st_mode)) throw Error(Errc::kData, path.string() + ": not a regular file");
  if (static_cast<std::uint64_t>(st.st_size) > limit_bytes)
    throw Error(Errc::kResources, path.string() + ": larger than " + std::to_string(limit_bytes) + " bytes");
  Bytes content(static_cast<std::size_t>(st.st_size));
  std::size_t done = 0;
  while (done < content.size()) {
    const ssize_t n = ::read(fd.get(), content.data() + done, content.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail(Errc::kData, path, "read");
    if (n == 0) break;
    done += static_cast<std::size_t>(n);
  }
  content.resize(done);
  return content;
}

std::string read_text_file(const std::filesystem::path& path, std::size_t limit_bytes) {
  const Bytes b = read_file(path, limit_bytes);
  return {reinterpret_cast<const char*>(b.data()), b.size()};
}

DurableLog::DurableLog(const std::filesystem::path& path) : path_(path) {
  Descriptor fd(::open(path.c_str(), O_CREAT | O_RDWR | O_APPEND | O_CLOEXEC, 0600));
  if (fd.get() < 0) fail(Errc::kResources, path, "open");
  if (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) fail(Errc::kResources, path, "lock");
    throw Error(Errc::kResources, path.string() + ": another process is using this file");
  }
  const auto folder = folder_of(path);
  sync_folder(open_folder(folder), folder);
  fd_ = fd.release();
}

DurableLog::~DurableLog() {
  if (fd_ >= 0) ::close(fd_);
}

DurableLog::DurableLog(DurableLog&& other) noexcept
    : path_(std::move(other.path_)), fd_(std::exchange(other.fd_, -1)), broken_(other.broken_) {}

void DurableLog::check_intact() const {
  if (broken_) throw Error(Errc::kResources, path_.string() + ": an earlier write failed, nothing more is trusted to this file");
}

void DurableLog::append(ByteSpan record) {
  check_intact();
  broken_ = true;  // stays so if anything below throws
  write_all(fd_, record, path_);
  if (::fdatasync(fd_) != 0) fail(Errc::kResources, path_, "sync");
  broken_ = false;
}

void DurableLog::truncate(std::uint64_t size_bytes) {
  check_intact();
  struct stat st {};
  if (::fstat(fd_, &st) != 0) fail(Errc::kResources, path_, "stat");
  require(size_bytes <= static_cast<std::uint64_t>(st.st_size), Errc::kInvalidArgument, "a log is cut, never lengthened");
  broken_ = true;  // stays so if anything below throws
  if (::ftruncate(fd_, static_cast<off_t>(size_bytes)) != 0) fail(Errc::kResources, path_, "truncate");
  if (::fdatasync(fd_) != 0) fail(Errc::kResources, path_, "sync");
  broken_ = false;
}

}  // namespace sutura
