#include "base/progress.h"

#include <algorithm>

#include "base/error.h"

namespace lrc {

void Progress::plan(std::vector<std::pair<std::string, double>> stages_with_weights, bool interleaved) {
  const std::lock_guard lock(mutex_);
  plan_ = std::move(stages_with_weights);
  parts_.assign(plan_.size(), 0.0);
  interleaved_ = interleaved;
  start_ = std::chrono::steady_clock::now();
  fraction_ = 0;
  first_fraction_ = -1;
}

double Progress::fraction_of(const std::string& stage, double part) {
  if (plan_.empty()) return part;
  double all = 0, done = 0;
  bool found = false;
  for (std::size_t i = 0; i < plan_.size(); ++i) {
    const auto& [name, weight] = plan_[i];
    all += weight;
    if (name == stage) {
      found = true;
      parts_[i] = std::max(parts_[i], part);
    }
    // Without turns, whatever stands before the reported stage is over.
    if (interleaved_)
      done += weight * parts_[i];
    else if (name == stage)
      done += weight * part;
    else if (!found)
      done += weight;
  }
  return found && all > 0 ? done / all : fraction_;
}

void Progress::report(const std::string& stage, std::size_t done, std::size_t total, const std::string& layer) {
  if (!callback_) return;
  ProgressUpdate update;
  {
    const std::lock_guard lock(mutex_);
    const double part = total == 0 ? 0.0 : double(done) / double(total);
    const double now = fraction_of(stage, part);
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
