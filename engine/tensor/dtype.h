#pragma once
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace lrc {

/// Element types of tensors in files. Block types (Q…) hold `block_elements` values in `block_bytes` bytes
/// (layouts: ggml's; rows are whole blocks).
enum class DType { f64, f32, f16, bf16, i64, i32, i16, i8, u8, boolean, q4_0, q4_1, q5_0, q5_1, q8_0, q4_k, q5_k, q6_k };

std::string_view name(DType type);       ///< "F32", "Q4_1", …
std::size_t block_elements(DType type);  ///< 1 for plain types
std::size_t block_bytes(DType type);
bool is_float_like(DType type);  ///< can be dequantized to float32

/// Widens or dequantizes `count` values (a multiple of block_elements) to float32. F64 is rounded. Exact per ggml's
/// reference: float32 arithmetic in the order d * q (+ m). Throws Error(unsupported) for integer types.
void to_float(DType type, const void* source, std::size_t count, float* destination);

std::uint16_t float_to_half(float value);  ///< round to nearest even, overflow to infinity
float half_to_float(std::uint16_t bits);
std::uint16_t float_to_bfloat16(float value);
float bfloat16_to_float(std::uint16_t bits);
/// The nearest float16, as a float: what a value becomes when it is stored.
float round_to_half(float value);

}  // namespace lrc
