#include "models/safetensors.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "core/error.h"
#include "core/file.h"

namespace sutura {
namespace {

using Json = nlohmann::json;
constexpr std::size_t kLengthBytes = 8;
constexpr std::size_t kMaxHeaderBytes = std::size_t{1} << 20;
constexpr std::string_view kMetadata = "__metadata__";

struct Range {
  std::uint64_t begin;
  std::uint64_t end;
};

[[noreturn]] void bad(const std::string& what) { throw Error(Errc::kData, "safetensors: " + what); }

/// Parses the header; unlike plain nlohmann it refuses a key given twice, which other readers may resolve otherwise.
Json parse_header(const char* begin, const char* end) {
  std::vector<std::set<std::string>> keys;
  bool duplicate = false;
  const auto watch = [&](int, Json::parse_event_t event, Json& value) {
    if (event == Json::parse_event_t::object_start) keys.emplace_back();
    if (event == Json::parse_event_t::object_end) keys.pop_back();
    if (event == Json::parse_event_t::key && !keys.back().insert(value.get<std::string>()).second) duplicate = true;
    return true;
  };
  Json header = Json::parse(begin, end, watch, false);
  if (header.is_discarded() || !header.is_object()) bad("the header is not a JSON object");
  if (duplicate) bad("the header names a tensor twice");
  return header;
}

std::uint64_t whole(const Json& value, const char* what) {
  if (!value.is_number_unsigned()) bad(std::string(what) + " is not a whole number");
  return value.get<std::uint64_t>();
}

Shape read_shape(const Json& dims) {
  if (!dims.is_array() || dims.size() > Shape::kMaxRank) bad("a shape is not a list of at most six sizes");
  std::vector<std::int64_t> sizes;
  for (const Json& d : dims) {
    const std::uint64_t size = whole(d, "a size");
    if (size > (std::uint64_t{1} << 40)) bad("a size is too large");
    sizes.push_back(static_cast<std::int64_t>(size));
  }
  return Shape(sizes);
}

/// Holes or overlap would let two readers see different values, or hide bytes that none sees.
void check_cover(std::vector<Range> ranges, std::uint64_t size) {
  std::ranges::sort(ranges, [](const Range& a, const Range& b) { return std::tie(a.begin, a.end) < std::tie(b.begin, b.end); });
  std::uint64_t next = 0;
  for (const Range& r : ranges) {
    if (r.begin != next) bad("the tensors leave a hole or overlap");
    next = r.end;
  }
  if (next != size) bad("bytes after the last tensor");
}

}  // namespace

Bytes encode_safetensors(const NamedTensors& tensors) {
  Json header = Json::object();
  std::uint64_t offset = 0;
  for (const auto& [name, tensor] : tensors) {
    require(!name.empty() && name != kMetadata && !header.contains(name), Errc::kInvalidArgument,
            "safetensors: the name '" + name + "' is empty, reserved or given twice");
    require(tensor->defined() && tensor->dtype() == DType::kFloat32, Errc::kInvalidArgument,
            "safetensors: " + name + " is not a float32 tensor");
    const auto dims = tensor->shape().dims();
    header[name] = {{"dtype", "F32"},
                    {"shape", std::vector<std::int64_t>(dims.begin(), dims.end())},
                    {"data_offsets", {offset, offset + tensor->bytes_size()}}};
    offset += tensor->bytes_size();
  }
  std::string text;
  try {
    text = header.dump();
  } catch (const Json::exception&) {
    throw Error(Errc::kInvalidArgument, "safetensors: a name is not UTF-8");
  }
  while ((kLengthBytes + text.size()) % 8 != 0) text += ' ';  // values start aligned, so that readers can map the file
  require(text.size() <= kMaxHeaderBytes, Errc::kInvalidArgument, "safetensors: the header is above 1 MB");
  Bytes file(kLengthBytes);
  store_le(std::span(file), 0, static_cast<std::uint64_t>(text.size()));
  file.reserve(kLengthBytes + text.size() + offset);
  const auto append = [&file](ByteSpan part) { file.insert(file.end(), part.begin(), part.end()); };
  append(as_bytes(text));
  for (const auto& [name, tensor] : tensors) append(tensor->bytes());
  return file;
}

std::map<std::string, Tensor> decode_safetensors(ByteSpan file) {
  if (file.size() < kLengthBytes) bad("shorter than its length field");
  const auto length = load_le<std::uint64_t>(file, 0);
  if (length > kMaxHeaderBytes) bad("the header is above 1 MB");
  if (length > file.size() - kLengthBytes) bad("the header is longer than the file");
  const auto* text = reinterpret_cast<const char*>(file.data() + kLengthBytes);
  const Json header = parse_header(text, text + length);
  const ByteSpan values = file.subspan(kLengthBytes + length);
  std::map<std::string, Tensor> tensors;
  std::vector<Range> ranges;
  try {
    for (const auto& [name, entry] : header.items()) {
      if (name == kMetadata) {
        if (!entry.is_object()) bad("__metadata__ is not an object");
        continue;
      }
      if (!entry.is_object() || entry.size() != 3) bad("a tensor's entry is not {dtype, shape, data_offsets}");
      if (entry.at("dtype") != "F32") bad("a tensor is not float32");
      const Shape shape = read_shape(entry.at("shape"));
      const Json& offsets = entry.at("data_offsets");
      if (!offsets.is_array() || offsets.size() != 2) bad("data_offsets are not two numbers");
      const Range r{whole(offsets[0], "an offset"), whole(offsets[1], "an offset")};
      if (r.begin > r.end || r.end > values.size()) bad("a tensor lies outside the file");
      if (r.end - r.begin != static_cast<std::uint64_t>(shape.elements()) * sizeof(float))
        bad("a tensor's size differs from its shape");
      Tensor tensor(shape);
      if (r.end > r.begin) std::memcpy(tensor.data(), values.data() + r.begin, r.end - r.begin);
      tensors.emplace(name, std::move(tensor));
      ranges.push_back(r);
    }
  } catch (const Json::exception&) {
    bad("a tensor's entry is not {dtype, shape, data_offsets}");
  } catch (const Error& e) {
    if (e.code() != Errc::kInvalidArgument) throw;  // a Shape refused its sizes
    bad("a shape is too large");
  }
  check_cover(std::move(ranges), values.size());
  return tensors;
}

void write_safetensors(const std::filesystem::path& path, const NamedTensors& tensors) {
  write_file_durably(path, encode_safetensors(tensors));
}

std::map<std::string, Tensor> read_safetensors(const std::filesystem::path& path) {
  try {
    return decode_safetensors(read_file(path));
  } catch (Error& e) {
    e.in(path.string());
    throw;
  }
}

void save_params(const ParamStore& params, const std::filesystem::path& path) {
  std::vector<Tensor> views;
  views.reserve(params.entries().size());
  NamedTensors named;
  for (const ParamEntry& e : params.entries()) {
    auto* data = const_cast<float*>(params.values().f32().data()) + e.offset;
    views.push_back(Tensor::borrow(data, e.shape));
    named.emplace_back(e.name, &views.back());
  }
  write_safetensors(path, named);
}

void load_params(ParamStore& params, const std::filesystem::path& path) {
  const auto tensors = read_safetensors(path);
  const auto fail = [&path](const std::string& what) { throw Error(Errc::kData, path.string() + ": " + what); };
  std::set<std::string> known;
  for (const ParamEntry& e : params.entries()) {
    known.insert(e.name);
    const auto it = tensors.find(e.name);
    if (it == tensors.end()) fail("holds no " + e.name);
    if (it->second.shape() != e.shape)
      fail(e.name + " is " + it->second.shape().text() + " in the file and " + e.shape.text() + " in the network");
  }
  for (const auto& [name, tensor] : tensors)
    if (!known.contains(name)) fail("holds " + name + ", which the network does not have");
  for (const ParamEntry& e : params.entries()) {
    const auto from = tensors.at(e.name).f32();
    std::ranges::copy(from, params.values().f32().begin() + e.offset);
  }
}

}  // namespace sutura
