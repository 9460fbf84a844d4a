#pragma once

namespace lrc {

/// How fast one thread of this machine does the kinds of work that a run is made of, in floating-point operations a second.
struct MachineSpeed {
  double dense = 0;    ///< float64 products
  double eigen = 0;    ///< symmetric eigenproblem with vectors, counted as 9 n³
  double gptq = 0;     ///< counted as out · in²
  double forward = 0;  ///< float32 products of the forward pass
  double moments = 0;  ///< float32 products of the second moments
  double reading = 0;  ///< weights widened and rotated a second
};
/// Measured in about half a second at first use, then kept in the cache folder for this processor.
MachineSpeed machine_speed();

}  // namespace lrc
