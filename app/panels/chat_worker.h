#pragma once
// Runs a conversation on the chat lane: loads the two sides when they are first needed, streams tokens to the window, scores
// one model's answer with the other. Everything below `Sessions` is touched by the lane's thread alone.
#include <QObject>
#include <functional>
#include <memory>
#include <stop_token>

#include "models/conversation.h"
#include "workspace.h"

namespace lrc::app {

class ChatWorker : public QObject {
  Q_OBJECT
 public:
  struct Job {
    std::vector<ChatTurn> turns;  ///< history; the last turn is answered
    ChatMode mode = ChatMode::free;
    PromptForm form = PromptForm::own;
    std::array<Sampling, 2> sampling;  ///< of A, of B
    std::size_t max_tokens = 128;
    std::size_t context = usual_context;  ///< tokens
    BranchControl branch;                 ///< of B
    std::array<Slot, 2> sides;
    std::array<std::string, 2> devices;
    bool rescore = false;  ///< only compares the last answer of A again
    /// One side alone answers the last turn, behind these tokens of an answer that it did not choose itself.
    struct Continuation {
      int side;
      std::vector<TokenId> said;
    };
    std::optional<Continuation> continuation;
  };

  using SessionMaker = std::function<std::shared_ptr<ChatSession>(const OpenedModel&, const std::string& device, std::size_t context)>;

  explicit ChatWorker(Workspace& workspace, QObject* parent);
  ~ChatWorker() override;
  void start(Job job);  ///< ends what is under way first
  void stop();          ///< within a token; what was said stays
  bool busy() const { return busy_; }
  /// How a side is loaded; tests put a device here that fails.
  void setSessionMaker(SessionMaker maker) { make_session_ = std::move(maker); }
  void forgetSessions();  ///< frees loaded weights (another model was opened)

 signals:
  void loading(int side);
  void loaded(int side, qulonglong bytes);
  void tokenArrived(int side, int id, const QString& text);
  void answered(int side, const lrc::app::ChatAnswer& answer);
  /// `leader`: whose tokens were scored by both, 0 or 1.
  void compared(int leader, const std::vector<lrc::TokenComparison>& tokens, double seconds);
  /// Both spoke in their own words: A's tokens scored by both as far as they are B's, and one further; `parts_at` is B's first token
  /// that is another. Nothing is said where the two conversations differ before this turn.
  void comparedFree(const std::vector<lrc::TokenComparison>& tokens, std::optional<std::size_t> parts_at);
  void contextCut(qulonglong first);  ///< the turns before this one are not read any more; 0: all are
  /// The device of a side stopped working; the job goes on with the CPU.
  void deviceLost(int side, const QString& sentence);
  /// The conversation does not fit the memory; keys and values of both sides take this much a token.
  void memoryFull(qulonglong bytes_per_token);
  void failed(const QString& sentence);
  void finished();

 private:
  struct Sessions;
  struct Run;
  void submit(std::shared_ptr<const Job> job);
  Workspace& workspace_;
  SessionMaker make_session_;
  std::shared_ptr<Sessions> sessions_;
  std::shared_ptr<std::stop_source> stop_;
  quint64 generation_ = 0;
  bool busy_ = false;
};

}  // namespace lrc::app
