#include "model/channel_scales.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <numeric>

#include "base/error.h"
#include "base/parallel.h"

namespace lrc {
namespace {

void scale_columns(LinearWeights& linear, const std::vector<float>& scales) {
  MatrixF& weight = linear.weight;
  for (std::size_t r = 0; r < weight.rows(); ++r)
    for (std::size_t c = 0; c < weight.columns(); ++c) weight(r, c) *= scales[c];
}

/// The rows from `first` on are divided; `source[c]` is the row that makes channel c.
void divide_rows(LinearWeights& linear, std::size_t first, const std::vector<std::size_t>& source, const std::vector<float>& scales) {
  std::vector<float> of_row(linear.info.out_features - first, 1.0f);
  for (std::size_t c = 0; c < source.size(); ++c) of_row.at(source[c]) = scales[c];
  for (std::size_t r = 0; r < of_row.size(); ++r) {
    if (!linear.weight.empty())
      for (std::size_t c = 0; c < linear.weight.columns(); ++c) linear.weight(first + r, c) /= of_row[r];
    if (!linear.bias.empty()) linear.bias[first + r] /= of_row[r];
  }
}

void divide(std::vector<float>& values, const std::vector<float>& scales) {
  for (std::size_t c = 0; c < values.size(); ++c) values[c] /= scales[c];
}

/// The layer whose rows make the input of this site, and the first of these rows.
std::pair<LinearWeights*, std::size_t> source_of(BlockWeights& block, const Site& site, std::size_t rows) {
  const auto last_rows = [&](Role role) -> std::pair<LinearWeights*, std::size_t> {
    if (!block.find(role, site.expert)) return {nullptr, 0};
    LinearWeights& linear = block.linear(role, site.expert);
    return {&linear, linear.info.out_features - rows};
  };
  const std::vector<Role> makers = site.kind == SiteKind::attention_output
                                       ? std::vector{Role::v_proj, Role::qkv_proj}
                                       : std::vector{Role::up_proj, Role::gate_up_proj, Role::fc1, Role::expert_up};
  for (const Role role : makers)
    if (const auto found = last_rows(role); found.first) return found;
  return {nullptr, 0};
}

}  // namespace

bool ChannelScales::any() const {
  return std::ranges::any_of(by_site, [](const auto& scales) { return !scales.empty(); });
}

void ChannelScales::multiply(const ChannelScales& more) {
  by_site.resize(std::max(by_site.size(), more.by_site.size()));
  for (std::size_t s = 0; s < more.by_site.size(); ++s) {
    if (by_site[s].empty()) by_site[s].assign(more.by_site[s].size(), 1.0f);
    for (std::size_t c = 0; c < more.by_site[s].size(); ++c) by_site[s][c] *= more.by_site[s][c];
  }
}

std::string site_key(const Site& site) {
  const std::string expert = site.expert == no_expert ? "" : "experts." + std::to_string(site.expert) + ".";
  const std::string whole = name(Site{site.block, site.kind});
  return expert + whole.substr(whole.rfind('.') + 1);
}

bool can_scale(const Site& site, const ModelConfig& config, bool online_rotation) {
  if (site.kind == SiteKind::mlp_hidden) return !online_rotation && (site.expert == no_expert) == (config.experts == 0);
  return site.expert == no_expert;
}

std::size_t width_of(SiteKind site, const ModelConfig& config) {
  switch (site) {
    case SiteKind::attention_output:
      return config.heads * config.head_dim;
    case SiteKind::mlp_hidden:
      return config.feed_forward;
    case SiteKind::attention_input:
    case SiteKind::mlp_input:
      break;
  }
  return config.hidden_size;
}

std::vector<std::size_t> source_rows(SiteKind site, const ModelConfig& config) {
  std::vector<std::size_t> rows(width_of(site, config));
  std::iota(rows.begin(), rows.end(), std::size_t(0));
  if (site != SiteKind::attention_output) return rows;
  const std::size_t sharing = config.heads / config.kv_heads;
  for (std::size_t c = 0; c < rows.size(); ++c) rows[c] = c / config.head_dim / sharing * config.head_dim + c % config.head_dim;
  return rows;
}

void check_scales(const ChannelScales& scales, const ModelConfig& config, bool online_rotation, const std::string& origin) {
  const auto refuse = [&](std::size_t index, const std::string& what) {
    throw Error(ErrorKind::bad_input, origin + ": the channel scales of " + site_key(site_at(0, index)) + " " + what + ".");
  };
  if (scales.by_site.size() != site_count(config))
    throw Error(ErrorKind::bad_input, origin + ": channel scales for " + std::to_string(scales.by_site.size()) +
                                          " inputs do not fit a block with " + std::to_string(site_count(config)) + ".");
  for (std::size_t index = 0; index < scales.by_site.size(); ++index) {
    const auto& values = scales.by_site[index];
    if (values.empty()) continue;
    const Site site = site_at(0, index);
    if (!can_scale(site, config, online_rotation))
      refuse(index, site.kind == SiteKind::mlp_hidden && online_rotation
                        ? "cannot be folded: the online rotation R4 stands between them and the layer before"
                        : "have no place: experts share the block's mlp_input and have an mlp_hidden each");
    if (values.size() != width_of(site.kind, config))
      refuse(index, "are " + std::to_string(values.size()) + " and the input is " + std::to_string(width_of(site.kind, config)) + " wide");
    for (const float value : values)
      if (!(value > 0) || !std::isfinite(value) || !std::isnormal(1 / value))
        refuse(index, "hold " + std::to_string(value) + ", which is no usable factor");
    const auto rows = source_rows(site.kind, config);
    std::vector<float> of_row(rows.size());
    for (std::size_t c = 0; c < rows.size(); ++c) {
      float& own = of_row[rows[c]];
      if (own != 0 && own != values[c]) refuse(index, "differ between query heads that read the same values");
      own = values[c];
    }
  }
}

void fold_channel_scales(BlockWeights& block, const ModelConfig& config, const ChannelScales& scales) {
  assert(scales.by_site.size() == site_count(config));
  parallel_for(block.linears.size(), 1, [&](std::size_t begin, std::size_t end) {
    for (std::size_t l = begin; l < end; ++l) {
      LinearWeights& linear = block.linears[l];
      Site read = linear.info.site();
      if (read.kind == SiteKind::mlp_input) read.expert = no_expert;
      if (const auto& values = scales.by_site[read.index()]; !values.empty()) scale_columns(linear, values);
    }
  });
  for (std::size_t index = 0; index < scales.by_site.size(); ++index) {
    const auto& values = scales.by_site[index];
    if (values.empty()) continue;
    const Site site = site_at(0, index);
    if (site.kind == SiteKind::attention_input || site.kind == SiteKind::mlp_input) {
      const bool attention = site.kind == SiteKind::attention_input;
      divide(attention ? block.attention_norm : block.mlp_norm, values);
      divide(attention ? block.attention_norm_bias : block.mlp_norm_bias, values);
      continue;
    }
    const auto source = source_rows(site.kind, config);
    const auto [linear, first] = source_of(block, site, *std::ranges::max_element(source) + 1);
    assert(linear && "every block makes the input of its output layers");
    divide_rows(*linear, first, source, values);
  }
}

}  // namespace lrc
