#include "run/tensor_facts.h"

#include <algorithm>
#include <cmath>

#include "correction/linalg.h"

namespace lrc {
namespace {

constexpr std::size_t most_values = std::size_t(1) << 25;
constexpr double reach = 8, bins_per_rms = 8;

}  // namespace

TensorFacts tensor_facts(const Checkpoint& checkpoint, const TensorInfo& tensor) {
  TensorFacts facts;
  const std::size_t columns = std::max<std::size_t>(tensor.columns(), 1);
  const std::size_t rows = std::min(tensor.rows(), std::max<std::size_t>(most_values / columns, 1));
  if (tensor.elements() == 0) return facts;
  MatrixF values(rows, columns);
  checkpoint.read_rows(tensor, 0, rows, values.data());
  facts.values = values.size();
  facts.whole = rows == tensor.rows();
  double sum = 0, square = 0;
  facts.smallest = facts.largest = double(values.data()[0]);
  for (const float value : values.flat()) {
    const double v = double(value);
    facts.smallest = std::min(facts.smallest, v);
    facts.largest = std::max(facts.largest, v);
    facts.zeros += v == 0;
    sum += v;
    square += v * v;
  }
  facts.mean = sum / double(facts.values);
  facts.rms = std::sqrt(square / double(facts.values));
  facts.bin_width = 1 / bins_per_rms;
  facts.lowest = -reach - facts.bin_width / 2;
  facts.shares.assign(std::size_t(2 * reach * bins_per_rms) + 1, 0.0);
  for (const float value : values.flat()) {
    const double bin = facts.rms > 0 ? std::floor((double(value) / facts.rms - facts.lowest) / facts.bin_width) : reach * bins_per_rms;
    facts.shares[std::size_t(std::clamp(bin, 0.0, double(facts.shares.size() - 1)))] += 1.0 / double(facts.values);
  }
  if (tensor.shape.size() == 2 && facts.whole && std::min(rows, columns) <= largest_spectrum)
    facts.singular_values = linalg::singular_values(convert<double>(values));
  return facts;
}

}  // namespace lrc
