#include "run/choose_scales.h"

#include <algorithm>

#include "correction/smoothing.h"

namespace lrc {
namespace {

/// The site whose scales reach this one's layers: experts share what the block's norm makes.
Site scaled_site(Site site) {
  if (site.kind == SiteKind::mlp_input) site.expert = no_expert;
  return site;
}

bool made_by_a_norm(SiteKind kind) { return kind == SiteKind::attention_input || kind == SiteKind::mlp_input; }

}  // namespace

ChannelScales choose_scales(FloatStream& stream, const std::vector<LayerTask>& layers, const Recipe& recipe, std::stop_token stop,
                            const std::vector<std::vector<std::size_t>>& passes) {
  const ModelConfig& config = stream.weights().config;
  const std::size_t sites = site_count(config);
  // SmoothQuant asks for maxima alone, and scales what norms make.
  const bool maxima_alone = recipe.smoothing == Smoothing::smoothquant;
  std::vector<bool> wanted(sites);
  for (std::size_t index = 0; index < sites; ++index) {
    const Site site = site_at(stream.next_block(), index);
    wanted[index] = can_scale(site, config, stream.weights().down_hadamard.has_value()) &&
                    (!maxima_alone || made_by_a_norm(site.kind) || (recipe.learn_scales && site.kind == SiteKind::attention_output)) &&
                    std::ranges::any_of(layers, [&](const LayerTask& task) { return scaled_site(task.layer->site()).index() == index; });
  }
  ChannelScales scales;
  scales.by_site.resize(sites);
  const auto choose = [&](std::size_t index, const SecondMoments& moments) {
    std::vector<SmoothedLayer> readers;
    for (const auto& task : layers)
      if (const auto& layer = *task.layer; scaled_site(layer.site()).index() == index)
        readers.push_back({convert<double>(stream.block().linear(layer.role, layer.expert).weight), task.scheme.weight});
    if (moments.channels.largest.empty()) return;  // an expert that no token reached has nothing to go by
    const auto rows = source_rows(site_at(stream.next_block(), index).kind, config);
    auto& values = scales.by_site[index];
    if (maxima_alone)
      values = smoothquant_scales(moments.channels, readers, recipe.smoothing_strength, rows);
    else if (recipe.smoothing == Smoothing::awq)
      values = awq_scales(moments, readers, rows);
    else
      values = closed_form_scales(moments, readers, rows);
  };
  if (maxima_alone) {
    std::vector<SecondMoments> moments(sites);
    stream.observe(
        [&](const Site& site, const float* x, std::size_t tokens, std::size_t width) {
          if (wanted[site.index()]) accumulate(moments[site.index()].channels, x, tokens, width);
        },
        stop);
    for (std::size_t index = 0; index < sites; ++index)
      if (wanted[index]) choose(index, moments[index]);
    return scales;
  }
  // What no pass names comes last: experts' common input, which none of their layers listens to by itself.
  std::vector<std::vector<std::size_t>> parts = passes;
  std::vector<std::size_t> rest;
  for (std::size_t index = 0; index < sites; ++index)
    if (std::ranges::none_of(passes, [&](const auto& pass) { return std::ranges::find(pass, index) != pass.end(); })) rest.push_back(index);
  if (!rest.empty()) parts.push_back(std::move(rest));
  ActivationScheme off;
  off.bits = 16;
  for (const auto& part : parts) {
    Listening listening;
    listening.held_out = false;
    listening.sites.assign(sites, false);
    bool any = false;
    for (const std::size_t index : part) any |= listening.sites[index] = wanted[index];
    if (!any) continue;
    BlockMoments moments = stream.peek(SiteSchemes(sites, off), stop, listening);
    for (const std::size_t index : part) {
      throw_if_stopped(stop);
      if (wanted[index]) choose(index, moments.by_site[index]);
      moments.by_site[index] = {};
    }
  }
  return scales;
}

void smooth_loaded_block(FloatStream& stream, const Model& model, const Recipe& recipe, std::stop_token stop) {
  if (recipe.smoothing == Smoothing::none) return;
  std::vector<LayerTask> layers;
  for (const auto& layer : model.layers())
    if (layer.block == stream.next_block())
      if (LayerScheme scheme = effective_scheme(recipe, layer); !scheme.skipped) layers.push_back({&layer, std::move(scheme)});
  if (!layers.empty()) stream.scale(choose_scales(stream, layers, recipe, stop));
}

}  // namespace lrc
