#pragma once
// What a model says of a task's items: the log-likelihood of every answer. The part that an item's answers begin with is read
// once, and its keys and values serve them all.
#include <functional>
#include <optional>
#include <stop_token>

#include "evaluation/tasks.h"
#include "model/transformer.h"
#include "tokenizer/tokenizer.h"

namespace lrc {

struct ChoiceScore {
  double log_likelihood = 0;  ///< of the scored text given the read one, nats
  bool greedy = false;        ///< every scored token is the likeliest one at its place
  bool operator==(const ChoiceScore&) const = default;
};
using ItemScore = std::vector<ChoiceScore>;  ///< by choice

/// Token ids of what is read and what is scored; ids[scored_from …] is scored.
struct EncodedChoice {
  std::vector<TokenId> ids;
  std::size_t scored_from = 0;
};

/// As the harness parts a text: blanks that end the read text go to the scored one, the whole text and the read text are
/// tokenized, and what the whole has beyond the length of the read one is scored. With `bos`, both begin with that token; an
/// empty read text is replaced by it (or by the end token where there is none). `origin` names the item in messages; throws
/// Error(bad_input) when nothing is left to score.
EncodedChoice encode_choice(const TaskChoice& choice, const Tokenizer& tokenizer, bool bos, const std::string& origin);

class TaskScorer {
 public:
  /// Both must outlive the scorer.
  TaskScorer(Transformer& model, std::stop_token stop);

  /// `origin` names the item in messages. Throws Error(bad_input) when it does not fit the model's context, Error(numerical)
  /// when the model's output is not a number, Error(stopped).
  ItemScore score(const std::vector<EncodedChoice>& choices, const std::string& origin);

 private:
  void forward(std::span<const TokenId> ids);
  Transformer& model_;
  std::stop_token stop_;
  KvCache cache_;
};

/// "item 12 of piqa (FILE line 12)".
std::string origin_of(const Task& task, const std::string& file, const TaskItem& item, std::size_t index);
/// Throws Error(bad_input) naming the item whose text is longer than the model's context.
void check_context(const std::vector<EncodedChoice>& choices, std::size_t context, const std::string& origin);

}  // namespace lrc
