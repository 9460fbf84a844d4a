#pragma once
// Which instruction set the loops of this folder that exist in several compiled forms run in. The forms compute the same, bit for bit.
namespace lrc {

enum class VectorLevel { baseline, avx2, avx512 };

/// The highest one that this processor has.
inline VectorLevel vector_level() {
#if defined(__x86_64__)
  static const VectorLevel level = __builtin_cpu_supports("avx512f") ? VectorLevel::avx512
                                   : __builtin_cpu_supports("avx2")  ? VectorLevel::avx2
                                                                     : VectorLevel::baseline;
  return level;
#else
  return VectorLevel::baseline;
#endif
}

}  // namespace lrc
