#pragma once
#include "base/json.h"
#include "tokenizer/tokenizer.h"

namespace lrc {

/// Sets kind, pre and the space prefix of `spec` from the normalizer and pre-tokenizer of a tokenizer.json.
/// Throws Error(unsupported) naming what this program lacks.
void read_splitting(const Json& file, bool byte_fallback, TokenizerSpec& spec);

}  // namespace lrc
