#pragma once
#include <filesystem>
#include <map>
#include <string>
#include <string_view>

namespace sutura {

// CURVE keys as files: NAME.public (may be shown to anybody) and NAME.secret (never leaves the machine), one line of z85 each.
// Messages name files, lines and fingerprints, never keys.

struct KeyPair {
  std::string public_z85;
  std::string secret_z85;
};

/// Errors: kAuthentication naming `what` unless `z85` is 40 characters of z85.
void require_key(std::string_view z85, std::string_view what);
/// The public key that belongs to a secret key.
std::string public_of(const std::string& secret_z85);
/// A fresh pair from the system's random source.
KeyPair new_key_pair();

/// Writes folder/name.public (0644) and folder/name.secret (0600) and returns the public key.
/// Errors: kAuthentication if one of the files exists: a key is never overwritten; kResources if the folder cannot be written.
std::string generate_keys(const std::filesystem::path& folder, const std::string& name);
/// Errors: kAuthentication if the file is missing, not a regular file, not owned by this user, readable by group or others, or
/// holds no key.
std::string load_secret(const std::filesystem::path& path);
/// Errors: kAuthentication if the file is missing or holds no key.
std::string load_public(const std::filesystem::path& path);
/// The server's list of sites: lines "site z85-public-key", comments after '#' at the start of a line.
/// Returns public key -> site. Errors: kAuthentication with the line for a bad name or key, or one that was there before; an
/// empty list.
std::map<std::string, std::string> load_authorised(const std::filesystem::path& path);
/// Sixteen hex digits that two people can compare on the telephone: the start of BLAKE2b of the public key.
std::string fingerprint(const std::string& public_z85);

}  // namespace sutura
