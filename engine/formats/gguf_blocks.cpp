// The block encoders. The arithmetic follows ggml's reference encoders step by step in float32, so that equal weights give
// equal bytes: the codes are taken with the reciprocal of the unrounded scale.
#include <algorithm>
#include <cassert>
#include <cmath>
#include <cstring>

#include "base/error.h"
#include "formats/gguf.h"

namespace lrc {
namespace {

using Bytes = std::uint8_t*;

void put_half(Bytes p, float value) {
  const std::uint16_t bits = float_to_half(value);
  if ((bits & 0x7c00) == 0x7c00)
    throw Error(ErrorKind::numerical,
                "A weight, or the scale of a block of weights, is beyond the range of float16 (65504); keep this tensor in F32.");
  std::memcpy(p, &bits, 2);
}

/// 1 / d, and 0 for a block that is all zero (or so small that the reciprocal overflows): all its codes mean 0 then.
float reciprocal(float d) {
  const float inverse = d != 0.0f ? 1.0f / d : 0.0f;
  return std::isfinite(inverse) ? inverse : 0.0f;
}

/// The signed value of the largest magnitude (the first of equals).
float largest(const float* x) {
  float value = 0, magnitude = 0;
  for (int j = 0; j < 32; ++j) {
    if (magnitude < std::fabs(x[j])) {
      magnitude = std::fabs(x[j]);
      value = x[j];
    }
  }
  return value;
}

void put_nibble_pair(Bytes p, int j, int low, int high) { p[j] = std::uint8_t((low & 15) | (high & 15) << 4); }

void encode_q4_0(const float* x, Bytes p) {
  const float d = largest(x) / -8.0f, inverse = reciprocal(d);
  put_half(p, d);
  const auto code = [&](float v) { return std::min(15, int(v * inverse + 8.5f)); };
  for (int j = 0; j < 16; ++j) put_nibble_pair(p + 2, j, code(x[j]), code(x[j + 16]));
}

void encode_q4_1(const float* x, Bytes p) {
  const auto [low, high] = std::minmax_element(x, x + 32);
  const float m = *low, d = (*high - m) / 15.0f, inverse = reciprocal(d);
  put_half(p, d);
  put_half(p + 2, m);
  const auto code = [&](float v) { return std::min(15, int((v - m) * inverse + 0.5f)); };
  for (int j = 0; j < 16; ++j) put_nibble_pair(p + 4, j, code(x[j]), code(x[j + 16]));
}

/// Low nibbles and fifth bits of 32 codes 0…31: 4 bytes of high bits, then 16 of nibbles.
template <typename Code>
void put_five_bits(const float* x, Bytes p, Code code) {
  std::uint32_t high = 0;
  for (int j = 0; j < 16; ++j) {
    const int a = code(x[j]), b = code(x[j + 16]);
    put_nibble_pair(p + 4, j, a, b);
    high |= std::uint32_t(a >> 4 & 1) << j | std::uint32_t(b >> 4 & 1) << (j + 16);
  }
  std::memcpy(p, &high, 4);
}

void encode_q5_0(const float* x, Bytes p) {
  const float d = largest(x) / -16.0f, inverse = reciprocal(d);
  put_half(p, d);
  put_five_bits(x, p + 2, [&](float v) { return std::min(31, int(v * inverse + 16.5f)); });
}

void encode_q5_1(const float* x, Bytes p) {
  const auto [low, high] = std::minmax_element(x, x + 32);
  const float m = *low, d = (*high - m) / 31.0f, inverse = reciprocal(d);
  put_half(p, d);
  put_half(p + 2, m);
  put_five_bits(x, p + 4, [&](float v) { return int((v - m) * inverse + 0.5f); });
}

void encode_q8_0(const float* x, Bytes p) {
  const float d = std::fabs(largest(x)) / 127.0f, inverse = reciprocal(d);
  put_half(p, d);
  for (int j = 0; j < 32; ++j) p[2 + j] = std::uint8_t(std::int8_t(std::round(x[j] * inverse)));
}

void encode_block(DType type, const float* x, Bytes p) {
  switch (type) {
    case DType::q4_0:
      return encode_q4_0(x, p);
    case DType::q4_1:
      return encode_q4_1(x, p);
    case DType::q5_0:
      return encode_q5_0(x, p);
    case DType::q5_1:
      return encode_q5_1(x, p);
    case DType::q8_0:
      return encode_q8_0(x, p);
    case DType::f32:
      std::memcpy(p, x, 4);
      return;
    case DType::f16:
      put_half(p, *x);
      return;
    case DType::bf16: {
      const auto bits = float_to_bfloat16(*x);
      std::memcpy(p, &bits, 2);
      return;
    }
    default:
      throw Error(ErrorKind::unsupported, "Weights cannot be written as " + std::string(name(type)) + ".");
  }
}

}  // namespace

std::vector<std::byte> encode_blocks(DType type, const float* values, std::size_t count) {
  const std::size_t elements = block_elements(type), bytes = block_bytes(type);
  assert(count % elements == 0);
  for (std::size_t i = 0; i < count; ++i)
    if (!std::isfinite(values[i]))
      throw Error(ErrorKind::numerical, "A weight that is not a finite number cannot be written as " + std::string(name(type)) + ".");
  std::vector<std::byte> out(count / elements * bytes);
  auto* p = reinterpret_cast<Bytes>(out.data());
  for (std::size_t i = 0; i < count; i += elements, p += bytes) encode_block(type, values + i, p);
  return out;
}

}  // namespace lrc
