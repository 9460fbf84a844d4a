#pragma once
// Every operation of a device against the scalar kernels, which are the definition, on fixed random operands; and how fast it is.
// What the tests' parity harness holds for many shapes, this asks once on the machine of the person.
#include <stop_token>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "base/progress.h"

namespace lrc {

struct KernelCheck {
  std::string kernel;        ///< the operation, as Backend names it, with its bits where these matter
  double largest_error = 0;  ///< max |device − scalar| ÷ max |scalar|; of codes: 0 when all are equal
  double allowed = 0;
  std::string failure;  ///< a sentence when the operation ended with an error
  bool passed() const { return failure.empty() && largest_error <= allowed; }
};
struct DeviceCheck {
  std::string id;
  std::vector<KernelCheck> kernels;
  double gigabytes_per_second = 0;                ///< weights read by a product of one token with a float32 matrix
  double giga_operations_per_second = 0;          ///< float32 products of many tokens
  double giga_integer_operations_per_second = 0;  ///< the same with 4-bit weights and activations
  std::string failure;                            ///< why the device could not be asked at all
  bool passed() const;
  const KernelCheck* worst() const;  ///< the first that failed, else the one nearest to what is allowed; null when there is none
};

/// `id` as for make_backend(). A device that cannot be used answers with `failure`. Reports stage "self-test" by kernel.
/// Throws Error(stopped).
DeviceCheck check_device(const std::string& id, Progress& progress, std::stop_token stop);
/// The same for a backend at hand, without the speeds.
std::vector<KernelCheck> check_kernels(Backend& device, Progress& progress, std::stop_token stop);

}  // namespace lrc
