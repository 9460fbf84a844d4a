#pragma once
#include "backend/backend.h"

namespace lrc::cpu {

/// This machine's processor: name, memory, and the instruction sets that kernels exist for.
DeviceInfo describe_cpu();

}  // namespace lrc::cpu
