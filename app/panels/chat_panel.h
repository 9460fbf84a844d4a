#pragma once
// The chat panel's own parts: what it is made of and how it listens (chat_panel_layout.cpp), what it does (chat_panel.cpp).
#include <QWidget>
#include <array>
#include <optional>

#include "models/conversation.h"
#include "panels/chat_worker.h"

class QLabel;
class QPlainTextEdit;
class QPushButton;

namespace lrc::app {

class BranchBox;
class ChatHistory;
class ChatSide;
class ChatTranscript;
class DivergenceStrip;
class Notice;
class PromptPreview;
class SampleBatch;
class SamplingBox;
class TitleControls;
class TokenPopover;
class Workspace;

class ChatPanel : public QWidget {
 public:
  ChatPanel(Workspace& workspace, QWidget* parent);

 protected:
  bool eventFilter(QObject* object, QEvent* event) override;
  void changeEvent(QEvent* event) override;
  void showEvent(QShowEvent* event) override;

 private:
  void build();
  void listen();
  QWidget* makeInput();
  void clearChat();
  void followModel();
  void followSlots();
  QString titleOf(int side) const;  ///< of who stands in the slot
  void send();
  /// Whether the last answer was read by the side that follows.
  bool mayRescore() const;
  void start(bool rescore, std::optional<ChatWorker::Job::Continuation> continuation = {});
  void regenerate();
  void edit(std::size_t turn);
  void endEdit();
  void ask(std::size_t turn, const QString& prompt);
  void continueFrom(std::size_t turn, int token);
  void chooseBranch(std::size_t turn, std::size_t which);
  void showFrom(std::size_t turn);
  void goToTurn(int step);
  void showAnswer(std::size_t turn, int side);
  void showDivergence();
  void pointAt(std::size_t turn, int token);
  void followBusy();
  void followSharing();
  void sayFailure(const QString& sentence);
  bool takeDroppedFile(QEvent* event);
  void preview();
  void open(const std::vector<ChatTurn>& turns);
  std::size_t last() const { return turns_.size() - 1; }

  Workspace& workspace_;
  ChatWorker* worker_;
  TitleControls* controls_;
  Notice* notice_;
  std::array<ChatSide*, 2> sides_;
  ChatTranscript* transcript_;
  QLabel* divergence_text_;
  DivergenceStrip* strip_;
  BranchBox* branch_;
  QPlainTextEdit* input_;
  QPushButton* send_;
  SamplingBox* sampling_;
  PromptPreview* preview_;
  SampleBatch* batch_;
  ChatHistory* history_;
  TokenPopover* popover_;
  std::vector<ChatTurn> turns_;
  std::array<QString, 2> speakers_;     ///< the titles of who answers now
  std::optional<std::size_t> editing_;  ///< the turn whose message is in the box
  bool rescoring_ = false, rescore_again_ = false;
};

}  // namespace lrc::app
