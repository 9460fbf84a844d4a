#include "run/memory.h"

#include <fstream>
#include <string>

namespace lrc {

std::uint64_t peak_memory_bytes() {
  // Not getrusage(): its figure starts with that of the program that started this one.
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with("VmHWM:")) return std::stoull(line.substr(6)) * 1024;
  return 0;
}

}  // namespace lrc
