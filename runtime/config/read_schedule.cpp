#include "runtime/config/sections.h"

namespace sutura {
namespace {

void read_participation(Section section, ParticipationConfig& participation) {
  static constexpr Choice<OnLeave> kOnLeave[] = {
      {"continue", OnLeave::kContinue}, {"wait", OnLeave::kWait}, {"stop", OnLeave::kStop}};
  section.integer({"min_clients", "Sites that a round needs; 0: all of them."}, {0, 1000}, participation.min_clients);
  section.number({"deadline_s",
                  "Longest silence of a site inside a round, and how long it may keep a segment that is handed on; 0: "
                  "`connection.deadline_s`.",
                  Need::kOptional, Scope::kShared, "seconds"},
                 {.at_least = 0, .at_most = 604800}, participation.deadline_s);
  section.choice({"on_leave",
                  "What happens when a site leaves: `continue`: the others go on, it may join again at the start of a "
                  "round; `wait`: the next round waits for it; `stop`: the run ends for everybody."},
                 kOnLeave, participation.on_leave);
}

}  // namespace

void read_schedule(Section& root, ScheduleConfig& schedule) {
  static constexpr Choice<Visit> kVisits[] = {
      {"together", Visit::kTogether}, {"in_turn", Visit::kInTurn}, {"shuffled", Visit::kShuffled}};
  static constexpr Choice<Tail> kTails[] = {{"shared", Tail::kShared}, {"per_client", Tail::kPerClient}};
  static constexpr Choice<MissingParty> kMissing[] = {{"abort", MissingParty::kAbort},
                                                      {"drop-step", MissingParty::kDropStep},
                                                      {"zero", MissingParty::kZero},
                                                      {"running-mean", MissingParty::kRunningMean}};
  Section section = root.section_or_defaults({"schedule", "Who trains when, and what is averaged or handed on."});
  section.choice({"visit",
                  "`together`: all sites in each step; `in_turn`: one site after the other; `shuffled`: in turn, "
                  "in a new order each round."},
                 kVisits, schedule.visit);
  section.choice({"tail", "`per_client`: the server keeps one tail per site."}, kTails, schedule.tail);
  section.texts({"average", "Segments averaged over their replicas at the end of a round, weighted by samples."},
                TextRule::kIdentifier, schedule.average);
  section.texts({"hand_on",
                 "Segments that one site hands to the next with their optimizer, sealed for that site: the server passes on "
                 "what it cannot read."},
                TextRule::kIdentifier, schedule.hand_on);
  read_participation(
      section.section_or_defaults({"participation", "How many sites a round needs, and what happens without one."}),
      schedule.participation);
  section.choice(
      {"missing_party",
       "Vertical studies, a step without a party that holds a part of its records: `abort`: the run ends; `drop-step`: "
       "nobody updates; `zero`: its input to the join is zero; `running-mean`: the mean of its rows so far."},
      kMissing, schedule.missing_party);
  if (section.describes()) return;
  for (std::size_t i = 0; i < schedule.hand_on.size(); ++i)
    for (const std::string& averaged : schedule.average)
      if (schedule.hand_on[i] == averaged)
        section.error_at_item("hand_on", i, "segment " + averaged + " is averaged and also handed on",
                              "averaged replicas are equal at the start of a round; hand on what is not averaged");
}

}  // namespace sutura
