#include "runtime/engine/decisions.h"

#include <nlohmann/json.hpp>

namespace sutura {
namespace {

nlohmann::json to_json(const Decision& d) {
  return {{"event", d.event},
          {"who", d.who},
          {"round", d.round},
          {"step", d.step},
          {"turn", d.turn},
          {"part", d.part},
          {"instruction", d.instruction},
          {"code", name(d.code)},
          {"reason", d.reason}};
}

Errc code_named(const std::string& text) {
  for (int c = 0; c <= static_cast<int>(Errc::kProtocol); ++c)
    if (name(static_cast<Errc>(c)) == text) return static_cast<Errc>(c);
  throw Error(Errc::kData, "an unknown error code");
}

Decision from_json(const nlohmann::json& j) {
  Decision d;
  d.event = j.at("event").get<std::string>();
  d.who = j.at("who").get<std::string>();
  d.round = j.at("round").get<std::int64_t>();
  d.step = j.at("step").get<std::uint64_t>();
  d.turn = j.at("turn").get<int>();
  d.part = j.at("part").get<int>();
  d.instruction = j.at("instruction").get<int>();
  d.code = code_named(j.at("code").get<std::string>());
  d.reason = j.at("reason").get<std::string>();
  return d;
}

}  // namespace

std::vector<Decision> read_decisions(const std::filesystem::path& file) {
  const std::string text = read_text_file(file);
  std::vector<Decision> all;
  std::size_t begin = 0, line = 1;
  for (std::size_t end = text.find('\n'); end != std::string::npos; begin = end + 1, end = text.find('\n', begin), ++line) {
    try {
      all.push_back(from_json(nlohmann::json::parse(text.substr(begin, end - begin))));
    } catch (const std::exception&) {
      throw Error(Errc::kData, file.string() + ": line " + std::to_string(line) + " is not a recorded decision");
    }
  }
  return all;
}

Decisions::Decisions(const std::filesystem::path& file) : log_(std::in_place, file) {}

void Decisions::repeat(const std::filesystem::path& file) { repeated_ = read_decisions(file); }

void Decisions::repeat(std::vector<Decision> recorded) { repeated_ = std::move(recorded); }

void Decisions::add(const Decision& decision) {
  all_.push_back(decision);
  if (log_) {
    const std::string line = to_json(decision).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
    log_->append({reinterpret_cast<const std::byte*>(line.data()), line.size()});
  }
  if (on_added) on_added(decision);
}

std::optional<Decision> Decisions::due(const std::string& who, std::uint64_t step, int turn, int part, int instruction) const {
  if (!repeated_) return std::nullopt;
  for (const Decision& d : *repeated_) {
    const bool departure = d.event == "left" || d.event == "missing";
    if (departure && d.who == who && d.step == step && d.turn == turn && d.part == part && d.instruction == instruction) return d;
  }
  return std::nullopt;
}

}  // namespace sutura
