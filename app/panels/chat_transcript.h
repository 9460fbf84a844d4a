#pragma once
// The conversation as it is read: turns below each other, the answers of A and B side by side in one row.
#include <QGridLayout>
#include <QLabel>
#include <QScrollArea>
#include <QToolButton>
#include <array>
#include <vector>

#include "models/conversation.h"
#include "panels/token_text.h"

namespace lrc::app {

class ChatTranscript : public QScrollArea {
  Q_OBJECT
 public:
  explicit ChatTranscript(QWidget* parent);
  void clear(bool offer_samples);
  void addTurn(const QString& prompt);
  std::size_t turns() const { return views_.size(); }
  void append(int side, const QString& text);  ///< to the last turn; stays at the end if it was there
  void emptyLast();                            ///< the last turn is answered again
  void showAnswer(std::size_t turn, int side, const ChatAnswer& answer, const Tokenizer& tokenizer, TokenColour colour);
  TokenText* text(std::size_t turn, int side) const { return views_[turn].answer[std::size_t(side)]; }

 signals:
  void pointedAt(std::size_t turn, int token);  ///< −1: no longer
  void regenerateAsked();
  void promptChosen(const QString& prompt);

 private:
  /// A row for the prompt, one for the answers, one for what is known about them.
  struct TurnView {
    std::array<QLabel*, 2> prompt, info;
    std::array<TokenText*, 2> answer;
    QToolButton* regenerate;
  };
  QWidget* makeSamples();
  void toEnd();
  QWidget *page_, *samples_;
  QGridLayout* grid_;
  std::vector<TurnView> views_;
};

}  // namespace lrc::app
