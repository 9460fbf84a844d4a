#pragma once
#include <cstdint>

namespace lrc {

/// The most memory that this process has had resident since it started (VmHWM), 0 where the system does not say.
std::uint64_t peak_memory_bytes();
/// What it has resident now (VmRSS), 0 where the system does not say.
std::uint64_t resident_memory_bytes();
/// What this process may come to hold: what it holds and what the system has left; 0 where the system does not say.
std::uint64_t free_memory_bytes();

}  // namespace lrc
