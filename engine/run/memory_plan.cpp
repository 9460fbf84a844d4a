#include "run/memory_plan.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>
#include <utility>

#include "base/parallel.h"
#include "run/block_solver.h"
#include "run/memory.h"

namespace lrc {
namespace {

// Code, libraries, thread stacks and the allocator's slack of a process that does nothing yet.
constexpr double kProgramBytes = 60e6;
// Of the free memory; the rest is other programs' and the file cache's.
constexpr double kUsedShare = 0.85;

/// A layer in work, in bytes beside its site's statistics.
struct LayerNeed {
  std::size_t site = 0;
  double workspace = 0, work = 0;
};
/// What one block of one recipe needs.
struct BlockNeed {
  std::vector<LayerNeed> layers;  // in the order in which they are solved
  std::vector<double> width;      // of each site that is listened to, else 0
};

/// The matrices that are alive at the widest points of a solve (correction/): GPTQ with its target, Hessian and two factors, the
/// eigenproblem of the smaller side, the losses with the dequantized weights.
double workspace_of(const LayerScheme& scheme, double out, double in) {
  const double weight = out * in, square = in * in, small = std::min(out, in) * std::min(out, in);
  const auto& method = find_method(scheme.method);
  const bool joint = method.uses_rank && !method.corrects_base;
  const bool gptq = joint || scheme.method == "gptq" || scheme.base == "gptq";
  double most = 7 * weight + 4 * small;  // losses and curves
  if (gptq) most = std::max(most, 3 * weight + (scheme.deflate ? 6 : 4) * square);
  if (method.uses_rank && scheme.rank > 0) most = std::max(most, 5 * weight + 6 * small);
  return 8 * most + 2 * weight;
}

class Needs {
 public:
  Needs(std::span<const Recipe> recipes, const Model& model) : model_(model), config_(model.config()) {
    const Recipe& first = recipes.front();
    const double context = double(std::min(first.calibration_context, config_.context));
    const double windows = std::ceil(double(first.calibration_tokens) / context) + double(first.held_out_windows);
    context_ = context;
    hidden_ = 4 * windows * context * double(config_.hidden_size);
    held_out_ = first.held_out_windows > 0;
    for (const Recipe& recipe : recipes) {
      add_blocks(recipe);
      if (recipe.stream != Stream::fp) {
        drift_ = true;
        streams_ += recipe.stream == Stream::propagated ? 1 : 0;
      }
      // Behind the refined prefix, where the layers are not solved on it anyway.
      if (recipe.refine > 0 && recipe.stream != Stream::propagated) ++streams_;
      // The door of a block whose layers are measured again behind learned scales.
      if (recipe.learn_scales) ++streams_;
    }
    sets_ = double(recipes.size());
    for (const LayerInfo& layer : model.layers())
      if (layer.block == 0) block_weights_ += 4 * double(layer.parameters());
  }

  std::size_t sites() const { return site_count(config_); }
  std::size_t most_layers() const {
    std::size_t most = 1;
    for (const auto& block : blocks_) most = std::max(most, block.layers.size());
    return most;
  }
  bool walks_ahead() const { return !drift_ && config_.blocks > 1 && thread_count() > 1; }
  bool reads(std::size_t site) const {
    return std::ranges::any_of(blocks_, [&](const BlockNeed& block) {
      return std::ranges::any_of(block.layers, [&](const LayerNeed& layer) { return layer.site == site; });
    });
  }
  double hidden_bytes() const { return hidden_ * double(1 + streams_); }

  /// Of the whole process.
  double peak(const MemoryPlan& plan) const {
    const double walking = 2 * block_weights_ + scratch() + (plan.spill ? 3 * 4 * context_ * double(config_.hidden_size) : hidden_bytes());
    const double doubled = drift_ ? 2 * block_weights_ : 0;
    double solving = 0;
    for (const auto& pass : plan.passes) solving = std::max(solving, pass_bytes(pass, plan));
    if (plan.ahead) solving += block_weights_ + ahead_bytes();
    const double start = 2.2 * 4 * double(config_.vocabulary) * double(config_.hidden_size) + (plan.spill ? 0 : hidden_);
    return kProgramBytes + std::max(start, walking + doubled + solving);
  }

  /// Of the moments and the solves of one pass.
  double pass_bytes(const std::vector<std::size_t>& pass, const MemoryPlan& plan) const {
    double most = 0;
    for (const auto& block : blocks_) most = std::max(most, pass_bytes(block, pass, plan));
    return most;
  }

 private:
  void add_blocks(const Recipe& recipe) {
    std::vector<BlockNeed> own(config_.blocks);
    for (auto& block : own) block.width.assign(sites(), 0.0);
    for (const LayerInfo& layer : model_.layers()) {
      const LayerScheme scheme = effective_scheme(recipe, layer);
      if (scheme.skipped) continue;
      const double out = double(layer.out_features), in = double(layer.in_features);
      BlockNeed& block = own[layer.block];
      block.width[layer.site().index()] = in;
      // An expert that saw little is filled up from what all tokens bring to the site.
      if (layer.expert != no_expert && layer.site().kind == SiteKind::mlp_input) block.width[std::size_t(SiteKind::mlp_input)] = in;
      block.layers.push_back({layer.site().index(), workspace_of(scheme, out, in), solving_work(layer)});
    }
    for (auto& block : own) {
      std::ranges::stable_sort(block.layers, [](const LayerNeed& a, const LayerNeed& b) { return a.work > b.work; });
      blocks_.push_back(std::move(block));
    }
  }

  /// Of the moments of the block that is walked while another is solved.
  double ahead_bytes() const {
    double most = 0;
    for (const auto& block : blocks_) {
      double moments = 0;
      for (const double width : block.width) moments += 8 * 3 * width * width;
      most = std::max(most, moments);
    }
    return sets_ * most * (held_out_ ? 2 : 1);
  }

  double scratch() const {
    double widest = 0;
    for (const auto& block : blocks_)
      for (const double width : block.width) widest = std::max(widest, width);
    const double of_tokens = 4 * double(config_.hidden_size) + 3 * double(config_.feed_forward) + 2 * widest + (drift_ ? 2 * widest : 0);
    return 4 * context_ * of_tokens;
  }

  double pass_bytes(const BlockNeed& block, const std::vector<std::size_t>& pass, const MemoryPlan& plan) const {
    const double kinds = drift_ ? 6 : 3, factors = drift_ ? 9 : 7;
    double moments = 0;
    for (const std::size_t site : pass) moments += 8 * kinds * block.width[site] * block.width[site];
    const double held_out = held_out_ ? moments : 0;
    // The first layers in work, with the statistics of their sites.
    double working = 0;
    int lanes = 0;
    std::set<std::size_t> prepared;
    for (const LayerNeed& layer : block.layers) {
      if (lanes == plan.layers_at_once) break;
      if (std::ranges::find(pass, layer.site) == pass.end()) continue;
      ++lanes;
      working += layer.workspace;
      if (prepared.insert(layer.site).second) working += 8 * factors * block.width[layer.site] * block.width[layer.site];
    }
    if (plan.held_out_later) return std::max(moments + working, held_out);
    return sets_ * moments + sets_ * held_out + working;
  }

  const Model& model_;
  const ModelConfig& config_;
  std::vector<BlockNeed> blocks_;
  double context_ = 0, hidden_ = 0, block_weights_ = 0, sets_ = 1;
  int streams_ = 0;
  bool held_out_ = false, drift_ = false;
};

/// Sites in as few passes as fit; experts' inputs come with those of all tokens.
std::vector<std::vector<std::size_t>> packed(const Needs& needs, const MemoryPlan& plan, double room) {
  const auto with_all = [&](std::vector<std::size_t> pass) {
    const auto all = std::size_t(SiteKind::mlp_input);
    const bool experts = std::ranges::any_of(pass, [](std::size_t s) {
      const Site site = site_at(0, s);
      return site.expert != no_expert && site.kind == SiteKind::mlp_input;
    });
    if (experts && std::ranges::find(pass, all) == pass.end()) pass.push_back(all);
    return pass;
  };
  std::vector<std::vector<std::size_t>> passes;
  for (std::size_t s = 0; s < needs.sites(); ++s) {
    if (!needs.reads(s)) continue;
    if (!passes.empty()) {
      auto larger = passes.back();
      if (std::ranges::find(larger, s) != larger.end()) continue;
      larger.push_back(s);
      larger = with_all(std::move(larger));
      if (needs.pass_bytes(larger, plan) <= room) {
        passes.back() = std::move(larger);
        continue;
      }
    }
    passes.push_back(with_all({s}));
  }
  return passes;
}

}  // namespace

MemoryPlan plan_memory(std::span<const Recipe> recipes, const Model& model, std::uint64_t limit_bytes) {
  const Needs needs(recipes, model);
  double limit = double(limit_bytes);
  if (limit_bytes == 0) limit = kUsedShare * double(free_memory_bytes());
  if (limit <= 0) limit = std::numeric_limits<double>::infinity();

  std::vector<std::size_t> all;
  for (std::size_t s = 0; s < needs.sites(); ++s) all.push_back(s);
  const int most = int(std::min<std::size_t>(std::size_t(std::max(1, thread_count())), needs.most_layers()));
  MemoryPlan plan;
  const auto fits = [&] {
    plan.peak_bytes = std::uint64_t(needs.peak(plan));
    return double(plan.peak_bytes) <= limit;
  };
  // Not beside other runs: the seconds of each are set beside each other.
  if (recipes.size() == 1 && needs.walks_ahead()) {
    plan = {.passes = {all}, .layers_at_once = most, .ahead = true};
    if (fits()) return plan;
  }
  // From the quickest to the leanest: fewer layers side by side cost little where products run on all threads anyway, further passes
  // cost a forward pass each, a file costs its reading and writing.
  for (const bool spill : {false, true})
    for (const bool passes : {false, true})
      for (int lanes = most;; lanes = (lanes + 1) / 2) {
        plan = {.passes = {}, .held_out_later = passes, .layers_at_once = lanes, .spill = spill};
        if (spill) plan.spill_bytes = std::uint64_t(needs.hidden_bytes());
        plan.passes = passes ? packed(needs, plan, limit - needs.peak(plan)) : std::vector<std::vector<std::size_t>>{all};
        if (fits()) return plan;
        if (lanes == 1) break;
      }
  return plan;
}

}  // namespace lrc
