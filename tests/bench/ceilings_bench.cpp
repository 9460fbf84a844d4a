// What the processor itself allows: reading memory, byte products, float32 multiply-adds. Functions carry their own target.
#include <immintrin.h>

#include "paired.h"

namespace lrc::bench {
namespace {

__attribute__((target("avx2"), optimize("O3"))) float read_some(const float* from, std::size_t count) {
  __m256 sums[8];
  for (auto& sum : sums) sum = _mm256_setzero_ps();
  for (std::size_t i = 0; i + 64 <= count; i += 64) {
    _mm_prefetch(reinterpret_cast<const char*>(from + i + 512), _MM_HINT_T0);
    _mm_prefetch(reinterpret_cast<const char*>(from + i + 528), _MM_HINT_T0);
    _mm_prefetch(reinterpret_cast<const char*>(from + i + 544), _MM_HINT_T0);
    _mm_prefetch(reinterpret_cast<const char*>(from + i + 560), _MM_HINT_T0);
    for (std::size_t j = 0; j < 8; ++j) sums[j] = _mm256_add_ps(sums[j], _mm256_loadu_ps(from + i + j * 8));
  }
  for (std::size_t j = 1; j < 8; ++j) sums[0] = _mm256_add_ps(sums[0], sums[j]);
  return _mm256_cvtss_f32(sums[0]);
}

constexpr long kSteps = 20000;

// Ten independent chains each: more than latency times throughput of any processor these sets exist on.
__attribute__((target("avx512f,avx512vnni"))) void dot_zmm() {
  __m512i sums[10], a = _mm512_set1_epi8(3), b = _mm512_set1_epi8(5);
  for (auto& sum : sums) sum = _mm512_set1_epi32(0);
  for (long i = 0; i < kSteps; ++i)
#pragma GCC unroll 10
    for (auto& sum : sums) __asm__ volatile("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(a), "v"(b));
}

__attribute__((target("avx2"))) void dot_ymm() {
  __m256i sums[10], a = _mm256_set1_epi8(3), b = _mm256_set1_epi8(5);
  for (auto& sum : sums) sum = _mm256_setzero_si256();
  for (long i = 0; i < kSteps; ++i)
#pragma GCC unroll 10
    for (auto& sum : sums) {
      __m256i product;
      __asm__ volatile("vpmaddubsw %2, %1, %0" : "=x"(product) : "x"(a), "x"(b));
      __asm__ volatile("vpaddw %1, %0, %0" : "+x"(sum) : "x"(product));
    }
}

__attribute__((target("avx512f"))) void fma_zmm() {
  __m512 sums[10], a = _mm512_set1_ps(1.0f), b = _mm512_set1_ps(1e-9f);
  for (auto& sum : sums) sum = _mm512_set1_ps(0.0f);
  for (long i = 0; i < kSteps; ++i)
#pragma GCC unroll 10
    for (auto& sum : sums) __asm__ volatile("vfmadd231ps %2, %1, %0" : "+v"(sum) : "v"(a), "v"(b));
}

__attribute__((target("avx2,fma"))) void fma_ymm() {
  __m256 sums[10], a = _mm256_set1_ps(1.0f), b = _mm256_set1_ps(1e-9f);
  for (auto& sum : sums) sum = _mm256_setzero_ps();
  for (long i = 0; i < kSteps; ++i)
#pragma GCC unroll 10
    for (auto& sum : sums) __asm__ volatile("vfmadd231ps %2, %1, %0" : "+x"(sum) : "x"(a), "x"(b));
}

double rate_of(void (*burst)(), double operations, int threads) {
  const double time = seconds([&] { parallel_for(std::size_t(threads), 1, [&](std::size_t, std::size_t) { burst(); }); });
  return operations * 10 * double(kSteps) * double(threads) / time;
}

}  // namespace

double read_rate(const Memory& memory) {
  const double time = seconds([&] {
    parallel_for(memory.size(), 65536, [&](std::size_t begin, std::size_t end) {
      float part = read_some(memory.data() + begin, end - begin);
      benchmark::DoNotOptimize(part);
    });
  });
  return double(memory.size() * sizeof(float)) / time;
}

double byte_dot_rate(InstructionSet set, int threads) {
  const bool wide = set == InstructionSet::avx512_vnni;
  return rate_of(wide ? dot_zmm : dot_ymm, wide ? 128 : 64, threads);
}

double float_fma_rate(InstructionSet set, int threads) {
  const bool wide = set == InstructionSet::avx512_vnni;
  return rate_of(wide ? fma_zmm : fma_ymm, wide ? 32 : 16, threads);
}

}  // namespace lrc::bench
