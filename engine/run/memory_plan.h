#pragma once
// How a run fits the memory of its machine. Nothing that is decided here changes a byte of what the run writes.
#include <cstdint>
#include <span>
#include <vector>

#include "run/recipe.h"

namespace lrc {

struct MemoryPlan {
  /// Sites, by Site::index(), whose second moments are in memory at a time. One pass: all of a block's, gathered on the way through it.
  std::vector<std::vector<std::size_t>> passes;
  bool held_out_later = false;    ///< held-out moments are gathered when the layers of a pass are solved
  int layers_at_once = 1;         ///< that are solved side by side
  bool ahead = false;             ///< the stream walks the next block while a block's layers are solved (a run alone)
  bool spill = false;             ///< hidden states between blocks lie in a file
  std::uint64_t peak_bytes = 0;   ///< what the process is expected to need
  std::uint64_t spill_bytes = 0;  ///< the size of that file
  bool together() const { return passes.size() == 1 && !held_out_later; }
};

/// The quickest way that needs at most `limit_bytes` (0 = what is free now), or the leanest one where none does: for recipes that are
/// carried out side by side on the same windows.
MemoryPlan plan_memory(std::span<const Recipe> recipes, const Model& model, std::uint64_t limit_bytes = 0);

/// forecast() of a run that is held to a limit.
Forecast forecast_within(const Recipe& recipe, const Model& model, std::uint64_t limit_bytes);

}  // namespace lrc
