#include "base/progress.h"

#include <algorithm>

#include "base/error.h"

namespace lrc {

void Progress::plan(std::vector<std::pair<std::string, double>> stages_with_weights) {
  const std::lock_guard lock(mutex_);
  plan_ = std::move(stages_with_weights);
  start_ = std::chrono::steady_clock::now();
  fraction_ = 0;
  first_fraction_ = -1;
}

void Progress::report(const std::string& stage, std::size_t done, std::size_t total, const std::string& layer) {
  if (!callback_) return;
  ProgressUpdate update;
  {
    const std::lock_guard lock(mutex_);
    const double part = total == 0 ? 0.0 : double(done) / double(total);
    double before = 0, weight = 0, sum = 0;
    bool found = false;
    for (const auto& [name, w] : plan_) {
      sum += w;
      if (name == stage) {
        found = true;
        weight = w;
      } else if (!found) {
        before += w;
      }
    }
    const double now = found && sum > 0 ? (before + weight * part) / sum : (plan_.empty() ? part : fraction_);
    fraction_ = std::clamp(std::max(now, plan_.empty() ? 0.0 : fraction_), 0.0, 1.0);
    update.stage = stage;
    update.layer = layer;
    update.done = done;
    update.total = total;
    update.fraction = fraction_;
    update.elapsed_s = std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
    if (first_fraction_ < 0) {
      first_fraction_ = fraction_;
      first_elapsed_ = update.elapsed_s;
    }
    const double gained = fraction_ - first_fraction_;
    const double spent = update.elapsed_s - first_elapsed_;
    if (update.elapsed_s > 3.0 && gained > 0.01) update.remaining_s = (1.0 - fraction_) * spent / gained;
  }
  callback_(update);
}

void throw_if_stopped(std::stop_token stop) {
  if (stop.stop_requested()) throw Error(ErrorKind::stopped, "Stopped as asked; what was finished is kept.");
}

}  // namespace lrc
