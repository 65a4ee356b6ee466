#pragma once
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "runtime/config/load_study.h"
#include "runtime/data/dataset.h"
#include "runtime/engine/study_run.h"
#include "transport/io_thread.h"

namespace sutura::testing {

/// What a rogue knows: the honest study, an honest key, and the right records. Every message can be made well and then bent.
class Rogue {
 public:
  Rogue(const std::filesystem::path& study, const std::vector<std::string>& overrides, std::string site);
  Rogue(const Rogue&) = delete;
  Rogue& operator=(const Rogue&) = delete;

  Hello hello() const;
  /// Sizes of all lanes: known after WELCOME.
  void welcomed(const SessionTerms& session);
  /// Training step `index` of the first epoch.
  Step step(std::size_t index = 0) const;
  /// This site's one part of a step.
  Part part(const Step& step) const;
  /// A well-formed message of the activations of a part: zero rows. `labels`: of the labels.
  Message rows(const Step& step) const;
  Message labels(const Step& step) const;
  /// The weights of the front at the end of a round: all zero.
  Message front_weights(std::int64_t epoch) const;

  const Plan& plan() const { return prepared_.plan; }
  const LoadedStudy& loaded() const { return loaded_; }

 private:
  Tag tag(const Edge& edge, const Step& step) const;

  LoadedStudy loaded_;
  std::string site_;
  SiteData data_;
  Prepared prepared_;
  std::optional<StepPlanner> planner_;
  std::uint32_t lane_ = 0;
};

/// A rogue on a proper link: it says HELLO and hears WELCOME like anybody.
class LinkedRogue {
 public:
  LinkedRogue(Rogue& mind, const std::string& endpoint, const std::filesystem::path& server_public,
              const std::filesystem::path& secret);
  void join();
  void send(Message message);
  /// Waits for what ends this session: the refusal that the server sends.
  Error refusal();

 private:
  Rogue& mind_;
  ClientEndpoint endpoint_;
};

}  // namespace sutura::testing
