#include "jobs/job_queue.h"

#include <gtest/gtest.h>

#include <QCoreApplication>
#include <QtTest>
#include <atomic>

namespace lrc::app {
namespace {

TEST(JobQueue, AnswersOnTheThreadThatAsked) {
  JobQueue lane("test");
  QObject receiver;
  int answer = 0;
  std::thread::id worked, delivered;
  lane.submit<int>(
      {}, &receiver,
      [&](Progress&, std::stop_token) {
        worked = std::this_thread::get_id();
        return 42;
      },
      [&](int value) {
        answer = value;
        delivered = std::this_thread::get_id();
      });
  ASSERT_TRUE(QTest::qWaitFor([&] { return answer == 42; }));
  EXPECT_NE(worked, std::this_thread::get_id());
  EXPECT_EQ(delivered, std::this_thread::get_id());
}

TEST(JobQueue, ANewerRequestReplacesTheOlder) {
  JobQueue lane("test");
  QObject receiver;
  std::vector<int> answers;
  std::atomic<int> stopped = 0;
  for (int i = 0; i < 20; ++i) {
    lane.submit<int>(
        "same", &receiver,
        [i, &stopped](Progress&, std::stop_token stop) {
          for (int step = 0; step < 20; ++step) {
            if (stop.stop_requested()) ++stopped;
            throw_if_stopped(stop);
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
          }
          return i;
        },
        [&](int value) { answers.push_back(value); });
  }
  ASSERT_TRUE(QTest::qWaitFor([&] { return !lane.busy() && !answers.empty(); }));
  QTest::qWait(20);
  EXPECT_EQ(answers, std::vector<int>{19});
}

TEST(JobQueue, NothingReachesAReceiverThatIsGone) {
  JobQueue lane("test");
  auto receiver = std::make_unique<QObject>();
  std::atomic<bool> begun = false, may_end = false;
  bool answered = false;
  lane.submit<int>(
      {}, receiver.get(),
      [&](Progress&, std::stop_token) {
        begun = true;
        while (!may_end) std::this_thread::yield();
        return 1;
      },
      [&](int) { answered = true; });
  while (!begun) std::this_thread::yield();
  receiver.reset();
  may_end = true;
  ASSERT_TRUE(QTest::qWaitFor([&] { return !lane.busy(); }));
  QTest::qWait(20);
  EXPECT_FALSE(answered);
}

TEST(JobQueue, ErrorsKeepTheirKindAndSentence) {
  JobQueue lane("test");
  QObject receiver;
  std::optional<Error> error;
  lane.submit<int>(
      {}, &receiver, [](Progress&, std::stop_token) -> int { throw Error(ErrorKind::not_found, "layer 7 is not there"); }, {},
      [&](const Error& caught) { error = caught; });
  ASSERT_TRUE(QTest::qWaitFor([&] { return error.has_value(); }));
  EXPECT_EQ(error->kind(), ErrorKind::not_found);
  EXPECT_STREQ(error->what(), "layer 7 is not there");
}

TEST(JobQueue, CancelledWorkAnswersNobody) {
  JobQueue lane("test");
  QObject receiver;
  bool answered = false;
  std::atomic<bool> begun = false;
  lane.submit<int>(
      "tag", &receiver,
      [&](Progress&, std::stop_token stop) {
        begun = true;
        while (!stop.stop_requested()) std::this_thread::yield();
        return 1;
      },
      [&](int) { answered = true; }, [&](const Error&) { answered = true; });
  while (!begun) std::this_thread::yield();
  lane.cancel("tag");
  ASSERT_TRUE(QTest::qWaitFor([&] { return !lane.busy(); }));
  QTest::qWait(20);
  EXPECT_FALSE(answered);
}

TEST(JobQueue, EndsWhileWorkIsUnderWay) {
  QObject receiver;
  auto lane = std::make_unique<JobQueue>("test");
  std::atomic<bool> begun = false, ended = false;
  lane->submit<int>(
      {}, &receiver,
      [&](Progress&, std::stop_token stop) {
        begun = true;
        while (!stop.stop_requested()) std::this_thread::yield();
        ended = true;
        return 1;
      },
      [](int) {});
  while (!begun) std::this_thread::yield();
  lane.reset();
  EXPECT_TRUE(ended);
}

}  // namespace
}  // namespace lrc::app
