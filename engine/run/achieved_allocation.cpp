#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/error.h"
#include "base/json_reader.h"
#include "run/allocate.h"

namespace lrc {
namespace {

/// Places of the values in their order, equal ones sharing the mean of theirs.
std::vector<double> places(const std::vector<double>& values) {
  std::vector<std::size_t> order(values.size());
  std::iota(order.begin(), order.end(), std::size_t(0));
  std::ranges::sort(order, [&](std::size_t a, std::size_t b) { return values[a] < values[b]; });
  std::vector<double> result(values.size());
  for (std::size_t begin = 0, end = 0; begin < order.size(); begin = end) {
    while (end < order.size() && values[order[end]] == values[order[begin]]) ++end;
    for (std::size_t i = begin; i < end; ++i) result[order[i]] = double(begin + end - 1) / 2;
  }
  return result;
}

double correlation(const std::vector<double>& a, const std::vector<double>& b) {
  const double n = double(a.size());
  const double mean_a = std::accumulate(a.begin(), a.end(), 0.0) / n, mean_b = std::accumulate(b.begin(), b.end(), 0.0) / n;
  double ab = 0, aa = 0, bb = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    ab += (a[i] - mean_a) * (b[i] - mean_b);
    aa += (a[i] - mean_a) * (a[i] - mean_a);
    bb += (b[i] - mean_b) * (b[i] - mean_b);
  }
  return aa > 0 && bb > 0 ? ab / std::sqrt(aa * bb) : 0;
}

}  // namespace

AchievedAllocation compare_with_run(const Json& report, const std::string& origin, const Manifest& run) {
  const char* advice = "it is no report of lrc allocate";
  const JsonReader in(report, origin, advice);
  AchievedAllocation result;
  std::vector<double> predicted, achieved;
  for (const Json& entry : in.list("layers")) {
    const JsonReader layer(entry, in.where("layers"), advice);
    const std::string name = layer.text("name");
    const auto found = std::ranges::find(run.layers, name, &LayerRecord::name);
    if (found == run.layers.end()) continue;
    if (std::size_t(found->weight_bits) != layer.count("weight_bits") || found->rank != layer.count("rank"))
      throw Error(ErrorKind::bad_input, name + " has " + std::to_string(found->weight_bits) + " bits and rank " +
                                            std::to_string(found->rank) + " in the run, but " + origin + " predicts " +
                                            std::to_string(layer.count("weight_bits")) + " bits and rank " +
                                            std::to_string(layer.count("rank")) + "; the run was made from another recipe.");
    result.layers.push_back({name, layer.finite("predicted_loss"), found->loss, found->held_out_loss});
    predicted.push_back(result.layers.back().predicted);
    achieved.push_back(found->loss);
  }
  if (result.layers.empty()) throw Error(ErrorKind::bad_input, "The run has solved none of the layers that " + origin + " predicts.");
  const double n = double(result.layers.size());
  result.mean_predicted = std::accumulate(predicted.begin(), predicted.end(), 0.0) / n;
  result.mean_achieved = std::accumulate(achieved.begin(), achieved.end(), 0.0) / n;
  result.rank_correlation = correlation(places(predicted), places(achieved));
  return result;
}

}  // namespace lrc
