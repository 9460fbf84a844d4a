#pragma once
// What can be said of a tensor without knowing what it is for: of checkpoints whose family this program lacks.
#include <vector>

#include "formats/checkpoint.h"

namespace lrc {

struct TensorFacts {
  std::size_t values = 0, zeros = 0;  ///< that were read
  bool whole = true;                  ///< whether these are all; very large tensors are read as far as their first rows
  double smallest = 0, largest = 0, mean = 0, rms = 0;
  double lowest = 0, bin_width = 0;     ///< of the histogram, in root mean squares; values outside are in the outermost bins
  std::vector<double> shares;           ///< of the values
  std::vector<double> singular_values;  ///< descending; of matrices whose smaller side is at most largest_spectrum
};
constexpr std::size_t largest_spectrum = 1536;

/// Throws Error(bad_file) on NaN or infinity, Error(unsupported) where the type holds no numbers.
TensorFacts tensor_facts(const Checkpoint& checkpoint, const TensorInfo& tensor);

}  // namespace lrc
