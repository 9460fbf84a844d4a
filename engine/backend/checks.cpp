#include "backend/checks.h"

#include <string>

#include "base/error.h"

namespace lrc {
namespace {
/// 128 · 128 · columns must stay below 2³¹ for the dots to be exact.
constexpr std::size_t most_columns = 131071;
}  // namespace

void check_weight(const QuantizedWeight& weight) {
  if (weight.scheme.high.any())
    throw Error(ErrorKind::unsupported, "A device holds one grid of a weight: high columns and the others are uploaded one by one.");
  const std::size_t rows = weight.out_features, columns = weight.in_features, group = weight.group_size();
  const bool fits = rows > 0 && columns > 0 && group > 0 && columns % group == 0 && weight.codes.size() == rows * columns &&
                    weight.scales.rows() == rows && weight.scales.columns() == columns / group &&
                    weight.zeros.size() == (weight.scheme.symmetric ? 0 : rows * (columns / group));
  if (!fits || weight.scheme.bits < 2 || weight.scheme.bits > 8)
    throw Error(ErrorKind::bad_input, "A quantized weight of " + std::to_string(rows) + " x " + std::to_string(columns) +
                                          " cannot be used: its codes, scales or groups do not fit its shape.");
  if (columns > most_columns)
    throw Error(ErrorKind::unsupported, "A quantized weight of " + std::to_string(columns) + " input features is wider than the " +
                                            std::to_string(most_columns) + " that integer products can hold.");
  const int bits = integer_bits(weight.scheme), highest = (1 << (bits - 1)) - 1;
  if (bits > 8)
    throw Error(ErrorKind::unsupported, "A quantized weight with zero points and " + std::to_string(weight.scheme.bits) +
                                            " bits does not fit the 8-bit kernels; at most 7 bits can have zero points.");
  const int most = is_e2m1(weight.scheme.format) ? largest_integer(weight.scheme) : highest;
  for (std::size_t i = 0; i < weight.codes.size(); ++i) {
    const int zero = weight.zeros.empty() ? 0 : weight.zeros[i / columns * (columns / group) + i % columns / group];
    const int whole = weight.codes[i] - zero;
    if (whole > most || whole < (most == highest ? -highest - 1 : -most))
      throw Error(ErrorKind::bad_input, "A quantized weight holds the code " + std::to_string(weight.codes[i]) + ", which " +
                                            std::to_string(weight.scheme.bits) + " bits cannot.");
  }
}

void check_pair(const LowRankPair& pair) {
  if (pair.rank() == 0 || pair.v.columns() != pair.rank())
    throw Error(ErrorKind::bad_input, "A low-rank pair cannot be used: its factors have " + std::to_string(pair.u.columns()) + " and " +
                                          std::to_string(pair.v.columns()) + " columns.");
}

void check_hadamard(const HadamardOrder& hadamard) {
  const std::size_t base = hadamard.base_order, power = hadamard.power_of_two;
  const bool whole =
      base * power == hadamard.order && power > 0 && (power & (power - 1)) == 0 && (base == 1 || hadamard.base.size() == base * base);
  if (!whole) throw Error(ErrorKind::bad_input, "A Hadamard matrix of order " + std::to_string(hadamard.order) + " contradicts itself.");
}

void check_attention(const AttentionShape& shape) {
  if (shape.heads == 0 || shape.kv_heads == 0 || shape.head_dim == 0 || shape.heads % shape.kv_heads != 0)
    throw Error(ErrorKind::bad_input, "Attention of " + std::to_string(shape.heads) + " heads over " + std::to_string(shape.kv_heads) +
                                          " key-value heads is not possible.");
}

void check_cache(const DeviceCache& cache, const AttentionShape& shape, std::size_t end) {
  check_attention(shape);
  if (cache.layout.width != shape.kv_heads * shape.head_dim || shape.head_dim % cache.layout.group != 0 || end > cache.capacity)
    throw Error(ErrorKind::device, "A key and value cache of " + std::to_string(cache.capacity) + " rows of " +
                                       std::to_string(cache.layout.width) + " cannot serve attention over " + std::to_string(end) +
                                       " positions of " + std::to_string(shape.kv_heads) + " heads of " + std::to_string(shape.head_dim) +
                                       "; this is a fault of the program.");
}

void check_rope(const RopeTable& table, std::size_t head_dim) {
  if (head_dim % 2 != 0 || table.inverse_frequencies.size() != head_dim / 2)
    throw Error(ErrorKind::bad_input, "Rotary frequencies for " + std::to_string(2 * table.inverse_frequencies.size()) +
                                          " dimensions do not fit heads of " + std::to_string(head_dim) + ".");
}

std::size_t activation_group(const ActivationScheme& scheme, std::size_t width) {
  if (scheme.high.any())
    throw Error(ErrorKind::unsupported, "A device quantizes one part of an input at a time: high columns, then the others.");
  const std::size_t group = scheme.group_size == 0 ? width : scheme.group_size;
  if (group == 0 || width % group != 0)
    throw Error(ErrorKind::bad_input, "Activation groups of " + std::to_string(scheme.group_size) + " do not divide the width " +
                                          std::to_string(width) + "; choose a group size that divides it, or 0 for one scale a token.");
  return group;
}

}  // namespace lrc
