#include "panels/chat_worker.h"

#include <QPointer>
#include <chrono>
#include <map>

namespace lrc::app {

namespace {
constexpr std::size_t longest_context = 4096;  // memory of the cache follows the conversation, up to this
}

struct ChatWorker::Sessions {
  struct Key {
    int run;
    int side;  ///< a run in both slots is loaded twice: B's branch is changed live, A's is not
    std::string device;
    auto operator<=>(const Key&) const = default;
  };
  std::map<Key, std::shared_ptr<ChatSession>> loaded;
};

/// What one job does, on the lane's thread.
struct ChatWorker::Run {
  std::shared_ptr<const Job> job;
  std::shared_ptr<Sessions> sessions;
  std::array<std::optional<OpenedModel>, 2> opened;
  std::array<std::string, 2> titles;
  SessionMaker make_session;
  QPointer<ChatWorker> worker;
  quint64 generation;
  std::stop_token stop;
  int side_in_hand = 0;

  template <typename Signal>
  void tell(Signal signal) const {
    // Late words of a job that was replaced are dropped.
    QMetaObject::invokeMethod(
        worker,
        [w = worker, g = generation, signal] {
          if (w && w->generation_ == g) signal(*w);
        },
        Qt::QueuedConnection);
  }

  ChatSession& session(int side) {
    side_in_hand = side;
    const Slot slot = job->sides[std::size_t(side)];
    const Sessions::Key key{slot.run.value_or(0), slot.run ? side : 0, job->devices[std::size_t(side)]};
    // Only what this job needs stays loaded.
    std::erase_if(sessions->loaded, [&](const auto& item) {
      for (int other = 0; other < 2; ++other) {
        const Slot kept = job->sides[std::size_t(other)];
        if (item.first == Sessions::Key{kept.run.value_or(0), kept.run ? other : 0, job->devices[std::size_t(other)]}) return false;
      }
      return true;
    });
    auto& found = sessions->loaded[key];
    if (!found) {
      tell([side](ChatWorker& w) { emit w.loading(side); });
      try {
        found = make_session(opened[std::size_t(side)].value(), key.device, longest_context);
      } catch (...) {
        sessions->loaded.erase(key);
        throw;
      }
    }
    const qulonglong bytes = found->transformer().weight_bytes();
    tell([side, bytes](ChatWorker& w) { emit w.loaded(side, bytes); });
    return *found;
  }

  ChatAnswer generate(int side) {
    ChatSession& chat = session(side);
    if (side == 1 && job->sides[1].run) chat.set_branch(job->branch);
    const auto prompt = prompt_tokens(*opened[std::size_t(side)]->model, job->form, job->turns, job->turns.size() - 1, side);
    const auto start = std::chrono::steady_clock::now();
    const Generation generation_result = chat.generate(
        prompt, job->max_tokens, job->sampling,
        [&](const GeneratedToken& token) {
          tell([side, id = token.id, text = QString::fromStdString(token.text)](ChatWorker& w) { emit w.tokenArrived(side, id, text); });
          return !stop.stop_requested();
        },
        stop);
    ChatAnswer answer;
    answer.text = QString::fromStdString(generation_result.text);
    answer.ids = generation_result.ids;
    answer.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    answer.tokens_per_second = generation_result.tokens_per_second;
    answer.first_token_s = generation_result.first_token_s;
    answer.finished = true;
    answer.ending = ending_text(generation_result.reason);
    tell([side, answer](ChatWorker& w) { emit w.answered(side, answer); });
    return answer;
  }

  void compare(const std::vector<TokenId>& answer) {
    if (answer.empty() || stop.stop_requested()) return;
    const auto prompt = prompt_tokens(*opened[0]->model, job->form, job->turns, job->turns.size() - 1, 0);
    // Loading B may free A's session only when the job does not need it; both stay.
    ChatSession& first = session(0);
    ChatSession& second = session(1);
    if (job->sides[1].run) second.set_branch(job->branch);
    const auto start = std::chrono::steady_clock::now();
    const auto tokens = compare_answer(first, second, prompt, answer, stop);
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    tell([tokens, seconds](ChatWorker& w) { emit w.compared(tokens, seconds); });
  }

  void carryOut() {
    if (job->rescore) return compare(job->turns.back().answers[0].ids);
    const ChatAnswer a = generate(0);
    if (stop.stop_requested()) return;
    if (job->mode == ChatMode::free)
      generate(1);
    else
      compare(a.ids);
  }
};

ChatWorker::ChatWorker(Workspace& workspace, QObject* parent)
    : QObject(parent), workspace_(workspace), make_session_(make_chat), sessions_(std::make_shared<Sessions>()) {}

ChatWorker::~ChatWorker() { stop(); }

void ChatWorker::stop() {
  if (stop_) stop_->request_stop();
}

void ChatWorker::start(Job job) {
  stop();
  ++generation_;
  busy_ = true;
  submit(std::make_shared<const Job>(std::move(job)));
}

void ChatWorker::forgetSessions() {
  stop();
  ++generation_;
  busy_ = false;
  workspace_.chatLane().submit<bool>({}, this,
                                     [sessions = sessions_](Progress&, std::stop_token) {
                                       sessions->loaded.clear();
                                       return true;
                                     },
                                     {});
}

void ChatWorker::submit(std::shared_ptr<const Job> job) {
  stop_ = std::make_shared<std::stop_source>();
  struct Outcome {
    int lost_side = -1;
    QString sentence;
  };
  auto run = std::make_shared<Run>();
  run->job = job;
  run->sessions = sessions_;
  run->worker = this;
  run->make_session = make_session_;
  run->generation = generation_;
  for (int side = 0; side < 2; ++side) {
    run->opened[std::size_t(side)] = workspace_.opened(job->sides[std::size_t(side)]);
    run->titles[std::size_t(side)] = workspace_.slotTitle(job->sides[std::size_t(side)]).toStdString();
  }
  const quint64 generation = generation_;
  workspace_.chatLane().submit<Outcome>(
      "chat", this,
      [run, source = stop_](Progress&, std::stop_token lane_stop) {
        const std::stop_callback link(lane_stop, [source] { source->request_stop(); });
        run->stop = source->get_token();
        Outcome outcome;
        for (int side = 0; side < 2; ++side)
          if (!run->opened[std::size_t(side)])
            throw Error(ErrorKind::bad_input,
                        run->titles[std::size_t(side)] + " cannot talk yet: its run is not finished. Wait for it, or choose another.");
        try {
          run->carryOut();
        } catch (const Error& error) {
          if (error.kind() == ErrorKind::stopped) return outcome;
          if (error.kind() != ErrorKind::device_lost && error.kind() != ErrorKind::device) throw;
          if (run->job->devices[std::size_t(run->side_in_hand)] == "cpu") throw;
          // Nothing that lay on the device is of use any more.
          run->sessions->loaded.clear();
          outcome.lost_side = run->side_in_hand;
          outcome.sentence = QString::fromUtf8(error.what());
        }
        return outcome;
      },
      [this, job, generation](Outcome outcome) {
        if (generation != generation_) return;
        if (outcome.lost_side >= 0) {
          emit deviceLost(outcome.lost_side, outcome.sentence);
          Job again = *job;
          again.devices[std::size_t(outcome.lost_side)] = "cpu";
          ++generation_;
          return submit(std::make_shared<const Job>(std::move(again)));
        }
        busy_ = false;
        emit finished();
      },
      [this, generation](const Error& error) {
        if (generation != generation_) return;
        busy_ = false;
        emit failed(QString::fromUtf8(error.what()));
        emit finished();
      });
}

}  // namespace lrc::app
