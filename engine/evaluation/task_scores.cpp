#include "evaluation/task_scores.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/parallel.h"
#include "base/progress.h"
#include "model/probabilities.h"
#include "tokenizer/template_text.h"

namespace lrc {
namespace {

constexpr std::size_t logit_rows = 64;   // rows of logits in memory at a time
constexpr std::size_t cache_step = 128;  // the cache grows by so many positions, not with every item

/// A row of logits: what of it every answer's score needs.
struct Row {
  const float* logits = nullptr;
  double log_sum = 0;
  TokenId likeliest = 0;
};

/// Rows [first, first + count) of the last forward pass, handed to `use` with their index.
void read_rows(Transformer& model, std::size_t first, std::size_t count, const std::function<void(std::size_t, const Row&)>& use) {
  for (std::size_t done = 0; done < count; done += logit_rows) {
    const std::size_t rows = std::min(logit_rows, count - done);
    const MatrixF logits = model.logits(first + done, rows);
    std::vector<Row> facts(rows);
    parallel_for(rows, 1, [&](std::size_t begin, std::size_t end) {
      for (std::size_t r = begin; r < end; ++r)
        facts[r] = {logits.row(r), log_sum_exp(logits.row(r), logits.columns()), TokenId(likeliest(logits.row(r), logits.columns()))};
    });
    for (std::size_t r = 0; r < rows; ++r) use(first + done + r, facts[r]);
  }
}

/// How many ids all choices begin with; the last id of a choice is only ever predicted, never read.
std::size_t shared_prefix(const std::vector<EncodedChoice>& choices) {
  const auto& first = choices.front().ids;
  std::size_t shared = first.size() - 1;
  for (const EncodedChoice& choice : choices) {
    shared = std::min(shared, choice.ids.size() - 1);
    shared = std::size_t(std::mismatch(first.begin(), first.begin() + std::ptrdiff_t(shared), choice.ids.begin()).first - first.begin());
  }
  return shared;
}

}  // namespace

EncodedChoice encode_choice(const TaskChoice& choice, const Tokenizer& tokenizer, bool bos, const std::string& origin) {
  const TokenizerSpec& spec = tokenizer.spec();
  const std::string read = jinja::stripped(choice.context, "", false, true);
  const std::string scored = choice.context.substr(read.size()) + choice.continuation;
  EncodedChoice encoded;
  if (bos && spec.bos) encoded.ids.push_back(*spec.bos);
  const auto read_ids = tokenizer.encode(read, false), all_ids = tokenizer.encode(read + scored, false);
  encoded.ids.insert(encoded.ids.end(), read_ids.begin(), read_ids.end());
  if (encoded.ids.empty()) {
    const auto start = spec.bos ? spec.bos : spec.eos;
    if (!start) throw Error(ErrorKind::bad_input, "There is nothing to read before the answers of " + origin + ".");
    encoded.ids.push_back(*start);
  }
  encoded.scored_from = encoded.ids.size();
  if (all_ids.size() > read_ids.size())
    encoded.ids.insert(encoded.ids.end(), all_ids.begin() + std::ptrdiff_t(read_ids.size()), all_ids.end());
  if (encoded.ids.size() == encoded.scored_from) throw Error(ErrorKind::bad_input, "An answer of " + origin + " has no token of its own.");
  return encoded;
}

std::string origin_of(const Task& task, const std::string& file, const TaskItem& item, std::size_t index) {
  return "item " + std::to_string(index + 1) + " of " + std::string(task.name) + " (" + file + " line " + std::to_string(item.line) + ")";
}

void check_context(const std::vector<EncodedChoice>& choices, std::size_t context, const std::string& origin) {
  for (const EncodedChoice& choice : choices)
    if (choice.ids.size() > context + 1)
      throw Error(ErrorKind::bad_input, "The text of " + origin + " has " + std::to_string(choice.ids.size()) +
                                            " tokens, more than the model's context of " + std::to_string(context) +
                                            "; take that line out of the file, or use a model with a longer context.");
}

TaskScorer::TaskScorer(Transformer& model, std::stop_token stop) : model_(model), stop_(std::move(stop)) {}

void TaskScorer::forward(std::span<const TokenId> ids) {
  throw_if_stopped(stop_);
  model_.forward(ids, cache_);
}

ItemScore TaskScorer::score(const std::vector<EncodedChoice>& choices, const std::string& origin) {
  const std::size_t context = model_.config().context;
  check_context(choices, context, origin);
  std::size_t longest = 0, first_scored = SIZE_MAX;
  for (const EncodedChoice& choice : choices) {
    longest = std::max(longest, choice.ids.size() - 1);
    first_scored = std::min(first_scored, choice.scored_from);
  }
  const std::size_t wanted = std::min(context, (longest + cache_step - 1) / cache_step * cache_step);
  if (cache_.capacity < wanted) cache_ = model_.make_cache(wanted);

  ItemScore scores(choices.size(), {0, true});
  // Row p holds what the model expects at position p + 1.
  const auto take = [&](std::size_t c, std::size_t position, const Row& row) {
    const TokenId id = choices[c].ids[position + 1];
    scores[c].log_likelihood += double(row.logits[std::size_t(id)]) - row.log_sum;
    scores[c].greedy = scores[c].greedy && id == row.likeliest;
  };
  const std::size_t shared = shared_prefix(choices);
  cache_.length = 0;
  if (shared > 0) {
    forward(std::span(choices.front().ids).first(shared));
    const std::size_t from = std::min(shared, first_scored - 1);
    read_rows(model_, from, shared - from, [&](std::size_t position, const Row& row) {
      for (std::size_t c = 0; c < choices.size(); ++c)
        if (position + 1 >= choices[c].scored_from) take(c, position, row);
    });
  }
  for (std::size_t c = 0; c < choices.size(); ++c) {
    const auto& ids = choices[c].ids;
    if (ids.size() - 1 == shared) continue;
    cache_.length = shared;
    forward(std::span(ids).subspan(shared, ids.size() - 1 - shared));
    const std::size_t from = std::max(shared, choices[c].scored_from - 1);
    read_rows(model_, from - shared, ids.size() - 1 - from,
              [&](std::size_t row_index, const Row& row) { take(c, shared + row_index, row); });
  }
  for (const ChoiceScore& score : scores)
    if (!std::isfinite(score.log_likelihood))
      throw Error(ErrorKind::numerical,
                  "The model's output is not a number in " + origin + ": its weights or its correction are unusable.");
  return scores;
}

}  // namespace lrc
