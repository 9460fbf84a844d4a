#include "calibration/expert_moments.h"

#include <cmath>
#include <numbers>

namespace lrc {
namespace {

// Where over-fitting begins to show on held-out tokens (methods.md 1.4).
constexpr std::size_t enough_tokens_a_feature = 4;

/// `tokens` inputs without a preferred direction, of which the quantizer takes nothing away: X = Y.
SecondMoments white_inputs(std::size_t width, std::size_t tokens, double energy) {
  SecondMoments moments;
  moments.tokens = tokens;
  moments.s_y = moments.s_ey = moments.s_e = MatrixD(width, width);
  for (std::size_t i = 0; i < width; ++i) moments.s_y(i, i) = energy * double(tokens);
  const double mean_magnitude = std::sqrt(2 * energy / std::numbers::pi);  // of normal numbers
  moments.channels.sum_of_magnitudes.assign(width, mean_magnitude * double(tokens));
  moments.channels.largest.assign(width, mean_magnitude);
  moments.channels.largest_batch_mean.assign(width, mean_magnitude);
  return moments;
}

double mean_square(const SecondMoments& moments) {
  double trace = 0;
  for (std::size_t i = 0; i < moments.width(); ++i) trace += moments.s_y(i, i);
  return trace / (double(moments.width()) * double(moments.tokens));
}

}  // namespace

ExpertSupport support_expert(SecondMoments& moments, std::size_t width, const SecondMoments* all) {
  ExpertSupport support;
  support.tokens = moments.tokens;
  const std::string seen =
      "This expert saw " + std::to_string(moments.tokens) + " calibration tokens at an input " + std::to_string(width) + " wide";
  if (moments.tokens >= width) {
    if (moments.tokens < enough_tokens_a_feature * width)
      support.warning =
          seen +
          ", fewer than four for each input feature: it may be over-fitted, look at its held-out error or take more calibration text.";
    return support;
  }
  const std::size_t lacking = width - moments.tokens;
  const bool from_all = all && all->tokens > 0;
  SecondMoments filling;
  if (from_all) {
    filling = *all;
    filling.scale(double(lacking) / double(all->tokens));
    filling.tokens = lacking;
  } else {
    const double energy = moments.tokens > 0 ? mean_square(moments) : 1.0;
    filling = white_inputs(width, lacking, energy > 0 ? energy : 1.0);
  }
  if (moments.tokens == 0)
    moments = std::move(filling);
  else
    moments.merge(filling);
  support.warning = seen + ", too few to solve from: they were filled up with " +
                    (from_all ? "the block's tokens in general" : "white inputs of the same energy") + "; take more tokens.";
  return support;
}

}  // namespace lrc
