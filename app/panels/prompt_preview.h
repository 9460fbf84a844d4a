#pragma once
// The exact text that a model is given, with its special tokens, before it is sent.
#include <QTimer>
#include <QWidget>
#include <vector>

#include "models/conversation.h"

class QLabel;
class QTextEdit;

namespace lrc::app {

class Workspace;

class PromptPreview : public QWidget {
  Q_OBJECT
 public:
  PromptPreview(Workspace& workspace, QWidget* parent);
  /// `turns` with the message being typed as the last one; an answer may have `most` tokens of `context`. The preview follows a moment
  /// later.
  void show(PromptForm form, std::vector<ChatTurn> turns, std::size_t most, std::size_t context);

 protected:
  void changeEvent(QEvent* event) override;

 private:
  void ask();
  Workspace& workspace_;
  QTextEdit* text_;
  QLabel* count_;
  QTimer delay_;
  PromptForm form_ = PromptForm::none;
  std::vector<ChatTurn> turns_;
  std::size_t most_ = 0, context_ = 0;
};

}  // namespace lrc::app
