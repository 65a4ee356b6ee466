#pragma once
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "runtime/trust/sealed.h"

namespace sutura {

/// The public keys of the other parties, by name: for whom a site seals. Exchanged between people, not by the server: a server
/// that could name the keys could put its own there and read everything.
using Roster = std::map<std::string, PublicKey, std::less<>>;

/// Reads `connection.peers`: the format of the server's list of sites (lines "site z85-public-key").
/// Errors: kAuthentication with the line (transport/security.h, load_authorised).
Roster load_roster(const std::filesystem::path& path);
/// The key of a party. Errors: kAuthentication naming the party if the roster lacks it.
const PublicKey& key_of(const Roster& roster, std::string_view party);
/// The keys of all `parties` but `self`, in that order. Errors: as key_of.
std::vector<PublicKey> keys_of_others(const Roster& roster, const std::vector<std::string>& parties, std::string_view self);

}  // namespace sutura
