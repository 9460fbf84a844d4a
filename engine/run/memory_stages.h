#pragma once
// What each stage of working with a model needs in memory, by what fills it: for the decision whether to open it here.
#include <cstdint>
#include <string>
#include <vector>

#include "model/model.h"
#include "run/recipe.h"

namespace lrc {

struct MemoryStage {
  std::string name;                                         ///< "open", "calibrate", "solve", "evaluate", "chat"
  std::uint64_t weights = 0, activations = 0, moments = 0;  ///< bytes; moments with what the solver makes of them
  std::string layer;                                        ///< that sets the height, where one does
  std::uint64_t total() const { return weights + activations + moments; }
};
/// In order. From shapes alone; solving holds one block at a time and, where that is above `limit_bytes` (0: no limit), makes do with
/// what plan_memory() finds; evaluating and talking hold the whole model in float32.
std::vector<MemoryStage> memory_by_stage(const Recipe& recipe, const Model& model, std::uint64_t limit_bytes = 0);

/// A change of the recipe that makes a run need less.
struct MemoryOption {
  std::string name;  ///< "Calibrate with 16 384 tokens instead of 65 536"
  Recipe recipe;     ///< with it applied
};
/// What can still be changed about `recipe`, most effective first. Each of them lowers what calibrating and solving need without a limit.
std::vector<MemoryOption> memory_options(const Recipe& recipe, const Model& model);

}  // namespace lrc
