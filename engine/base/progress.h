#pragma once
#include <chrono>
#include <cstddef>
#include <functional>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

namespace lrc {

/// One report of long work. Times are in seconds.
struct ProgressUpdate {
  std::string stage;     ///< "rotate", "calibrate", "solve", "evaluate", "write"
  std::string layer;     ///< what is in hand, empty if nothing in particular
  std::size_t done = 0;  ///< units of this stage that are finished
  std::size_t total = 0;
  double fraction = 0;  ///< of the whole work, 0…1, never falls
  double elapsed_s = 0;
  std::optional<double> remaining_s;  ///< absent while nothing believable is known (the first 3 seconds)
};

/// The one progress type. Long work takes a Progress& and a std::stop_token, reports to the first and asks the second
/// at least once a second. Thread-safe; the callback runs on the thread that reports, so it must be quick.
class Progress {
 public:
  using Callback = std::function<void(const ProgressUpdate&)>;

  Progress() = default;  ///< reports to nobody
  explicit Progress(Callback callback) : callback_(std::move(callback)) {}
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  /// Names the stages in order with their expected share of the time (any unit); reports then become fractions of it.
  /// `interleaved`: the stages take turns (block by block), so that what is done is the sum over all of them.
  void plan(std::vector<std::pair<std::string, double>> stages_with_weights, bool interleaved = false);
  /// Says how far `stage` is. Fractions and the remaining time follow from the plan and the measured pace.
  void report(const std::string& stage, std::size_t done, std::size_t total, const std::string& layer = {});

 private:
  Callback callback_;
  std::mutex mutex_;
  double fraction_of(const std::string& stage, double part);

  std::vector<std::pair<std::string, double>> plan_;
  std::vector<double> parts_;  // how far each planned stage is
  bool interleaved_ = false;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  double fraction_ = 0;
  double first_fraction_ = -1;  // where this process began: a resumed run starts above 0
  double first_elapsed_ = 0;
};

/// Throws Error(stopped) when a stop was asked for.
void throw_if_stopped(std::stop_token stop);

}  // namespace lrc
