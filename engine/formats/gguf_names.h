#pragma once
// How GGUF files name and order what Hugging Face checkpoints hold. Used for reading and, the other way round, for exports.
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace lrc {

/// "blk.3.attn_q.weight" → "model.layers.3.self_attn.q_proj.weight"; names that have no counterpart stay as they are.
std::string huggingface_name(std::string_view gguf_name, std::string_view architecture);
/// The other way; nothing for a name that GGUF files of the architecture do not have.
std::optional<std::string> gguf_name(std::string_view huggingface_name, std::string_view architecture);

/// Mixtral's experts: files hold those of a block merged, "blk.3.ffn_gate_exps.weight" (experts, out, in), or, older ones, apart,
/// "blk.3.ffn_gate.5.weight". The Hugging Face name of expert `expert` of a merged tensor; nothing for other tensors.
std::optional<std::string> expert_name(std::string_view gguf_name, std::size_t expert);

/// Files of the architecture "llama" hold the rows of q and k with the two halves of each head interleaved: row i of the
/// first half at 2i, of the second half at 2i + 1. True for the stored tensors that this concerns.
bool has_permuted_rows(std::string_view gguf_name, std::string_view architecture);
/// Where such a file keeps row `row`; `head_dim` is even and the rows are whole heads.
std::size_t permuted_row(std::size_t row, std::size_t head_dim);

}  // namespace lrc
