#include <array>
#include <charconv>
#include <cmath>
#include <optional>
#include <utility>

#include "core/error.h"
#include "runtime/data/npz.h"

namespace sutura {
namespace {

struct NamedType {
  std::string_view code;
  NpyType type;
  std::size_t bytes;
  bool integer;
};
constexpr std::array<NamedType, 10> kTypes{{{"b1", NpyType::kBool, 1, true},
                                            {"i1", NpyType::kInt8, 1, true},
                                            {"i2", NpyType::kInt16, 2, true},
                                            {"i4", NpyType::kInt32, 4, true},
                                            {"i8", NpyType::kInt64, 8, true},
                                            {"u1", NpyType::kUint8, 1, true},
                                            {"u2", NpyType::kUint16, 2, true},
                                            {"u4", NpyType::kUint32, 4, true},
                                            {"f4", NpyType::kFloat32, 4, false},
                                            {"f8", NpyType::kFloat64, 8, false}}};

const NamedType& entry(NpyType type) {
  for (const NamedType& t : kTypes)
    if (t.type == type) return t;
  throw Error(Errc::kInternal, "an array type outside the list");
}

struct Header {
  std::optional<std::string> descr;
  std::optional<bool> fortran_order;
  std::optional<std::vector<std::int64_t>> shape;
};

/// The header is the text of a Python dict literal with exactly three keys; nothing else is understood.
class HeaderParser {
 public:
  HeaderParser(std::string_view text, const std::string& source) : text_(text), source_(source) {}

  Header parse() {
    Header header;
    expect('{');
    while (!accept('}')) {
      const std::string key = quoted();
      expect(':');
      if (key == "descr" && !header.descr) {
        check(peek() != '[', "structured types are refused");
        header.descr = quoted();
      } else if (key == "fortran_order" && !header.fortran_order) {
        header.fortran_order = boolean();
      } else if (key == "shape" && !header.shape) {
        header.shape = tuple();
      } else {
        check(false, "the .npy header has an unknown or repeated key");
      }
      if (!accept(',')) {
        expect('}');
        break;
      }
    }
    skip();
    check(at_ == text_.size(), "the .npy header has text after its end");
    check(header.descr && header.fortran_order && header.shape, "the .npy header lacks a key");
    return header;
  }

 private:
  void check(bool condition, const char* what) const {
    if (!condition) throw Error(Errc::kData, source_ + ": " + what);
  }
  void skip() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n')) ++at_;
  }
  char peek() {
    skip();
    return at_ < text_.size() ? text_[at_] : '\0';
  }
  bool accept(char c) {
    if (peek() != c) return false;
    ++at_;
    return true;
  }
  void expect(char c) { check(accept(c), "the .npy header is malformed"); }
  std::string quoted() {
    const char quote = peek();
    check(quote == '\'' || quote == '"', "the .npy header is malformed");
    const std::size_t end = text_.find(quote, at_ + 1);
    check(end != std::string_view::npos, "the .npy header is malformed");
    std::string s(text_.substr(at_ + 1, end - at_ - 1));
    at_ = end + 1;
    return s;
  }
  bool boolean() {
    skip();
    for (const auto& [word, value] : {std::pair<std::string_view, bool>{"True", true}, {"False", false}}) {
      if (!text_.substr(at_).starts_with(word)) continue;
      at_ += word.size();
      return value;
    }
    throw Error(Errc::kData, source_ + ": the .npy header is malformed");
  }
  std::vector<std::int64_t> tuple() {
    std::vector<std::int64_t> dims;
    expect('(');
    while (!accept(')')) {
      skip();
      std::int64_t d = -1;
      const auto [end, status] = std::from_chars(text_.data() + at_, text_.data() + text_.size(), d);
      check(status == std::errc{} && d >= 0, "a dimension in the .npy header is not a count");
      at_ = static_cast<std::size_t>(end - text_.data());
      dims.push_back(d);
      if (!accept(',')) {
        expect(')');
        break;
      }
    }
    return dims;
  }

  std::string_view text_;
  const std::string& source_;
  std::size_t at_ = 0;
};

NpyType type_of(const std::string& descr, const std::string& source) {
  require(descr.find('O') == std::string::npos, Errc::kData,
          source + ": object arrays are refused, they hold programs");
  require(!descr.starts_with('>'), Errc::kData, source + ": big-endian arrays are refused");
  for (const NamedType& t : kTypes) {
    if (descr.size() != 3 || descr.substr(1) != t.code) continue;
    if (descr[0] == '<' || descr[0] == '=' || (descr[0] == '|' && t.bytes == 1)) return t.type;
  }
  throw Error(Errc::kData, source + ": the element type is not one of b1 i1 i2 i4 i8 u1 u2 u4 f4 f8");
}

/// Calls `use` with the value at each position, as its own type.
template <class Use>
void for_each_value(const NpyArray& a, Use use) {
  const auto run = [&]<class T>(T) {
    const ByteSpan values = ByteSpan(a.file).subspan(a.offset);
    const auto n = static_cast<std::size_t>(a.shape.elements());
    for (std::size_t i = 0; i < n; ++i) use(i, load_le<T>(values, i * sizeof(T)));
  };
  switch (a.type) {
    case NpyType::kBool:
    case NpyType::kUint8:
      return run(std::uint8_t{});
    case NpyType::kInt8:
      return run(std::int8_t{});
    case NpyType::kInt16:
      return run(std::int16_t{});
    case NpyType::kInt32:
      return run(std::int32_t{});
    case NpyType::kInt64:
      return run(std::int64_t{});
    case NpyType::kUint16:
      return run(std::uint16_t{});
    case NpyType::kUint32:
      return run(std::uint32_t{});
    case NpyType::kFloat32:
      return run(float{});
    case NpyType::kFloat64:
      return run(double{});
  }
}

}  // namespace

std::size_t size_bytes(NpyType type) { return entry(type).bytes; }
bool is_integer(NpyType type) { return entry(type).integer; }

NpyArray parse_npy(Bytes content, std::string source) {
  const ByteSpan bytes(content);
  constexpr std::string_view kMagic("\x93NUMPY", 6);
  constexpr std::size_t kHeaderLimitBytes = 65536;
  require(bytes.size() >= 10 && std::memcmp(bytes.data(), kMagic.data(), kMagic.size()) == 0, Errc::kData,
          source + ": not a .npy array");
  const auto major = std::to_integer<int>(bytes[6]);
  require(major >= 1 && major <= 3 && bytes[7] == std::byte{0}, Errc::kData, source + ": unknown .npy format version");
  const std::size_t begin = major == 1 ? 10 : 12;
  require(bytes.size() >= begin, Errc::kData, source + ": the .npy header is truncated");
  const std::size_t length = major == 1 ? load_le<std::uint16_t>(bytes, 8) : load_le<std::uint32_t>(bytes, 8);
  require(length <= kHeaderLimitBytes, Errc::kData, source + ": the .npy header is too long");
  require(bytes.size() - begin >= length, Errc::kData, source + ": the .npy header is truncated");
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()) + begin, length);

  const Header header = HeaderParser(text, source).parse();
  NpyArray array;
  array.type = type_of(*header.descr, source);
  require(!*header.fortran_order, Errc::kData,
          source + ": Fortran order is refused; write the array with numpy.ascontiguousarray");
  try {
    array.shape = Shape(*header.shape);
  } catch (Error& e) {
    throw Error(Errc::kData, source + ": " + e.what());
  }
  array.offset = begin + length;
  const std::size_t expected = static_cast<std::size_t>(array.shape.elements()) * size_bytes(array.type);
  require(bytes.size() - array.offset == expected, Errc::kData,
          source + ": the header says " + std::to_string(expected) + " bytes of values, there are " +
              std::to_string(bytes.size() - array.offset));
  array.source = std::move(source);
  array.file = std::move(content);
  return array;
}

Tensor to_float32(const NpyArray& array, double divide_by) {
  Tensor out(array.shape);
  const std::span<float> values = out.f32();
  const auto per_record = static_cast<std::size_t>(array.shape.rank() == 0 ? 1 : array.shape.row_elements());
  for_each_value(array, [&](std::size_t i, auto v) {
    values[i] = static_cast<float>(static_cast<double>(v) / divide_by);
    if (!std::isfinite(values[i]))
      throw Error(Errc::kData, array.source + ": record " + std::to_string(i / per_record) +
                                   " holds a value that is not finite in float32");
  });
  return out;
}

std::vector<std::int64_t> to_integers(const NpyArray& array) {
  require(is_integer(array.type), Errc::kData, array.source + ": expected whole numbers, the array is floating point");
  std::vector<std::int64_t> out(static_cast<std::size_t>(array.shape.elements()));
  for_each_value(array, [&](std::size_t i, auto v) { out[i] = static_cast<std::int64_t>(v); });
  return out;
}

}  // namespace sutura
