#include <cblas.h>

#include <algorithm>
#include <mutex>

#include "backend/cpu/cpu_backend.h"

namespace lrc::cpu {
namespace {
// Large enough that packing inside BLAS is a small part, small enough that two cores share a 192-wide output evenly.
constexpr std::size_t kTileTokens = 256, kTileTokensFew = 64, kTileOut = 192, kTileOutFew = 96;
}  // namespace

void limit_blas_threads() {
  static std::once_flag once;
  std::call_once(once, [] { openblas_set_num_threads(1); });
}

void multiply_here(const FloatProduct& p) {
  cblas_sgemm(CblasRowMajor, CblasNoTrans, p.transposed ? CblasNoTrans : CblasTrans, blasint(p.tokens), blasint(p.out), blasint(p.in), 1.0f,
              p.x, blasint(p.x_stride), p.w, blasint(p.w_stride), p.accumulate ? 1.0f : 0.0f, p.y, blasint(p.y_stride));
}

void multiply_tiled(const FloatProduct& product) {
  const std::size_t tile_out = product.tokens >= kTileTokens ? kTileOut : kTileOutFew;
  const std::size_t across = (product.out + tile_out - 1) / tile_out;
  const std::size_t tile_tokens = across * (product.tokens / kTileTokens) >= 4 ? kTileTokens : kTileTokensFew;
  const std::size_t down = (product.tokens + tile_tokens - 1) / tile_tokens;
  for_parts(across * down, 1, [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) {
      const std::size_t token = (i / across) * tile_tokens, row = (i % across) * tile_out;
      FloatProduct tile = product;
      tile.tokens = std::min(tile_tokens, product.tokens - token);
      tile.out = std::min(tile_out, product.out - row);
      tile.x += token * product.x_stride;
      tile.w += product.transposed ? row : row * product.w_stride;
      tile.y += token * product.y_stride + row;
      multiply_here(tile);
    }
  });
}

}  // namespace lrc::cpu
