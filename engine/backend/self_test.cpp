#include "backend/self_test.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <random>

#include "base/error.h"
#include "quantization/activation.h"

namespace lrc {
namespace {

using Values = std::vector<float>;

constexpr std::size_t tokens = 7, width = 192, out_features = 80, rank = 12, heads = 6, kv_heads = 3, head_dim = 32, context = 40;

Values random_values(std::size_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  Values values(count);
  for (float& value : values) value = normal(random);
  return values;
}
MatrixF random_matrix(std::size_t rows, std::size_t columns, unsigned seed) {
  MatrixF matrix(rows, columns);
  const Values values = random_values(rows * columns, seed);
  std::copy(values.begin(), values.end(), matrix.data());
  return matrix;
}

Buffer put(Backend& backend, const Values& values) {
  const Buffer buffer = backend.allocate(values.size() * sizeof(float));
  backend.upload(buffer, 0, std::as_bytes(std::span(values)));
  return buffer;
}
Buffer room(Backend& backend, std::size_t count) { return put(backend, Values(count, 0.0f)); }
Values get(Backend& backend, const Buffer& buffer, std::size_t count) {
  Values values(count);
  backend.download(buffer, 0, std::as_writable_bytes(std::span(values)));
  return values;
}

LowRankPair random_pair() { return {random_matrix(out_features, rank, 31), random_matrix(width, rank, 32)}; }

QuantizedWeight random_weight(int bits, std::size_t group) {
  WeightScheme scheme;
  scheme.bits = bits;
  scheme.group_size = group;
  scheme.clip = WeightClip::none;
  return quantize_rtn(convert<double>(random_matrix(out_features, width, unsigned(bits))), scheme, true);
}

DeviceActivation quantized(Backend& backend, int bits, std::size_t group = 0) {
  ActivationScheme scheme;
  scheme.bits = bits;
  scheme.group_size = group;
  DeviceActivation x;
  backend.quantize(put(backend, random_values(tokens * width, 40)), tokens, width, scheme, x);
  return x;
}

struct Kernel {
  std::string name;
  double allowed;  // relative to the largest number of the result
  std::function<Values(Backend&)> run;
};

/// Sums of a few hundred products in any order.
constexpr double of_sums = 1e-5;

std::vector<Kernel> kernels() {
  std::vector<Kernel> list;
  const auto add = [&](std::string name, double allowed, std::function<Values(Backend&)> run) {
    list.push_back({std::move(name), allowed, std::move(run)});
  };
  const auto x = [](Backend& b) { return put(b, random_values(tokens * width, 1)); };
  const auto gain = [](Backend& b) { return put(b, random_values(width, 2)); };
  add("embed", 1e-3, [](Backend& b) {  // tables may be float16
    const auto table = b.upload_matrix(random_matrix(50, width, 3));
    const Buffer out = room(b, 4 * width);
    b.embed(*table, std::vector<std::int32_t>{3, 49, 0, 17}, out);
    return get(b, out, 4 * width);
  });
  add("rms_norm", of_sums, [=](Backend& b) {
    const Buffer out = room(b, tokens * width);
    b.rms_norm(x(b), gain(b), 1e-5f, tokens, width, out);
    return get(b, out, tokens * width);
  });
  add("layer_norm", of_sums, [=](Backend& b) {
    const Buffer out = room(b, tokens * width);
    b.layer_norm(x(b), gain(b), put(b, random_values(width, 4)), 1e-5f, tokens, width, out);
    return get(b, out, tokens * width);
  });
  add("add", 0, [=](Backend& b) {
    const Buffer sum = x(b);
    b.add(sum, put(b, random_values(tokens * width, 5)), tokens * width);
    return get(b, sum, tokens * width);
  });
  add("silu_multiply", of_sums, [=](Backend& b) {
    const Buffer out = room(b, tokens * width);
    b.silu_multiply(x(b), put(b, random_values(tokens * width, 6)), tokens * width, out);
    return get(b, out, tokens * width);
  });
  add("relu", 0, [=](Backend& b) {
    const Buffer values = x(b);
    b.relu(values, tokens * width);
    return get(b, values, tokens * width);
  });
  add("add_bias", 0, [=](Backend& b) {
    const Buffer values = x(b);
    b.add_bias(values, gain(b), tokens, width);
    return get(b, values, tokens * width);
  });
  add("take_columns", 0, [=](Backend& b) {
    const Buffer out = room(b, tokens * 64);
    b.take_columns(x(b), tokens, width, 100, 64, out);
    return get(b, out, tokens * 64);
  });
  add("take_rows", 0, [=](Backend& b) {
    const Buffer out = room(b, 3 * width);
    b.take_rows(x(b), std::vector<std::uint32_t>{5, 0, 2}, width, out);
    return get(b, out, 3 * width);
  });
  add("add_rows", 1e-6, [=](Backend& b) {
    const Buffer to = x(b);
    b.add_rows(put(b, random_values(3 * width, 7)), std::vector<std::uint32_t>{5, 0, 2}, Values{0.5f, 1.25f, -2.0f}, width, to);
    return get(b, to, tokens * width);
  });
  for (const MatrixStorage storage : {MatrixStorage::f32, MatrixStorage::f16})
    add(storage == MatrixStorage::f32 ? "multiply float32" : "multiply float16", storage == MatrixStorage::f32 ? of_sums : 1e-3,
        [=](Backend& b) {
          const auto weight = b.upload_matrix(random_matrix(out_features, width, 8), storage);
          const Buffer y = room(b, tokens * out_features);
          b.multiply(*weight, x(b), 0, tokens, y);
          return get(b, y, tokens * out_features);
        });
  for (const int bits : {4, 8})
    add("quantize " + std::to_string(bits) + " bits", 0, [bits](Backend& b) {
      const DeviceActivation codes = quantized(b, bits);
      std::vector<std::int8_t> numbers(tokens * width);
      b.download(codes.codes, 0, std::as_writable_bytes(std::span(numbers)));
      Values values(numbers.begin(), numbers.end());
      const Values scales = get(b, codes.scales, tokens);
      values.insert(values.end(), scales.begin(), scales.end());
      return values;
    });
  add("dequantize", 1e-6, [](Backend& b) {
    const Buffer out = room(b, tokens * width);
    b.dequantize(quantized(b, 4, 64), out);
    return get(b, out, tokens * width);
  });
  for (const int bits : {2, 3, 4, 8})
    for (const std::size_t group : {std::size_t(0), std::size_t(64)})
      add("multiply_quantized W" + std::to_string(bits) + (group ? " groups" : ""), of_sums, [=](Backend& b) {
        const auto weight = b.upload_quantized(random_weight(bits, group));
        const Buffer y = room(b, tokens * out_features);
        b.multiply_quantized(*weight, quantized(b, bits == 8 ? 8 : 4), y);
        return get(b, y, tokens * out_features);
      });
  add("multiply_quantized_float", of_sums, [=](Backend& b) {
    const auto weight = b.upload_quantized(random_weight(4, 64));
    const Buffer y = room(b, tokens * out_features);
    b.multiply_quantized_float(*weight, x(b), tokens, y);
    return get(b, y, tokens * out_features);
  });
  add("add_low_rank", 1e-3, [=](Backend& b) {  // factors and what is between them may be float16
    const auto pair = b.upload_pair(random_pair());
    const Buffer y = put(b, random_values(tokens * out_features, 9));
    b.add_low_rank(*pair, x(b), tokens, y, rank - 3);
    return get(b, y, tokens * out_features);
  });
  add("hadamard", of_sums, [=](Backend& b) {
    const auto transform = b.upload_hadamard(*find_hadamard(width));
    const Buffer values = x(b);
    b.hadamard(*transform, values, tokens);
    return get(b, values, tokens * width);
  });
  add("rope", of_sums, [=](Backend& b) {
    RopeTable table;
    for (std::size_t i = 0; i < head_dim / 2; ++i)
      table.inverse_frequencies.push_back(float(std::pow(10000.0, -2.0 * double(i) / double(head_dim))));
    const Buffer values = x(b);
    b.rope(values, tokens, heads, head_dim, 11, table);
    return get(b, values, tokens * width);
  });
  add("attention", 1e-4, [=](Backend& b) {
    const Buffer out = room(b, tokens * width);
    const std::size_t kept = context * kv_heads * head_dim;
    b.attention(x(b), put(b, random_values(kept, 10)), put(b, random_values(kept, 11)), context - tokens, tokens,
                {heads, kv_heads, head_dim, 0}, out);
    return get(b, out, tokens * width);
  });
  return list;
}

/// Seconds of the fastest of some rounds, each long enough to be measured.
double fastest(Backend& device, std::stop_token stop, const std::function<void()>& work) {
  work();
  device.finish();
  double best = std::numeric_limits<double>::infinity();
  for (int round = 0; round < 5; ++round) {
    throw_if_stopped(stop);
    const auto start = std::chrono::steady_clock::now();
    work();
    device.finish();
    best = std::min(best, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  return best;
}

void measure_speed(Backend& device, DeviceCheck& check, std::stop_token stop) {
  constexpr std::size_t side = 2048, many = 64;
  const MatrixF weights = random_matrix(side, side, 50);
  const auto matrix = device.upload_matrix(weights);
  const Buffer x = put(device, random_values(many * side, 51)), y = room(device, many * side);
  check.gigabytes_per_second = double(matrix->bytes) / fastest(device, stop, [&] { device.multiply(*matrix, x, 0, 1, y); }) / 1e9;
  const double operations = 2.0 * double(many) * double(side) * double(side);
  check.giga_operations_per_second = operations / fastest(device, stop, [&] { device.multiply(*matrix, x, 0, many, y); }) / 1e9;
  WeightScheme scheme;
  scheme.clip = WeightClip::none;
  const auto codes = device.upload_quantized(quantize_rtn(convert<double>(weights), scheme, true));
  DeviceActivation activation;
  device.quantize(x, many, side, {}, activation);
  check.giga_integer_operations_per_second =
      operations / fastest(device, stop, [&] { device.multiply_quantized(*codes, activation, y); }) / 1e9;
}

}  // namespace

bool DeviceCheck::passed() const {
  return failure.empty() && std::all_of(kernels.begin(), kernels.end(), [](const KernelCheck& kernel) { return kernel.passed(); });
}

const KernelCheck* DeviceCheck::worst() const {
  const auto part_of_allowed = [](const KernelCheck& kernel) { return kernel.allowed > 0 ? kernel.largest_error / kernel.allowed : 0.0; };
  const KernelCheck* worst = nullptr;
  for (const KernelCheck& kernel : kernels) {
    if (!kernel.passed()) return &kernel;
    if (!worst || part_of_allowed(kernel) > part_of_allowed(*worst)) worst = &kernel;
  }
  return worst;
}

std::vector<KernelCheck> check_kernels(Backend& device, Progress& progress, std::stop_token stop) {
  const auto scalar = make_cpu_backend(InstructionSet::scalar);
  std::vector<KernelCheck> checks;
  const auto list = kernels();
  for (const Kernel& kernel : list) {
    throw_if_stopped(stop);
    KernelCheck check;
    check.kernel = kernel.name;
    check.allowed = kernel.allowed;
    try {
      const Values expected = kernel.run(*scalar), found = kernel.run(device);
      double size = 0, difference = 0;
      for (std::size_t i = 0; i < expected.size(); ++i) {
        size = std::max(size, double(std::fabs(expected[i])));
        const double apart = double(std::fabs(found[i] - expected[i]));
        difference = std::isfinite(apart) ? std::max(difference, apart) : std::numeric_limits<double>::infinity();
      }
      check.largest_error = size > 0 ? difference / size : difference;
    } catch (const Error& error) {
      if (error.kind() == ErrorKind::stopped) throw;
      check.failure = error.what();
    }
    checks.push_back(std::move(check));
    progress.report("self-test", checks.size(), list.size(), checks.back().kernel);
  }
  return checks;
}

DeviceCheck check_device(const std::string& id, Progress& progress, std::stop_token stop) {
  DeviceCheck check;
  check.id = id;
  try {
    const auto device = make_backend(id);
    check.kernels = check_kernels(*device, progress, stop);
    measure_speed(*device, check, stop);
  } catch (const Error& error) {
    if (error.kind() == ErrorKind::stopped) throw;
    check.failure = error.what();
  }
  return check;
}

}  // namespace lrc
