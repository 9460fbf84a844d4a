#include "models/conversation.h"

#include <QCoreApplication>
#include <algorithm>

#include "base/error.h"

#include "tokenizer/chat_template.h"

namespace lrc::app {

namespace {
QString tr(const char* text) { return QCoreApplication::translate("conversation", text); }

std::string special_text(const Tokenizer& tokenizer, const std::optional<TokenId>& id) { return id ? tokenizer.piece(*id) : std::string(); }

std::string render(const Model& model, PromptForm form, const std::vector<ChatMessage>& messages) {
  const auto tokenizer = model.tokenizer();
  return render_chat(form == PromptForm::own ? model.chat_template() : plain_chat_template, messages, true,
                     special_text(*tokenizer, tokenizer->spec().bos), special_text(*tokenizer, tokenizer->spec().eos));
}
}  // namespace

std::vector<TokenId> prompt_tokens(const Model& model, PromptForm form, const std::vector<ChatTurn>& turns, int side, std::size_t first) {
  const auto tokenizer = model.tokenizer();
  const auto answer = [&](std::size_t turn) { return turns[turn].answers[std::size_t(side)].text.toStdString(); };
  if (form != PromptForm::none) {
    std::vector<ChatMessage> messages;
    for (std::size_t i = first; i < turns.size(); ++i) {
      messages.push_back({"user", turns[i].prompt.toStdString()});
      if (i + 1 < turns.size()) messages.push_back({"assistant", answer(i)});
    }
    return tokenizer->encode(render(model, form, messages), true);
  }
  std::vector<TokenId> ids;
  if (tokenizer->spec().bos && tokenizer->spec().add_bos) ids.push_back(*tokenizer->spec().bos);
  std::string text;
  for (std::size_t i = first; i < turns.size(); ++i) {
    text += turns[i].prompt.toStdString();
    if (i + 1 < turns.size()) text += answer(i);
  }
  const auto rest = tokenizer->encode(text, false);
  ids.insert(ids.end(), rest.begin(), rest.end());
  return ids;
}

std::size_t first_that_fits(const Model& model, PromptForm form, const std::vector<ChatTurn>& turns, std::size_t most,
                            std::size_t context) {
  const std::size_t room = context - std::min(most, context / 2);
  std::size_t first = 0;
  for (int side = 0; side < 2; ++side)
    while (first + 1 < turns.size() && prompt_tokens(model, form, turns, side, first).size() > room) ++first;
  return first;
}

PromptForm usable_form(const Model& model, QString& problem) {
  problem.clear();
  if (model.chat_template().empty()) return PromptForm::none;
  try {
    render(model, PromptForm::own, {{"user", "a"}, {"assistant", "b"}, {"user", "c"}});
    return PromptForm::own;
  } catch (const Error& error) {
    problem = QString::fromUtf8(error.what());
    return PromptForm::plain;
  }
}

std::optional<DivergenceSummary> summarise(const std::vector<TokenComparison>& compared) {
  if (compared.empty()) return {};
  DivergenceSummary summary;
  std::vector<double> values;
  for (const TokenComparison& token : compared) {
    values.push_back(token.kl);
    summary.mean += token.kl / double(compared.size());
    summary.same_top += (same_top(token) ? 1.0 : 0.0) / double(compared.size());
  }
  std::sort(values.begin(), values.end());
  summary.maximum = values.back();
  const double position = 0.95 * double(values.size() - 1);
  const std::size_t low = std::size_t(position), high = std::min(low + 1, values.size() - 1);
  summary.p95 = values[low] + (position - double(low)) * (values[high] - values[low]);
  return summary;
}

bool same_top(const TokenComparison& token) {
  return !token.top_first.empty() && !token.top_second.empty() && token.top_first.front().id == token.top_second.front().id;
}

QString ending_text(StopReason reason) {
  switch (reason) {
    case StopReason::end_of_turn:
      return tr("end of turn");
    case StopReason::length:
      return tr("longest answer reached");
    case StopReason::stopped:
      return tr("stopped");
    case StopReason::stop_string:
      return tr("stop string");
    case StopReason::context_full:
      break;
  }
  return tr("context full");
}

std::vector<std::string> stop_strings_of(const QString& lines) {
  std::vector<std::string> strings;
  for (const QString& line : lines.split('\n')) {
    QString text;
    for (qsizetype i = 0; i < line.size(); ++i) {
      const QChar next = line[i] == '\\' && i + 1 < line.size() ? line[i + 1] : QChar();
      const bool escape = next == 'n' || next == 't' || next == '\\';
      text += !escape ? line[i] : next == 'n' ? QChar('\n') : next == 't' ? QChar('\t') : next;
      i += escape ? 1 : 0;
    }
    if (!text.isEmpty()) strings.push_back(text.toStdString());
  }
  return strings;
}

std::vector<QString> token_texts(const Tokenizer& tokenizer, const std::vector<TokenId>& ids) {
  std::vector<QString> out;
  Utf8Stream stream;
  for (std::size_t i = 0; i < ids.size(); ++i) {
    std::string text;
    if (ids[i] >= 0 && std::size_t(ids[i]) < tokenizer.size() && !tokenizer.is_special(ids[i])) text = stream.push(tokenizer.piece(ids[i]));
    if (i + 1 == ids.size()) text += stream.flush();
    out.push_back(QString::fromStdString(text));
  }
  return out;
}

}  // namespace lrc::app
