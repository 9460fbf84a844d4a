#include "quantization/quantized_weight.h"

namespace lrc {

std::vector<std::uint8_t> pack_nibbles(const std::int8_t* codes, std::size_t rows, std::size_t columns) {
  const std::size_t stride = (columns + 1) / 2;
  std::vector<std::uint8_t> packed(rows * stride, 0);
  for (std::size_t r = 0; r < rows; ++r)
    for (std::size_t c = 0; c < columns; ++c) {
      const unsigned nibble = unsigned(codes[r * columns + c] + 8) & 15u;
      auto& byte = packed[r * stride + c / 2];
      byte = std::uint8_t(byte | (c % 2 == 0 ? nibble : nibble << 4));
    }
  return packed;
}

std::vector<std::int8_t> unpack_nibbles(const std::uint8_t* packed, std::size_t rows, std::size_t columns) {
  const std::size_t stride = (columns + 1) / 2;
  std::vector<std::int8_t> codes(rows * columns);
  for (std::size_t r = 0; r < rows; ++r)
    for (std::size_t c = 0; c < columns; ++c) {
      const unsigned byte = packed[r * stride + c / 2];
      codes[r * columns + c] = std::int8_t(int(c % 2 == 0 ? byte & 15u : byte >> 4) - 8);
    }
  return codes;
}

}  // namespace lrc
