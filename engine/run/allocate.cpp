#include "run/allocate.h"

#include <algorithm>
#include <cstdio>
#include <limits>
#include <map>
#include <mutex>

#include "base/error.h"
#include "correction/allocation.h"
#include "run/alone_divergence.h"
#include "run/block_solver.h"
#include "run/corpus.h"
#include "run/float_stream.h"
#include "run/sensitivity.h"

namespace lrc {
namespace {

/// The loss of one layer at one number of bits, by rank: what was solved at the anchors; elsewhere the better of what refitting
/// the branch to either anchor's codes gives. Those curves are of the regularized loss, of which the loss itself is a share
/// that changes little with the rank: it is interpolated between the anchors.
struct PredictedLoss {
  struct Anchor {
    std::size_t rank = 0;
    double loss = 0, regularized = 0;
    std::vector<double> by_rank;  // regularized, from rank 0
    double share() const { return regularized > 0 ? loss / regularized : 0; }
  };
  double norm = 0;
  std::vector<Anchor> anchors;  // by rank; one or two

  double at(std::size_t rank) const {
    if (!(norm > 0)) return 0;
    double regularized = std::numeric_limits<double>::infinity();
    for (const Anchor& anchor : anchors) {
      if (anchor.rank == rank) return anchor.loss / norm;
      regularized = std::min(regularized, anchor.by_rank[std::min(rank, anchor.by_rank.size() - 1)]);
    }
    const Anchor &low = anchors.front(), &high = anchors.back();
    const double place = high.rank > low.rank ? double(std::min(rank, high.rank) - low.rank) / double(high.rank - low.rank) : 0;
    return regularized * (low.share() + place * (high.share() - low.share())) / norm;
  }
};

/// What may be chosen for one layer.
struct Freedom {
  const LayerInfo* layer = nullptr;
  LayerScheme scheme;  // the recipe's, for everything that is not chosen
  std::vector<int> bits;
  std::vector<std::size_t> ranks;
  bool bits_fixed = false, rank_fixed = false;
  std::size_t anchor = 0;  // rank, beside 0
};

Freedom freedom_of(const AllocationRequest& request, const LayerInfo& layer) {
  Freedom freedom;
  freedom.layer = &layer;
  freedom.scheme = effective_scheme(request.recipe, layer);
  if (freedom.scheme.skipped) return freedom;
  for (const auto& rule : request.recipe.overrides) {
    if (!matches(rule.pattern, layer.name)) continue;
    freedom.bits_fixed = freedom.bits_fixed || rule.weight_bits;
    freedom.rank_fixed = freedom.rank_fixed || rule.rank;
  }
  if (!find_method(freedom.scheme.method).uses_rank) freedom.rank_fixed = true;
  freedom.bits = freedom.bits_fixed ? std::vector<int>{freedom.scheme.weight.bits} : request.weight_bits;
  const std::size_t smaller = std::min(layer.out_features, layer.in_features);
  if (freedom.rank_fixed) {
    freedom.ranks = {freedom.scheme.rank};
    freedom.anchor = freedom.scheme.rank;
    return freedom;
  }
  const auto most = std::size_t(request.most_rank_per_cent / 100 * double(smaller) + 1e-9);
  for (std::size_t rank = 0; rank <= most; rank += request.rank_step) freedom.ranks.push_back(rank);
  if (freedom.ranks.size() > 1)
    freedom.anchor =
        std::min(most, rank_of_fraction(request.anchor_per_cent / 100, RankRule::min_dimension, layer.out_features, layer.in_features));
  return freedom;
}

LayerScheme scheme_of(const Freedom& freedom, int bits, std::size_t rank) {
  LayerScheme scheme = freedom.scheme;
  scheme.weight.bits = bits;
  scheme.rank = rank;
  return scheme;
}

void check(const AllocationRequest& request) {
  const auto refuse = [](const std::string& sentence) { throw Error(ErrorKind::bad_input, sentence); };
  if (!(request.bits_per_weight > 0) || request.bits_per_weight > 64)
    refuse("The bits per weight to allocate must be above 0 and at most 64.");
  if (request.weight_bits.empty()) refuse("There are no weight bits to choose from.");
  for (const int bits : request.weight_bits)
    if (bits < 2 || bits > 8) refuse("Weight bits to choose from are 2 to 8, not " + std::to_string(bits) + ".");
  if (request.rank_step == 0) refuse("The step between ranks must be at least 1.");
  if (!(request.most_rank_per_cent >= 0) || request.most_rank_per_cent > 100) refuse("The largest rank is 0 to 100 per cent.");
  if (!(request.anchor_per_cent > 0) || request.anchor_per_cent > 100) refuse("The rank to solve at is above 0 and at most 100 per cent.");
}

std::string number(double value, const char* format) {
  char text[64];
  std::snprintf(text, sizeof text, format, value);
  return text;
}

/// The prediction of every layer, by bits, and what a relative loss of each costs.
class Predictions {
 public:
  Predictions(const Model& model, const AllocationRequest& request, std::vector<Freedom> freedoms, Progress& progress, std::stop_token stop)
      : model_(model), request_(request), freedoms_(std::move(freedoms)), progress_(progress), stop_(std::move(stop)) {
    weights_.assign(freedoms_.size(), 1.0);
    losses_.resize(freedoms_.size());
  }

  void measure() {
    const RunCorpus corpus = open_corpus(request_.recipe, model_);
    std::optional<AloneDivergence> alone;
    if (request_.exact)
      alone.emplace(model_, request_.recipe.rotation, tokens_behind_calibration(request_.recipe, model_, request_.exact_tokens),
                    request_.device, stop_);
    progress_.report("allocate", 0, freedoms_.size());
    FloatStream stream(model_, request_.recipe.rotation, corpus.windows, corpus.calibration_windows);
    std::size_t done = 0;
    for (std::size_t block = 0; block < model_.config().blocks && done < freedoms_.size(); ++block) {
      throw_if_stopped(stop_);
      stream.load();
      const auto tasks = tasks_of(block);
      if (tasks.empty()) {
        stream.advance({}, stop_);
        continue;
      }
      const auto schemes = site_schemes(tasks, site_count(model_.config()));
      auto moments = std::move(stream.advance({&schemes, 1}, stop_).front());
      std::map<std::size_t, LayerSolution> plain;  // by layer, at rank 0 and the middle bits: what the weight is measured with
      solve_block(stream.block(), std::move(moments), tasks, stop_, [&](const LayerTask& task, LayerSolution solution, double) {
        const std::lock_guard lock(mutex_);
        take(task, std::move(solution), plain);
      });
      for (std::size_t l = 0; l < freedoms_.size(); ++l) {
        if (freedoms_[l].layer->block != block) continue;
        if (alone) weigh(l, plain.at(l), *alone);
        progress_.report("allocate", ++done, freedoms_.size(), freedoms_[l].layer->name);
      }
    }
  }

  const std::vector<Freedom>& freedoms() const { return freedoms_; }
  double weight(std::size_t layer) const { return weights_[layer]; }
  double loss(std::size_t layer, int bits, std::size_t rank) const { return losses_[layer].at(bits).at(rank); }

 private:
  int middle_bits(const Freedom& freedom) const {
    const auto& bits = freedom.bits;
    return std::ranges::find(bits, request_.recipe.weight.bits) != bits.end() ? request_.recipe.weight.bits : bits[bits.size() / 2];
  }

  std::vector<LayerTask> tasks_of(std::size_t block) const {
    std::vector<LayerTask> tasks;
    for (const Freedom& freedom : freedoms_) {
      if (freedom.layer->block != block) continue;
      for (const int bits : freedom.bits) {
        // A rank that is fixed is solved alone, unless the weight is measured with rank 0.
        if (!freedom.rank_fixed || freedom.anchor == 0 || (request_.exact && bits == middle_bits(freedom)))
          tasks.push_back({freedom.layer, scheme_of(freedom, bits, 0)});
        if (freedom.anchor > 0) tasks.push_back({freedom.layer, scheme_of(freedom, bits, freedom.anchor)});
      }
    }
    return tasks;
  }

  void take(const LayerTask& task, LayerSolution solution, std::map<std::size_t, LayerSolution>& plain) {
    const auto found = std::ranges::find(freedoms_, task.layer, &Freedom::layer);
    const auto l = std::size_t(found - freedoms_.begin());
    PredictedLoss& predicted = losses_[l][task.scheme.weight.bits];
    predicted.norm = solution.losses.norm_wx;
    predicted.anchors.push_back(
        {task.scheme.rank, solution.losses.loss, solution.losses.loss_regularized, std::move(solution.curves.same_codes_by_rank)});
    std::ranges::sort(predicted.anchors, {}, &PredictedLoss::Anchor::rank);
    if (task.scheme.rank == 0 && task.scheme.weight.bits == middle_bits(*found)) plain[l] = std::move(solution);
  }

  void weigh(std::size_t l, const LayerSolution& solution, AloneDivergence& alone) {
    const double relative = solution.losses.norm_wx > 0 ? solution.losses.loss / solution.losses.norm_wx : 0;
    const double kl = alone.of(*freedoms_[l].layer, std::make_shared<const QuantizedWeight>(solution.weight), solution.scheme.activation);
    // KL grows with the square of a small perturbation, so with the relative loss itself.
    weights_[l] = relative > 0 ? kl / relative : 0;
  }

  const Model& model_;
  const AllocationRequest& request_;
  std::vector<Freedom> freedoms_;
  Progress& progress_;
  std::stop_token stop_;
  std::mutex mutex_;
  std::vector<std::map<int, PredictedLoss>> losses_;
  std::vector<double> weights_;
};

struct Option {
  int bits = 4;
  std::size_t rank = 0;
};

/// All options of one layer with their sizes and costs, in the same order.
struct Menu {
  std::vector<Option> options;
  std::vector<AllocationChoice> choices;
};

std::uint64_t size_of(const Freedom& freedom, const Option& option) {
  const LayerSize size = layer_size(scheme_of(freedom, option.bits, option.rank), freedom.layer->out_features, freedom.layer->in_features);
  return size.code_bits + size.scale_bits + size.factor_bits;
}

std::vector<Menu> menus_of(const Predictions& predictions) {
  std::vector<Menu> menus;
  for (std::size_t l = 0; l < predictions.freedoms().size(); ++l) {
    const Freedom& freedom = predictions.freedoms()[l];
    Menu& menu = menus.emplace_back();
    for (const int bits : freedom.bits)
      for (const std::size_t rank : freedom.ranks) {
        menu.options.push_back({bits, rank});
        menu.choices.push_back({size_of(freedom, menu.options.back()), predictions.weight(l) * predictions.loss(l, bits, rank)});
      }
  }
  return menus;
}

std::string shown(const Option& option) { return std::to_string(option.bits) + " bits, rank " + std::to_string(option.rank); }

/// Why this choice: what the next larger and the next smaller one would bring, against the budget's price.
std::string reason_of(const Freedom& freedom, const Menu& menu, std::size_t chosen, double price, bool exact) {
  if (freedom.bits_fixed && freedom.rank_fixed) return "set by hand";
  const double scale = exact ? 1000 : 1;  // mnat
  const std::string unit = exact ? " mnat" : "";
  const auto rate = [&](double loss, std::uint64_t bits) { return scale * loss / (double(bits) / 1e6); };
  const auto kept = undominated(menu.choices);
  const auto at = std::size_t(std::ranges::find(kept, chosen) - kept.begin());
  std::string text;
  if (freedom.bits_fixed || freedom.rank_fixed) text = freedom.bits_fixed ? "bits set by hand; " : "rank set by hand; ";
  if (at > 0) {
    const auto &own = menu.choices[chosen], &less = menu.choices[kept[at - 1]];
    text += "over " + shown(menu.options[kept[at - 1]]) + " it saves " + number(scale * (less.loss - own.loss), "%.3g") + unit + " at " +
            number(rate(less.loss - own.loss, own.bits - less.bits), "%.3g") + " a Mbit";
  } else {
    text += "the smallest choice";
  }
  if (at + 1 < kept.size()) {
    const auto &own = menu.choices[chosen], &more = menu.choices[kept[at + 1]];
    text += "; " + shown(menu.options[kept[at + 1]]) + " would save " + number(rate(own.loss - more.loss, more.bits - own.bits), "%.3g") +
            " a Mbit";
  } else {
    text += "; nothing larger is better";
  }
  return text + " (the budget's price is " + number(scale * price * 1e6, "%.3g") + ")";
}

/// The best of: the same bits and the same rank in per cent for every layer that is free.
void find_uniform(const AllocationRequest& request, const Predictions& predictions, std::uint64_t budget, double weights,
                  AllocationReport& report) {
  report.uniform_cost = std::numeric_limits<double>::infinity();
  for (const int bits : request.weight_bits)
    for (double per_cent = 0; per_cent <= request.most_rank_per_cent + 1e-9; per_cent += 0.5) {
      std::uint64_t size = 0;
      double cost = 0;
      for (std::size_t l = 0; l < predictions.freedoms().size(); ++l) {
        const Freedom& freedom = predictions.freedoms()[l];
        const LayerInfo& layer = *freedom.layer;
        const Option option{freedom.bits_fixed ? freedom.scheme.weight.bits : bits,
                            freedom.rank_fixed
                                ? freedom.scheme.rank
                                : rank_of_fraction(per_cent / 100, RankRule::min_dimension, layer.out_features, layer.in_features)};
        size += size_of(freedom, option);
        cost += predictions.weight(l) * predictions.loss(l, option.bits, option.rank);
      }
      if (size > budget || cost >= report.uniform_cost) continue;
      report.uniform_fits = true;
      report.uniform_bits = bits;
      report.uniform_rank_per_cent = per_cent;
      report.uniform_bits_per_weight = double(size) / weights;
      report.uniform_cost = cost;
    }
}

}  // namespace

AllocationReport allocate_bits(const Model& model, const AllocationRequest& request, Progress& progress, std::stop_token stop) {
  check(request);
  if (const auto problem = problem_of(request.recipe, model)) throw Error(ErrorKind::bad_input, *problem);
  std::vector<Freedom> freedoms;
  double weights = 0;
  for (const auto& layer : model.layers()) {
    Freedom freedom = freedom_of(request, layer);
    if (freedom.scheme.skipped) continue;
    weights += double(layer.out_features) * double(layer.in_features);
    freedoms.push_back(std::move(freedom));
  }
  const auto budget = std::uint64_t(request.bits_per_weight * weights);
  // What cannot fit is said before anything is solved.
  std::uint64_t least = 0;
  for (const Freedom& freedom : freedoms) least += size_of(freedom, {std::ranges::min(freedom.bits), freedom.ranks.front()});
  if (least > budget)
    throw Error(ErrorKind::bad_input, "The smallest choices take " + number(double(least) / weights, "%.3f") +
                                          " bits per weight, more than the " + number(request.bits_per_weight, "%.3f") +
                                          " that were asked for; allow more, or fewer bits to choose from.");

  Predictions predictions(model, request, std::move(freedoms), progress, stop);
  predictions.measure();
  const auto menus = menus_of(predictions);
  std::vector<std::vector<AllocationChoice>> choices;
  for (const Menu& menu : menus) choices.push_back(menu.choices);
  const Allocation allocation = allocate(choices, budget);

  AllocationReport report;
  report.exact_weights = request.exact;
  report.budget_bits_per_weight = request.bits_per_weight;
  report.bits_per_weight = double(allocation.bits) / weights;
  report.predicted_cost = allocation.loss;
  report.bound = allocation.bound;
  report.optimal = allocation.exact;
  find_uniform(request, predictions, budget, weights, report);
  report.recipe = request.recipe;
  report.recipe.name = "Allocated " + number(request.bits_per_weight, "%.4g") + " b/w";
  for (std::size_t l = 0; l < menus.size(); ++l) {
    const Freedom& freedom = predictions.freedoms()[l];
    const Option& option = menus[l].options[allocation.chosen[l]];
    LayerAllocation layer;
    layer.name = freedom.layer->name;
    layer.weight_bits = option.bits;
    layer.rank = option.rank;
    layer.parameters = freedom.layer->out_features * freedom.layer->in_features;
    layer.bits_per_weight = double(size_of(freedom, option)) / double(layer.parameters);
    layer.predicted_loss = predictions.loss(l, option.bits, option.rank);
    layer.weight = predictions.weight(l);
    layer.bits_fixed = freedom.bits_fixed;
    layer.rank_fixed = freedom.rank_fixed;
    layer.reason = reason_of(freedom, menus[l], allocation.chosen[l], allocation.price, request.exact);
    Override rule;
    rule.pattern = layer.name;
    rule.weight_bits = option.bits;
    if (find_method(freedom.scheme.method).uses_rank) rule.rank = RankChoice{false, double(option.rank)};
    report.recipe.overrides.push_back(std::move(rule));
    report.layers.push_back(std::move(layer));
  }
  return report;
}

Json to_json(const AllocationReport& report) {
  Json layers = Json::array();
  for (const auto& layer : report.layers)
    layers.push_back({{"name", layer.name},
                      {"weight_bits", unsigned(layer.weight_bits)},
                      {"rank", layer.rank},
                      {"bits_per_weight", layer.bits_per_weight},
                      {"predicted_loss", layer.predicted_loss},
                      {"weight", layer.weight},
                      {"predicted_cost", layer.weight * layer.predicted_loss},
                      {"bits_fixed", layer.bits_fixed},
                      {"rank_fixed", layer.rank_fixed},
                      {"reason", layer.reason}});
  Json json = {{"budget_bits_per_weight", report.budget_bits_per_weight},
               {"bits_per_weight", report.bits_per_weight},
               {"cost", report.exact_weights ? "kl" : "relative loss"},
               {"predicted_cost", report.predicted_cost},
               {"bound", report.bound},
               {"optimal", report.optimal}};
  if (report.uniform_fits)
    json["uniform"] = {{"weight_bits", report.uniform_bits},
                       {"rank_per_cent", report.uniform_rank_per_cent},
                       {"bits_per_weight", report.uniform_bits_per_weight},
                       {"predicted_cost", report.uniform_cost}};
  json["layers"] = std::move(layers);
  json["recipe"] = to_json(report.recipe);
  return json;
}

}  // namespace lrc
