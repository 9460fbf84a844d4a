#pragma once
// Every sample prompt answered by A and scored by B: where they differ most stands first.
#include <QWidget>
#include <functional>
#include <optional>
#include <vector>

#include "models/conversation.h"

class QListWidget;
class QPushButton;
class QLabel;

namespace lrc::app {

/// What the batch and the empty transcript offer, by what they try.
struct SampleGroup {
  QString title;
  std::vector<QString> prompts;
};
const std::vector<SampleGroup>& sample_groups();
const std::vector<QString>& sample_prompts();  ///< of all groups

class SampleBatch : public QWidget {
  Q_OBJECT
 public:
  explicit SampleBatch(QWidget* parent);
  bool running() const { return next_.has_value(); }
  /// The answer to the prompt that was asked for last; asks for the next one. Nothing when the batch does not run.
  void take(const ChatTurn& turn);
  void stop();
  void setReady(bool ready);  ///< a model is open and nothing is being answered
  struct Result {
    ChatTurn turn;
    DivergenceSummary divergence;
  };
  const std::vector<Result>& results() const { return results_; }  ///< worst mean KL first

 signals:
  void promptAsked(const QString& prompt);  ///< to be answered in a chat of its own, B following A
  void chosen(const std::vector<lrc::app::ChatTurn>& turns);

 private:
  void start();
  void fill();
  QPushButton* run_;
  QLabel* state_;
  QListWidget* list_;
  std::vector<Result> results_;
  QString by_;  ///< whose answers they are
  std::optional<std::size_t> next_;
};

}  // namespace lrc::app
