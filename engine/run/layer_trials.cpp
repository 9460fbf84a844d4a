#include "run/layer_trials.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <mutex>
#include <optional>

#include "base/error.h"
#include "run/block_solver.h"
#include "run/float_stream.h"
#include "run/one_run.h"
#include "run/sensitivity.h"
#include "run/solve_alone.h"

namespace lrc {
namespace {

double bits_per_weight(const LayerScheme& scheme, const LayerInfo& layer) {
  return layer_size(scheme, layer.out_features, layer.in_features).bits_per_weight(layer.parameters());
}

/// The recipe with the change, as far as it is possible; one that changes nothing is none.
std::optional<Suggestion> candidate(const Model& model, const Recipe& recipe, const LayerInfo& layer, std::string title, Override change) {
  Suggestion result;
  const bool activations =
      change.activation_bits || change.clip || change.activation_group_size || change.activation_asymmetric || change.activation_format;
  for (const auto& other : model.layers())
    if (&other == &layer || (activations && other.site() == layer.site() && other.role != Role::router)) {
      result.layers.push_back(other.name);
      change.pattern += (change.pattern.empty() ? "" : ",") + other.name;
    }
  Recipe changed = recipe;
  changed.overrides.push_back(change);
  const LayerScheme before = effective_scheme(recipe, layer);
  try {
    // Every layer of the input must be able to follow.
    for (const auto& other : model.layers())
      if (matches(change.pattern, other.name)) effective_scheme(changed, other);
    result.scheme = effective_scheme(changed, layer);
  } catch (const Error&) {
    return {};
  }
  if (result.scheme == before) return {};
  result.title = std::move(title);
  result.change = std::move(change);
  result.bits_per_weight = bits_per_weight(result.scheme, layer) - bits_per_weight(before, layer);
  return result;
}

/// The next larger one of those that people use.
std::optional<int> next_bits(int bits, std::initializer_list<int> offered) {
  for (const int next : offered)
    if (next > bits) return next;
  return {};
}

std::optional<std::size_t> largest_group(std::size_t width) {
  for (const std::size_t group : {std::size_t(128), std::size_t(64), std::size_t(32)})
    if (width % group == 0 && group < width) return group;
  return {};
}

std::string shown(float clip) {
  char text[16];
  std::snprintf(text, sizeof text, "%.2f", double(clip));
  return text;
}

std::vector<Suggestion> weight_candidates(const Model& model, const Recipe& recipe, const LayerInfo& layer) {
  const LayerScheme scheme = effective_scheme(recipe, layer);
  const SolveMethod& method = find_method(scheme.method);
  const std::size_t smaller = std::min(layer.out_features, layer.in_features);
  std::vector<Suggestion> all;
  const auto add = [&](std::string title, const Override& change) {
    if (auto made = candidate(model, recipe, layer, std::move(title), change)) all.push_back(std::move(*made));
  };
  if (const auto bits = next_bits(scheme.weight.bits, {3, 4, 5, 6, 8}); bits && scheme.weight.format == NumberFormat::integer) {
    Override change;
    change.weight_bits = *bits;
    add("W" + std::to_string(*bits) + " here", change);
  }
  if (const auto group = largest_group(layer.in_features); group && scheme.weight.group_size == 0) {
    Override change;
    change.group_size = *group;
    add("weight groups of " + std::to_string(*group), change);
  }
  const std::size_t tenth = std::max<std::size_t>(1, smaller / 10);
  if (method.uses_rank) {
    const std::size_t rank = std::min(smaller, scheme.rank > 0 ? 2 * scheme.rank : tenth);
    Override change;
    change.rank = RankChoice{false, double(rank)};
    add("rank " + std::to_string(rank), change);
  } else {
    Override retarget;
    retarget.method = "lrc";
    retarget.rank = RankChoice{false, 0};
    add("LRC, rank 0", retarget);
    retarget.rank = RankChoice{false, double(tenth)};
    add("LRC, rank " + std::to_string(tenth), retarget);
  }
  if (scheme.method == "lrc") {
    if (scheme.rank > 0 && !scheme.deflate) {
      Override change;
      change.deflate = true;
      add("deflated", change);
    }
    Override change;
    change.iterations = scheme.iterations + 1;
    add(std::to_string(*change.iterations) + " passes", change);
  }
  return all;
}

std::vector<Suggestion> activation_candidates(const Model& model, const Recipe& recipe, const LayerInfo& layer) {
  const ActivationScheme scheme = effective_scheme(recipe, layer).activation;
  std::vector<Suggestion> all;
  if (scheme.off() || scheme.format != NumberFormat::integer) return all;
  const auto add = [&](std::string title, const Override& change) {
    if (auto made = candidate(model, recipe, layer, std::move(title), change)) all.push_back(std::move(*made));
  };
  if (const auto bits = next_bits(scheme.bits, {4, 6, 8})) {
    Override change;
    change.activation_bits = *bits;
    add("A" + std::to_string(*bits) + " here", change);
  }
  const std::vector<float> clips = scheme.clip >= 1 ? std::vector<float>{0.95f, 0.90f} : std::vector<float>{1.0f};
  for (const float clip : clips) {
    Override change;
    change.clip = clip;
    add("clip " + shown(clip), change);
  }
  if (const auto group = largest_group(layer.in_features); group && scheme.group_size == 0) {
    Override change;
    change.activation_group_size = *group;
    add("activation groups of " + std::to_string(*group), change);
  }
  if (scheme.symmetric) {
    Override change;
    change.activation_asymmetric = true;
    add("asymmetric activations", change);
  }
  return all;
}

/// The layer solved under several schemes of one activation scheme; results in their order. `first`: takes the first one's solution.
std::vector<LayerRecord> solve_all(const BlockWeights& weights, const LayerInfo& layer, std::size_t sites, const SecondMoments& own,
                                   const std::vector<LayerScheme>& schemes, std::stop_token stop, LayerSolution* first = nullptr) {
  BlockMoments moments;
  moments.by_site.resize(sites);
  moments.held_out_by_site.resize(sites);
  moments.by_site[layer.site().index()] = own;
  std::vector<LayerTask> tasks;
  for (const auto& scheme : schemes) tasks.push_back({&layer, scheme});
  std::vector<LayerRecord> records(schemes.size());
  std::mutex mutex;
  solve_block(weights, std::move(moments), std::move(tasks), stop, [&](SolvedLayer solved) {
    const std::lock_guard lock(mutex);
    // Equal schemes have equal results: whichever is found first may take it.
    for (std::size_t i = 0; i < schemes.size(); ++i)
      if (schemes[i] == solved.task.scheme) records[i] = record_of(solved, {});
    if (first && schemes.front() == solved.task.scheme) *first = std::move(solved.solution);
  });
  return records;
}

void check(const Model& model, const Recipe& recipe, const LayerInfo& layer) {
  if (const auto problem = problem_of_solving_alone(recipe)) throw Error(ErrorKind::bad_input, *problem);
  if (const auto problem = problem_of(recipe, model)) throw Error(ErrorKind::bad_input, *problem);
  if (layer.expert != no_expert)
    throw Error(ErrorKind::unsupported,
                layer.name + ": variants are not tried for single experts, whose tokens are few; solve it instead.");
}

}  // namespace

LayerTrials weight_trials(const Model& model, const Recipe& recipe, const LayerInfo& layer, const std::filesystem::path& keep,
                          Progress& progress, std::stop_token stop) {
  check(model, recipe, layer);
  const KeptSite site = site_of_layer(model, recipe, layer, keep, progress, stop);
  const auto candidates = weight_candidates(model, recipe, layer);
  const LayerScheme scheme = effective_scheme(recipe, layer);
  std::vector<LayerScheme> schemes = {scheme};
  for (const auto& each : candidates) schemes.push_back(each.scheme);
  LayerScheme plain = scheme;
  plain.method = scheme.method == "rtn" ? "rtn" : "gptq";
  plain.pair_input = find_method(plain.method).pair_input;
  plain.rank = 0;
  const double plain_bits = bits_per_weight(plain, layer);
  std::vector<int> offered;
  if (scheme.weight.format == NumberFormat::integer)
    for (const int bits : {5, 6, 8})
      if (bits > scheme.weight.bits) offered.push_back(bits);
  for (const int bits : offered) {
    plain.weight.bits = bits;
    schemes.push_back(plain);
  }
  const auto weights = load_rotated_block(model, layer.block, recipe.rotation);
  const auto records = solve_all(weights.blocks.front(), layer, site_count(model.config()), site.moments, schemes, stop);
  LayerTrials trials;
  trials.now = records.front();
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    trials.suggestions.push_back(candidates[i]);
    trials.suggestions.back().loss = records[i + 1].loss;
    trials.suggestions.back().loss_regularized = records[i + 1].loss_regularized;
  }
  for (std::size_t i = 0; i < offered.size(); ++i) {
    const LayerRecord& record = records[1 + candidates.size() + i];
    plain.weight.bits = offered[i];
    trials.plain.push_back({offered[i], record.loss, record.loss_regularized, bits_per_weight(plain, layer) - plain_bits});
  }
  return trials;
}

std::vector<Suggestion> activation_trials(const Model& model, const Recipe& recipe, const LayerInfo& layer, const LayerRecord& now,
                                          const std::filesystem::path& keep, Progress& progress, std::stop_token stop) {
  check(model, recipe, layer);
  const auto candidates = activation_candidates(model, recipe, layer);
  const KeptSite site = site_of_layer(model, recipe, layer, keep, progress, stop);
  if (site.sample.empty()) return {};
  const auto weights = load_rotated_block(model, layer.block, recipe.rotation);
  const std::size_t tokens = site.moments.tokens;
  const auto solve_on = [&](const LayerScheme& scheme, const SecondMoments& moments, LayerSolution* solution = nullptr) {
    throw_if_stopped(stop);
    return solve_all(weights.blocks.front(), layer, site_count(model.config()), moments, {scheme}, stop, solution).front();
  };
  const LayerScheme scheme = effective_scheme(recipe, layer);
  LayerSolution as_it_is;
  const LayerRecord before = solve_on(scheme, moments_of(site.sample, tokens, scheme.activation), &as_it_is);
  std::vector<Suggestion> suggestions;
  const auto add = [&](const Suggestion& each, const LayerRecord& after) {
    if (!(before.loss > 0) || !(before.loss_regularized > 0)) return;
    suggestions.push_back(each);
    suggestions.back().loss = now.loss * after.loss / before.loss;
    suggestions.back().loss_regularized = now.loss_regularized * after.loss_regularized / before.loss_regularized;
    suggestions.back().estimated = true;
    progress.report("solve", suggestions.size(), candidates.size() + 1, layer.name);
  };
  for (const auto& each : candidates) add(each, solve_on(each.scheme, moments_of(site.sample, tokens, each.scheme.activation)));
  // A model with experts is measured at every position (run/effective.cpp says why).
  if (site.sample.first.empty() || model.config().experts > 0) return suggestions;
  const SecondMoments rest = moments_of(site.sample, tokens, scheme.activation, false);
  const LayerRecord after = solve_on(scheme, rest);
  Suggestion without;
  without.title = "leave out position 0";
  without.scheme = scheme;
  without.skip_first_positions = 1;
  for (const auto& other : model.layers()) without.layers.push_back(other.name);
  const MatrixD weight = convert<double>(weights.blocks.front().linear(layer.role, layer.expert).weight);
  add_held_out_losses(as_it_is, weight, rest);
  if (as_it_is.losses.held_out && *as_it_is.losses.held_out_norm > 0) {
    without.elsewhere_now = *as_it_is.losses.held_out / *as_it_is.losses.held_out_norm;
    without.elsewhere_loss = after.loss;
    add(without, after);
  }
  return suggestions;
}

}  // namespace lrc
