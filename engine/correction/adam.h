#pragma once
// AdamW (Loshchilov and Hutter, arXiv 1711.05101) without weight decay, and the course of its rate: what every learned part shares.
#include <cmath>
#include <cstddef>
#include <numbers>
#include <span>
#include <vector>

namespace lrc {

class Adam {
 public:
  /// One step on `values` along `gradient`, in float64 inside; the same sizes at every call.
  void step(std::span<float> values, std::span<const float> gradient, double rate) {
    if (first_.empty()) {
      first_.assign(values.size(), 0.0f);
      second_.assign(values.size(), 0.0f);
    }
    constexpr double kKeepFirst = 0.9, kKeepSecond = 0.999;
    ++count_;
    const double of_first = 1 - std::pow(kKeepFirst, count_), of_second = 1 - std::pow(kKeepSecond, count_);
    for (std::size_t i = 0; i < values.size(); ++i) {
      const double g = gradient[i];
      const double m = kKeepFirst * first_[i] + (1 - kKeepFirst) * g, v = kKeepSecond * second_[i] + (1 - kKeepSecond) * g * g;
      first_[i] = float(m);
      second_[i] = float(v);
      const double root = std::sqrt(v / of_second);
      if (root > 0) values[i] = float(values[i] - rate * (m / of_first) / root);
    }
  }

 private:
  std::vector<float> first_, second_;
  int count_ = 0;
};

/// Half a cosine from 1 at step 0 down to 0 at the last of `steps`.
inline double cosine_decay(int step, int steps) { return 0.5 * (1 + std::cos(std::numbers::pi * double(step) / double(steps))); }

}  // namespace lrc
