#pragma once
// How quantized weights lie in the CPU's memory (the layouts are described at CodesTile).
#include <cstddef>
#include <cstdint>
#include <vector>

#include "backend/backend.h"
#include "backend/cpu/kernels.h"
#include "backend/cpu/memory.h"

namespace lrc::cpu {

class CpuQuantizedMatrix : public DeviceQuantizedMatrix {
 public:
  /// Throws Error(bad_input) when the parts of the weight contradict each other.
  CpuQuantizedMatrix(const QuantizedWeight& weight, bool packed, Arena& arena, const Meter& meter);

  std::size_t panels() const { return (out_features + kPanelRows - 1) / kPanelRows; }
  std::size_t bytes_per_panel() const { return panel_bytes_; }
  /// Cuts the columns at the borders of weight groups and of activation groups of `activation_group` columns.
  /// `segments` is overwritten. Returns the blocks of all segments together.
  std::size_t cut(std::size_t activation_group, std::vector<Segment>& segments) const;
  /// The weight's fields of a tile.
  CodesTile tile() const;

 private:
  bool packed_, wide_;
  std::size_t blocks_per_group_ = 0, panel_bytes_ = 0;
  std::shared_ptr<std::uint8_t> codes_;
  std::shared_ptr<float> scales_;
  Metered metered_;
};

/// Codes of `tokens` rows for the packed kernels: `out` (block, token, 8), `offsets` (segment, token) = −zero · Σ codes.
void pack_activations(const std::int8_t* codes, std::size_t columns, std::size_t tokens, const std::vector<Segment>& segments, int zero,
                      std::int8_t* out, std::int32_t* offsets);

}  // namespace lrc::cpu
