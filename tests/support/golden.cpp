#include "support/golden.h"

#include <algorithm>
#include <stdexcept>

namespace lrc::test {

std::vector<std::vector<TokenId>> golden_sequences(const SafetensorsFile& file, const std::string& name) {
  const SafetensorsEntry& entry = file.get(name);
  if (entry.dtype != DType::i64 || entry.shape.empty()) throw std::runtime_error(name + " does not hold token ids");
  const auto values = file.raw<std::int64_t>(name);
  const std::size_t length = entry.shape.back();
  std::vector<std::vector<TokenId>> sequences;
  for (std::size_t first = 0; first < values.size(); first += length) {
    sequences.emplace_back(values.begin() + std::ptrdiff_t(first), values.begin() + std::ptrdiff_t(first + length));
  }
  return sequences;
}

MatrixF golden_slice(const SafetensorsFile& file, const std::string& name, const std::vector<std::size_t>& leading) {
  const SafetensorsEntry& entry = file.get(name);
  const std::size_t dimensions = entry.shape.size();
  if (entry.dtype != DType::f32 || dimensions == 0 || (dimensions > 1 && leading.size() + 2 != dimensions)) {
    throw std::runtime_error(name + " is not a float32 tensor of that many dimensions");
  }
  MatrixF slice(dimensions > 1 ? entry.shape[dimensions - 2] : 1, entry.shape.back());
  std::size_t index = 0;
  for (std::size_t d = 0; d < leading.size(); ++d) index = index * entry.shape[d] + leading[d];
  const auto values = file.raw<float>(name).subspan(index * slice.size(), slice.size());
  std::copy(values.begin(), values.end(), slice.data());
  return slice;
}

}  // namespace lrc::test
