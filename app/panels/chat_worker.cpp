#include "panels/chat_worker.h"

#include <QPointer>
#include <algorithm>
#include <chrono>
#include <map>
#include <new>

namespace lrc::app {

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
  std::array<std::string, 2> titles, devices;
  SessionMaker make_session;
  QPointer<ChatWorker> worker;
  quint64 generation;
  std::stop_token stop;
  std::size_t first_read = 0;  ///< of the turns

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

  Sessions::Key key_of(int side) const {
    const Slot slot = job->sides[std::size_t(side)];
    return {slot.run.value_or(0), slot.run ? side : 0, devices[std::size_t(side)]};
  }

  /// From here on the side is the CPU's.
  void lose_device(int side, const std::string& sentence) {
    auto moved = sessions->loaded.extract(key_of(side));
    devices[std::size_t(side)] = "cpu";
    if (moved) sessions->loaded.emplace(key_of(side), moved.mapped());
    tell([side, text = QString::fromStdString(sentence)](ChatWorker& w) { emit w.deviceLost(side, text); });
  }

  std::shared_ptr<ChatSession> load(int side) {
    const OpenedModel& model = opened[std::size_t(side)].value();
    try {
      return make_session(model, devices[std::size_t(side)], job->context);
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::device_lost && error.kind() != ErrorKind::device) throw;
      if (devices[std::size_t(side)] == "cpu") throw;
      lose_device(side, error.what());
    }
    return make_session(model, "cpu", job->context);
  }

  std::shared_ptr<ChatSession> session(int side) {
    // Only what this job needs stays loaded.
    std::erase_if(sessions->loaded, [&](const auto& item) { return item.first != key_of(0) && item.first != key_of(1); });
    std::shared_ptr<ChatSession> chat;
    if (const auto known = sessions->loaded.find(key_of(side)); known != sessions->loaded.end()) {
      chat = known->second;
    } else {
      tell([side](ChatWorker& w) { emit w.loading(side); });
      chat = load(side);
      sessions->loaded.emplace(key_of(side), chat);
    }
    chat->set_context(job->context);
    // Sessions outlive this job: each one that uses them says anew whom to tell.
    fall_back_to_cpu(*chat, opened[std::size_t(side)].value(), [this, side](const std::string& sentence) { lose_device(side, sentence); });
    tell_memory(side, *chat);
    return chat;
  }

  /// Weights, and the keys and values of the conversation.
  void tell_memory(int side, ChatSession& chat) {
    const qulonglong bytes = chat.transformer().weight_bytes() + chat.cache_bytes();
    tell([side, bytes](ChatWorker& w) { emit w.loaded(side, bytes); });
  }

  std::vector<TokenId> prompt_of(int side) const {
    return prompt_tokens(*opened[std::size_t(side)]->model, job->form, job->turns, side, first_read);
  }

  /// The tokens that the side says from itself, behind those of a continuation.
  ChatAnswer generate(int side) {
    const auto chat = session(side);
    if (side == 1 && job->sides[1].run) chat->set_branch(job->branch);
    std::vector<TokenId> prompt = prompt_of(side);
    ChatAnswer answer;
    if (job->continuation) {
      answer.ids = job->continuation->said;
      for (const QString& text : token_texts(*opened[std::size_t(side)]->model->tokenizer(), answer.ids)) answer.text += text;
      prompt.insert(prompt.end(), answer.ids.begin(), answer.ids.end());
    }
    const auto start = std::chrono::steady_clock::now();
    const Generation generation_result = chat->generate(
        prompt, job->max_tokens, job->sampling[std::size_t(side)],
        [&](const GeneratedToken& token) {
          tell([side, id = token.id, text = QString::fromStdString(token.text)](ChatWorker& w) { emit w.tokenArrived(side, id, text); });
          return !stop.stop_requested();
        },
        stop);
    tell_memory(side, *chat);
    answer.text += QString::fromStdString(generation_result.text);
    answer.ids.insert(answer.ids.end(), generation_result.ids.begin(), generation_result.ids.end());
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
    const auto prompt = prompt_of(0);
    // Loading B may free A's session only when the job does not need it; both stay.
    const auto first = session(0), second = session(1);
    if (job->sides[1].run) second->set_branch(job->branch);
    const auto start = std::chrono::steady_clock::now();
    const auto tokens = compare_answer(*first, *second, prompt, answer, stop);
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    tell([leader = leader(), tokens, seconds](ChatWorker& w) { emit w.compared(leader, tokens, seconds); });
  }

  /// Like against like: only where both have read the same, up to and with the first token that B chose otherwise.
  void compare_free(const std::vector<TokenId>& of_a, const std::vector<TokenId>& of_b) {
    if (stop.stop_requested()) return;
    const auto prompt = prompt_of(0);
    if (prompt != prompt_of(1)) return;
    const std::size_t common = std::size_t(std::mismatch(of_a.begin(), of_a.end(), of_b.begin(), of_b.end()).first - of_a.begin());
    std::vector<TokenId> shared(of_a.begin(), of_a.begin() + std::ptrdiff_t(std::min(common + 1, of_a.size())));
    if (shared.empty()) return;
    const auto first_session = session(0), second_session = session(1);
    if (job->sides[1].run) second_session->set_branch(job->branch);
    const auto tokens = compare_answer(*first_session, *second_session, prompt, shared, stop);
    const bool parted = common < of_a.size() || common < of_b.size();
    tell([tokens, parts_at = parted ? std::optional(common) : std::nullopt](ChatWorker& w) { emit w.comparedFree(tokens, parts_at); });
  }

  /// Who speaks first, and, where the other follows, for both.
  int leader() const { return job->mode == ChatMode::a_follows_b ? 1 : 0; }

  void carryOut() {
    if (job->rescore) {
      first_read = job->turns.back().first_read;
      return compare(job->turns.back().answers[0].ids);
    }
    first_read = first_that_fits(*opened[0]->model, job->form, job->turns, job->max_tokens, job->context);
    tell([cut = qulonglong(first_read)](ChatWorker& w) { emit w.contextCut(cut); });
    if (job->continuation) {
      const int side = job->continuation->side;
      const ChatAnswer own = generate(side);
      const std::vector<TokenId>& other = job->turns.back().answers[side == 0 ? 1 : 0].ids;
      return side == 0 ? compare_free(own.ids, other) : compare_free(other, own.ids);
    }
    const ChatAnswer first_answer = generate(leader());
    if (stop.stop_requested()) return;
    if (job->mode == ChatMode::free)
      compare_free(first_answer.ids, generate(1).ids);
    else
      compare(first_answer.ids);
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
  auto run = std::make_shared<Run>();
  run->job = job;
  run->sessions = sessions_;
  run->worker = this;
  run->make_session = make_session_;
  run->generation = generation_;
  run->devices = job->devices;
  for (int side = 0; side < 2; ++side) {
    run->opened[std::size_t(side)] = workspace_.opened(job->sides[std::size_t(side)]);
    run->titles[std::size_t(side)] = workspace_.slotTitle(job->sides[std::size_t(side)]).toStdString();
  }
  const quint64 generation = generation_;
  workspace_.chatLane().submit<bool>(
      "chat", this,
      [run, source = stop_](Progress&, std::stop_token lane_stop) {
        const std::stop_callback link(lane_stop, [source] { source->request_stop(); });
        run->stop = source->get_token();
        for (int side = 0; side < 2; ++side)
          if (!run->opened[std::size_t(side)])
            throw Error(ErrorKind::bad_input,
                        run->titles[std::size_t(side)] + " cannot talk yet: its run is not finished. Wait for it, or choose another.");
        try {
          run->carryOut();
        } catch (const Error& error) {
          if (error.kind() != ErrorKind::stopped) throw;
        } catch (const std::bad_alloc&) {
          // Of weights that do not fit the lane says so; here it is the conversation.
          std::size_t bytes_per_token = 0;
          for (const auto& [key, session] : run->sessions->loaded) bytes_per_token += session->transformer().cache_bytes_per_token();
          if (bytes_per_token == 0) throw;
          run->tell([bytes_per_token](ChatWorker& w) { emit w.memoryFull(bytes_per_token); });
        }
        return true;
      },
      [this, generation](bool) {
        if (generation != generation_) return;
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
