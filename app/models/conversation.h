#pragma once
// A conversation with two models at once: one prompt a turn, two answers. Data only; what computes it is panels/chat_worker.
#include <QString>
#include <array>
#include <optional>
#include <vector>

#include "inference/generate.h"
#include "model/model.h"

namespace lrc::app {

/// Who speaks in its own words; the side that follows reads the other's tokens, so that each position compares like with like.
enum class ChatMode { free, b_follows_a, a_follows_b };
/// How messages become a prompt: the model's own template, plain ChatML, or no template (the text is continued as it stands).
enum class PromptForm { own, plain, none };

struct ChatAnswer {
  QString by;    ///< the title of who gave it: another may stand in the slot by now
  QString text;  ///< as it streams in
  std::vector<TokenId> ids;
  std::vector<TokenComparison> compared;  ///< of B, one a token, when one side followed the other
  double seconds = 0, tokens_per_second = 0, first_token_s = 0;
  bool streaming = false, finished = false;
  bool forced = false;  ///< the other side's tokens: this side followed
  /// Of B, when both spoke in their own words: the first token that is not A's, up to which `compared` goes (with A's token there).
  std::optional<std::size_t> parts_at;
  QString ending;  ///< "end of turn", "stopped", "forced", or a sentence that says what failed
};
struct ChatTurn {
  QString prompt;
  std::array<ChatAnswer, 2> answers;  ///< A, B
  /// What was asked or answered here before, each with the turns that followed; models/chat_branches.h.
  std::vector<std::vector<ChatTurn>> others = {};
  std::size_t place = 0;       ///< this one's number among them
  std::size_t first_read = 0;  ///< turns before this one no longer fitted the context when it was answered
};

/// What a conversation may hold unless it is said otherwise, or the model's own limit; memory of the cache follows the conversation.
constexpr std::size_t usual_context = 4096;
/// The tokens up to where side `side` answers the last turn, without the turns before `first`. Throws Error (template, tokenizer).
std::vector<TokenId> prompt_tokens(const Model& model, PromptForm form, const std::vector<ChatTurn>& turns, int side,
                                   std::size_t first = 0);
/// The first turn that is still read, so that both sides' prompts leave room in `context` for an answer of `most` tokens (at most half
/// of it): the oldest ones are left out first, the last one never. Each side's answers are its own, the cut is the same.
std::size_t first_that_fits(const Model& model, PromptForm form, const std::vector<ChatTurn>& turns, std::size_t most, std::size_t context);
/// Own template if there is one that renders, else none; `problem` gets the sentence when the own one is broken.
PromptForm usable_form(const Model& model, QString& problem);

struct DivergenceSummary {
  double mean = 0, p95 = 0, maximum = 0, same_top = 0;
};
std::optional<DivergenceSummary> summarise(const std::vector<TokenComparison>& compared);
bool same_top(const TokenComparison& token);
QString ending_text(StopReason reason);
/// One a line; \n, \t and \\ stand for a line break, a tab and a backslash. Empty lines say nothing.
std::vector<std::string> stop_strings_of(const QString& lines);
/// The characters of each token of an answer, so that together they are the answer's text.
std::vector<QString> token_texts(const Tokenizer& tokenizer, const std::vector<TokenId>& ids);

}  // namespace lrc::app
