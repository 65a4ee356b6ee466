#include "transport/security.h"

#include <fcntl.h>
#include <sodium.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zmq.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <set>
#include <system_error>
#include <utility>

#include "core/bytes.h"
#include "core/error.h"
#include "core/file.h"

namespace sutura {
namespace {

constexpr std::size_t kKeyCharacters = 40;
constexpr std::size_t kKeyBytes = 32;
constexpr std::size_t kKeyFileLimit = 4096;
constexpr std::size_t kRosterLimit = std::size_t{1} << 20;

using KeyArray = std::array<std::uint8_t, kKeyBytes>;

/// z85 has five characters for four bytes; the library's decoder accepts groups above 2^32, so the text must also be the
/// one that the bytes give back. Otherwise two texts would name one key.
bool decode_key(std::string_view z85, KeyArray& out) {
  if (z85.size() != kKeyCharacters) return false;
  const std::string text(z85);
  if (zmq_z85_decode(out.data(), text.c_str()) == nullptr) return false;
  std::array<char, kKeyCharacters + 1> again{};
  const bool same = zmq_z85_encode(again.data(), out.data(), out.size()) != nullptr &&
                    sodium_memcmp(again.data(), text.data(), kKeyCharacters) == 0;
  sodium_memzero(again.data(), again.size());
  return same;
}

[[noreturn]] void fail(const std::filesystem::path& path, const std::string& why) {
  throw Error(Errc::kAuthentication, path.string() + ": " + why);
}

std::string system_reason() { return std::system_category().message(errno); }

struct Descriptor {
  int fd;
  ~Descriptor() {
    if (fd >= 0) ::close(fd);
  }
};

void write_new_file(const std::filesystem::path& path, const std::string& text, mode_t mode) {
  const Descriptor file{::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode)};
  if (file.fd < 0 && errno == EEXIST) fail(path, "exists already; a key is never overwritten");
  const bool ok = file.fd >= 0 && ::fchmod(file.fd, mode) == 0 &&
                  ::write(file.fd, text.data(), text.size()) == static_cast<ssize_t>(text.size()) && ::fsync(file.fd) == 0;
  if (!ok) throw Error(Errc::kResources, path.string() + ": " + system_reason());
}

std::string read_all(const std::filesystem::path& path, int fd) {
  std::string text(kKeyFileLimit, '\0');
  const ssize_t n = ::read(fd, text.data(), text.size());
  if (n < 0) fail(path, system_reason());
  text.resize(static_cast<std::size_t>(n));
  return text;
}

std::string_view trimmed(std::string_view s) {
  constexpr std::string_view kSpace = " \t\r\n";
  const auto first = s.find_first_not_of(kSpace);
  if (first == std::string_view::npos) return {};
  return s.substr(first, s.find_last_not_of(kSpace) - first + 1);
}

bool is_site_name(std::string_view name) {
  const auto ok = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
  };
  return !name.empty() && name.size() <= 64 && name.front() != '.' && name.front() != '-' &&
         std::all_of(name.begin(), name.end(), ok);
}

}  // namespace

void require_key(std::string_view z85, std::string_view what) {
  KeyArray key{};
  const bool ok = decode_key(z85, key);
  sodium_memzero(key.data(), key.size());
  if (!ok) throw Error(Errc::kAuthentication, std::string(what) + " is not a key (40 characters of z85)");
}

std::string public_of(const std::string& secret_z85) {
  require_key(secret_z85, "a secret key");
  std::array<char, kKeyCharacters + 1> out{};
  require(zmq_curve_public(out.data(), secret_z85.c_str()) == 0, Errc::kInternal, "the socket library was built without CURVE");
  return out.data();
}

KeyPair new_key_pair() {
  std::array<char, kKeyCharacters + 1> open{};
  std::array<char, kKeyCharacters + 1> secret{};
  require(zmq_curve_keypair(open.data(), secret.data()) == 0, Errc::kInternal, "the socket library was built without CURVE");
  KeyPair pair{open.data(), secret.data()};
  sodium_memzero(secret.data(), secret.size());
  return pair;
}

std::string generate_keys(const std::filesystem::path& folder, const std::string& name) {
  if (!is_site_name(name)) throw Error(Errc::kAuthentication, "a key's name has 1 to 64 letters, digits, '-', '_' or '.'");
  KeyPair pair = new_key_pair();
  const auto secret_path = folder / (name + ".secret");
  const auto public_path = folder / (name + ".public");
  std::error_code ignored;
  if (std::filesystem::exists(public_path, ignored)) fail(public_path, "exists already; a key is never overwritten");
  std::string line = pair.secret_z85 + "\n";
  write_new_file(secret_path, line, 0600);
  sodium_memzero(line.data(), line.size());
  sodium_memzero(pair.secret_z85.data(), pair.secret_z85.size());
  write_new_file(public_path, pair.public_z85 + "\n", 0644);
  return pair.public_z85;
}

std::string load_secret(const std::filesystem::path& path) {
  // The checks are made on the opened file, so that nobody can exchange it in between.
  const Descriptor file{::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)};
  if (file.fd < 0) fail(path, errno == ELOOP ? "is a symbolic link" : system_reason());
  struct stat info {};
  if (::fstat(file.fd, &info) != 0) fail(path, system_reason());
  if (!S_ISREG(info.st_mode)) fail(path, "is not a regular file");
  if (info.st_uid != ::geteuid()) fail(path, "belongs to another user");
  if ((info.st_mode & 077) != 0) fail(path, "can be read by group or others; run: chmod 600 FILE");
  std::string text = read_all(path, file.fd);
  std::string key(trimmed(text));
  sodium_memzero(text.data(), text.size());
  KeyArray raw{};
  const bool ok = decode_key(key, raw);
  sodium_memzero(raw.data(), raw.size());
  if (!ok) fail(path, "holds no secret key (one line of 40 characters)");
  return key;
}

std::string load_public(const std::filesystem::path& path) {
  const Descriptor file{::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC)};
  if (file.fd < 0) fail(path, system_reason());
  const std::string text = read_all(path, file.fd);
  KeyArray raw{};
  if (!decode_key(trimmed(text), raw)) fail(path, "holds no public key (one line of 40 characters)");
  return std::string(trimmed(text));
}

std::map<std::string, std::string> load_authorised(const std::filesystem::path& path) {
  std::string text;
  try {
    text = read_text_file(path, kRosterLimit);
  } catch (const Error& e) {
    throw Error(Errc::kAuthentication, e.what());
  }
  std::map<std::string, std::string> sites;
  std::set<std::string, std::less<>> names;
  std::size_t number = 0;
  std::string_view rest = text;
  while (!rest.empty()) {
    const auto end = rest.find('\n');
    const std::string_view line = trimmed(rest.substr(0, end));
    rest = end == std::string_view::npos ? std::string_view{} : rest.substr(end + 1);
    ++number;
    if (line.empty() || line.front() == '#') continue;
    const auto complain = [&](const char* why) { fail(path, "line " + std::to_string(number) + ": " + why); };
    const auto gap = line.find_first_of(" \t");
    if (gap == std::string_view::npos) complain("expected: site public-key");
    const std::string_view site = line.substr(0, gap);
    const std::string_view key = trimmed(line.substr(gap));
    KeyArray raw{};
    if (!is_site_name(site)) complain("a site name has 1 to 64 letters, digits, '-', '_' or '.'");
    if (!decode_key(key, raw)) complain("this is not a public key (40 characters of z85)");
    if (!names.emplace(site).second) complain("this site is already listed");
    if (!sites.emplace(key, site).second) complain("this key is already listed for another site");
  }
  if (sites.empty()) fail(path, "no site is authorised");
  return sites;
}

std::string fingerprint(const std::string& public_z85) {
  KeyArray raw{};
  if (!decode_key(public_z85, raw)) throw Error(Errc::kAuthentication, "a public key is not a key (40 characters of z85)");
  const Digest digest = blake2b(std::as_bytes(std::span(raw)));
  return to_hex(ByteSpan(digest).first(8));
}

}  // namespace sutura
