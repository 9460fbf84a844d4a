#include "run/memory.h"

#include <fstream>
#include <string>

namespace lrc {
namespace {

std::uint64_t bytes_of(const char* file, const std::string& key) {
  std::ifstream facts(file);
  for (std::string line; std::getline(facts, line);)
    if (line.starts_with(key)) return std::stoull(line.substr(key.size())) * 1024;
  return 0;
}

}  // namespace

// Not getrusage(): its figure starts with that of the program that started this one.
std::uint64_t peak_memory_bytes() { return bytes_of("/proc/self/status", "VmHWM:"); }

std::uint64_t resident_memory_bytes() { return bytes_of("/proc/self/status", "VmRSS:"); }

std::uint64_t free_memory_bytes() {
  const std::uint64_t left = bytes_of("/proc/meminfo", "MemAvailable:");
  return left == 0 ? 0 : left + resident_memory_bytes();
}

}  // namespace lrc
