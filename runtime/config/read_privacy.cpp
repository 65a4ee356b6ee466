#include "runtime/config/sections.h"

namespace sutura {

void read_privacy(Section& root, PrivacyConfig& privacy) {
  static constexpr Choice<Mechanism> kMechanisms[] = {{"none", Mechanism::kNone}, {"rows", Mechanism::kRows}};
  static constexpr Choice<Regime> kRegimes[] = {{"message-noise", Regime::kMessageNoise}, {"release-once", Regime::kReleaseOnce}};
  static constexpr Choice<Relation> kRelations[] = {{"replace-one", Relation::kReplaceOne},
                                                    {"replace-one-nonnegative", Relation::kReplaceOneNonnegative},
                                                    {"zero-out", Relation::kZeroOut}};
  static constexpr Choice<DType> kWires[] = {{"int8", DType::kInt8}, {"int16", DType::kInt16}};
  static constexpr Choice<LabelPolicy> kLabels[] = {{"public", LabelPolicy::kPublic}};

  const auto found = root.section(
      {"privacy", "What is promised about what leaves a site; nothing here has a default that decides.", Need::kRequired});
  if (!found) return;
  Section section = *found;
  std::optional<Mechanism> mechanism;
  section.choice({"mechanism", "`rows`: guarded routes release clipped, noisy rows; `none`: no guarantee.", Need::kRequired},
                 kMechanisms, mechanism);
  privacy.mechanism = mechanism.value_or(Mechanism::kNone);
  section.choice(
      {"labels", "`public`: labels may travel in clear by declared policy; required when they cross to another party."}, kLabels,
      privacy.labels);
  section.numbers({"no_data_rule", "Public weights of the row that need no data: one for all columns, or one per column."}, {},
                  privacy.no_data_rule);
  const bool all = section.describes();
  if (all || mechanism == Mechanism::kNone)
    section.text({"because", "`none`: the reason, printed in every report.", Need::kRequired}, TextRule::kNotEmpty,
                 privacy.because);
  if (all || mechanism == Mechanism::kRows) {
    std::optional<Regime> regime;
    std::optional<Relation> relation;
    std::optional<DType> wire;
    section.choice({"regime",
                    "`rows`: `message-noise`, every message carries fresh noise and is charged, or `release-once`, each "
                    "record's row is sent once.",
                    Need::kRequired},
                   kRegimes, regime);
    section.choice({"relation",
                    "`rows`: which two data sets must look alike. `zero-out` is for `sutura privacy` only: a study shows "
                    "who took part.",
                    Need::kRequired},
                   kRelations, relation);
    section.number({"epsilon", "`rows`: hard budget of one owner's row releases of any record.", Need::kRequired}, {.above = 0},
                   privacy.epsilon);
    section.number({"delta", "`rows`: probability left outside the promise.", Need::kRequired}, {.above = 0, .at_most = 0.1},
                   privacy.delta);
    section.number({"noise_multiplier",
                    "`rows`: noise deviation over sensitivity.",
                    Need::kOptional,
                    Scope::kShared,
                    {},
                    "calibrated so that the planned releases just fit the budget"},
                   {.above = 0}, privacy.noise_multiplier);
    section.number({"clip_norm", "`rows`: L2 norm that rows are clipped to.", Need::kRequired}, {.above = 0}, privacy.clip_norm);
    section.flag({"scale_to_norm", "`rows`: rows are scaled up to the norm too, not only down; not with a guarded gradient."},
                 privacy.scale_to_norm);
    section.choice({"wire", "`rows`: integer type of a released value.", Need::kRequired}, kWires, wire);
    privacy.regime = regime.value_or(privacy.regime);
    privacy.relation = relation.value_or(privacy.relation);
    privacy.wire = wire.value_or(privacy.wire);
  }
  if (all) return;
  static constexpr const char* kOfRows[] = {"regime",           "relation",  "epsilon",       "delta",
                                            "noise_multiplier", "clip_norm", "scale_to_norm", "wire"};
  if (!mechanism) {
    section.ignore("because");
    for (const char* name : kOfRows) section.ignore(name);
    return;
  }
  // Figures beside `none` read like a promise, a reason beside `rows` like none. Only a switch on the command line, as
  // in an ablation, may leave them standing; they are then not read at all.
  const bool switched = section.overridden("mechanism");
  const auto refuse = [&](std::string_view name, std::string_view owner) {
    if (!section.has(name)) return;
    section.ignore(name);
    if (switched && !section.overridden(name)) return;
    section.error_at(name, section.path_of(name) + " belongs to the mechanism " + std::string(owner),
                     "take it out, or change privacy.mechanism");
  };
  if (mechanism == Mechanism::kRows) refuse("because", "none");
  if (mechanism == Mechanism::kNone)
    for (const char* name : kOfRows) refuse(name, "rows");
}

}  // namespace sutura
