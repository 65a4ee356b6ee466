#include "runtime/trust/roster.h"

#include "core/error.h"
#include "transport/security.h"

namespace sutura {

Roster load_roster(const std::filesystem::path& path) {
  Roster roster;
  for (const auto& [key, site] : load_authorised(path)) roster.emplace(site, public_key(key));
  return roster;
}

const PublicKey& key_of(const Roster& roster, std::string_view party) {
  const auto found = roster.find(party);
  if (found == roster.end())
    throw Error(Errc::kAuthentication, "the list of the other sites' public keys has no line for '" + std::string(party) + "'");
  return found->second;
}

std::vector<PublicKey> keys_of_others(const Roster& roster, const std::vector<std::string>& parties, std::string_view self) {
  std::vector<PublicKey> keys;
  for (const std::string& party : parties)
    if (party != self) keys.push_back(key_of(roster, party));
  return keys;
}

}  // namespace sutura
