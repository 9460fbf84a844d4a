#pragma once
// For the files of this folder: the kinds of checkpoint behind open_checkpoint.
#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>

#include "formats/checkpoint.h"

namespace lrc {

std::shared_ptr<const Checkpoint> open_gguf_checkpoint(const std::filesystem::path& file);
std::shared_ptr<const Checkpoint> open_huggingface_checkpoint(const std::filesystem::path& folder);

/// Throws Error when [first, first + count) is not inside the tensor, or when it holds no floating-point numbers.
void check_rows(const TensorInfo& tensor, std::size_t first, std::size_t count);
/// Throws Error(bad_file) naming the tensor when a value is NaN or infinite.
void check_finite(const TensorInfo& tensor, std::span<const float> values);

}  // namespace lrc
