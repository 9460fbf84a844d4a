#pragma once
// The chats of the session: kept with it, found by their words, opened again.
#include <QWidget>
#include <vector>

#include "models/conversation.h"

class QLineEdit;
class QListWidget;

namespace lrc::app {

class Workspace;

class ChatHistory : public QWidget {
  Q_OBJECT
 public:
  ChatHistory(Workspace& workspace, QWidget* parent);
  /// Keeps the chat as the current one: it replaces what was kept of it before.
  void keep(const std::vector<ChatTurn>& turns);
  void begin();  ///< the next one that is kept is a new chat

 signals:
  /// Out of a session: prompts and answers as text; tokens and probabilities are not kept there.
  void chosen(const std::vector<lrc::app::ChatTurn>& turns);

 private:
  struct Chat {
    QString title;  ///< the first words, until it is renamed
    std::vector<ChatTurn> turns;
  };
  void fill();
  void save();
  void restore();
  Workspace& workspace_;
  QLineEdit* search_;
  QListWidget* list_;
  std::vector<Chat> chats_;
  int current_ = -1;
};

}  // namespace lrc::app
