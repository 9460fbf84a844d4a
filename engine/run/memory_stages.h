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
/// In order. From shapes alone; solving holds one block at a time, evaluating and talking hold the whole model in float32.
std::vector<MemoryStage> memory_by_stage(const Recipe& recipe, const Model& model);

/// A change of the recipe that makes a run need less.
struct MemoryOption {
  std::string name;  ///< "Calibrate with 16 384 tokens instead of 65 536"
  Recipe recipe;     ///< with it applied
};
/// What can still be changed about `recipe`, most effective first. Each of them lowers the highest of calibrating and solving.
std::vector<MemoryOption> memory_options(const Recipe& recipe, const Model& model);

/// What the system says that programs can still take (MemAvailable); as much as there is where it does not say.
std::uint64_t available_memory_bytes();

}  // namespace lrc
