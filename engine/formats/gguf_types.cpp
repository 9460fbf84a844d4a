#include "formats/gguf_types.h"

#include <array>
#include <cassert>
#include <utility>

namespace lrc::gguf {
namespace {

// Index = the number in the file. Numbers without a name were given up by the format.
constexpr std::array<std::string_view, 43> names = {
    "F32",      "F16",    "Q4_0",  "Q4_1",       "Q4_2",       "Q4_3",       "Q5_0",   "Q5_1",    "Q8_0",  "Q8_1",     "Q2_K",
    "Q3_K",     "Q4_K",   "Q5_K",  "Q6_K",       "Q8_K",       "IQ2_XXS",    "IQ2_XS", "IQ3_XXS", "IQ1_S", "IQ4_NL",   "IQ3_S",
    "IQ2_S",    "IQ4_XS", "I8",    "I16",        "I32",        "I64",        "F64",    "IQ1_M",   "BF16",  "Q4_0_4_4", "Q4_0_4_8",
    "Q4_0_8_8", "TQ1_0",  "TQ2_0", "IQ4_NL_4_4", "IQ4_NL_4_8", "IQ4_NL_8_8", "MXFP4",  "NVFP4",   "Q1_0",  "Q2_0"};

constexpr std::pair<std::uint32_t, DType> known[] = {{0, DType::f32},   {1, DType::f16},   {2, DType::q4_0}, {3, DType::q4_1},
                                                     {6, DType::q5_0},  {7, DType::q5_1},  {8, DType::q8_0}, {12, DType::q4_k},
                                                     {13, DType::q5_k}, {14, DType::q6_k}, {24, DType::i8},  {25, DType::i16},
                                                     {26, DType::i32},  {27, DType::i64},  {28, DType::f64}, {30, DType::bf16}};

}  // namespace

std::size_t smallest_size(std::uint32_t value_type) {
  switch (value_type) {
    case u8:
    case i8:
    case boolean:
      return 1;
    case u16:
    case i16:
      return 2;
    case u32:
    case i32:
    case f32:
      return 4;
    case u64:
    case i64:
    case f64:
    case string:
      return 8;
    default:
      return 0;
  }
}

std::optional<DType> dtype_of(std::uint32_t file_type) {
  for (const auto& [number, type] : known)
    if (number == file_type) return type;
  return std::nullopt;
}

bool has_file_type(DType type) {
  for (const auto& entry : known)
    if (entry.second == type) return true;
  return false;
}

std::uint32_t file_type_of(DType type) {
  for (const auto& [number, candidate] : known)
    if (candidate == type) return number;
  assert(false && "a type that GGUF lacks");
  return 0;
}

std::string_view file_type_name(std::uint32_t file_type) { return file_type < names.size() ? names[file_type] : std::string_view(); }

}  // namespace lrc::gguf
