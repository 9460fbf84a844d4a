#include "model/imported_rotations.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>

#include "base/error.h"
#include "correction/linalg.h"
#include "formats/safetensors.h"

namespace lrc {
namespace {

constexpr double kTolerance = 1e-3;
constexpr std::string_view kR1 = "R1", kBefore = "model.layers.", kBehind = ".self_attn.R2";

std::string r2_name(std::size_t block) { return std::string(kBefore) + std::to_string(block) + std::string(kBehind); }

[[noreturn]] void refuse(const std::filesystem::path& file, const std::string& what) {
  throw Error(ErrorKind::bad_file, file.string() + ": " + what + ".");
}

bool is_r2(const std::string& name) {
  if (!name.starts_with(kBefore) || !name.ends_with(kBehind) || name.size() <= kBefore.size() + kBehind.size()) return false;
  const auto number = std::string_view(name).substr(kBefore.size(), name.size() - kBefore.size() - kBehind.size());
  return std::ranges::all_of(number, [](char c) { return c >= '0' && c <= '9'; });
}

RotationFileParts parts_of(const SafetensorsFile& file) {
  RotationFileParts parts;
  for (const auto& entry : file.entries()) {
    if (entry.name == kR1)
      parts.r1 = true;
    else if (is_r2(entry.name))
      parts.r2 = true;
    else
      refuse(file.path(),
             "the tensor " + entry.name +
                 " is no rotation that can be folded; the file may hold R1 and model.layers.N.self_attn.R2, orthogonal matrices "
                 "(learned transforms that are only invertible, such as FlatQuant's, cannot be imported)");
  }
  if (!parts.r1 && !parts.r2) refuse(file.path(), "it holds neither R1 nor model.layers.N.self_attn.R2");
  return parts;
}

/// One matrix of that order, or as many as `stacked` one below the other.
void check_shape(const SafetensorsFile& file, const std::string& name, std::size_t order, const char* what, std::size_t stacked = 1) {
  const auto* entry = file.find(name);
  if (!entry) refuse(file.path(), name + " is missing; an R2 is needed for every block or for none");
  if (entry->shape != std::vector<std::size_t>{order, order} && entry->shape != std::vector<std::size_t>{stacked * order, order}) {
    std::string shape;
    for (const auto size : entry->shape) shape += (shape.empty() ? "" : " × ") + std::to_string(size);
    refuse(file.path(), name + " is " + shape + ", and the model's " + what + " is " + std::to_string(order) + " wide");
  }
}

RotationFileParts check(const SafetensorsFile& file, const ModelConfig& config) {
  const RotationFileParts parts = parts_of(file);
  if (parts.r1) check_shape(file, std::string(kR1), config.hidden_size, "residual stream");
  if (!parts.r2) return parts;
  for (std::size_t block = 0; block < config.blocks; ++block) check_shape(file, r2_name(block), config.head_dim, "head", config.kv_heads);
  if (file.entries().size() != config.blocks + std::size_t(parts.r1))
    refuse(file.path(), "it holds an R2 for a block that the model with its " + std::to_string(config.blocks) + " blocks does not have");
  return parts;
}

MatrixD read_orthogonal(const SafetensorsFile& file, const std::string& name) {
  MatrixD matrix = file.read_double(name);
  for (const double value : matrix.flat())
    if (!std::isfinite(value)) refuse(file.path(), name + " holds a value that is no number");
  double worst = 0;
  const std::size_t order = matrix.columns();
  for (std::size_t first = 0; first < matrix.rows(); first += order) {
    MatrixD one(order, order);
    std::copy_n(matrix.row(first), one.size(), one.data());
    const MatrixD product = linalg::gram(one);
    for (std::size_t r = 0; r < order; ++r)
      for (std::size_t c = 0; c < order; ++c) worst = std::max(worst, std::abs(product(r, c) - (r == c ? 1.0 : 0.0)));
  }
  if (worst <= kTolerance) return matrix;
  char deviation[32];
  std::snprintf(deviation, sizeof deviation, "%.2g", worst);
  refuse(file.path(),
         name + " is not orthogonal: R Rᵀ deviates from the identity by " + deviation + ", and folding it would make another model");
}

}  // namespace

RotationFileParts check_rotation_file(const std::filesystem::path& file, const ModelConfig& config) {
  return check(SafetensorsFile::open(file), config);
}

RotationFileParts rotations_in(const std::filesystem::path& file) { return parts_of(SafetensorsFile::open(file)); }

std::shared_ptr<const ImportedRotations> read_rotations(const std::filesystem::path& file, const ModelConfig& config,
                                                        const RotationChoice& choice) {
  const auto opened = SafetensorsFile::open(file);
  const RotationFileParts parts = check(opened, config);
  if (choice.r1 && !parts.r1) refuse(file, "it holds no R1; take r1 out of the recipe's rotate");
  if (choice.r2 && !parts.r2) refuse(file, "it holds no R2; take r2 out of the recipe's rotate");
  auto result = std::make_shared<ImportedRotations>();
  if (choice.r1) result->r1 = read_orthogonal(opened, std::string(kR1));
  if (choice.r2)
    for (std::size_t block = 0; block < config.blocks; ++block) result->r2.push_back(read_orthogonal(opened, r2_name(block)));
  return result;
}

std::shared_ptr<const ImportedRotations> rotations_of(const RotationChoice& choice, const ModelConfig& config) {
  if (choice.file.empty() && choice.high_share > 0)
    throw Error(ErrorKind::unsupported,
                "High precision for principal directions takes their bases, which only a run finds; run the recipe, set high_precision to 0, "
                "or name the transforms/rotation.safetensors of such a run as the rotations' file.");
  return choice.file.empty() ? nullptr : read_rotations(choice.file, config, choice);
}

void save_rotations(const std::filesystem::path& file, const ImportedRotations& rotations) {
  SafetensorsWriter out;
  if (!rotations.r1.empty()) out.add(std::string(kR1), rotations.r1);
  for (std::size_t block = 0; block < rotations.r2.size(); ++block) out.add(r2_name(block), rotations.r2[block]);
  out.write(file);
}

}  // namespace lrc
