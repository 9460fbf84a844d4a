#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/error.h"
#include "inference/generate.h"
#include "model/probabilities.h"

namespace lrc {
namespace {

constexpr std::size_t shown_candidates = 5;
// Logits of one model wait for those of the other, a piece of the answer at a time.
constexpr std::size_t piece_tokens = 32;

std::vector<TokenComparison::Candidate> top_candidates(const float* logits, std::size_t vocabulary, double log_sum) {
  std::vector<TokenId> ids(vocabulary);
  std::iota(ids.begin(), ids.end(), 0);
  const std::size_t count = std::min(shown_candidates, vocabulary);
  std::partial_sort(ids.begin(), ids.begin() + std::ptrdiff_t(count), ids.end(),
                    [&](TokenId a, TokenId b) { return logits[a] != logits[b] ? logits[a] > logits[b] : a < b; });
  std::vector<TokenComparison::Candidate> result;
  for (std::size_t i = 0; i < count; ++i) result.push_back({ids[i], std::exp(double(logits[ids[i]]) - log_sum)});
  return result;
}

/// 1 for the likeliest; of equal ones the lower id stands first, as everywhere.
std::size_t rank_of(TokenId id, const float* logits, std::size_t vocabulary) {
  std::size_t before = 0;
  for (std::size_t other = 0; other < vocabulary; ++other)
    before += logits[other] > logits[id] || (logits[other] == logits[id] && TokenId(other) < id) ? 1 : 0;
  return before + 1;
}

}  // namespace

std::vector<TokenComparison> compare_answer(ChatSession& first, ChatSession& second, const std::vector<TokenId>& prompt_ids,
                                            const std::vector<TokenId>& answer_ids, std::stop_token stop) {
  const std::size_t vocabulary = first.transformer().config().vocabulary;
  if (second.transformer().config().vocabulary != vocabulary) {
    throw Error(ErrorKind::bad_input, "The two models have vocabularies of " + std::to_string(vocabulary) + " and " +
                                          std::to_string(second.transformer().config().vocabulary) +
                                          " tokens; their answers cannot be compared token by token.");
  }
  for (const TokenId id : answer_ids) {
    if (id < 0 || std::size_t(id) >= vocabulary)
      throw Error(ErrorKind::bad_input, "Token id " + std::to_string(id) + " is outside of the vocabulary.");
  }
  std::vector<TokenComparison> result(answer_ids.size());
  std::vector<TokenId> before = prompt_ids;
  for (std::size_t done = 0; done < answer_ids.size();) {
    const std::size_t tokens = std::min(piece_tokens, answer_ids.size() - done);
    const std::vector<TokenId> piece(answer_ids.begin() + std::ptrdiff_t(done), answer_ids.begin() + std::ptrdiff_t(done + tokens));
    MatrixF first_logits(tokens, vocabulary);
    first.score(
        before, piece, [&](std::size_t i, const float* logits) { std::copy_n(logits, vocabulary, first_logits.row(i)); }, stop);
    second.score(
        before, piece,
        [&](std::size_t i, const float* logits) {
          const float* reference = first_logits.row(i);
          const double reference_sum = log_sum_exp(reference, vocabulary), sum = log_sum_exp(logits, vocabulary);
          TokenComparison& token = result[done + i];
          token.id = piece[i];
          token.kl = kl_divergence(reference, reference_sum, logits, sum, vocabulary);
          token.probability_first = std::exp(double(reference[token.id]) - reference_sum);
          token.probability_second = std::exp(double(logits[token.id]) - sum);
          token.rank_second = rank_of(piece[i], logits, vocabulary);
          token.top_first = top_candidates(reference, vocabulary, reference_sum);
          token.top_second = top_candidates(logits, vocabulary, sum);
        },
        stop);
    before.insert(before.end(), piece.begin(), piece.end());
    done += tokens;
  }
  return result;
}

}  // namespace lrc
