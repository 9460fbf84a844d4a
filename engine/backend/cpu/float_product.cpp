#include <cblas.h>

#include <algorithm>
#include <mutex>

#include "backend/cpu/cpu_backend.h"

namespace lrc::cpu {
namespace {
struct TileSize {
  std::size_t tokens = 0, out = 0;
  std::size_t count(const FloatProduct& p) const { return ((p.tokens + tokens - 1) / tokens) * ((p.out + out - 1) / out); }
};

// The larger a tile, the smaller the part that BLAS spends on packing it; the more tiles, the more evenly cores share them, down to two
// for a 192-wide output. It depends on the product's shape alone.
TileSize tile_size(const FloatProduct& product) {
  constexpr TileSize large{512, 384}, middle{256, 192};
  constexpr std::size_t enough_large = 16, enough = 4;
  if (product.tokens >= large.tokens && large.count(product) >= enough_large) return large;
  if (product.tokens < middle.tokens) return {64, 96};
  return {middle.count(product) >= enough ? middle.tokens : 64, middle.out};
}
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
  const TileSize size = tile_size(product);
  const std::size_t across = (product.out + size.out - 1) / size.out, down = (product.tokens + size.tokens - 1) / size.tokens;
  for_parts(across * down, 1, [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) {
      const std::size_t token = (i / across) * size.tokens, row = (i % across) * size.out;
      FloatProduct tile = product;
      tile.tokens = std::min(size.tokens, product.tokens - token);
      tile.out = std::min(size.out, product.out - row);
      tile.x += token * product.x_stride;
      tile.w += product.transposed ? row : row * product.w_stride;
      tile.y += token * product.y_stride + row;
      multiply_here(tile);
    }
  });
}

}  // namespace lrc::cpu
