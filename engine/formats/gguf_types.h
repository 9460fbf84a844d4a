#pragma once
// Numbers that the GGUF format gives to value types and element types. For the files of this folder.
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "tensor/dtype.h"

namespace lrc::gguf {

constexpr std::string_view magic = "GGUF";
constexpr std::uint32_t default_alignment = 32;
constexpr std::size_t longest_tensor_name = 63;
constexpr std::uint32_t most_dimensions = 4;

enum ValueType : std::uint32_t { u8, i8, u16, i16, u32, i32, f32, boolean, string, array, u64, i64, f64, value_type_count };

/// Bytes of one value in the file; the least that a string takes (its length) for strings, 0 for arrays.
std::size_t smallest_size(std::uint32_t value_type);

std::optional<DType> dtype_of(std::uint32_t file_type);
std::uint32_t file_type_of(DType type);  ///< the type must be one that GGUF has
bool has_file_type(DType type);
/// The name of any element type that ggml knows ("MXFP4"), empty for numbers beyond.
std::string_view file_type_name(std::uint32_t file_type);

}  // namespace lrc::gguf
