#include "run/allocate.h"

#include <algorithm>
#include <cstdio>
#include <limits>
#include <memory>

#include "base/error.h"
#include "correction/allocation.h"
#include "run/predicted_losses.h"

namespace lrc {
namespace {

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

/// All options of one layer with their sizes and costs, in the same order.
struct Menu {
  std::vector<Option> options;
  std::vector<AllocationChoice> choices;
};

std::uint64_t size_of(const Freedom& freedom, const Option& option) {
  const LayerSize size = layer_size(scheme_of(freedom, option), freedom.layer->out_features, freedom.layer->in_features);
  return size.code_bits + size.scale_bits + size.factor_bits;
}

std::vector<Menu> menus_of(const Predictions& predictions) {
  std::vector<Menu> menus;
  for (std::size_t l = 0; l < predictions.freedoms().size(); ++l) {
    const Freedom& freedom = predictions.freedoms()[l];
    Menu& menu = menus.emplace_back();
    for (const int bits : freedom.bits)
      for (const std::size_t rank : freedom.ranks)
        for (const FactorScheme& factors : freedom.factors) {
          menu.options.push_back({bits, rank, factors});
          menu.choices.push_back({size_of(freedom, menu.options.back()), predictions.weight(l) * predictions.loss(l, menu.options.back())});
          if (rank == 0) break;  // nothing to store
        }
  }
  return menus;
}

std::string shown(const Freedom& freedom, const Option& option) {
  const bool choice = option.rank > 0 && freedom.factors.size() > 1;
  return std::to_string(option.bits) + " bits, rank " + std::to_string(option.rank) + (choice ? " in " + to_string(option.factors) : "");
}

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
    text += "over " + shown(freedom, menu.options[kept[at - 1]]) + " it saves " + number(scale * (less.loss - own.loss), "%.3g") + unit +
            " at " + number(rate(less.loss - own.loss, own.bits - less.bits), "%.3g") + " a Mbit";
  } else {
    text += "the smallest choice";
  }
  if (at + 1 < kept.size()) {
    const auto &own = menu.choices[chosen], &more = menu.choices[kept[at + 1]];
    text += "; " + shown(freedom, menu.options[kept[at + 1]]) + " would save " +
            number(rate(own.loss - more.loss, more.bits - own.bits), "%.3g") + " a Mbit";
  } else {
    text += "; nothing larger is better";
  }
  return text + " (the budget's price is " + number(scale * price * 1e6, "%.3g") + ")";
}

/// The best of: the same bits and the same rank in per cent for every layer that is free.
void find_uniform(const AllocationRequest& request, const Predictions& predictions, std::uint64_t budget, double weights,
                  AllocationReport& report) {
  report.uniform_cost = std::numeric_limits<double>::infinity();
  const std::vector<FactorScheme> own = {request.recipe.factors};
  for (const FactorScheme& factors : request.factors.empty() ? own : request.factors)
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
                                  : rank_of_fraction(per_cent / 100, RankRule::min_dimension, layer.out_features, layer.in_features),
                              freedom.factors.size() > 1 ? factors : freedom.factors.front()};
          size += size_of(freedom, option);
          cost += predictions.weight(l) * predictions.loss(l, option);
        }
        if (size > budget || cost >= report.uniform_cost) continue;
        report.uniform_fits = true;
        report.uniform_bits = bits;
        report.uniform_rank_per_cent = per_cent;
        report.uniform_factors = factors;
        report.uniform_bits_per_weight = double(size) / weights;
        report.uniform_cost = cost;
      }
}

}  // namespace

namespace {

/// The layers that the recipe quantizes, and their weights in all.
std::vector<Freedom> freedoms_of(const Model& model, const AllocationRequest& request, double& weights) {
  check(request);
  if (const auto problem = problem_of(request.recipe, model)) throw Error(ErrorKind::bad_input, *problem);
  std::vector<Freedom> freedoms;
  weights = 0;
  for (const auto& layer : model.layers()) {
    Freedom freedom = freedom_of(request, layer);
    if (freedom.scheme.skipped) continue;
    weights += double(layer.out_features) * double(layer.in_features);
    freedoms.push_back(std::move(freedom));
  }
  return freedoms;
}

std::uint64_t least_of(const std::vector<Freedom>& freedoms) {
  std::uint64_t least = 0;
  for (const Freedom& freedom : freedoms) least += size_of(freedom, {std::ranges::min(freedom.bits), freedom.ranks.front()});
  return least;
}

void check_budget(std::uint64_t least, double weights, double bits_per_weight) {
  if (least > std::uint64_t(bits_per_weight * weights))
    throw Error(ErrorKind::bad_input, "The smallest choices take " + number(double(least) / weights, "%.3f") +
                                          " bits per weight, more than the " + number(bits_per_weight, "%.3f") +
                                          " that were asked for; allow more, or fewer bits to choose from.");
}

}  // namespace

struct AllocationBasis::Parts {
  AllocationRequest request;
  double weights = 0;
  std::uint64_t least = 0, most = 0;
  std::unique_ptr<Predictions> predictions;
  std::vector<Menu> menus;
  std::vector<std::vector<AllocationChoice>> choices;
};

AllocationBasis::AllocationBasis(const Model& model, const AllocationRequest& request, Progress& progress, std::stop_token stop)
    : parts_(std::make_unique<Parts>()) {
  Parts& parts = *parts_;
  parts.request = request;
  auto freedoms = freedoms_of(model, parts.request, parts.weights);
  parts.least = least_of(freedoms);
  parts.predictions = std::make_unique<Predictions>(model, parts.request, std::move(freedoms), progress, stop);
  parts.predictions->measure();
  parts.menus = menus_of(*parts.predictions);
  for (const Menu& menu : parts.menus) {
    parts.choices.push_back(menu.choices);
    parts.most += std::ranges::max(menu.choices, {}, &AllocationChoice::bits).bits;
  }
}

AllocationBasis::~AllocationBasis() = default;

double AllocationBasis::least_bits_per_weight() const { return double(parts_->least) / parts_->weights; }
double AllocationBasis::most_bits_per_weight() const { return double(parts_->most) / parts_->weights; }

AllocationReport AllocationBasis::within(double bits_per_weight, std::size_t most_units) const {
  const double weights = parts_->weights;
  check_budget(parts_->least, weights, bits_per_weight);
  const auto budget = std::uint64_t(bits_per_weight * weights);
  const Predictions& predictions = *parts_->predictions;
  const auto& menus = parts_->menus;
  const Allocation allocation = allocate(parts_->choices, budget, most_units);

  AllocationReport report;
  report.exact_weights = parts_->request.exact;
  report.budget_bits_per_weight = bits_per_weight;
  report.bits_per_weight = double(allocation.bits) / weights;
  report.predicted_cost = allocation.loss;
  report.bound = allocation.bound;
  report.optimal = allocation.exact;
  find_uniform(parts_->request, predictions, budget, weights, report);
  report.recipe = parts_->request.recipe;
  report.recipe.name = "Allocated " + number(bits_per_weight, "%.4g") + " b/w";
  for (std::size_t l = 0; l < menus.size(); ++l) {
    const Freedom& freedom = predictions.freedoms()[l];
    const Option& option = menus[l].options[allocation.chosen[l]];
    LayerAllocation layer;
    layer.name = freedom.layer->name;
    layer.weight_bits = option.bits;
    layer.rank = option.rank;
    layer.factors = option.factors;
    layer.parameters = freedom.layer->out_features * freedom.layer->in_features;
    layer.bits_per_weight = double(size_of(freedom, option)) / double(layer.parameters);
    layer.predicted_loss = predictions.loss(l, option);
    layer.weight = predictions.weight(l);
    layer.bits_fixed = freedom.bits_fixed;
    layer.rank_fixed = freedom.rank_fixed;
    layer.reason = reason_of(freedom, menus[l], allocation.chosen[l], allocation.price, parts_->request.exact);
    Override rule;
    rule.pattern = layer.name;
    rule.weight_bits = option.bits;
    if (find_method(freedom.scheme.method).uses_rank) rule.rank = RankChoice{false, double(option.rank)};
    if (freedom.factors.size() > 1 && option.rank > 0) rule.factors = option.factors;
    report.recipe.overrides.push_back(std::move(rule));
    report.layers.push_back(std::move(layer));
  }
  return report;
}

AllocationReport allocate_bits(const Model& model, const AllocationRequest& request, Progress& progress, std::stop_token stop) {
  double weights = 0;
  const auto freedoms = freedoms_of(model, request, weights);
  // What cannot fit is said before anything is solved.
  check_budget(least_of(freedoms), weights, request.bits_per_weight);
  return AllocationBasis(model, request, progress, stop).within(request.bits_per_weight);
}

Json to_json(const AllocationReport& report) {
  Json layers = Json::array();
  for (const auto& layer : report.layers)
    layers.push_back({{"name", layer.name},
                      {"weight_bits", unsigned(layer.weight_bits)},
                      {"rank", layer.rank},
                      {"factors", to_string(layer.factors)},
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
                       {"factors", to_string(report.uniform_factors)},
                       {"bits_per_weight", report.uniform_bits_per_weight},
                       {"predicted_cost", report.uniform_cost}};
  json["layers"] = std::move(layers);
  json["recipe"] = to_json(report.recipe);
  return json;
}

}  // namespace lrc
