#include "jobs/job_queue.h"

#include <sys/resource.h>

#include <QMetaObject>
#include <QPointer>
#include <atomic>
#include <chrono>
#include <utility>

namespace lrc::app {

namespace {
constexpr int niceness = 10;
}

struct JobQueue::Request {
  QString tag;
  quint64 generation = 0;
  QPointer<QObject> receiver;  // looked at on the GUI thread only
  Work work;
  std::function<void(std::any)> done;
  std::function<void(const Error&)> failed;
  std::function<void(const ProgressUpdate&)> progress;
  std::stop_source stop;

  std::mutex update_mutex;
  ProgressUpdate latest;
  bool update_posted = false;
  std::chrono::steady_clock::time_point last_update{};
};

JobQueue::JobQueue(QString name, QObject* parent) : QObject(parent) {
  setObjectName(name);
  thread_ = std::thread([this] { loop(); });
}

JobQueue::~JobQueue() {
  {
    const std::lock_guard lock(mutex_);
    quit_ = true;
    waiting_.clear();
    if (running_) running_->stop.request_stop();
  }
  wake_.notify_all();
  thread_.join();
}

void JobQueue::submit_any(const QString& tag, QObject* receiver, Work work, std::function<void(std::any)> done,
                          std::function<void(const Error&)> failed, std::function<void(const ProgressUpdate&)> progress) {
  auto request = std::make_shared<Request>();
  request->tag = tag;
  request->receiver = receiver;
  request->work = std::move(work);
  request->done = std::move(done);
  request->failed = std::move(failed);
  request->progress = std::move(progress);
  {
    const std::lock_guard lock(mutex_);
    if (!tag.isEmpty()) {
      request->generation = ++generations_[tag];
      std::erase_if(waiting_, [&](const auto& other) { return other->tag == tag; });
      if (running_ && running_->tag == tag) running_->stop.request_stop();
    }
    waiting_.push_back(std::move(request));
  }
  wake_.notify_one();
}

void JobQueue::cancel(const QString& tag) {
  const std::lock_guard lock(mutex_);
  ++generations_[tag];
  std::erase_if(waiting_, [&](const auto& other) { return other->tag == tag; });
  if (running_ && running_->tag == tag) running_->stop.request_stop();
}

void JobQueue::cancel_all() {
  const std::lock_guard lock(mutex_);
  for (auto& generation : generations_) ++generation.second;
  waiting_.clear();
  if (running_) running_->stop.request_stop();
}

bool JobQueue::busy() const {
  const std::lock_guard lock(mutex_);
  return running_ || !waiting_.empty();
}

void JobQueue::loop() {
  // What computes steps back behind the thread that draws. On Linux the value is a thread's own, and those that it starts inherit it.
  ::setpriority(PRIO_PROCESS, 0, niceness);
  // Answers are posted to this object, which outlives the thread; whether the receiver lives and the answer is still wanted is
  // decided on the GUI thread, at the moment of delivery.
  const auto wanted = [this](const Request& request) {
    if (!request.receiver) return false;
    if (request.tag.isEmpty()) return true;
    const std::lock_guard lock(mutex_);
    return generations_[request.tag] == request.generation;
  };
  for (;;) {
    std::shared_ptr<Request> request;
    {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [this] { return quit_ || !waiting_.empty(); });
      if (quit_) return;
      request = std::move(waiting_.front());
      waiting_.pop_front();
      running_ = request;
    }
    emit busyChanged(true);
    Progress progress([this, request, wanted](const ProgressUpdate& update) {
      if (!request->progress) return;
      {
        const std::lock_guard lock(request->update_mutex);
        request->latest = update;
        const auto now = std::chrono::steady_clock::now();
        if (request->update_posted || now - request->last_update < std::chrono::milliseconds(100)) return;
        request->update_posted = true;
        request->last_update = now;
      }
      QMetaObject::invokeMethod(
          this,
          [request, wanted] {
            ProgressUpdate latest;
            {
              const std::lock_guard lock(request->update_mutex);
              latest = request->latest;
              request->update_posted = false;
            }
            if (wanted(*request)) request->progress(latest);
          },
          Qt::QueuedConnection);
    });
    std::any result;
    std::optional<Error> error;
    try {
      result = request->work(progress, request->stop.get_token());
    } catch (const Error& caught) {
      error = caught;
    } catch (const std::bad_alloc&) {
      error = Error(ErrorKind::io, "Not enough memory for this work; choose fewer calibration tokens or a smaller model.");
    } catch (const std::exception& caught) {
      error = Error(ErrorKind::bad_input, std::string("The work ended with: ") + caught.what());
    }
    bool more = false;
    {
      const std::lock_guard lock(mutex_);
      running_.reset();
      more = !waiting_.empty();
      if (quit_) return;
    }
    QMetaObject::invokeMethod(
        this,
        [request, wanted, result = std::move(result), error = std::move(error)]() mutable {
          if (!wanted(*request)) return;
          if (!error)
            request->done(std::move(result));
          else if (request->failed)
            request->failed(*error);
        },
        Qt::QueuedConnection);
    if (!more) emit busyChanged(false);
  }
}

}  // namespace lrc::app
