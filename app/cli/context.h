#pragma once
// What every command shares: output form, progress, stop by Ctrl-C.
#include <cstdint>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/progress.h"

namespace lrc::cli {

enum class ProgressMode { automatic, bar, lines, json, none };

struct Context {
  bool json = false;
  ProgressMode progress_mode = ProgressMode::automatic;
  std::string device = "cpu";
  std::optional<std::uint64_t> seed;  ///< of the rotation (instead of the recipe's) and of sampling
  std::stop_token stop;

  /// On stderr, in the form that was asked for.
  std::unique_ptr<Progress> make_progress() const;
  /// With --json: exactly this object on stdout. Otherwise nothing.
  void print_json(const Json& value) const;
};

/// A table for people: columns padded, the first one left, the others right.
void print_table(const std::vector<std::vector<std::string>>& rows);
std::string fixed(double value, int decimals);
std::string per_cent(double fraction, int decimals = 2);
std::string megabytes(std::uint64_t bytes);

/// SIGINT and SIGTERM ask the work to stop; a second one ends the program at once with 130. To be called before any thread exists.
std::stop_token stop_on_signals();

}  // namespace lrc::cli
