#pragma once
// From what a checkpoint brings (formats/checkpoint.h) to what a tokenizer is made of (tokenizer/tokenizer.h).
#include "formats/checkpoint.h"
#include "model/config.h"
#include "tokenizer/tokenizer.h"

namespace lrc {

/// `origin` names the model in messages. Throws Error(unsupported) when the checkpoint has no tokenizer or one of a kind that
/// this program lacks, Error(bad_file) when its parts contradict each other.
TokenizerSpec tokenizer_spec(const TokenizerSource& source, const ModelConfig& config, const std::string& origin);

}  // namespace lrc
