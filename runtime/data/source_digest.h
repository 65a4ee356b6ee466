#pragma once
#include <filesystem>

#include "core/bytes.h"

namespace sutura {

/// BLAKE2b-256 of a data source, by which a privacy ledger knows that record numbers still mean the same records.
/// A file: of its bytes, what `b2sum -l 256 FILE` prints. A folder: of the lines "DIGEST  NAME" of all its .npy files in
/// byte order of the names, what `b2sum -l 256 *.npy | b2sum -l 256` prints in it under LC_ALL=C.
/// Errors: kData for what cannot be read, or a folder without .npy files; kResources above 4 GiB.
Digest source_digest(const std::filesystem::path& path);

}  // namespace sutura
