#pragma once
// Orthogonal matrices that somebody else learned, folded in the place of R1 and R2: a safetensors file with SpinQuant's names,
//   R1                               (hidden, hidden)
//   model.layers.N.self_attn.R2      (head_dim, head_dim), for every block or for none; or one for each key-value head, stacked:
//                                    (kv_heads · head_dim, head_dim)
// in the row-vector convention: W R1 for what reads the stream, R1ᵀ W for what writes it; R2 likewise for o_proj's input and
// v_proj's rows within each head. Matrices that are invertible and not orthogonal (FlatQuant's) cannot be folded like this and
// are refused.
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "model/weights.h"

namespace lrc {

struct ImportedRotations {
  MatrixD r1;               ///< (hidden, hidden); empty when the file has none
  std::vector<MatrixD> r2;  ///< by block, (head_dim, head_dim) or stacked by key-value head; empty when the file has none
};
/// Writes such a file, in float64, whole or not at all.
void save_rotations(const std::filesystem::path& file, const ImportedRotations& rotations);

/// What the header says, without reading a matrix.
struct RotationFileParts {
  bool r1 = false, r2 = false;
};
/// Throws Error naming the file: another tensor than these, another shape than the model's, an R2 for some blocks only.
RotationFileParts check_rotation_file(const std::filesystem::path& file, const ModelConfig& config);
/// The same without a model: which of the two the file has.
RotationFileParts rotations_in(const std::filesystem::path& file);
/// Reads and checks everything: also that each matrix is finite and orthogonal (largest deviation of R Rᵀ from the identity at
/// most 1e-3, which matrices kept in bfloat16 satisfy); the Error names the deviation. Refuses where `choice` asks for a matrix
/// that the file lacks.
std::shared_ptr<const ImportedRotations> read_rotations(const std::filesystem::path& file, const ModelConfig& config,
                                                        const RotationChoice& choice);
/// Those of `choice.file`; nothing when it names none. Throws Error(unsupported) for principal bases that no file holds yet.
std::shared_ptr<const ImportedRotations> rotations_of(const RotationChoice& choice, const ModelConfig& config);

}  // namespace lrc
