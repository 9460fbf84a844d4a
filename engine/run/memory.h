#pragma once
#include <cstdint>

namespace lrc {

/// The most memory that this process has had resident since it started (VmHWM), 0 where the system does not say.
std::uint64_t peak_memory_bytes();

}  // namespace lrc
