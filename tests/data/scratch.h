#pragma once
#include <gtest/gtest.h>
#include <unistd.h>
#include <zlib.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <string_view>

#include "core/bytes.h"
#include "core/error.h"

namespace sutura::testing {

/// Planted as a value in files under test; no message may ever hold it. As digits it is a number too.
inline constexpr std::string_view kCanary = "73918264";

/// A folder that is gone after the test.
class Scratch {
 public:
  Scratch() {
    // Thousands of tiny files: in memory where that is possible.
    const std::filesystem::path base =
        ::access("/dev/shm", W_OK) == 0 ? "/dev/shm" : std::filesystem::temp_directory_path();
    std::string name = (base / "sutura_data_XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) std::abort();
    folder_ = name;
  }
  ~Scratch() { std::filesystem::remove_all(folder_); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  std::filesystem::path path(const std::string& name) const { return folder_ / name; }
  std::filesystem::path write(const std::string& name, std::string_view content) const {
    std::ofstream(path(name), std::ios::binary) << content;
    return path(name);
  }

 private:
  std::filesystem::path folder_;
};

/// Runs `action`, which must throw Error(code), and returns the message; fails if the message holds the canary.
template <class Action>
std::string message_of(Errc code, Action action) {
  try {
    action();
  } catch (const Error& e) {
    EXPECT_EQ(name(e.code()), name(code)) << e.what();
    EXPECT_EQ(std::string_view(e.what()).find(kCanary), std::string_view::npos)
        << "a value is in the message: " << e.what();
    return e.what();
  }
  ADD_FAILURE() << "nothing was thrown";
  return {};
}

inline std::string gzipped(std::string_view text) {
  z_stream z{};
  if (deflateInit2(&z, 9, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK) std::abort();
  std::string out(deflateBound(&z, text.size()), '\0');
  z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  z.avail_in = static_cast<uInt>(text.size());
  z.next_out = reinterpret_cast<Bytef*>(out.data());
  z.avail_out = static_cast<uInt>(out.size());
  if (deflate(&z, Z_FINISH) != Z_STREAM_END) std::abort();
  out.resize(z.total_out);
  deflateEnd(&z);
  return out;
}

/// .npy content, format 1, from a header's three fields as Python text and the raw values.
inline std::string npy(const std::string& descr, const std::string& shape, std::string_view values,
                       const std::string& fortran = "False") {
  std::string header = "{'descr': " + descr + ", 'fortran_order': " + fortran + ", 'shape': " + shape + ", }";
  header.resize((header.size() + 11 + 63) / 64 * 64 - 11, ' ');
  header += '\n';
  std::string out("\x93NUMPY\x01\x00", 8);
  out += static_cast<char>(header.size() & 0xff);
  out += static_cast<char>(header.size() >> 8);
  return out + header + std::string(values);
}

template <class T>
std::string raw(std::initializer_list<T> values) {
  return {reinterpret_cast<const char*>(std::data(values)), values.size() * sizeof(T)};
}

inline Bytes to_bytes(std::string_view s) {
  const ByteSpan b = as_bytes(s);
  return {b.begin(), b.end()};
}

enum class Packing { kStore, kDeflate };
/// Writes a zip archive of `members` (names with .npy).
void write_zip(const std::filesystem::path& path, const std::map<std::string, std::string>& members, Packing packing);

/// Folder of the real data sets, from the environment; empty: not here.
inline std::filesystem::path real_data() {
  const char* folder = std::getenv("SUTURA_DATA");
  return folder == nullptr ? std::filesystem::path() : std::filesystem::path(folder);
}

}  // namespace sutura::testing
