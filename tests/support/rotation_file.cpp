#include "support/rotation_file.h"

#include <cmath>

#include "formats/safetensors.h"

namespace lrc::test {
namespace {

/// Gram-Schmidt, twice for full precision.
MatrixD random_orthogonal(std::size_t order, Random& random) {
  MatrixD q(order, order);
  for (double& value : q.flat()) value = random.normal();
  for (std::size_t i = 0; i < order; ++i) {
    for (int pass = 0; pass < 2; ++pass)
      for (std::size_t j = 0; j < i; ++j) {
        double dot = 0;
        for (std::size_t c = 0; c < order; ++c) dot += q(i, c) * q(j, c);
        for (std::size_t c = 0; c < order; ++c) q(i, c) -= dot * q(j, c);
      }
    double square = 0;
    for (std::size_t c = 0; c < order; ++c) square += q(i, c) * q(i, c);
    for (std::size_t c = 0; c < order; ++c) q(i, c) /= std::sqrt(square);
  }
  return q;
}

/// diag(signs) H / √n, row by row.
MatrixD dense(const HadamardOrder& hadamard, const std::vector<std::int8_t>& signs) {
  MatrixD q(hadamard.order, hadamard.order);
  for (std::size_t i = 0; i < q.rows(); ++i) q(i, i) = signs.empty() ? 1 : signs[i];
  apply_hadamard(hadamard, q.data(), q.rows());
  return q;
}

}  // namespace

ImportedRotations random_rotations(const ModelConfig& config, Random& random) {
  ImportedRotations rotations;
  rotations.r1 = random_orthogonal(config.hidden_size, random);
  for (std::size_t block = 0; block < config.blocks; ++block) rotations.r2.push_back(random_orthogonal(config.head_dim, random));
  return rotations;
}

ImportedRotations hadamard_rotations(const ModelConfig& config, std::uint64_t seed) {
  ImportedRotations rotations;
  rotations.r1 = dense(*find_hadamard(config.hidden_size), random_signs(config.hidden_size, seed));
  rotations.r2.assign(config.blocks, dense(*find_hadamard(config.head_dim), {}));
  return rotations;
}

void write_rotations(const std::filesystem::path& file, const ImportedRotations& rotations, bool single) {
  SafetensorsWriter out;
  const auto add = [&](const std::string& name, const MatrixD& matrix) {
    if (single)
      out.add(name, convert<float>(matrix));
    else
      out.add(name, matrix);
  };
  if (!rotations.r1.empty()) add("R1", rotations.r1);
  for (std::size_t block = 0; block < rotations.r2.size(); ++block)
    add("model.layers." + std::to_string(block) + ".self_attn.R2", rotations.r2[block]);
  out.write(file);
}

}  // namespace lrc::test
