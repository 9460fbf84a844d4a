#pragma once
// Inside the folder: what `lrc allocate` knows of every layer before it chooses: the loss by bits, rank and factor precision.
#include <map>
#include <mutex>
#include <stop_token>
#include <string>
#include <vector>

#include "run/allocate.h"
#include "run/alone_divergence.h"
#include "run/block_solver.h"

namespace lrc {

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
  /// How much of the input's effect a correction of this rank takes over, compared with the larger anchor's: what its rounding
  /// adds to the loss goes along with it.
  double part_of_anchor(std::size_t rank) const {
    const auto& curve = anchors.back().by_rank;
    const auto removed = [&](std::size_t r) { return curve.front() - curve[std::min(r, curve.size() - 1)]; };
    const double whole = removed(anchors.back().rank);
    return whole > 0 ? removed(rank) / whole : 0;
  }
};

/// One way to store a layer.
struct Option {
  int bits = 4;
  std::size_t rank = 0;
  FactorScheme factors = {};
};

/// What may be chosen for one layer.
struct Freedom {
  const LayerInfo* layer = nullptr;
  LayerScheme scheme;  // the recipe's, for everything that is not chosen
  std::vector<int> bits;
  std::vector<std::size_t> ranks;
  std::vector<FactorScheme> factors;  // the first one is what the anchors are solved with
  bool bits_fixed = false, rank_fixed = false;
  std::size_t anchor = 0;  // rank, beside 0
};
/// The request's choices, less what its recipe fixes for this layer.
Freedom freedom_of(const AllocationRequest& request, const LayerInfo& layer);
LayerScheme scheme_of(const Freedom& freedom, const Option& option);

/// The prediction of every layer, by bits, and what a relative loss of each costs.
class Predictions {
 public:
  Predictions(const Model& model, const AllocationRequest& request, std::vector<Freedom> freedoms, Progress& progress, std::stop_token stop)
      : model_(model), request_(request), freedoms_(std::move(freedoms)), progress_(progress), stop_(std::move(stop)) {
    weights_.assign(freedoms_.size(), 1.0);
    losses_.resize(freedoms_.size());
    added_.resize(freedoms_.size());
  }

  /// Walks the calibration text and solves the layers at the anchors. Throws Error.
  void measure();
  const std::vector<Freedom>& freedoms() const { return freedoms_; }
  double weight(std::size_t layer) const { return weights_[layer]; }
  double loss(std::size_t layer, const Option& option) const {
    const PredictedLoss& predicted = losses_[layer].at(option.bits);
    const double loss = predicted.at(option.rank);
    const auto added = added_[layer].find(to_string(option.factors));
    return added == added_[layer].end() ? loss : loss + added->second * predicted.part_of_anchor(option.rank);
  }

 private:
  int middle_bits(const Freedom& freedom) const;
  std::vector<LayerTask> tasks_of(std::size_t block) const;
  void take(const LayerTask& task, LayerSolution solution, std::map<std::size_t, LayerSolution>& plain);
  void settle(std::size_t l);
  void weigh(std::size_t l, const LayerSolution& solution, AloneDivergence& alone);

  const Model& model_;
  const AllocationRequest& request_;
  std::vector<Freedom> freedoms_;
  Progress& progress_;
  std::stop_token stop_;
  std::mutex mutex_;
  std::vector<std::map<int, PredictedLoss>> losses_;
  std::vector<std::map<std::string, double>> added_;  // by factor scheme: relative loss that it adds at the anchor
  std::vector<double> weights_;
};

}  // namespace lrc
