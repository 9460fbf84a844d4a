#include "run/memory_stages.h"

#include <algorithm>
#include <cmath>

#include "base/parallel.h"
#include "run/memory_plan.h"

namespace lrc {
namespace {

std::uint64_t highest_of_a_run(const std::vector<MemoryStage>& stages) {
  std::uint64_t highest = 0;
  for (const auto& stage : stages)
    if (stage.name == "calibrate" || stage.name == "solve") highest = std::max(highest, stage.total());
  return highest;
}

std::string grouped(std::size_t count) {
  std::string text = std::to_string(count);
  if (count >= 10000)
    for (std::size_t place = text.size(); place > 3; place -= 3) text.insert(place - 3, "\u2009");
  return text;
}

}  // namespace

std::vector<MemoryStage> memory_by_stage(const Recipe& recipe, const Model& model, std::uint64_t limit_bytes) {
  const auto& config = model.config();
  const double hidden = double(config.hidden_size), context = double(std::min(recipe.calibration_context, config.context));
  const double windows = std::ceil(double(recipe.calibration_tokens) / std::max(context, 1.0)) + double(recipe.held_out_windows);
  double block = 0, solver = 0;
  std::string largest;
  std::vector<double> widths(site_count(config));
  std::size_t in_block = 0;
  for (const auto& layer : model.layers()) {
    if (layer.block != 0) continue;
    ++in_block;
    const double out = double(layer.out_features), in = double(layer.in_features);
    block += 4 * out * in;
    widths[layer.site().index()] = in;
    // Weight, target, Ŵ and products in float64, the Hessian and its factors.
    const double need = 8 * (8 * out * in + 5 * in * in);
    if (need > solver) {
      solver = need;
      largest = layer.name;
    }
  }
  double moments = 0, statistics = 0;
  for (const double n : widths) {
    moments += 8 * 3 * n * n * (recipe.held_out_windows > 0 ? 2 : 1);
    statistics += 8 * 7 * n * n;
  }
  const double scratch = 4 * context * (4 * hidden + 3 * double(config.feed_forward));
  const double streams = 4 * windows * context * hidden + scratch;
  const double everything = 4 * double(model.parameters());
  const double cache = 4 * 2 * double(config.kv_heads * config.head_dim * config.blocks) * std::min(2048.0, double(config.context));
  const auto bytes = [](double value) { return std::uint64_t(value); };
  const double side_by_side = double(std::min(thread_count(), int(std::max<std::size_t>(in_block, 1))));
  std::vector<MemoryStage> stages;
  stages.push_back({"open", bytes(double(model.checkpoint().file_bytes()) * 0.02), 0, 0, {}});  // headers and what is looked at
  stages.push_back({"calibrate", bytes(2 * block), bytes(streams), bytes(moments), {}});
  stages.push_back({"solve", bytes(2 * block), bytes(streams), bytes(moments + statistics + solver * side_by_side), largest});
  // Short of memory, a run gathers moments in passes and keeps hidden states in a file: slower, with the same bytes.
  if (limit_bytes > 0 && highest_of_a_run(stages) > limit_bytes) {
    const std::uint64_t least = plan_memory({&recipe, 1}, model, limit_bytes).peak_bytes;
    for (MemoryStage& stage : stages) {
      if (stage.total() <= least || stage.total() <= limit_bytes) continue;
      stage.weights = std::min(stage.weights, least);
      stage.activations = std::min(stage.activations, least - stage.weights);
      stage.moments = least - stage.weights - stage.activations;
    }
  }
  stages.push_back({"evaluate", bytes(2 * everything), bytes(cache + scratch), 0, {}});
  stages.push_back({"chat", bytes(everything), bytes(cache), 0, {}});
  return stages;
}

std::vector<MemoryOption> memory_options(const Recipe& recipe, const Model& model) {
  const std::uint64_t now = highest_of_a_run(memory_by_stage(recipe, model));
  std::vector<std::pair<std::uint64_t, MemoryOption>> found;
  const auto offer = [&](std::string name, const Recipe& changed) {
    const std::uint64_t then = highest_of_a_run(memory_by_stage(changed, model));
    if (then < now) found.push_back({then, {std::move(name), changed}});
  };
  if (recipe.calibration_tokens > 16384) {
    Recipe changed = recipe;
    changed.calibration_tokens = 16384;
    offer("Calibrate with " + grouped(16384) + " tokens instead of " + grouped(recipe.calibration_tokens), changed);
  }
  if (recipe.held_out_windows > 0) {
    Recipe changed = recipe;
    changed.held_out_windows = 0;
    offer("Do without the loss on held-out text", changed);
  }
  const std::size_t context = std::min(recipe.calibration_context, model.config().context);
  if (context > 512) {
    Recipe changed = recipe;
    changed.calibration_context = 512;
    offer("Calibrate in windows of 512 tokens instead of " + grouped(context), changed);
  }
  std::stable_sort(found.begin(), found.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  std::vector<MemoryOption> options;
  for (auto& [bytes, option] : found) options.push_back(std::move(option));
  return options;
}

}  // namespace lrc
