#pragma once
// The conversation as it is read: turns below each other, the answers of A and B side by side in one row.
#include <QBoxLayout>
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
  void dropFrom(std::size_t turn);             ///< this one and those behind it
  void showAnswer(std::size_t turn, int side, const ChatTurn& content, const Tokenizer& tokenizer, TokenColour colour,
                  const QString& slot_title);
  /// "‹ 2/3 ›" under the turn; nothing where there is but one.
  void showBranches(std::size_t turn, std::size_t place, std::size_t count);
  void setCut(std::size_t first);   ///< the turns before this one are grey: they are not read any more
  void goToTurn(std::size_t turn);  ///< its answer of B gets the keys
  void unpin();                     ///< the pinned token, where there is one
  int turnWithFocus() const;        ///< −1: none
  TokenText* text(std::size_t turn, int side) const { return views_[turn].answer[std::size_t(side)]; }

 signals:
  void pointedAt(std::size_t turn, int token);  ///< −1: no longer
  void continueAsked(std::size_t turn, int token);
  void regenerateAsked();
  void editAsked(std::size_t turn);
  void branchChosen(std::size_t turn, std::size_t which);
  void promptChosen(const QString& prompt);

 private:
  /// A row for the prompt, one for the answers, one for what is known about them.
  struct TurnView {
    std::array<QLabel*, 2> prompt, info;
    std::array<TokenText*, 2> answer;
    std::array<QWidget*, 2> foot;
    QToolButton* regenerate;
    QWidget* branches;
    QLabel* branch;
    QToolButton *previous, *next;
    std::size_t place = 0;
  };
  QWidget* makeFoot(TurnView& view, std::size_t turn, int side);
  void makeBranches(TurnView& view, std::size_t turn, QBoxLayout* line);
  QWidget* makeSamples();
  void toEnd();
  QWidget *page_, *samples_;
  QGridLayout* grid_;
  std::vector<TurnView> views_;
  TokenText* pinned_ = nullptr;
};

}  // namespace lrc::app
