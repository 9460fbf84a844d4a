#pragma once
// `lrc allocate`: bits, rank and factor precision of every layer for a given size, from predicted losses.
#include <filesystem>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "base/progress.h"
#include "run/manifest.h"

namespace lrc {

struct AllocationRequest {
  Recipe recipe;  ///< its overrides are constraints: a layer whose bits, rank or factors a rule sets keeps them
  double bits_per_weight = 5;
  std::vector<int> weight_bits = {3, 4, 5, 6};
  std::vector<FactorScheme> factors;  ///< how a correction may be stored; empty = as the recipe says
  double most_rank_per_cent = 30;     ///< of min(out, in)
  std::size_t rank_step = 8;          ///< ranks are multiples of it
  double anchor_per_cent = 10;        ///< layers are solved at rank 0 and at this one; other ranks follow the curves of both
  bool exact = true;                  ///< weigh layers by the KL that each alone adds; otherwise every relative loss counts the same
  std::size_t exact_tokens = 512;
  std::string device = "cpu";  ///< of the exact part
};

/// What is chosen for one layer, and why.
struct LayerAllocation {
  std::string name;
  int weight_bits = 4;
  std::size_t rank = 0, parameters = 0;
  FactorScheme factors;  ///< of a rank above 0
  double bits_per_weight = 0;
  double predicted_loss = 0;  ///< relative, as LayerRecord::loss
  double weight = 1;          ///< what a relative loss of 1 costs: nats of KL, or 1
  bool bits_fixed = false, rank_fixed = false;
  std::string reason;  ///< one sentence
};

struct AllocationReport {
  std::vector<LayerAllocation> layers;
  bool exact_weights = false;  ///< costs are KL
  double budget_bits_per_weight = 0, bits_per_weight = 0;
  double predicted_cost = 0;  ///< Σ weight · loss
  double bound = 0;           ///< of it, over all allocations within the budget
  bool optimal = true;        ///< no coarser unit than the sizes' own was used
  /// The same budget spent alike on every layer: its best bits, rank in per cent and factors.
  int uniform_bits = 0;
  double uniform_rank_per_cent = 0, uniform_bits_per_weight = 0, uniform_cost = 0;
  FactorScheme uniform_factors;
  bool uniform_fits = false;
  Recipe recipe;  ///< the choice as rules behind the request's own
};

/// What one walk over the calibration text finds out about every layer, from which any budget is allocated without solving again.
class AllocationBasis {
 public:
  /// Solves every layer at each of the bits, and at the middle ones with each of the factor schemes. The model must outlive the
  /// basis; the request's budget plays no part. Throws Error.
  AllocationBasis(const Model& model, const AllocationRequest& request, Progress& progress, std::stop_token stop);
  ~AllocationBasis();
  AllocationBasis(const AllocationBasis&) = delete;
  AllocationBasis& operator=(const AllocationBasis&) = delete;

  double least_bits_per_weight() const;  ///< what the smallest choices take
  double most_bits_per_weight() const;   ///< what the largest ones take
  /// `most_units`: see correction/allocation.h; fewer answer faster and still keep the budget. Throws Error(bad_input) below the least.
  AllocationReport within(double bits_per_weight, std::size_t most_units = std::size_t(1) << 20) const;

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

/// One budget: the request's. Refuses it before anything is solved where it is too small. Throws Error.
AllocationReport allocate_bits(const Model& model, const AllocationRequest& request, Progress& progress, std::stop_token stop);
Json to_json(const AllocationReport& report);

/// Prediction beside achievement, for the layers that both have.
struct AchievedAllocation {
  struct Layer {
    std::string name;
    double predicted = 0, achieved = 0;
    std::optional<double> held_out;
  };
  std::vector<Layer> layers;
  double mean_predicted = 0, mean_achieved = 0;
  double rank_correlation = 0;  ///< Spearman's
};
/// From the JSON of to_json(AllocationReport). Throws Error(bad_file) naming `origin`, Error(bad_input) when the run's layers do
/// not have the predicted bits and ranks.
AchievedAllocation compare_with_run(const Json& report, const std::string& origin, const Manifest& run);

}  // namespace lrc
