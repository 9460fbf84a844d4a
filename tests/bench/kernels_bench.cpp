// The kernels on SmolLM2-135M's sizes (576, 192, 1536) and on 4096 x 4096. Decoding walks over as many matrices as exceed the
// caches and is compared with reading memory of the same size; products over many tokens with the peak of the instruction
// they are made of. Before it is timed every product is checked against the scalar kernels.
#include <cmath>
#include <random>
#include <span>
#include <stdexcept>

#include "paired.h"
#include "quantization/quantized_weight.h"

namespace lrc::bench {
namespace {

struct Size {
  std::size_t out, in, group;
};

std::vector<float> values(std::size_t count, unsigned seed) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> distribution;
  std::vector<float> v(count);
  for (float& x : v) x = distribution(generator);
  return v;
}

MatrixF matrix(std::size_t rows, std::size_t columns) {
  MatrixF m(rows, columns);
  const auto v = values(m.size(), 1);
  std::copy(v.begin(), v.end(), m.data());
  return m;
}

QuantizedWeight weight(const Size& size) {
  QuantizedWeight w;
  w.scheme.group_size = size.group;
  w.out_features = size.out;
  w.in_features = size.in;
  std::mt19937 generator(2);
  std::uniform_int_distribution<int> code(-8, 7);
  w.codes.resize(size.out * size.in);
  for (auto& c : w.codes) c = std::int8_t(code(generator));
  w.scales = MatrixD(size.out, w.groups(), 0.01);
  return w;
}

Buffer upload(Backend& backend, const std::vector<float>& v) {
  Buffer buffer = backend.allocate(v.size() * sizeof(float));
  backend.upload(buffer, 0, std::as_bytes(std::span(v)));
  return buffer;
}

std::vector<float> quantized_product(Backend& backend, const Size& size, std::size_t tokens) {
  const auto w = backend.upload_quantized(weight(size));
  DeviceActivation x;
  backend.quantize(upload(backend, values(tokens * size.in, 3)), tokens, size.in, {}, x);
  const Buffer y = backend.allocate(tokens * size.out * sizeof(float));
  backend.multiply_quantized(*w, x, y);
  std::vector<float> result(tokens * size.out);
  backend.download(y, 0, std::as_writable_bytes(std::span(result)));
  return result;
}

void check(Backend& backend, const Size& size, std::size_t tokens) {
  const auto result = quantized_product(backend, size, tokens);
  const auto expected = quantized_product(*make_cpu_backend(InstructionSet::scalar), size, tokens);
  for (std::size_t i = 0; i < result.size(); ++i)
    if (!(std::fabs(result[i] - expected[i]) <= 1e-4f * (1 + std::fabs(expected[i])))) throw std::runtime_error("wrong product");
}

constexpr std::size_t kBeyondCaches = 96u << 20;

template <std::size_t kOut, std::size_t kIn, std::size_t kGroup>
void decode(benchmark::State& state, InstructionSet set, int) {
  const Size size{kOut, kIn, kGroup};
  const auto backend = make_cpu_backend(set);
  check(*backend, size, 1);
  const QuantizedWeight w = weight(size);
  std::vector<std::unique_ptr<DeviceQuantizedMatrix>> weights;
  std::size_t bytes = 0;
  while (bytes < kBeyondCaches) {
    weights.push_back(backend->upload_quantized(w));
    bytes += weights.back()->bytes;
  }
  DeviceActivation x;
  backend->quantize(upload(*backend, values(kIn, 3)), 1, kIn, {}, x);
  const Buffer y = backend->allocate(kOut * sizeof(float));
  const Memory memory(bytes);
  paired(
      state, double(bytes), "bytes/s",
      [&] {
        for (const auto& one : weights) backend->multiply_quantized(*one, x, y);
      },
      [&] { return read_rate(memory); });
}

template <std::size_t kOut, std::size_t kIn, std::size_t kGroup, std::size_t kTokens>
void prefill(benchmark::State& state, InstructionSet set, int threads) {
  const Size size{kOut, kIn, kGroup};
  const auto backend = make_cpu_backend(set);
  check(*backend, size, 19);
  const auto w = backend->upload_quantized(weight(size));
  DeviceActivation x;
  backend->quantize(upload(*backend, values(kTokens * kIn, 3)), kTokens, kIn, {}, x);
  const Buffer y = backend->allocate(kTokens * kOut * sizeof(float));
  const int repeats = int(std::max<std::size_t>(1, (std::size_t{1} << 30) / (2 * kOut * kIn * kTokens)));
  paired(
      state, double(repeats) * 2.0 * double(kOut * kIn * kTokens), "op/s",
      [&] {
        for (int i = 0; i < repeats; ++i) backend->multiply_quantized(*w, x, y);
      },
      [&] { return byte_dot_rate(set, threads); });
}

/// The float product of calibration and evaluation, against the multiply-add peak.
template <std::size_t kOut, std::size_t kIn, std::size_t kTokens, MatrixStorage kStorage>
void float_product(benchmark::State& state, InstructionSet set, int threads) {
  const auto backend = make_cpu_backend(set);
  const auto w = backend->upload_matrix(matrix(kOut, kIn), kStorage);
  const Buffer x = upload(*backend, values(kTokens * kIn, 3)), y = backend->allocate(kTokens * kOut * sizeof(float));
  paired(
      state, 2.0 * double(kOut * kIn * kTokens), "op/s", [&] { backend->multiply(*w, x, 0, kTokens, y); },
      [&] { return float_fma_rate(set, threads); });
}

/// One token through a float matrix larger than the caches (the output head).
template <MatrixStorage kStorage>
void float_vector(benchmark::State& state, InstructionSet set, int) {
  const auto backend = make_cpu_backend(set);
  const auto w = backend->upload_matrix(matrix(49152, 576), kStorage);
  const Buffer x = upload(*backend, values(576, 3)), y = backend->allocate(49152 * sizeof(float));
  const Memory memory(w->bytes);
  paired(
      state, double(w->bytes), "bytes/s", [&] { backend->multiply(*w, x, 0, 1, y); }, [&] { return read_rate(memory); });
}

template <std::size_t kTokens>
void quantize(benchmark::State& state, InstructionSet set, int) {
  const auto backend = make_cpu_backend(set);
  const Buffer x = upload(*backend, values(kTokens * 1536, 3));
  const Memory memory(kTokens * 1536 * sizeof(float));
  DeviceActivation out;
  paired(
      state, double(kTokens) * 1536 * sizeof(float), "bytes/s", [&] { backend->quantize(x, kTokens, 1536, {}, out); },
      [&] { return read_rate(memory); });
}

template <std::size_t kRank>
void low_rank_decode(benchmark::State& state, InstructionSet set, int) {
  const auto backend = make_cpu_backend(set);
  const LowRankPair pair{matrix(1536, kRank), matrix(576, kRank)};
  std::vector<std::unique_ptr<DevicePair>> pairs;
  std::size_t bytes = 0;
  while (bytes < kBeyondCaches) {
    pairs.push_back(backend->upload_pair(pair));
    bytes += pairs.back()->bytes;
  }
  const Buffer x = upload(*backend, values(576, 3)), y = upload(*backend, std::vector<float>(1536, 0.0f));
  const Memory memory(bytes);
  paired(
      state, double(bytes), "bytes/s",
      [&] {
        for (const auto& one : pairs) backend->add_low_rank(*one, x, 1, y, kRank);
      },
      [&] { return read_rate(memory); });
}

template <std::size_t kRank, std::size_t kTokens>
void low_rank_prefill(benchmark::State& state, InstructionSet set, int threads) {
  const auto backend = make_cpu_backend(set);
  const auto pair = backend->upload_pair({matrix(1536, kRank), matrix(576, kRank)});
  const Buffer x = upload(*backend, values(kTokens * 576, 3)), y = upload(*backend, std::vector<float>(kTokens * 1536, 0.0f));
  paired(
      state, 2.0 * double(kRank * (576 + 1536) * kTokens), "op/s", [&] { backend->add_low_rank(*pair, x, kTokens, y, kRank); },
      [&] { return float_fma_rate(set, threads); });
}

/// A whole causal window; the masked half is not counted as work.
template <std::size_t kTokens>
void attention(benchmark::State& state, InstructionSet set, int threads) {
  const auto backend = make_cpu_backend(set);
  const Buffer q = upload(*backend, values(kTokens * 576, 1)), kv = upload(*backend, values(kTokens * 192, 2));
  const Buffer out = backend->allocate(kTokens * 576 * sizeof(float));
  paired(
      state, 4.0 * 576 * double(kTokens * (kTokens + 1)) / 2, "op/s",
      [&] {
        backend->attention(q, kv, kv, 0, kTokens, {9, 3, 64, 0}, out);
      },
      [&] { return float_fma_rate(set, threads); });
}

/// One token against a context; bytes are those of keys and values.
template <std::size_t kContext>
void attention_decode(benchmark::State& state, InstructionSet set, int) {
  const auto backend = make_cpu_backend(set);
  const Buffer q = upload(*backend, values(576, 1)), k = upload(*backend, values(kContext * 192, 2)),
               out = backend->allocate(576 * sizeof(float));
  const Memory memory(kContext * 192 * 2 * sizeof(float));
  paired(
      state, double(memory.size() * sizeof(float)), "bytes/s",
      [&] {
        backend->attention(q, k, k, kContext - 1, 1, {9, 3, 64, 0}, out);
      },
      [&] { return read_rate(memory); });
}

template <std::size_t kTokens>
void hadamard(benchmark::State& state, InstructionSet set, int) {
  const auto backend = make_cpu_backend(set);
  const auto matrix_of_order = backend->upload_hadamard(*find_hadamard(1536));
  const Buffer x = upload(*backend, values(kTokens * 1536, 3));
  const Memory memory(kTokens * 1536 * sizeof(float));
  paired(
      state, double(memory.size() * sizeof(float)), "bytes/s", [&] { backend->hadamard(*matrix_of_order, x, kTokens); },
      [&] { return read_rate(memory); });
}

const bool registered = [] {
  for (const Set& set : sets())
    for (const int threads : {1, 2}) {
      const std::string suffix = std::string("/") + set.name;
      add("decode_int4/576x576/row" + suffix, decode<576, 576, 0>, set.set, threads);
      add("decode_int4/192x576/row" + suffix, decode<192, 576, 0>, set.set, threads);
      add("decode_int4/1536x576/row" + suffix, decode<1536, 576, 0>, set.set, threads);
      add("decode_int4/576x1536/row" + suffix, decode<576, 1536, 0>, set.set, threads);
      add("decode_int4/4096x4096/row" + suffix, decode<4096, 4096, 0>, set.set, threads);
      add("decode_int4/4096x4096/g64" + suffix, decode<4096, 4096, 64>, set.set, threads);
      add("decode_int4/4096x4096/g32" + suffix, decode<4096, 4096, 32>, set.set, threads);
      add("prefill_int4/1536x576/row/256" + suffix, prefill<1536, 576, 0, 256>, set.set, threads);
      add("prefill_int4/576x1536/row/256" + suffix, prefill<576, 1536, 0, 256>, set.set, threads);
      add("prefill_int4/4096x4096/row/256" + suffix, prefill<4096, 4096, 0, 256>, set.set, threads);
      add("prefill_int4/4096x4096/g64/256" + suffix, prefill<4096, 4096, 64, 256>, set.set, threads);
      add("prefill_int4/4096x4096/g128/256" + suffix, prefill<4096, 4096, 128, 256>, set.set, threads);
      add("float_product/1536x576/f32/2048" + suffix, float_product<1536, 576, 2048, MatrixStorage::f32>, set.set, threads);
      add("float_product/576x1536/f16/512" + suffix, float_product<576, 1536, 512, MatrixStorage::f16>, set.set, threads);
      add("float_vector/49152x576/f32" + suffix, float_vector<MatrixStorage::f32>, set.set, threads);
      add("float_vector/49152x576/f16" + suffix, float_vector<MatrixStorage::f16>, set.set, threads);
      add("quantize/256x1536" + suffix, quantize<256>, set.set, threads);
      add("low_rank/decode/57" + suffix, low_rank_decode<57>, set.set, threads);
      add("low_rank/256/57" + suffix, low_rank_prefill<57, 256>, set.set, threads);
      add("attention/2048" + suffix, attention<2048>, set.set, threads);
      add("attention/decode/2048" + suffix, attention_decode<2048>, set.set, threads);
      add("hadamard/256x1536" + suffix, hadamard<256>, set.set, threads);
    }
  return true;
}();

}  // namespace
}  // namespace lrc::bench
