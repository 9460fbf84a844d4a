#pragma once
// Orthogonal matrices for a model, and a file of them as others write it.
#include <filesystem>

#include "model/imported_rotations.h"
#include "support/tiny_model.h"

namespace lrc::test {

/// Random ones, an own R2 for each block.
ImportedRotations random_rotations(const ModelConfig& config, Random& random);
/// The dense matrices of what rotate_weights folds by itself with this seed.
ImportedRotations hadamard_rotations(const ModelConfig& config, std::uint64_t seed);
/// In float64, or rounded to float32.
void write_rotations(const std::filesystem::path& file, const ImportedRotations& rotations, bool single = false);

}  // namespace lrc::test
