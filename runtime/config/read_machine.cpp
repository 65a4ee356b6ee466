#include <thread>

#include "runtime/config/scalar.h"
#include "runtime/config/sections.h"
#include "runtime/config/utf8.h"

namespace sutura {
namespace {

/// tcp://HOST:PORT, where a host with colons stands in brackets and a port of * lets the system choose (tests).
bool tcp_endpoint(std::string_view text) {
  if (!text.starts_with("tcp://")) return false;
  text.remove_prefix(6);
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos || colon == 0) return false;
  const std::string_view host = text.substr(0, colon), port = text.substr(colon + 1);
  if (host.find_first_of(" \t/") != std::string_view::npos) return false;
  if (host.find(':') != std::string_view::npos && !(host.starts_with('[') && host.ends_with(']'))) return false;
  if (port == "*") return true;
  const auto number = parse_integer(port);
  return number && *number >= 1 && *number <= 65535 && port[0] != '+';
}

void read_connection(Section& section, ConnectionConfig& connection) {
  section.text({"endpoint", "tcp://host:port; the server binds it, clients dial it.", Need::kRequired}, TextRule::kNotEmpty,
               connection.endpoint);
  section.path({"server_public_key", "File with the server's public key.", Need::kRequired}, connection.server_public_key);
  section.path({"secret_key", "File with this party's own secret key; `{site}` stands for the site's name.", Need::kRequired},
               connection.secret_key);
  section.path({"authorised", "Server: file with site names and their public keys."}, connection.authorised);
  section.path(
      {"ledger", "Privacy ledger of this data owner, kept over runs.", Need::kOptional, Scope::kLocal, {}, "in the run's folder"},
      connection.ledger);
  section.path({"peers", "Client: file with the other sites' public keys; what is sealed for them needs it."}, connection.peers);
  section.number({"deadline_s", "Silence after which a party gives up.", Need::kOptional, Scope::kLocal, "seconds"},
                 {.above = 0, .at_most = 604800}, connection.deadline_s);
  if (!section.describes() && !connection.endpoint.empty() && !tcp_endpoint(connection.endpoint))
    section.error_at("endpoint",
                     section.path_of("endpoint") + " must be tcp://host:port (got " + printable(connection.endpoint) + ")",
                     "for example tcp://server.example.org:5555");
}

int hardware_threads() { return static_cast<int>(std::max(1u, std::thread::hardware_concurrency())); }

struct Precision {
  DType dtype = DType::kFloat32;
  Math math = Math::kIeee;
  bool operator==(const Precision&) const = default;
};

/// `otherwise`: where the values of absent keys come from, for the reference page; empty for their own defaults.
void read_compute(Section section, std::string_view otherwise, ComputeConfig& compute) {
  static constexpr Choice<Backend> kBackends[] = {
      {"reference", Backend::kReference}, {"onednn", Backend::kOnednn}, {"native", Backend::kNative}, {"cudnn", Backend::kCudnn}};
  static constexpr Choice<Precision> kPrecisions[] = {
      {"f32", {}}, {"tf32", {DType::kFloat32, Math::kTf32}}, {"bf16", {DType::kBfloat16, Math::kIeee}}};
  static constexpr Choice<Fallback> kFallbacks[] = {
      {"none", Fallback::kNone}, {"onednn", Fallback::kOnednn}, {"reference", Fallback::kReference}};
  section.choice({"backend",
                  "`reference`: plain loops, the same bits on every machine; `onednn`: fast, on the CPU; `native`: on a GPU with Sutura's own "
                  "kernels; `cudnn`: on a GPU with NVIDIA's libraries.",
                  Need::kOptional,
                  Scope::kLocal,
                  {},
                  otherwise},
                 kBackends, compute.backend);
  section.integer({"threads",
                   "Threads that operations on the CPU may use.",
                   Need::kOptional,
                   Scope::kLocal,
                   {},
                   otherwise.empty() ? "all threads of the machine" : otherwise},
                  {1, 1024}, compute.threads);
  Precision precision{compute.precision, compute.math};
  section.choice({"precision",
                  "Element type of activations between layers; `tf32`: float32, multiplied with 10 fraction bits on tensor cores.",
                  Need::kOptional,
                  Scope::kLocal,
                  {},
                  otherwise},
                 kPrecisions, precision);
  compute.precision = precision.dtype;
  compute.math = precision.math;
  section.choice({"fallback",
                  "What computes, in f32, where the backend is `native` or `cudnn` and cannot be used; `none`: the party ends with "
                  "exit status 71.",
                  Need::kOptional,
                  Scope::kLocal,
                  {},
                  otherwise},
                 kFallbacks, compute.fallback);
  if (section.describes()) return;
  const bool device = compute.backend == Backend::kNative || compute.backend == Backend::kCudnn;
  if (compute.backend == Backend::kReference && compute.precision != DType::kFloat32)
    section.error_at("precision", section.path_of("precision") + " bf16 needs the backend onednn, native or cudnn");
  if (!device && compute.math == Math::kTf32)
    section.error_at("precision", section.path_of("precision") + " tf32 needs the backend native or cudnn");
}

}  // namespace

void read_machine(Section& root, StudyConfig& study) {
  static constexpr Choice<Codec> kCodecs[] = {{"f32", Codec::kFloat32}, {"bf16", Codec::kBfloat16}, {"int8", Codec::kInt8}};
  Section wire = root.section_or_defaults({"wire", "Element types of what crosses without a guard."});
  wire.choice({"activation", "Of activations; `int8`: one scale per record."}, kCodecs, study.wire.activation);
  wire.choice({"gradient", "Of gradients; `int8` carries the rounding error of a record's gradient on to its next one."}, kCodecs,
              study.wire.gradient);

  if (auto connection =
          root.section({"connection", "How parties on different machines find and trust each other; not needed to simulate.",
                        Need::kOptional, Scope::kLocal}))
    read_connection(*connection, study.connection.emplace());

  Section compute = root.section_or_defaults({"compute", "What each party computes with.", Need::kOptional, Scope::kLocal});
  ComputeConfig shared{.backend = Backend::kOnednn, .threads = hardware_threads()};
  read_compute(
      compute.section_or_defaults({"default", "For every party without an entry of its own.", Need::kOptional, Scope::kLocal}),
      {}, shared);
  study.compute["default"] = shared;
  for (auto& [party, section] :
       compute.named_sections("PARTY", "For one party; what is missing is taken from `default`.", TextRule::kIdentifier)) {
    ComputeConfig own = shared;
    read_compute(section, "as compute.default", own);
    study.compute[party] = own;
  }
  study.output = std::filesystem::path("runs") / study.study;
  root.path({"output", "Folder of the run.", Need::kOptional, Scope::kLocal, {}, "runs/STUDY, below the working directory"},
            study.output);
}

}  // namespace sutura
