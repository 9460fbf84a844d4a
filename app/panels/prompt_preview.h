#pragma once
// The exact text that a model is given, with its special tokens, before it is sent.
#include <QTimer>
#include <QWidget>
#include <vector>

#include "models/conversation.h"

class QLabel;
class QPlainTextEdit;

namespace lrc::app {

class Workspace;

class PromptPreview : public QWidget {
  Q_OBJECT
 public:
  PromptPreview(Workspace& workspace, QWidget* parent);
  /// `turns` with the message being typed as the last one. The preview follows a moment later.
  void show(PromptForm form, std::vector<ChatTurn> turns);

 private:
  void ask();
  Workspace& workspace_;
  QPlainTextEdit* text_;
  QLabel* count_;
  QTimer delay_;
  PromptForm form_ = PromptForm::none;
  std::vector<ChatTurn> turns_;
};

}  // namespace lrc::app
