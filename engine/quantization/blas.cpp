#include "quantization/blas.h"

#include <cblas.h>

namespace lrc {

void use_one_blas_thread() {
  [[maybe_unused]] static const bool done = [] {
    openblas_set_num_threads(1);
    return true;
  }();
}

}  // namespace lrc
