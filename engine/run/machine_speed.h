#pragma once

namespace lrc {

/// How long one thread takes for work of one kind: so much an operation, and something more on small matrices, where less of the
/// time goes into products.
struct Pace {
  double per_operation = 0;  ///< seconds, on matrices without end
  double per_width = 0;      ///< seconds times features
  double seconds(double operations, double width) const { return operations * (per_operation + per_width / width); }
};

/// How fast one thread of this machine does the kinds of work that a run is made of.
struct MachineSpeed {
  Pace dense;    ///< float64 products, floating-point operations
  Pace eigen;    ///< symmetric eigenproblem with vectors, counted as 9 n³
  Pace gptq;     ///< with its clip search, counted as out · in²
  Pace forward;  ///< float32 products of the forward pass, floating-point operations
  Pace moments;  ///< float32 products of the second moments, symmetric ones counted as half
  Pace reading;  ///< weights widened and rotated
};
/// Measured in about a second at first use, then kept in the cache folder for this processor.
MachineSpeed machine_speed();

}  // namespace lrc
