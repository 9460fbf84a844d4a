#pragma once
// The walk that finds the principal bases of a recipe with high precision (model/principal_rotations.h), before its run's first block.
#include <filesystem>
#include <functional>
#include <stop_token>

#include "model/principal_rotations.h"
#include "run/corpus.h"

namespace lrc {

/// From the float model's inputs over the calibration windows. `walked` is called after each block. With a `spill_folder` hidden states
/// are kept in a file there.
ImportedRotations find_principal_rotations(const Model& model, const RotationChoice& choice, const RunCorpus& corpus,
                                           const std::filesystem::path& spill_folder, std::stop_token stop,
                                           const std::function<void()>& walked = {});

}  // namespace lrc
