#pragma once
#include <filesystem>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "models/param_store.h"

namespace sutura {

/// Files in the safetensors format (Hugging Face, format description of 2023): 8 bytes little-endian header length, a JSON
/// header {name: {dtype, shape, data_offsets}}, then the values. Readable by numpy, PyTorch, JAX without Sutura.
/// Only float32 ("F32"). Reading trusts nothing: header at most 1 MB, no duplicate names, every offset inside the file, no
/// holes and no overlap, so that a file has one meaning and hides nothing.
using NamedTensors = std::vector<std::pair<std::string, const Tensor*>>;

/// Errors: kInvalidArgument for a duplicate or empty name, the reserved name __metadata__, a type other than float32, or a
/// header above 1 MB.
Bytes encode_safetensors(const NamedTensors& tensors);
/// Errors: kData naming what is wrong.
std::map<std::string, Tensor> decode_safetensors(ByteSpan file);

/// Durable (core/file.h). Errors: as encode_safetensors; kResources.
void write_safetensors(const std::filesystem::path& path, const NamedTensors& tensors);
/// Errors: kData with the path.
std::map<std::string, Tensor> read_safetensors(const std::filesystem::path& path);

/// All parameters of a segment, statistics included, under their full names.
void save_params(const ParamStore& params, const std::filesystem::path& path);
/// Reads them back. The names must be the same set; nothing is changed unless everything fits.
/// Errors: kData naming the path and the first tensor that is missing, unknown, or of another shape.
void load_params(ParamStore& params, const std::filesystem::path& path);

}  // namespace sutura
