#include "run/machine_speed.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <ctime>
#include <functional>
#include <limits>
#include <optional>
#include <utility>

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

// Two sizes tell what an operation costs and what a matrix costs beside.
constexpr std::size_t narrow = 384, wide = 1152;
constexpr std::size_t tokens = 1024;

double thread_seconds() {
  timespec now{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return double(now.tv_sec) + 1e-9 * double(now.tv_nsec);
}

/// Seconds an operation of `work` on one thread: the better of two, the first of which also warms caches. In processor time,
/// so that a machine that is busy at this moment is not taken for a slow one.
double cost(double operations, const std::function<void()>& work) {
  double best = std::numeric_limits<double>::infinity();
  for (int i = 0; i < 2; ++i) {
    const double start = thread_seconds();
    work();
    best = std::min(best, std::max(1e-9, thread_seconds() - start) / operations);
  }
  return best;
}

Pace pace_of(const std::function<double(std::size_t)>& cost_at) {
  const double small = cost_at(narrow), large = cost_at(wide);
  Pace pace;
  pace.per_width = std::max(0.0, (small - large) / (1 / double(narrow) - 1 / double(wide)));
  pace.per_operation = std::max(large - pace.per_width / double(wide), large / 4);
  return pace;
}

/// What is measured in the time of this thread must be done by this thread.
class OneThread {
 public:
  OneThread() { set_thread_count(1); }
  ~OneThread() { set_thread_count(before_); }
  OneThread(const OneThread&) = delete;
  OneThread& operator=(const OneThread&) = delete;

 private:
  int before_ = thread_count();
};

MachineSpeed take_measure() {
  const OneThread alone;
  // Noise: regular numbers would make matrices of low rank, and eigenproblems of those are quick.
  std::uint32_t state = 1;
  const auto noise = [&](std::size_t rows, std::size_t columns) {
    MatrixD matrix(rows, columns);
    for (double& value : matrix.flat()) {
      state = state * 1664525u + 1013904223u;
      value = double(state >> 8) / double(1u << 23) - 1.0;
    }
    return matrix;
  };
  const auto hessian_of = [&](std::size_t n) {
    const MatrixD matrix = noise(n, n);
    MatrixD hessian = linalg::multiply(matrix, matrix, false, true);
    linalg::add_to_diagonal(hessian, 0.01 * double(n));
    return hessian;
  };
  const auto cube = [](std::size_t n) { return double(n) * double(n) * double(n); };
  MachineSpeed speed;
  speed.moments = pace_of([&](std::size_t n) {
    const MatrixF x = convert<float>(noise(tokens, n));
    SecondMoments moments;
    return cost(4 * double(tokens * n * n), [&] { accumulate(moments, x.data(), tokens, n, ActivationScheme{}); });
  });
  speed.dense = pace_of([&](std::size_t n) {
    const MatrixD weight = noise(n, n), hessian = hessian_of(n);
    return cost(2 * cube(n), [&] { linalg::multiply(weight, hessian); });
  });
  speed.eigen = pace_of([&](std::size_t n) {
    const MatrixD hessian = hessian_of(n / 2);  // half of it: a wide one takes a second
    return cost(9 * cube(n / 2), [&] { linalg::eigen_symmetric(hessian); });
  });
  speed.eigen.per_width /= 2;
  speed.gptq = pace_of([&](std::size_t n) {
    // Few rows: those of a layer all cost the same.
    const MatrixD weight = noise(256, n), hessian = hessian_of(n);
    const double factor = cost(1, [&] { linalg::cholesky(hessian); });
    return std::max(0.0, cost(1, [&] { quantize_gptq(weight, hessian, WeightScheme{}, GptqOptions{}); }) - 3 * factor) /
           (256 * double(n) * double(n));
  });
  const auto backend = make_cpu_backend();
  speed.forward = pace_of([&](std::size_t n) {
    const auto on_device = backend->upload_matrix(convert<float>(noise(n, n)));
    const MatrixF x(tokens, n, 0.5f);
    const auto in = backend->allocate(x.size() * sizeof(float)), out = backend->allocate(x.size() * sizeof(float));
    backend->upload(in, 0, std::as_bytes(x.flat()));
    return cost(2 * double(tokens * n * n), [&] {
      backend->multiply(*on_device, in, 0, tokens, out);
      backend->finish();
    });
  });
  speed.reading = pace_of([&](std::size_t n) {
    const MatrixF matrix = convert<float>(noise(n, n));
    const auto hadamard = find_hadamard(n);
    return cost(double(n * n), [&] {
      MatrixF copy = matrix;
      rotate_full_input_side(*hadamard, copy);
      rotate_full_input_side(*hadamard, copy);
    });
  });
  return speed;
}

constexpr std::array<std::pair<const char*, Pace MachineSpeed::*>, 6> kKinds = {{{"dense", &MachineSpeed::dense},
                                                                                 {"eigen", &MachineSpeed::eigen},
                                                                                 {"gptq", &MachineSpeed::gptq},
                                                                                 {"forward", &MachineSpeed::forward},
                                                                                 {"moments", &MachineSpeed::moments},
                                                                                 {"reading", &MachineSpeed::reading}}};

Json to_json(const MachineSpeed& speed) {
  Json json = Json::object();
  for (const auto& [kind, pace] : kKinds) json[kind] = {(speed.*pace).per_operation, (speed.*pace).per_width};
  return json;
}

/// Nothing when the cached object is not what this version writes: it is measured again then.
std::optional<MachineSpeed> from_json(const Json& json) {
  MachineSpeed speed;
  for (const auto& [kind, pace] : kKinds) {
    if (!json.is_object() || !json.contains(kind)) return {};
    const Json& pair = json[kind];
    if (!pair.is_array() || pair.size() != 2 || !pair[0].is_number() || !pair[1].is_number()) return {};
    speed.*pace = {pair[0].get<double>(), pair[1].get<double>()};
    if (!((speed.*pace).per_operation > 0) || !((speed.*pace).per_width >= 0)) return {};
  }
  return speed;
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
  static const MachineSpeed speed =
      cached_or_measured(make_cpu_backend()->info().name + ", version " + std::string(program_version()) + ", two widths");
  return speed;
}

}  // namespace lrc
