#include "backend/cpu/cpu_info.h"

#include <cpuid.h>
#include <unistd.h>

#include <cstdint>
#include <fstream>
#include <string>

#include "backend/cpu/cpu_backend.h"
#include "backend/cpu/kernels.h"
#include "base/error.h"

namespace lrc {
namespace {

struct Features {
  bool avx2 = false, avx512_vnni = false;
};

/// Instruction sets need the processor (cpuid) and a system that saves their registers (xgetbv).
Features find_features() {
  Features found;
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (!__get_cpuid(1, &a, &b, &c, &d)) return found;
  const bool system_saves = (c & bit_OSXSAVE) != 0, fma = (c & bit_FMA) != 0, f16c = (c & bit_F16C) != 0;
  if (!system_saves) return found;
  std::uint32_t low = 0, high = 0;
  __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  constexpr std::uint32_t kYmm = 0x6, kZmm = 0xe6;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return found;
  found.avx2 = (b & bit_AVX2) != 0 && fma && f16c && (low & kYmm) == kYmm;
  const unsigned needed = bit_AVX512F | bit_AVX512BW | bit_AVX512DQ | bit_AVX512VL;
  found.avx512_vnni = found.avx2 && (b & needed) == needed && (c & bit_AVX512VNNI) != 0 && (low & kZmm) == kZmm;
  return found;
}

const Features& features() {
  static const Features found = find_features();
  return found;
}

const char* name_of(InstructionSet set) {
  switch (set) {
    case InstructionSet::avx2:
      return "AVX2";
    case InstructionSet::avx512_vnni:
      return "AVX-512 VNNI";
    case InstructionSet::scalar:
      return "scalar";
    case InstructionSet::automatic:
      break;
  }
  return "automatic";
}

std::string processor_name() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);)
    if (line.starts_with("model name"))
      if (const auto at = line.find(": "); at != std::string::npos) return line.substr(at + 2);
  return "CPU";
}

}  // namespace

bool cpu_has(InstructionSet set) {
  switch (set) {
    case InstructionSet::avx2:
      return features().avx2;
    case InstructionSet::avx512_vnni:
      return features().avx512_vnni;
    case InstructionSet::scalar:
    case InstructionSet::automatic:
      break;
  }
  return true;
}

std::shared_ptr<Backend> make_cpu_backend(InstructionSet set) {
  if (!cpu_has(set))
    throw Error(ErrorKind::device,
                std::string("This processor has no ") + name_of(set) + "; use the device \"cpu\", which takes what it has.");
  if (set == InstructionSet::automatic)
    set = features().avx512_vnni ? InstructionSet::avx512_vnni : features().avx2 ? InstructionSet::avx2 : InstructionSet::scalar;
  const cpu::Kernels& kernels = set == InstructionSet::avx512_vnni ? cpu::avx512_kernels()
                                : set == InstructionSet::avx2      ? cpu::avx2_kernels()
                                                                   : cpu::scalar_kernels();
  DeviceInfo info = cpu::describe_cpu();
  info.driver = kernels.name;
  return std::make_shared<cpu::CpuBackend>(kernels, std::move(info));
}

namespace cpu {

DeviceInfo describe_cpu() {
  DeviceInfo info;
  info.id = "cpu";
  info.name = processor_name();
  info.type = "cpu";
  info.uuid = "cpu";
  const long pages = ::sysconf(_SC_PHYS_PAGES), page = ::sysconf(_SC_PAGESIZE);
  if (pages > 0 && page > 0) info.memory_bytes = std::uint64_t(pages) * std::uint64_t(page);
  for (const auto set : {InstructionSet::avx2, InstructionSet::avx512_vnni})
    if (cpu_has(set)) info.features.emplace_back(name_of(set));
  return info;
}

}  // namespace cpu
}  // namespace lrc
