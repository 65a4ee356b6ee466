#pragma once
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "core/bytes.h"
#include "core/shape.h"
#include "kernels/tensor.h"

namespace sutura {

/// Element types that are read from NumPy files: little-endian numbers and booleans, nothing that runs code.
enum class NpyType { kBool, kInt8, kInt16, kInt32, kInt64, kUint8, kUint16, kUint32, kFloat32, kFloat64 };
std::size_t size_bytes(NpyType type);
bool is_integer(NpyType type);  ///< booleans included

/// One array as it lies in a .npy file, C order.
struct NpyArray {
  std::string source;  ///< "FILE, member train_images": for messages
  NpyType type = NpyType::kUint8;
  Shape shape;
  Bytes file;              ///< the whole .npy content
  std::size_t offset = 0;  ///< where the values begin
};

inline constexpr std::size_t kArrayLimitBytes = std::size_t{1} << 32;

/// Parses .npy content of format 1, 2 or 3.
/// Errors: kData with `source` for a bad header, Fortran order, big-endian, structured or object types, more than six
/// dimensions, or a length other than what the header says.
/// Source: NumPy enhancement proposal 1 and numpy.lib.format.
NpyArray parse_npy(Bytes content, std::string source);
/// Reads array `name` from a .npz file or from `name`.npy in a folder. Checksums are verified.
/// Errors: kData with file and member; sizes are checked before memory is taken (`limit_bytes` per array).
NpyArray read_array(const std::filesystem::path& path, std::string_view name,
                    std::size_t limit_bytes = kArrayLimitBytes);

/// Values divided by `divide_by`, in the array's shape.
/// Numbers: rounded to float32. Errors: kData with source and record for values that are not finite.
Tensor to_float32(const NpyArray& array, double divide_by = 1.0);
/// Values of an integer array in order. Errors: kData for a floating-point array.
std::vector<std::int64_t> to_integers(const NpyArray& array);

}  // namespace sutura
