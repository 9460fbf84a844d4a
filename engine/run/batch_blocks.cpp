// What is done to one block: the layers of each run are solved, refined and written.
#include <algorithm>
#include <cassert>

#include "run/batch.h"
#include "run/choose_scales.h"
#include "run/layer_rotation.h"

namespace lrc {

// The run is alone on this stream.
void Batch::scale_block(FloatStream& stream, OneRun& run, std::size_t block, const MemoryPlan& plan) {
  const auto layers = run.layers_of(block);
  if (layers.empty()) return;
  const Recipe& recipe = run.manifest().recipe;
  // What is kept of learned ones belongs to the finished layers; the float stream always takes those that were chosen.
  std::optional<ChannelScales> scales;
  if (!recipe.learn_scales) scales = run.scales_of(block);
  if (!scales) {
    scales = choose_scales(stream, layers, recipe, stop_, plan.passes);
    if (!run.missing_of(block).empty()) run.set_scales(block, *scales);
  }
  stream.scale(*scales);
}

void Batch::solve_readers(const BlockWeights& weights, std::vector<BlockMoments> moments, std::vector<Reader> readers,
                          const MemoryPlan& plan) {
  for (std::size_t r = 0; r < readers.size(); ++r) {
    const auto start = Clock::now();
    auto& [run, scheme, tasks] = readers[r];
    if (has_ended(run)) continue;
    const bool last = std::none_of(readers.begin() + std::ptrdiff_t(r) + 1, readers.end(),
                                   [&, s = scheme](const Reader& other) { return other.scheme == s; });
    guard({run}, [&, run = run, scheme = scheme, &tasks = tasks] {
      remember(*run, moments[scheme]);
      solve_block(weights, last ? std::move(moments[scheme]) : BlockMoments(moments[scheme]), std::move(tasks), stop_,
                  [&](SolvedLayer layer) { finish(*run, std::move(layer)); }, {plan.layers_at_once});
    });
    // Beside the walk only the waiting for it counts: the stages of a run add up to its time.
    if (!plan.ahead) run->add_time("solve", seconds_since(start));
  }
}

namespace {

/// Layers that are solved but lack their losses on held-out tokens.
class Unmeasured {
 public:
  void add(SolvedLayer layer) {
    const std::lock_guard lock(mutex_);
    layers_.push_back(std::move(layer));
  }
  std::vector<SolvedLayer>& layers() { return layers_; }

 private:
  std::mutex mutex_;
  std::vector<SolvedLayer> layers_;
};

}  // namespace

// Where the moments of a whole block do not fit: a few sites at a time, and the held-out moments when the solves have given
// their memory back.
void Batch::solve_in_passes(OneRun& run, FloatStream& stream, std::size_t block, const MemoryPlan& plan) {
  const auto tasks = run.missing_of(block);
  const std::size_t sites = site_count(model_->config());
  const auto schemes = site_schemes(tasks, sites);
  for (const auto& pass : plan.passes) {
    Listening listening;
    listening.sites.assign(sites, false);
    for (const std::size_t site : pass) listening.sites[site] = true;
    std::vector<LayerTask> own;
    for (const auto& task : tasks)
      if (std::ranges::find(pass, task.layer->site().index()) != pass.end()) own.push_back(task);
    if (own.empty()) continue;
    listening.held_out = false;
    BlockMoments moments = stream.peek(schemes, stop_, listening);
    remember(run, moments);
    Unmeasured solved;
    solve_block(stream.block(), std::move(moments), std::move(own), stop_, [&](SolvedLayer layer) { solved.add(std::move(layer)); },
                {plan.layers_at_once, &schemes});
    std::swap(listening.calibration, listening.held_out);
    moments = stream.peek(schemes, stop_, listening);
    remember(run, moments);
    for (auto& layer : solved.layers()) {
      const auto& info = *layer.task.layer;
      add_held_out_losses(layer.solution, convert<double>(stream.block().linear(info.role, info.expert).weight),
                          moments.held_out_by_site[info.site().index()]);
      finish(run, std::move(layer));
    }
  }
}

void Batch::finish(OneRun& run, SolvedLayer layer) {
  const auto refined = refinements_.find(&run);
  if (refined == refinements_.end()) return write(run, std::move(layer));
  refined->second.hold(std::move(layer));
}

void Batch::write(OneRun& run, SolvedLayer layer) {
  const LayerRecord record = run.finish_layer(std::move(layer));
  const std::lock_guard lock(finishing_);
  progress_.report("solve", done(), layers_, record.name);
  if (on_layer_) on_layer_(record);
}

// The float stream has passed the block: its hidden states are what the refined block should make of the prefix's.
void Batch::refine(OneRun& run, FloatStream& stream, QuantizedStream& prefix, std::size_t block) {
  const auto start = Clock::now();
  BlockRefinement& refinement = refinements_.at(&run);
  if (refinement.empty()) {
    for (const auto& task : run.layers_of(block)) prefix.set(*task.layer, read_layer(run.path(), task.layer->name));
  } else {
    RefinedBlock refined = refinement.run(stream, block, prefix.own_hidden(), stop_);
    if (refined.scales.any()) {
      auto scales = run.scales_of(block);
      assert(scales && "learned scales start from chosen ones");
      scales->multiply(refined.scales);
      run.set_scales(block, *scales);
    }
    run.add_refinement(refined.record);
    for (auto& layer : refined.layers) {
      prefix.set(*layer.task.layer, layer.solution);
      write(run, std::move(layer));
    }
    run.add_time("refine", seconds_since(start));
  }
  if (run.manifest().recipe.learn_scales) {
    // As the finished run will have it, whether the block was refined now or before.
    BlockWeights frame = std::move(load_rotated_block(*model_, block, layer_rotation(run.rotation())).blocks.front());
    if (const auto scales = run.scales_of(block)) fold_channel_scales(frame, model_->config(), *scales);
    prefix.set_frame(frame);
  }
  prefix.leave(stop_);
  progress_.report("refine", ++blocks_refined_, blocks_to_refine_);
}

// The sites of a block one after the other, each behind the codes of those before it.
void Batch::solve_on(QuantizedStream& quantized, OneRun& run, FloatStream& stream, std::size_t block, const MemoryPlan& plan) {
  const auto tasks = run.missing_of(block);
  if (tasks.empty() && run.manifest().recipe.stream == Stream::replay) return;
  quantized.enter();
  for (const auto& task : run.layers_of(block))
    if (run.is_finished(task.layer->name)) quantized.set(*task.layer, read_layer(run.path(), task.layer->name));
  const auto moments_of = [&](SecondMoments calibration, SecondMoments held_out, SiteKind kind) {
    BlockMoments moments;
    moments.by_site.resize(site_count(model_->config()));
    moments.held_out_by_site.resize(site_count(model_->config()));
    moments.by_site[std::size_t(kind)] = std::move(calibration);
    moments.held_out_by_site[std::size_t(kind)] = std::move(held_out);
    return moments;
  };
  for (const auto kind : {SiteKind::attention_input, SiteKind::attention_output, SiteKind::mlp_input, SiteKind::mlp_hidden}) {
    std::vector<LayerTask> own;
    for (const auto& task : tasks)
      if (task.layer->site().kind == kind) own.push_back(task);
    if (own.empty()) continue;
    const ActivationScheme activation = own.front().scheme.activation;
    Listening listening;
    listening.held_out = !plan.held_out_later;
    auto measured = quantized.measure(kind, activation, stop_, listening);
    Unmeasured solved;
    BlockMoments moments = moments_of(std::move(measured.calibration), std::move(measured.held_out), kind);
    remember(run, moments);
    solve_block(stream.block(), std::move(moments), std::move(own), stop_,
                [&](SolvedLayer layer) {
                  if (plan.held_out_later) return solved.add(std::move(layer));
                  quantized.set(*layer.task.layer, layer.solution);
                  finish(run, std::move(layer));
                },
                {plan.layers_at_once});
    if (solved.layers().empty()) continue;
    // What the layers of a site compute does not change their input: it can be measured after they were solved.
    listening = {.sites = {}, .calibration = false, .held_out = true};
    const SecondMoments held_out = quantized.measure(kind, activation, stop_, listening).held_out;
    if (refinements_.contains(&run)) remember(run, moments_of({}, held_out, kind));
    for (auto& layer : solved.layers()) {
      const auto& info = *layer.task.layer;
      add_held_out_losses(layer.solution, convert<double>(stream.block().linear(info.role, info.expert).weight), held_out);
      quantized.set(info, layer.solution);
      finish(run, std::move(layer));
    }
  }
  // A refined block is left when it is refined.
  if (!refinements_.contains(&run) || run.manifest().recipe.stream != Stream::propagated) quantized.leave(stop_);
}

}  // namespace lrc
