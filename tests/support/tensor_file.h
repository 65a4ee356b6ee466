#pragma once
#include <cstdint>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "core/file.h"
#include "kernels/tensor.h"

namespace sutura::testing {

/// Named tensors of a fixture; the format is in tests/ops/make_torch_fixture.py.
class TensorFile {
 public:
  explicit TensorFile(const std::string& path) {
    const Bytes file = read_file(path);
    std::size_t at = 8;
    const auto count = load_le<std::uint32_t>(file, at);
    at += 4;
    for (std::uint32_t i = 0; i < count; ++i) {
      const auto length = load_le<std::uint32_t>(file, at);
      const std::string name(reinterpret_cast<const char*>(file.data()) + at + 4, length);
      at += 4 + length;
      const DType dtype = load_le<std::uint8_t>(file, at) == 1 ? DType::kInt32 : DType::kFloat32;
      const auto rank = load_le<std::uint8_t>(file, at + 1);
      at += 2;
      std::vector<std::int64_t> dims;
      for (int d = 0; d < rank; ++d, at += 8) dims.push_back(load_le<std::int64_t>(file, at));
      Tensor t(Shape(dims), dtype);
      std::memcpy(t.data(), file.data() + at, t.bytes_size());
      at += t.bytes_size();
      tensors_.emplace(name, std::move(t));
    }
  }
  /// Errors: std::out_of_range.
  const Tensor& at(const std::string& name) const { return tensors_.at(name); }
  bool contains(const std::string& name) const { return tensors_.contains(name); }

 private:
  std::map<std::string, Tensor> tensors_;
};

}  // namespace sutura::testing
