#include "tests/engine/crew.h"

#include <algorithm>
#include <cstring>
#include <fstream>
#include <thread>
#include <utility>

#include "transport/inproc.h"

namespace sutura::testing {
namespace fs = std::filesystem;
namespace {

class FaultyLine final : public Channel {
 public:
  FaultyLine(Channel& inner, const Fault& fault, std::function<void()> sent)
      : inner_(inner), fault_(fault), on_sent_(std::move(sent)) {}
  [[nodiscard]] Outcome send(Message&& message, Deadline deadline) override {
    const bool strikes = ++sent_ >= fault_.message;
    if (strikes && fault_.kind == Fault::Kind::kDies) throw Error(Errc::kInternal, "the test ends this process");
    if (strikes && fault_.kind == Fault::Kind::kGoesMute) return Outcome::kOk;
    if (sent_ == fault_.message && fault_.kind == Fault::Kind::kEmpties) message.tensors.clear();
    const Outcome outcome = inner_.send(std::move(message), deadline);
    if (on_sent_) on_sent_();
    return outcome;
  }
  [[nodiscard]] std::variant<Message, Outcome> receive(const Tag& tag, Deadline deadline) override {
    return inner_.receive(tag, deadline);
  }

 private:
  Channel& inner_;
  Fault fault_;
  std::function<void()> on_sent_;
  int sent_ = 0;
};

}  // namespace

Crew::Crew(const fs::path& folder, const StudyText& text, const std::vector<SiteData>& sites,
           const std::function<void(StudyConfig&)>& change) {
  fs::create_directories(folder);
  if (!text.topology.starts_with("topology:"))
    fs::copy_file(fs::path(SUTURA_SOURCE_DIR) / "configs/topologies" / (text.topology + ".yaml"),
                  folder / (text.topology + ".yaml"), fs::copy_options::overwrite_existing);
  std::ofstream(folder / "study.yaml") << study_yaml(text);
  loaded_ = std::make_unique<LoadedStudy>(load_study(folder / "study.yaml"));
  if (change) change(loaded_->config);
  prepared_ = std::make_unique<Prepared>(prepare(*loaded_, feature_rows(loaded_->config, nullptr)));
  const Plan& plan = prepared_->plan;
  for (std::size_t p = 0; p < plan.topology.parties.size(); ++p) {
    const auto names = plan.instances(static_cast<int>(p));
    const bool many = static_cast<int>(p) == plan.many_party;
    for (std::size_t i = 0; i < names.size(); ++i) {
      instances_.push_back({static_cast<int>(p), many ? static_cast<int>(i) : -1, names[i]});
      views_.push_back(party_view(study(), sites.at(many ? i : 0), plan.topology.parties[p].name));
    }
  }
  for (const SiteData& s : sites) sizes_.push_back({s.train.size(), s.validation.size(), s.test.size()});
}

void Crew::connect_again(const std::string& client) {
  const std::scoped_lock lock(mutex_);
  ChannelPair pair = make_channel_pair({.window = prepared_->plan.window});
  lines_.at(client).client = std::move(pair.first);
  lines_.at(client).arrived = std::move(pair.second);
  joined_.notify_all();
}

void Crew::await(const std::string& client) {
  std::unique_lock lock(mutex_);
  Line& line = lines_.at(client);
  require(joined_.wait_for(lock, std::chrono::seconds(60), [&] { return line.arrived != nullptr; }), Errc::kNetwork,
          "the test waited in vain for " + client);
  line.server = std::move(line.arrived);
}

Channel* Crew::at_server(const std::string& client) {
  const std::scoped_lock lock(mutex_);
  return lines_.at(client).server.get();
}

void Crew::run_member(Member& m, const Job& job) {
  const Plan& plan = prepared_->plan;
  const bool server = plan.topology.parties[static_cast<std::size_t>(m.self.party)].role == Role::kServer;
  const std::size_t at = static_cast<std::size_t>(
      std::ranges::find_if(instances_, [&](const Instance& i) { return i.name == m.self.name; }) - instances_.begin());
  std::map<Channel*, std::unique_ptr<FaultyLine>> faulty;
  const auto peer = [&](int party, int lane) -> Channel* {
    if (server) return at_server(plan.instances(party)[party == plan.many_party ? static_cast<std::size_t>(lane) : 0]);
    Channel* own = nullptr;
    {
      const std::scoped_lock lock(mutex_);
      own = lines_.at(m.self.name).client.get();
    }
    if (!faults.contains(m.self.name) && !sent) return own;
    const bool first = faulty.empty();
    auto& line = faulty[own];  // a process that has joined again is sound
    if (line == nullptr) {
      const auto fault = faults.find(m.self.name);
      line = std::make_unique<FaultyLine>(*own, first && fault != faults.end() ? fault->second : Fault{},
                                          sent ? [this, &m] { sent(m.self.name); } : std::function<void()>());
    }
    return line.get();
  };
  StepPlanner planner(study(), plan.lanes, sizes_);
  Context ctx = context(m.self);
  PartySetup setup{study(),  plan, prepared_->segments, planner, m.self,  server ? nullptr : &views_[at],
                   nullptr,  {},   prepared_->classes,  peer,    silence, server ? decisions : nullptr,
                   recording};
  Executor executor(setup, ctx);
  try {
    job(executor, m);
  } catch (const Error& e) {
    m.error = e.what();
  }
  for (auto& [segment, values] : executor.snapshot()) m.weights[segment] = std::move(values);
  m.dropped = executor.dropped();
  m.waited = executor.waiting_seconds();
  m.replays = executor.replays();
  m.taken_ahead = executor.taken_ahead();
  for (const auto& [key, s] : executor.scores()) m.scores[key] = s;
}

std::map<std::string, Member> Crew::work(const Job& job) {
  std::map<std::string, Member> members;
  lines_.clear();
  for (const Instance& i : instances_) {
    members[i.name].self = i;
    if (prepared_->plan.topology.parties[static_cast<std::size_t>(i.party)].role == Role::kServer) continue;
    ChannelPair pair = make_channel_pair({.window = prepared_->plan.window});
    lines_[i.name].client = std::move(pair.first);
    lines_[i.name].server = std::move(pair.second);
  }
  std::vector<std::jthread> threads;
  for (auto& [name, member] : members)
    threads.emplace_back([&, &m = member] {
      run_member(m, job);
      const std::scoped_lock lock(mutex_);
      if (const auto line = lines_.find(m.self.name); line != lines_.end())
        line->second.client.reset();
      else
        for (auto& [client, l] : lines_) l.server.reset();
    });
  threads.clear();
  return members;
}

void train_epoch(Executor& executor, Member& member, std::int64_t epoch) {
  for (const Step& s : executor.setup().planner.training(epoch))
    if (const StepResult r = executor.run(s); r.ended()) member.results.push_back(r);
}

Crew::Job Crew::training(std::int64_t epochs) const {
  return [epochs](Executor& executor, Member& member) {
    for (std::int64_t e = 0; e < epochs; ++e) train_epoch(executor, member, e);
    for (const StepResult& r : executor.finish()) member.results.push_back(r);
  };
}

std::string difference(const Member& a, const Member& b) {
  for (const auto& [segment, values] : a.weights) {
    const Tensor& other = b.weights.at(segment);
    if (values.bytes_size() != other.bytes_size() || std::memcmp(values.data(), other.data(), values.bytes_size()) != 0)
      return segment + " has other bytes";
  }
  return a.weights.empty() ? "no weights" : "";
}

}  // namespace sutura::testing
