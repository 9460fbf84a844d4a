#include "run/machine_speed.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <functional>
#include <map>
#include <mutex>

#include "backend/backend.h"
#include "base/error.h"
#include "base/files.h"
#include "base/json.h"
#include "base/parallel.h"
#include "correction/linalg.h"
#include "quantization/quantized_weight.h"
#include "quantization/second_moments.h"
#include "rotation/hadamard.h"
#include "run/manifest.h"

namespace lrc {
namespace {

constexpr std::size_t width = 384;
constexpr std::size_t tokens = 512;

/// Operations a second of `work`: the better of two, the first of which also warms caches and thread pools.
double rate(double operations, const std::function<void()>& work) {
  double best = 0;
  for (int i = 0; i < 2; ++i) {
    const auto start = std::chrono::steady_clock::now();
    work();
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    best = std::max(best, operations / std::max(1e-9, seconds.count()));
  }
  return best;
}

/// On one thread, as a layer is solved.
double rate_of_one_thread(double operations, const std::function<void()>& work) {
  return rate(operations, [&] { parallel_for(1, 1, [&](std::size_t, std::size_t) { work(); }); });
}

MachineSpeed take_measure() {
  MatrixF x(tokens, width);
  for (std::size_t i = 0; i < x.size(); ++i) x.data()[i] = float(std::sin(0.7 * double(i % 7919)) + 0.1 * std::cos(double(i)));
  const double n = double(width);
  MachineSpeed speed;

  SecondMoments moments;
  speed.moments = rate(double(tokens) * n * n * 4, [&] { accumulate(moments, x.data(), tokens, width, ActivationScheme{}); });
  MatrixD hessian = moments.s_y;
  for (std::size_t i = 0; i < width; ++i) hessian(i, i) += 0.05 * double(tokens);
  MatrixD weight(width, width);
  for (std::size_t i = 0; i < weight.size(); ++i) weight.data()[i] = std::sin(1.3 * double(i % 6007));

  speed.dense = rate_of_one_thread(2 * n * n * n, [&] { linalg::multiply(weight, hessian); });
  speed.eigen = rate_of_one_thread(9 * n * n * n, [&] { linalg::eigen_symmetric(hessian); });
  speed.gptq = rate_of_one_thread(n * n * n, [&] { quantize_gptq(weight, hessian, WeightScheme{}, GptqOptions{}); });

  const auto backend = make_cpu_backend();
  const MatrixF matrix = convert<float>(weight);
  const auto on_device = backend->upload_matrix(matrix);
  const auto in = backend->allocate(x.size() * sizeof(float)), out = backend->allocate(x.size() * sizeof(float));
  backend->upload(in, 0, std::as_bytes(x.flat()));
  speed.forward = rate(2 * double(tokens) * n * n, [&] {
    backend->multiply(*on_device, in, 0, tokens, out);
    backend->finish();
  });
  const auto hadamard = find_hadamard(width);
  speed.reading = rate_of_one_thread(n * n, [&] {
    MatrixF copy = matrix;
    rotate_full_input_side(*hadamard, copy);
    rotate_full_input_side(*hadamard, copy);
  });
  return speed;
}

Json to_json(const MachineSpeed& s) {
  return {{"dense", s.dense}, {"eigen", s.eigen}, {"gptq", s.gptq}, {"forward", s.forward}, {"moments", s.moments}, {"reading", s.reading}};
}

/// Nothing when the cached object is not what this version writes: it is measured again then.
std::optional<MachineSpeed> from_json(const Json& json) {
  MachineSpeed s;
  for (const auto& [key, target] : {std::pair{"dense", &s.dense},
                                    {"eigen", &s.eigen},
                                    {"gptq", &s.gptq},
                                    {"forward", &s.forward},
                                    {"moments", &s.moments},
                                    {"reading", &s.reading}}) {
    if (!json.contains(key) || !json[key].is_number() || !(json[key].get<double>() > 0)) return {};
    *target = json[key].get<double>();
  }
  return s;
}

MachineSpeed cached_or_measured(const std::string& machine) {
  const auto file = cache_folder() / "machine_speed.json";
  Json cache = Json::object();
  try {
    if (std::filesystem::exists(file)) cache = read_json_file(file);
    if (cache.is_object() && cache.contains(machine))
      if (const auto speed = from_json(cache[machine])) return *speed;
  } catch (const Error&) {
    cache = Json::object();  // a damaged cache is made anew
  }
  if (!cache.is_object()) cache = Json::object();
  const auto speed = take_measure();
  cache[machine] = to_json(speed);
  try {
    write_file_atomically(file, cache.dump(1) + "\n");
  } catch (const Error&) {
    // Without a cache the next program measures again; nothing else is lost.
  }
  return speed;
}

}  // namespace

MachineSpeed machine_speed() {
  static std::mutex mutex;
  static std::map<int, MachineSpeed> known;
  const std::lock_guard lock(mutex);
  const int threads = thread_count();
  const auto found = known.find(threads);
  if (found != known.end()) return found->second;
  const std::string machine =
      make_cpu_backend()->info().name + ", " + std::to_string(threads) + " threads, " + std::string(program_version());
  return known[threads] = cached_or_measured(machine);
}

}  // namespace lrc
