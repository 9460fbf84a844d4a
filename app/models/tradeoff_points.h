#pragma once
// The points of the trade-off plot: which finished runs may stand beside each other, and which of them nobody beats.
#include <QString>
#include <optional>
#include <vector>

#include "run/frontier.h"
#include "workspace.h"

namespace lrc::app {

enum class Quality { kl, perplexity, disagreement };  ///< smaller is better in all

struct TradeoffPoint {
  int run = 0;
  QString title;
  std::string method;
  int activation_bits = 4;
  double bits_per_weight = 0;
  double quality = 0;
};
/// A run that is queued or under way. Its size follows from the recipe; its quality is an estimate, where there is one.
struct ComingPoint {
  int run = 0;
  QString title;
  std::string method;
  int activation_bits = 4;
  double bits_per_weight = 0;
  std::optional<double> quality;
  std::vector<int> basis;  ///< the measured runs that the estimate stands on
};
struct Tradeoff {
  std::vector<TradeoffPoint> points;  ///< by size
  std::vector<ComingPoint> coming;
  QString protocol;                ///< of all points, in words
  int evaluated_differently = 0;   ///< finished and evaluated, but not by this protocol
  int not_evaluated = 0;           ///< finished only
  std::optional<double> original;  ///< perplexity of the original under this protocol
};
/// The protocol is that of the run in B, else the one most runs share. `activation_bits` 0 = all.
Tradeoff tradeoff_of(const Workspace& workspace, Quality quality, int activation_bits);
/// By size, between the measured runs of the same method and activation bits (the logarithm of the quality, linearly); beyond them the
/// nearest one's. Nothing where there is none.
void estimate_quality(ComingPoint& point, const std::vector<TradeoffPoint>& measured);
/// Indices of points that no smaller or equal point is as good as, by size.
std::vector<std::size_t> frontier(const std::vector<TradeoffPoint>& points);

}  // namespace lrc::app
