#include "refinement/learned_scales.h"

#include <algorithm>
#include <cmath>

#include "model/channel_scales.h"

namespace lrc::refinement {
namespace {

constexpr double kRate = 5e-3;  // OmniQuant's let_lr, here relative

bool makes_values(Role role) { return role == Role::v_proj || role == Role::qkv_proj; }

}  // namespace

LearnedScales::LearnedScales(const ModelConfig& config, std::span<const LinearWeights> linears, std::span<const Role> learning) {
  for (const SiteKind site : {SiteKind::attention_input, SiteKind::attention_output, SiteKind::mlp_input}) {
    const bool all_learn = std::ranges::all_of(linears, [&](const LinearWeights& linear) {
      const Role role = linear.info.role;
      const bool concerned = site_of(role) == site || (site == SiteKind::attention_output && makes_values(role));
      return !concerned || std::ranges::find(learning, role) != learning.end();
    });
    if (!all_learn) continue;
    Scaled scaled{site, source_rows(site, config), 0};
    scaled.rows = *std::ranges::max_element(scaled.source) + 1;
    state_.emplace_back(scaled.rows, 0.0f);
    slopes_.emplace_back(scaled.source.size(), 0.0);
    scaled_.push_back(std::move(scaled));
  }
  averages_.resize(scaled_.size());
  best_ = state_;
}

std::vector<float> LearnedScales::of_channels(std::size_t which) const {
  const Scaled& scaled = scaled_[which];
  std::vector<float> factors(scaled.source.size());
  for (std::size_t c = 0; c < factors.size(); ++c) factors[c] = std::exp(state_[which][scaled.source[c]]);
  return factors;
}

void LearnedScales::put(BlockFunction<float>& block, std::span<TunedLayer> layers, std::span<const Role> roles) const {
  std::vector<float> attention, mlp, values;
  std::vector<std::vector<float>> columns(layers.size());
  for (std::size_t s = 0; s < scaled_.size(); ++s) {
    const std::vector<float> factors = of_channels(s);
    for (std::size_t l = 0; l < layers.size(); ++l)
      if (site_of(roles[l]) == scaled_[s].site) columns[l] = factors;
    if (scaled_[s].site == SiteKind::attention_input) attention = factors;
    if (scaled_[s].site == SiteKind::mlp_input) mlp = factors;
    if (scaled_[s].site != SiteKind::attention_output) continue;
    for (const float log : state_[s]) values.push_back(std::exp(-log));
  }
  block.divide_norms(attention, mlp);
  for (std::size_t l = 0; l < layers.size(); ++l) {
    std::vector<float> rows;
    if (makes_values(roles[l]) && !values.empty()) {
      rows.assign(layers[l].out_features() - values.size(), 1.0f);
      rows.insert(rows.end(), values.begin(), values.end());
      block.scale_bias(roles[l], rows);
    }
    layers[l].scale(std::move(columns[l]), std::move(rows));
  }
}

void LearnedScales::collect(const BlockFunction<float>& block) {
  for (std::size_t s = 0; s < scaled_.size(); ++s) {
    const std::vector<float>& slopes = block.channel_slopes(scaled_[s].site);
    for (std::size_t c = 0; c < slopes.size(); ++c) slopes_[s][c] -= double(slopes[c]);
  }
}

void LearnedScales::step(double part, std::span<const TunedLayer> layers, std::span<const Role> roles) {
  for (std::size_t s = 0; s < scaled_.size(); ++s) {
    for (std::size_t l = 0; l < layers.size(); ++l)
      if (site_of(roles[l]) == scaled_[s].site)
        for (std::size_t c = 0; c < slopes_[s].size(); ++c) slopes_[s][c] += double(layers[l].column_gradient()[c]);
    std::vector<double> of_rows(scaled_[s].rows);
    for (std::size_t c = 0; c < slopes_[s].size(); ++c) of_rows[scaled_[s].source[c]] += slopes_[s][c];
    const std::vector<float> gradient(of_rows.begin(), of_rows.end());
    averages_[s].step(state_[s], gradient, part * kRate);
    std::ranges::fill(slopes_[s], 0.0);
  }
}

std::vector<std::vector<float>> LearnedScales::scales() const {
  std::vector<std::vector<float>> result(4);
  for (std::size_t s = 0; s < scaled_.size(); ++s) result[std::size_t(scaled_[s].site)] = of_channels(s);
  return result;
}

}  // namespace lrc::refinement
