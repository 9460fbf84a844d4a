#include "run/block_refinement.h"

#include <algorithm>
#include <chrono>

#include "base/parallel.h"
#include "correction/layer_losses.h"
#include "refinement/refine.h"

namespace lrc {
namespace {

void take_over(std::vector<SecondMoments>& to, const std::vector<SecondMoments>& from) {
  to.resize(std::max(to.size(), from.size()));
  for (std::size_t i = 0; i < from.size(); ++i)
    if (from[i].tokens > 0) to[i] = from[i];
}

}  // namespace

void BlockRefinement::hold(SolvedLayer layer) {
  const std::lock_guard lock(mutex_);
  held_.push_back(std::move(layer));
}

void BlockRefinement::remember(const BlockMoments& moments) {
  take_over(moments_.by_site, moments.by_site);
  take_over(moments_.held_out_by_site, moments.held_out_by_site);
}

void BlockRefinement::remember_door(FloatStream& stream) {
  door_.clear();
  Backend& backend = stream.transformer().backend();
  for (std::size_t w = 0; w < stream.hidden().size(); ++w) {
    door_.emplace_back(context_, stream.weights().config.hidden_size);
    backend.download(stream.hidden().copy(w), 0, std::as_writable_bytes(door_.back().flat()));
  }
}

// The moments behind scales that were learned after the layers were solved.
void BlockRefinement::measure_scaled(FloatStream& stream, const ChannelScales& scales, BlockWeights& block, std::stop_token stop) {
  ModelWeights weights = stream.weights();
  fold_channel_scales(weights.blocks.front(), weights.config, scales);
  Transformer transformer(stream.shared_backend(), weights);
  Backend& backend = transformer.backend();
  const std::size_t sites = site_count(weights.config), skipped = stream.skipped_positions(), width = weights.config.hidden_size;
  std::vector<LayerTask> tasks;
  for (const auto& held : held_) tasks.push_back(held.task);
  const SiteSchemes schemes = site_schemes(tasks, sites);
  moments_ = {};
  moments_.by_site.resize(sites);
  moments_.held_out_by_site.resize(sites);
  for (std::size_t w = 0; w < door_.size(); ++w) {
    throw_if_stopped(stop);
    auto& to = w < calibration_windows_ ? moments_.by_site : moments_.held_out_by_site;
    const Buffer hidden = backend.allocate(context_ * width * sizeof(float));
    backend.upload(hidden, 0, std::as_bytes(door_[w].flat()));
    transformer.run_block(0, hidden, context_, [&](const Site& site, const float* x, std::size_t tokens, std::size_t columns) {
      accumulate(to[site.index()], x + skipped * columns, tokens - skipped, columns, schemes[site.index()]);
    });
  }
  backend.finish();
  block = std::move(weights.blocks.front());
}

RefinedBlock BlockRefinement::run(FloatStream& stream, std::size_t block, const HiddenStates& inputs, std::stop_token stop) {
  const auto start = std::chrono::steady_clock::now();
  // Layers are solved in any order; they are tuned and written in that of the block.
  const auto& linears = stream.block().linears;
  const auto place = [&](const SolvedLayer& held) {
    return std::ranges::find_if(linears, [&](const LinearWeights& linear) { return linear.info.name == held.task.layer->name; });
  };
  std::ranges::sort(held_, {}, place);

  Backend& backend = stream.transformer().backend();
  backend.finish();
  const ModelWeights& weights = stream.weights();
  std::vector<Buffer> kept;  // of hidden states that lie in a file: copies
  std::vector<const float*> from, to;
  for (std::size_t w = 0; w < inputs.size(); ++w) {
    kept.push_back(inputs.get(w));
    from.push_back(backend.host_view(kept.back()));
    kept.push_back(stream.hidden().get(w));
    to.push_back(backend.host_view(kept.back()));
  }
  std::vector<RefinedLayer> layers;
  for (auto& held : held_) layers.push_back({held.task.layer->role, std::move(held.solution)});
  const RefineRequest request{.config = weights.config,
                              .block = stream.block(),
                              .down_hadamard = weights.down_hadamard,
                              .rotary = weights.positions.empty(),
                              .inputs = from,
                              .targets = to,
                              .training_windows = calibration_windows_,
                              .context = context_,
                              .skipped_positions = stream.skipped_positions(),
                              .steps = recipe_.refine,
                              .seed = recipe_.rotation.seed,
                              .learn_scales = recipe_.learn_scales};
  const RefineOutcome outcome = refine_block(request, layers, stop);
  ChannelScales learned{outcome.scales};
  BlockWeights scaled;
  if (learned.any()) measure_scaled(stream, learned, scaled, stop);
  const BlockWeights& measured = learned.any() ? scaled : stream.block();
  if (outcome.best_step > 0)
    parallel_for(held_.size(), 1, [&](std::size_t begin, std::size_t end) {
      for (std::size_t l = begin; l < end; ++l) {
        const LayerInfo& layer = *held_[l].task.layer;
        const std::size_t site = layer.site().index();
        measure_again(convert<double>(measured.linear(layer.role).weight), moments_.by_site[site], moments_.held_out_by_site[site],
                      layers[l].solution);
      }
    });
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  RefinedBlock refined{{block, recipe_.refine, outcome.best_step, outcome.loss_before, outcome.loss_after, outcome.held_out_before,
                        outcome.held_out_after, seconds.count()},
                       std::move(held_),
                       std::move(learned)};
  for (std::size_t l = 0; l < layers.size(); ++l) refined.layers[l].solution = std::move(layers[l].solution);
  held_ = {};
  door_ = {};
  moments_ = {};
  return refined;
}

}  // namespace lrc
