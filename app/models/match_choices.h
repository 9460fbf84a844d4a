#pragma once
// What can be run at the size of a finished run, so that methods are compared at equal bytes.
#include <QString>
#include <vector>

#include "run/manifest.h"

namespace lrc::app {

struct MatchChoice {
  QString id, title;  ///< "lqer", "LQER"
  Recipe recipe;      ///< what the run did, by this method; its rank or bits are still to be solved for
};
/// The methods that the run is not one of, with its streams, rotations, activations and calibration.
std::vector<MatchChoice> match_choices(const Manifest& run);

}  // namespace lrc::app
