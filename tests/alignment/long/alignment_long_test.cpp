#include <gtest/gtest.h>

#include <sys/resource.h>

#include <cstdio>
#include <cstdlib>

#include "runtime/alignment/protocol.h"
#include "tests/alignment/people.h"
#include "tests/alignment/room.h"

namespace sutura {
namespace {

/// Processor time of this process so far, all threads.
double core_seconds() {
  rusage used{};
  EXPECT_EQ(getrusage(RUSAGE_SELF, &used), 0);
  const auto seconds = [](const timeval& t) { return static_cast<double>(t.tv_sec) + 1e-6 * static_cast<double>(t.tv_usec); };
  return seconds(used.ru_utime) + seconds(used.ru_stime);
}

// The promise: 100,000 identifiers at each of two parties within 60 s on two cores, everything (both parties, the relay) on them.
TEST(AlignmentLong, AHundredThousandIdentifiersAParty) {
  constexpr int kRecords = 100'000, kShared = 70'000;
  Room room(2, std::chrono::seconds(60));
  const People people(2, kRecords, kShared, 1);
  double load = 0.0;
  ASSERT_EQ(getloadavg(&load, 1), 1);
  const Deadline start = std::chrono::steady_clock::now();
  const double used_before = core_seconds();
  room.run(people.identifiers);
  const double seconds = seconds_since(start);
  const double used = core_seconds() - used_before;
  std::printf("alignment of 2 parties with %d identifiers each, %d common: %.1f s, %.1f s of processor time; load before: %.1f\n",
              kRecords, kShared, seconds, used, load);
  RecordProperty("seconds", std::to_string(seconds));
  ASSERT_FALSE(room.error) << room.error->what();
  EXPECT_EQ(room.sizes.common, kShared);
  std::vector<std::string> order[2];
  for (std::size_t m = 0; m < 2; ++m) {
    const Ending& e = room.endings.at(room.terms.members[m]);
    ASSERT_TRUE(e.alignment) << e.error->what();
    for (const std::int64_t row : e.alignment->rows_by_position)
      order[m].push_back(people.identifiers[m][static_cast<std::size_t>(row)]);
  }
  EXPECT_TRUE(order[0] == order[1]);
  std::ranges::sort(order[0]);
  EXPECT_TRUE(order[0] == people.common());
  EXPECT_LT(used, 2 * 60.0);
  // Among other programs the wall clock measures them.
  if (load < 2.0) {
    EXPECT_LT(seconds, 60.0);
  }
}

}  // namespace
}  // namespace sutura
