#include "backend/cpu/kernels.h"
namespace lrc::cpu {
const Kernels& avx2_kernels() { return scalar_kernels(); }
}  // namespace lrc::cpu
