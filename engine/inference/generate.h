#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <vector>

#include "model/transformer.h"
#include "tokenizer/chat_template.h"
#include "tokenizer/tokenizer.h"

namespace lrc {

/// How the next token is chosen. The steps, in this order, each on what the one before left:
///   1. repetition penalty: a logit of a token that was read or said lately is divided by it, a negative one multiplied
///      (Keskar et al. 2019, section 4.1, over the last `repetition_window` tokens; what ends an answer is exempt);
///   2. temperature: 0 takes the likeliest token and ends here; else the logits are divided by it;
///   3. top-k: the k likeliest are kept;
///   4. top-p: the fewest likeliest that together reach this share of what top-k left (Holtzman et al. 2020);
///   5. min-p: those with at least this share of the likeliest one's probability (Nguyen et al. 2024);
///   6. a draw among them by probability. The likeliest token is never taken away.
/// The probabilities and divergences that are reported are the model's own, before any of this.
struct Sampling {
  float temperature = 0.0f;  ///< 0 = greedy (lowest id wins a tie)
  std::size_t top_k = 0;     ///< 0 = off
  float top_p = 1.0f;        ///< 1 = off
  std::uint64_t seed = 0;
  float min_p = 0.0f;               ///< 0 = off
  float repetition_penalty = 1.0f;  ///< 1 = off
  /// The answer ends before the first of these that it would say; none of it is shown. Only text counts, not special tokens.
  std::vector<std::string> stop = {};
};
constexpr std::size_t repetition_window = 64;  ///< tokens, of prompt and answer

/// Deterministic for a seed, the same on every machine for the same logits.
class Sampler {
 public:
  explicit Sampler(const Sampling& sampling);  ///< throws Error(bad_input) naming what is out of its range
  /// `recent`: the tokens that the repetition penalty counts, in any order.
  TokenId pick(const float* logits, std::size_t vocabulary, std::span<const TokenId> recent = {});

 private:
  Sampling sampling_;
  std::uint64_t state_;
  std::vector<float> penalised_;
};

struct GeneratedToken {
  TokenId id = 0;
  std::string text;  ///< complete characters that this token lets be shown; empty within one, or while a stop string may be coming
  double probability = 0;
  std::optional<double> kl;  ///< in follow mode: KL(first ‖ second) at this position
};
/// Called on the generating thread for each token; false stops.
using TokenCallback = std::function<bool(const GeneratedToken&)>;

enum class StopReason { end_of_turn, length, stopped, context_full, stop_string };
struct Generation {
  std::vector<TokenId> ids;  ///< without the stop token, and without those that say any of a stop string
  std::string text;          ///< up to the stop string, which may begin within a token
  std::size_t prompt_tokens = 0;
  double prompt_tokens_per_second = 0, tokens_per_second = 0, first_token_s = 0;
  StopReason reason = StopReason::length;
  std::vector<double> kl;  ///< per token, follow mode only
  std::vector<bool> same_top;
};

/// What a conversation does when its device stops working: goes on with another transformer of the same model.
struct DeviceFallback {
  std::function<std::shared_ptr<Transformer>()> make;     ///< on the CPU; called at most once
  std::function<void(const std::string& sentence)> tell;  ///< what happened, before it is made
};

/// A conversation with one model: keeps the cache, re-reads only what changed. One thread at a time.
class ChatSession {
 public:
  ChatSession(std::shared_ptr<Transformer> transformer, std::shared_ptr<const Tokenizer> tokenizer, std::size_t context);

  /// Continues `prompt_ids` (the whole conversation as tokens; a common prefix with the cache is not computed again).
  Generation generate(const std::vector<TokenId>& prompt_ids, std::size_t max_tokens, const Sampling& sampling,
                      const TokenCallback& on_token, std::stop_token stop);
  /// Feeds the ids of another model's answer; per token the logits after it are given to `visit` (position 0: prediction of the
  /// first answer token). Used for following and for scoring.
  void score(const std::vector<TokenId>& prompt_ids, const std::vector<TokenId>& answer_ids,
             const std::function<void(std::size_t index, const float* logits)>& visit, std::stop_token stop);
  void set_branch(const BranchControl& branch);  ///< empties the cache when it changes
  /// From now on Error(device_lost) and Error(device), memory that ran out, move the conversation: what was said so far is read
  /// again there and the answer goes on behind its last token. Without a fallback the error is the caller's.
  void set_fallback(DeviceFallback fallback) { fallback_ = std::move(fallback); }
  Transformer& transformer() { return *transformer_; }
  std::size_t context() const { return context_; }
  /// From the next call on; at most the model's own. Throws Error(bad_input) for 0.
  void set_context(std::size_t tokens);
  std::size_t cached_tokens() const { return cached_.size(); }
  /// What keys and values take now; it grows with the conversation.
  std::size_t cache_bytes() const { return cache_.capacity * transformer_->cache_bytes_per_token(); }

 private:
  void check_fits(std::size_t prompt_tokens, std::size_t answer_tokens) const;
  template <typename Work>
  auto on_device(const Work& work);
  void extend(const std::vector<TokenId>& ids);
  void read(const std::vector<TokenId>& ids, std::stop_token stop);
  MatrixF last_logits(const std::vector<TokenId>& ids, std::stop_token stop);
  std::size_t feed(const std::vector<TokenId>& ids, std::stop_token stop);
  std::shared_ptr<Transformer> transformer_;
  std::shared_ptr<const Tokenizer> tokenizer_;
  std::size_t context_ = 0;
  KvCache cache_;
  std::vector<TokenId> cached_;
  BranchControl branch_;
  DeviceFallback fallback_;
};

/// What one token of the first model's answer looks like from both sides: for the hover table of the window.
struct TokenComparison {
  TokenId id = 0;
  double kl = 0;
  double probability_first = 0, probability_second = 0;
  std::size_t rank_second = 1;  ///< place of the token among the second model's, 1 = its likeliest
  struct Candidate {
    TokenId id;
    double probability;
  };
  std::vector<Candidate> top_first, top_second;  ///< five likeliest each
};
/// Scores `answer_ids` after `prompt_ids` with both sessions: KL(first ‖ second) per token and the likeliest candidates.
std::vector<TokenComparison> compare_answer(ChatSession& first, ChatSession& second, const std::vector<TokenId>& prompt_ids,
                                            const std::vector<TokenId>& answer_ids, std::stop_token stop);

}  // namespace lrc
