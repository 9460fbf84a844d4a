#include "run/machine_speed.h"

#include <algorithm>
#include <cstdint>
#include <ctime>
#include <functional>
#include <optional>

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

constexpr std::size_t width = 384, wide = 576;
constexpr std::size_t tokens = 2048;

double thread_seconds() {
  timespec now{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return double(now.tv_sec) + 1e-9 * double(now.tv_nsec);
}

/// Operations a second of `work` on one thread: the better of two, the first of which also warms caches. In processor time,
/// so that a machine that is busy at this moment is not taken for a slow one.
double rate(double operations, const std::function<void()>& work) {
  double best = 0;
  for (int i = 0; i < 2; ++i)
    // Inside of a parallel region everything below runs inline.
    parallel_for(1, 1, [&](std::size_t, std::size_t) {
      const double start = thread_seconds();
      work();
      best = std::max(best, operations / std::max(1e-9, thread_seconds() - start));
    });
  return best;
}

MachineSpeed take_measure() {
  // Noise: regular numbers would make matrices of low rank, and eigenproblems of those are quick.
  std::uint32_t state = 1;
  const auto noise = [&] {
    state = state * 1664525u + 1013904223u;
    return double(state >> 8) / double(1u << 23) - 1.0;
  };
  MachineSpeed speed;
  {
    MatrixF x(tokens, wide);
    for (float& value : x.flat()) value = float(noise());
    SecondMoments moments;
    speed.moments = rate(4 * double(tokens * wide * wide), [&] { accumulate(moments, x.data(), tokens, wide, ActivationScheme{}); });
  }
  const double n = double(width);
  MatrixD weight(width, width);
  for (double& value : weight.flat()) value = noise();
  MatrixD hessian = linalg::multiply(weight, weight, false, true);
  linalg::add_to_diagonal(hessian, 0.01 * n);
  speed.dense = rate(2 * n * n * n, [&] { linalg::multiply(weight, hessian); });
  speed.eigen = rate(9 * n * n * n, [&] { linalg::eigen_symmetric(hessian); });
  speed.gptq = rate(n * n * n, [&] { quantize_gptq(weight, hessian, WeightScheme{}, GptqOptions{}); });

  const auto backend = make_cpu_backend();
  const MatrixF matrix = convert<float>(weight);
  const auto on_device = backend->upload_matrix(matrix);
  const MatrixF x(tokens, width, 0.5f);
  const auto in = backend->allocate(x.size() * sizeof(float)), out = backend->allocate(x.size() * sizeof(float));
  backend->upload(in, 0, std::as_bytes(x.flat()));
  speed.forward = rate(2 * double(tokens) * n * n, [&] {
    backend->multiply(*on_device, in, 0, tokens, out);
    backend->finish();
  });
  const auto hadamard = find_hadamard(width);
  speed.reading = rate(n * n, [&] {
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
  static const MachineSpeed speed = cached_or_measured(make_cpu_backend()->info().name + ", version " + std::string(program_version()));
  return speed;
}

}  // namespace lrc
