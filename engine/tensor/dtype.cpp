#include "tensor/dtype.h"

#include <bit>
#include <cassert>
#include <cstring>
#include <string>

#include "base/error.h"

namespace lrc {
static_assert(std::endian::native == std::endian::little, "files are little-endian and read in place");

namespace {

struct TypeFacts {
  std::string_view name;
  std::size_t elements, bytes;
};

const TypeFacts& facts(DType type) {
  // In the order of the enumeration.
  static constexpr TypeFacts table[] = {{"F64", 1, 8},      {"F32", 1, 4},      {"F16", 1, 2},     {"BF16", 1, 2},   {"I64", 1, 8},
                                        {"I32", 1, 4},      {"I16", 1, 2},      {"I8", 1, 1},      {"U8", 1, 1},     {"BOOL", 1, 1},
                                        {"Q4_0", 32, 18},   {"Q4_1", 32, 20},   {"Q5_0", 32, 22},  {"Q5_1", 32, 24}, {"Q8_0", 32, 34},
                                        {"Q4_K", 256, 144}, {"Q5_K", 256, 176}, {"Q6_K", 256, 210}};
  return table[std::size_t(type)];
}

float load_half(const std::uint8_t* p) {
  std::uint16_t bits;
  std::memcpy(&bits, p, 2);
  return half_to_float(bits);
}

void block_q4_0(const std::uint8_t* p, float* y) {
  const float d = load_half(p);
  for (int j = 0; j < 16; ++j) {
    y[j] = float(int(p[2 + j] & 15) - 8) * d;
    y[j + 16] = float(int(p[2 + j] >> 4) - 8) * d;
  }
}

void block_q4_1(const std::uint8_t* p, float* y) {
  const float d = load_half(p), m = load_half(p + 2);
  for (int j = 0; j < 16; ++j) {
    y[j] = float(p[4 + j] & 15) * d + m;
    y[j + 16] = float(p[4 + j] >> 4) * d + m;
  }
}

/// The fifth bits of a Q5 block: bit j belongs to element j.
std::uint32_t load_high_bits(const std::uint8_t* p) {
  std::uint32_t bits;
  std::memcpy(&bits, p, 4);
  return bits;
}

void block_q5_0(const std::uint8_t* p, float* y) {
  const float d = load_half(p);
  const std::uint32_t high = load_high_bits(p + 2);
  for (int j = 0; j < 16; ++j) {
    y[j] = float(int((p[6 + j] & 15) | (high >> j & 1) << 4) - 16) * d;
    y[j + 16] = float(int((p[6 + j] >> 4) | (high >> (j + 16) & 1) << 4) - 16) * d;
  }
}

void block_q5_1(const std::uint8_t* p, float* y) {
  const float d = load_half(p), m = load_half(p + 2);
  const std::uint32_t high = load_high_bits(p + 4);
  for (int j = 0; j < 16; ++j) {
    y[j] = float((p[8 + j] & 15) | (high >> j & 1) << 4) * d + m;
    y[j + 16] = float((p[8 + j] >> 4) | (high >> (j + 16) & 1) << 4) * d + m;
  }
}

void block_q8_0(const std::uint8_t* p, float* y) {
  const float d = load_half(p);
  for (int j = 0; j < 32; ++j) y[j] = float(std::int8_t(p[2 + j])) * d;
}

struct ScaleAndMinimum {
  std::uint8_t scale, minimum;
};

/// The 6-bit scale and minimum of sub-block j (0–7) out of a K block's 12 bytes.
ScaleAndMinimum k_scale(const std::uint8_t* s, int j) {
  if (j < 4) return {std::uint8_t(s[j] & 63), std::uint8_t(s[j + 4] & 63)};
  return {std::uint8_t((s[j + 4] & 15) | (s[j - 4] >> 6) << 4), std::uint8_t((s[j + 4] >> 4) | (s[j] >> 6) << 4)};
}

/// Q4_K, and Q5_K where `high` (32 bytes: bit 2i and 2i+1 of byte l belong to run i) brings the fifth bits.
void block_q45_k(const std::uint8_t* p, const std::uint8_t* high, const std::uint8_t* nibbles, float* y) {
  const float d = load_half(p), minimum = load_half(p + 2);
  const std::uint8_t* scales = p + 4;
  for (int run = 0; run < 4; ++run, nibbles += 32) {
    for (int half = 0; half < 2; ++half, y += 32) {
      const auto s = k_scale(scales, 2 * run + half);
      const float d1 = d * float(s.scale), m1 = minimum * float(s.minimum);
      for (int l = 0; l < 32; ++l) {
        int q = half == 0 ? nibbles[l] & 15 : nibbles[l] >> 4;
        if (high) q |= (high[l] >> (2 * run + half) & 1) << 4;
        y[l] = d1 * float(q) - m1;
      }
    }
  }
}

void block_q6_k(const std::uint8_t* p, float* y) {
  const std::uint8_t *low = p, *high = p + 128, *scales = p + 192;
  const float d = load_half(p + 208);
  for (int half = 0; half < 2; ++half, low += 64, high += 32, scales += 8, y += 128) {
    for (int quarter = 0; quarter < 4; ++quarter) {
      for (int l = 0; l < 32; ++l) {
        const int byte = low[l + 32 * (quarter & 1)];
        const int nibble = quarter < 2 ? byte & 15 : byte >> 4;
        const int q = (nibble | (high[l] >> (2 * quarter) & 3) << 4) - 32;
        y[32 * quarter + l] = d * float(std::int8_t(scales[2 * quarter + l / 16])) * float(q);
      }
    }
  }
}

void dequantize_block(DType type, const std::uint8_t* p, float* y) {
  switch (type) {
    case DType::q4_0:
      return block_q4_0(p, y);
    case DType::q4_1:
      return block_q4_1(p, y);
    case DType::q5_0:
      return block_q5_0(p, y);
    case DType::q5_1:
      return block_q5_1(p, y);
    case DType::q8_0:
      return block_q8_0(p, y);
    case DType::q4_k:
      return block_q45_k(p, nullptr, p + 16, y);
    case DType::q5_k:
      return block_q45_k(p, p + 16, p + 48, y);
    case DType::q6_k:
      return block_q6_k(p, y);
    default:
      assert(false && "not a block type");
  }
}

template <typename T, typename Convert>
void convert_plain(const std::uint8_t* source, std::size_t count, float* destination, Convert convert) {
  for (std::size_t i = 0; i < count; ++i) {
    T value;  // mapped tensors need not be aligned for their type
    std::memcpy(&value, source + i * sizeof(T), sizeof(T));
    destination[i] = convert(value);
  }
}

}  // namespace

std::string_view name(DType type) { return facts(type).name; }
std::size_t block_elements(DType type) { return facts(type).elements; }
std::size_t block_bytes(DType type) { return facts(type).bytes; }

bool is_float_like(DType type) {
  switch (type) {
    case DType::i64:
    case DType::i32:
    case DType::i16:
    case DType::i8:
    case DType::u8:
    case DType::boolean:
      return false;
    default:
      return true;
  }
}

void to_float(DType type, const void* source, std::size_t count, float* destination) {
  const auto* p = static_cast<const std::uint8_t*>(source);
  switch (type) {
    case DType::f32:
      if (count != 0) std::memcpy(destination, p, count * sizeof(float));
      return;
    case DType::f64:
      return convert_plain<double>(p, count, destination, [](double v) { return float(v); });
    case DType::f16:
      return convert_plain<std::uint16_t>(p, count, destination, half_to_float);
    case DType::bf16:
      return convert_plain<std::uint16_t>(p, count, destination, bfloat16_to_float);
    default:
      break;
  }
  if (!is_float_like(type)) throw Error(ErrorKind::unsupported, "Numbers of type " + std::string(name(type)) + " are not weights.");
  const std::size_t elements = block_elements(type), bytes = block_bytes(type);
  assert(count % elements == 0);
  for (std::size_t block = 0; block < count / elements; ++block) dequantize_block(type, p + block * bytes, destination + block * elements);
}

std::uint16_t float_to_half(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const auto sign = std::uint16_t(bits >> 16 & 0x8000);
  std::uint32_t magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return std::uint16_t(sign | 0x7e00 | (magnitude >> 13 & 0x3ff));  // NaN, made quiet
  if (magnitude >= 0x477ff000) return std::uint16_t(sign | 0x7c00);                             // from 65520 on: infinity
  if (magnitude < 0x38800000) {
    // Below 2⁻¹⁴: 0.5 has the same unit in the last place as float16's subnormals, so the addition does the rounding.
    return std::uint16_t(sign | (std::bit_cast<std::uint32_t>(std::bit_cast<float>(magnitude) + 0.5f) - 0x3f000000));
  }
  magnitude += 0xfff + (magnitude >> 13 & 1);
  return std::uint16_t(sign | (magnitude - 0x38000000) >> 13);
}

float half_to_float(std::uint16_t bits) {
  const std::uint32_t sign = std::uint32_t(bits & 0x8000) << 16, exponent = bits >> 10 & 31, mantissa = bits & 0x3ff;
  if (exponent == 31) return std::bit_cast<float>(sign | 0x7f800000 | mantissa << 13);
  if (exponent == 0) {
    const float magnitude = float(mantissa) * 0x1p-24f;
    return std::bit_cast<float>(sign | std::bit_cast<std::uint32_t>(magnitude));
  }
  return std::bit_cast<float>(sign | (exponent + 112) << 23 | mantissa << 13);
}

std::uint16_t float_to_bfloat16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  if ((bits & 0x7fffffff) > 0x7f800000) return std::uint16_t(bits >> 16 | 64);  // NaN, made quiet
  return std::uint16_t((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

float bfloat16_to_float(std::uint16_t bits) { return std::bit_cast<float>(std::uint32_t(bits) << 16); }

float round_to_half(float value) { return half_to_float(float_to_half(value)); }

}  // namespace lrc
