#include <gtest/gtest.h>

#include "runtime/alignment/protocol.h"
#include "tests/alignment/people.h"
#include "tests/transport/world.h"
#include "transport/inproc.h"

namespace sutura {
namespace {

// Two hospitals over sockets, and the server, which holds data too and so is the third member.
TEST(AlignmentOverSockets, TheServerMayBeAMember) {
  LinkSettings settings = quick();
  settings.window = 4;
  settings.max_frame_bytes = kAlignmentFrameBytes;
  World world({"north", "south"}, settings);
  const People people(3, 300, 120, 9);
  AlignmentTerms terms;
  terms.run = 3;
  terms.seed = 11;
  terms.members = {"north", "server", "south"};
  terms.patience = std::chrono::seconds(20);
  const Identity server_identity(new_key_pair().secret_z85), north(world.secret("north")), south(world.secret("south"));
  const Roster roster{{"north", north.open_key()}, {"south", south.open_key()}, {"server", server_identity.open_key()}};

  std::vector<Alignment> found(3);
  std::vector<std::vector<std::uint8_t>> splits(3);
  const auto part = [&](std::size_t m, const std::string& name, Channel& channel, const Identity& identity) {
    found[m] = align_as_party(people.identifiers[m], name, channel, identity, roster, terms);
    const auto n = std::ssize(found[m].rows_by_position);
    if (name == "server") {
      for (std::int64_t i = 0; i < n; ++i) splits[m].push_back(static_cast<std::uint8_t>(i % 3));
      send_split(splits[m], name, channel, identity, roster, terms);
    } else {
      splits[m] = receive_split("server", n, name, channel, identity, roster, terms);
    }
  };
  const auto client = [&](std::size_t m, const std::string& name, const Identity& identity) {
    const auto endpoint = world.client(name, settings);
    part(m, name, endpoint->channel(), identity);
  };
  std::jthread at_north([&] { client(0, "north", north); });
  std::jthread at_south([&] { client(2, "south", south); });
  std::map<std::string, std::unique_ptr<Channel>> channels;
  while (channels.size() < 2) {
    std::string site;
    auto channel = world.server().accept(site, soon());
    ASSERT_TRUE(channel);
    channels[site] = std::move(channel);
  }
  ChannelPair own = make_channel_pair();
  channels["server"] = std::move(own.second);
  std::jthread at_server([&] { part(1, "server", *own.first, server_identity); });
  const auto channel_of = [&](const std::string& name) -> Channel& { return *channels.at(name); };
  const AlignmentSizes sizes = relay_alignment(terms, channel_of);
  relay_split("server", sizes.common, terms, channel_of);
  at_north.join();
  at_south.join();
  at_server.join();

  EXPECT_EQ(sizes.records, (std::vector<std::int64_t>{300, 300, 300}));
  EXPECT_EQ(sizes.common, 120);
  std::vector<std::string> order[3];
  for (std::size_t m = 0; m < 3; ++m) {
    for (const std::int64_t row : found[m].rows_by_position)
      order[m].push_back(people.identifiers[m][static_cast<std::size_t>(row)]);
    EXPECT_EQ(order[m], order[0]);
    EXPECT_EQ(splits[m], splits[1]);
  }
  std::ranges::sort(order[0]);
  EXPECT_EQ(order[0], people.common());
  EXPECT_EQ(splits[1].size(), 120u);
}

}  // namespace
}  // namespace sutura
