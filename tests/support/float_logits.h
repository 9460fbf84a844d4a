#pragma once
#include <vector>

#include "support/tiny_model.h"

namespace lrc::test {

/// Of every position, (ids, vocabulary), by the float model on the CPU.
inline MatrixF logits_of(const ModelWeights& weights, const std::vector<TokenId>& ids) {
  Transformer transformer = on_cpu(weights);
  return all_logits(transformer, ids);
}

}  // namespace lrc::test
