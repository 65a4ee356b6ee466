// Samples per second of unsplit training steps of one network: the figure that peers are measured against.
#include <CLI/CLI.hpp>

#include <chrono>
#include <iostream>
#include <nlohmann/json.hpp>

#include "core/random/philox.h"
#include "kernels/cpu/process_settings.h"
#include "models/losses/loss.h"
#include "models/optimizers/optimizer.h"
#include "models/registry.h"

namespace {

using namespace sutura;

struct Arguments {
  std::string mode = "f32";
  std::string zoo = "resnet18";
  double seconds = 3.0;
  int threads = 2;
  std::int64_t batch = 32;
  std::int64_t size = 28;
  bool json = false;
};

int run(const Arguments& a) {
  Context ctx(Backend::kOnednn, a.threads, a.mode == "bf16" ? DType::kBfloat16 : DType::kFloat32);
  NetworkSpec spec;
  spec.zoo = a.zoo;
  if (a.zoo == "resnet18") spec.options = {{"width", std::int64_t{64}}, {"norm", std::string("batch")}, {"stem", std::string("cifar")}};
  const Shape row{1, a.size, a.size, 1};
  const Network net = build_network(spec, row, 1);
  ParamStore params = net.make_params(1);
  OptimizerSettings settings;
  settings.kind = OptimizerKind::kSgd;
  const auto optimizer = make_optimizer(settings, params.trained());
  const auto loss = make_loss(LossKind::kBinaryCrossEntropy);
  Tensor x(row.with_batch(a.batch));  // [N, H, W, 1]
  PhiloxStream random(1, "bench");
  for (float& v : x.f32()) v = 2.0f * random.next_float() - 1.0f;
  Tensor labels({a.batch}, DType::kInt32);
  for (std::int32_t& v : labels.as<std::int32_t>()) v = static_cast<std::int32_t>(random.next_below(2));

  std::uint64_t step = 0;
  const auto once = [&] {
    Saved saved;
    const Pass pass{Mode::kTrain, 1, step++, 0, 0};
    const Tensor y = net.forward(ctx, params, Tensor::borrow(x), saved, pass);
    Tensor grad({a.batch, 1});
    loss->evaluate(ctx, y, labels, 1.0 / static_cast<double>(a.batch), grad);
    net.backward(ctx, params, saved, std::move(grad), InputGrad::kNotNeeded);
    optimizer->step(ctx, params, 0.01);
    params.zero_grads(ctx);
  };
  for (int i = 0; i < 3; ++i) once();  // primitives are made on first use
  const auto start = std::chrono::steady_clock::now();
  std::int64_t steps = 0;
  double spent = 0.0;
  while (spent < a.seconds || steps < 2) {
    once();
    ++steps;
    spent = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  }
  const double rate = static_cast<double>(steps * a.batch) / spent;
  if (a.json)
    std::cout << nlohmann::json{{"samples_per_second", rate}, {"steps", steps}, {"mode", a.mode}, {"backend", ctx.description()}}.dump() << std::endl;
  else
    std::cout << a.zoo << " " << a.mode << ": " << rate << " samples/s over " << steps << " steps (" << ctx.description() << ")\n";
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  sutura::settle_process(argv);
  CLI::App app{"Samples per second of unsplit training steps (forward, backward, SGD) on synthetic images."};
  Arguments a;
  app.add_option("--mode", a.mode, "f32 or bf16")->check(CLI::IsMember({"f32", "bf16"}));
  app.add_option("--zoo", a.zoo, "network of the zoo");
  app.add_option("--seconds", a.seconds, "at least this long, after three warm-up steps");
  app.add_option("--threads", a.threads, "threads of the backend");
  app.add_option("--batch", a.batch, "records per step");
  app.add_option("--size", a.size, "height and width of the images");
  app.add_flag("--json", a.json, "print one JSON object");
  CLI11_PARSE(app, argc, argv);
  try {
    return run(a);
  } catch (const std::exception& e) {
    std::cerr << "error: " << e.what() << std::endl;
    return 1;
  }
}
