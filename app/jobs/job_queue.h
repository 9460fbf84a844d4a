#pragma once
// A worker lane: one thread, requests one after the other. Two lanes exist: runs (minutes to hours) and queries (a spectrum, a
// chat token), so that looking and talking never wait for a run. Each request carries a tag; a newer request with the same tag
// replaces one that waits and stops one that runs, and a late answer is dropped by its generation number.
#include <QObject>
#include <QString>
#include <any>
#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <stop_token>
#include <thread>

#include "base/error.h"
#include "base/progress.h"

namespace lrc::app {

class JobQueue : public QObject {
  Q_OBJECT
 public:
  explicit JobQueue(QString name, QObject* parent = nullptr);
  ~JobQueue() override;  ///< stops and joins

  /// Work runs on the lane's thread; `done` and `failed` run on the GUI thread, and only while `receiver` lives and no newer
  /// request with this tag was made. An empty tag never replaces anything.
  template <typename Result>
  void submit(const QString& tag, QObject* receiver, std::function<Result(Progress&, std::stop_token)> work,
              std::function<void(Result)> done, std::function<void(const Error&)> failed = {},
              std::function<void(const ProgressUpdate&)> progress = {}) {
    submit_any(
        tag, receiver,
        [work = std::move(work)](Progress& p, std::stop_token s) -> std::any { return std::any(std::make_shared<Result>(work(p, s))); },
        [done = std::move(done)](std::any result) {
          if (done) done(std::move(*std::any_cast<std::shared_ptr<Result>>(result)));
        },
        std::move(failed), std::move(progress));
  }
  /// Drops what waits under this tag and stops what runs under it.
  void cancel(const QString& tag);
  void cancel_all();
  bool busy() const;

 signals:
  void busyChanged(bool busy);

 private:
  using Work = std::function<std::any(Progress&, std::stop_token)>;
  void submit_any(const QString& tag, QObject* receiver, Work work, std::function<void(std::any)> done,
                  std::function<void(const Error&)> failed, std::function<void(const ProgressUpdate&)> progress);
  void loop();
  struct Request;
  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::shared_ptr<Request>> waiting_;
  std::shared_ptr<Request> running_;
  std::map<QString, quint64> generations_;
  bool quit_ = false;
  std::thread thread_;
};

}  // namespace lrc::app
