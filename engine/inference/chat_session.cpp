#include <algorithm>
#include <chrono>
#include <cmath>
#include <utility>

#include "base/error.h"
#include "base/progress.h"
#include "inference/generate.h"
#include "inference/stop_strings.h"
#include "model/probabilities.h"

namespace lrc {
namespace {

// A prompt is read in pieces, so that a stop is noticed within a moment.
constexpr std::size_t prompt_piece = 64;
constexpr std::size_t score_piece = 32;
constexpr std::size_t smallest_cache = 512;

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

double rate(std::size_t tokens, double seconds) { return seconds > 0 ? double(tokens) / seconds : 0.0; }

/// What the repetition penalty counts: the last tokens, without those that end an answer, which is no repetition.
std::vector<TokenId> recent_tokens(const std::vector<TokenId>& ids, const std::vector<TokenId>& stop_ids) {
  const auto begin = ids.end() - std::ptrdiff_t(std::min(ids.size(), repetition_window));
  std::vector<TokenId> recent(begin, ids.end());
  std::erase_if(recent, [&](TokenId id) { return std::find(stop_ids.begin(), stop_ids.end(), id) != stop_ids.end(); });
  return recent;
}

/// How many leading tokens say nothing beyond the first `bytes` of a text; `begins`: where each one's text begins, and the end.
std::size_t tokens_within(const std::vector<std::size_t>& begins, std::size_t bytes) {
  std::size_t count = 0;
  while (count + 1 < begins.size() && begins[count] < bytes && begins[count + 1] <= bytes) ++count;
  return count;
}

}  // namespace

ChatSession::ChatSession(std::shared_ptr<Transformer> transformer, std::shared_ptr<const Tokenizer> tokenizer, std::size_t context)
    : transformer_(std::move(transformer)), tokenizer_(std::move(tokenizer)) {
  set_context(context);
}

void ChatSession::set_context(std::size_t tokens) {
  if (tokens == 0) throw Error(ErrorKind::bad_input, "The context of a conversation must be at least 1 token.");
  context_ = std::min(tokens, transformer_->config().context);
}

void ChatSession::set_branch(const BranchControl& branch) {
  if (branch == branch_) return;
  branch_ = branch;
  cached_.clear();
  cache_.length = 0;
}

/// Does `work`; when the device stops working, once more on the fallback, with an empty cache.
template <typename Work>
auto ChatSession::on_device(const Work& work) {
  try {
    return work();
  } catch (const Error& error) {
    if (!fallback_.make || (error.kind() != ErrorKind::device_lost && error.kind() != ErrorKind::device)) throw;
    if (fallback_.tell) fallback_.tell(error.what());
  }
  // Nothing that lay on the device is of use any more.
  cached_.clear();
  cache_ = {};
  transformer_ = std::exchange(fallback_, {}).make();
  return work();
}

/// Runs the tokens of `ids` behind those that the cache holds, in one pass.
void ChatSession::extend(const std::vector<TokenId>& ids) {
  if (cache_.capacity < ids.size()) {
    // Memory follows the conversation, not the longest one that would fit.
    const std::size_t capacity = std::max({ids.size(), cache_.capacity * 2, smallest_cache});
    transformer_->grow_cache(cache_, std::min(capacity, context_));
  }
  const std::span<const TokenId> piece = std::span(ids).subspan(cached_.size());
  try {
    transformer_->forward(piece, cache_, branch_);
  } catch (...) {
    // What a failed device left behind is not to be built upon.
    cached_.clear();
    cache_.length = 0;
    throw;
  }
  cached_.assign(ids.begin(), ids.end());
}

/// Runs what is missing of `ids`, piece by piece; after a stop the cache holds a part of them.
void ChatSession::read(const std::vector<TokenId>& ids, std::stop_token stop) {
  while (cached_.size() < ids.size() && !stop.stop_requested()) {
    const std::size_t end = std::min(cached_.size() + prompt_piece, ids.size());
    extend({ids.begin(), ids.begin() + std::ptrdiff_t(end)});
  }
}

/// Brings the cache to `ids`, whose last token is always run so that its logits are there. Returns how many tokens were run;
/// after a stop the cache holds a part of them.
std::size_t ChatSession::feed(const std::vector<TokenId>& ids, std::stop_token stop) {
  const auto limit = std::ptrdiff_t(std::min(ids.size() - 1, cached_.size()));
  const auto common = std::size_t(std::mismatch(ids.begin(), ids.begin() + limit, cached_.begin()).first - ids.begin());
  cached_.resize(common);
  cache_.length = common;
  on_device([&] { read(ids, stop); });
  return cached_.size() - std::min(common, cached_.size());
}

/// Logits after the last of `ids`, which the cache holds; (1, vocabulary), empty after a stop.
MatrixF ChatSession::last_logits(const std::vector<TokenId>& ids, std::stop_token stop) {
  return on_device([&] {
    read(ids, stop);  // on a fallback; else all is there
    return cached_.size() < ids.size() ? MatrixF() : transformer_->logits(transformer_->last_tokens() - 1, 1);
  });
}

void ChatSession::check_fits(std::size_t prompt_tokens, std::size_t answer_tokens) const {
  if (prompt_tokens == 0) throw Error(ErrorKind::bad_input, "There is no prompt: at least one token is needed.");
  if (prompt_tokens + answer_tokens > context_) {
    throw Error(ErrorKind::bad_input, "The conversation of " + std::to_string(prompt_tokens + answer_tokens) +
                                          " tokens is longer than the context of " + std::to_string(context_) +
                                          " tokens; start a new one or choose a larger context.");
  }
}

Generation ChatSession::generate(const std::vector<TokenId>& prompt_ids, std::size_t max_tokens, const Sampling& sampling,
                                 const TokenCallback& on_token, std::stop_token stop) {
  check_fits(prompt_ids.size(), 0);
  Sampler sampler(sampling);
  StopStrings stop_strings(sampling.stop);
  const std::vector<TokenId>& stop_ids = tokenizer_->spec().stop;
  const std::size_t vocabulary = transformer_->config().vocabulary;
  std::vector<TokenId> ids = prompt_ids;
  Utf8Stream stream;
  std::size_t said = 0;             // bytes, with what is held back
  std::vector<std::size_t> begins;  // of each token's text
  Generation result;
  result.prompt_tokens = prompt_ids.size();

  const auto start = std::chrono::steady_clock::now();
  const std::size_t prompt_run = feed(ids, stop);
  result.prompt_tokens_per_second = rate(prompt_run, seconds_since(start));
  auto first_token_at = start;
  std::size_t steps = 0;  // single-token passes after the first token
  result.reason = max_tokens == 0 ? StopReason::length : StopReason::stopped;
  bool talking = max_tokens > 0;
  while (talking && !stop.stop_requested()) {
    const MatrixF logits = last_logits(ids, stop);
    if (logits.empty()) break;
    GeneratedToken token;
    token.id = sampler.pick(logits.data(), vocabulary, recent_tokens(ids, stop_ids));
    if (steps == 0) {
      first_token_at = std::chrono::steady_clock::now();
      result.first_token_s = seconds_since(start);
    }
    if (std::find(stop_ids.begin(), stop_ids.end(), token.id) != stop_ids.end()) {
      result.reason = StopReason::end_of_turn;
      break;
    }
    token.probability = std::exp(log_probability(logits.data(), vocabulary, std::size_t(token.id)));
    // Ids above the tokenizer's size are padding of the embedding table: they say nothing.
    begins.push_back(said);
    if (std::size_t(token.id) < tokenizer_->size() && !tokenizer_->is_special(token.id)) {
      const std::string characters = stream.push(tokenizer_->piece(token.id));
      said += characters.size();
      token.text = stop_strings.push(characters);
    }
    result.text += token.text;
    result.ids.push_back(token.id);
    ids.push_back(token.id);
    const bool go_on = !on_token || on_token(token);
    if (stop_strings.met()) {
      result.reason = StopReason::stop_string;
      begins.push_back(said);
      result.ids.resize(tokens_within(begins, result.text.size()));
      break;
    }
    if (!go_on) break;
    if (result.ids.size() == max_tokens || ids.size() > context_) {
      result.reason = result.ids.size() == max_tokens ? StopReason::length : StopReason::context_full;
      break;
    }
    feed(ids, stop);
    ++steps;
  }
  result.text += stop_strings.push(stream.flush());
  result.text += stop_strings.flush();
  result.tokens_per_second = rate(steps, seconds_since(first_token_at));
  if (steps == 0) result.tokens_per_second = 0;
  return result;
}

void ChatSession::score(const std::vector<TokenId>& prompt_ids, const std::vector<TokenId>& answer_ids,
                        const std::function<void(std::size_t index, const float* logits)>& visit, std::stop_token stop) {
  if (answer_ids.empty()) return;
  check_fits(prompt_ids.size(), answer_ids.size() - 1);
  feed(prompt_ids, stop);
  throw_if_stopped(stop);
  const MatrixF first = last_logits(prompt_ids, stop);
  throw_if_stopped(stop);
  visit(0, first.data());
  std::vector<TokenId> ids = prompt_ids;
  for (std::size_t done = 0; done + 1 < answer_ids.size();) {
    // Row i of a piece predicts the answer's token after it.
    const std::size_t tokens = std::min(score_piece, answer_ids.size() - 1 - done);
    ids.insert(ids.end(), answer_ids.begin() + std::ptrdiff_t(done), answer_ids.begin() + std::ptrdiff_t(done + tokens));
    // A fallback reads all of them; the piece is its last rows.
    const MatrixF logits = on_device([&] {
      extend(ids);
      return transformer_->logits(transformer_->last_tokens() - tokens, tokens);
    });
    for (std::size_t row = 0; row < tokens; ++row) visit(done + row + 1, logits.row(row));
    done += tokens;
    throw_if_stopped(stop);
  }
}

}  // namespace lrc
