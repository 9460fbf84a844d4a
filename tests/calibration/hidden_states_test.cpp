#include "calibration/hidden_states.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>

#include "base/error.h"
#include "support/comparison.h"
#include "support/test_data.h"

namespace lrc {
namespace {

std::vector<float> window(std::size_t w) { return {float(w) + 0.5f, -float(w), 3.0f, 1e-30f}; }

class HiddenStatesTest : public ::testing::TestWithParam<bool> {
 protected:
  HiddenStates states() { return HiddenStates(*backend, GetParam() ? folder.path() : std::filesystem::path()); }
  std::vector<float> values(const Buffer& buffer) { return test::download<float>(*backend, buffer, 4); }
  std::shared_ptr<Backend> backend = make_cpu_backend();
  test::TemporaryFolder folder;
};

TEST_P(HiddenStatesTest, KeepWhatIsPutThere) {
  HiddenStates hidden = states();
  for (std::size_t w = 0; w < 5; ++w) hidden.add(test::upload(*backend, window(w)));
  EXPECT_EQ(hidden.size(), 5u);
  EXPECT_TRUE(std::filesystem::is_empty(folder.path())) << "a file without a name";
  for (const std::size_t w : {4u, 0u, 2u}) EXPECT_EQ(values(hidden.get(w)), window(w));

  // A copy may be changed without changing what is kept; what was got and changed is put back.
  const Buffer copy = hidden.copy(1);
  backend->add(copy, copy, 4);
  EXPECT_EQ(values(hidden.get(1)), window(1));
  const Buffer own = hidden.get(3);
  backend->add(own, own, 4);
  hidden.put(3, own);
  EXPECT_EQ(values(hidden.get(3)), (std::vector<float>{7, -6, 6, 2e-30f}));
  EXPECT_EQ(values(hidden.get(4)), window(4)) << "its neighbour";
  HiddenStates moved = std::move(hidden);
  EXPECT_EQ(values(moved.get(2)), window(2));
}

INSTANTIATE_TEST_SUITE_P(InMemoryAndInAFile, HiddenStatesTest, ::testing::Bool(),
                         [](const auto& chosen) { return chosen.param ? "File" : "Memory"; });

TEST(HiddenStates, AFullDiskIsOneSentence) {
  const auto backend = make_cpu_backend();
  const test::TemporaryFolder folder;
  HiddenStates hidden(*backend, folder.path());
  hidden.add(test::upload(*backend, window(0)));
  // A limit on the size of files stands for a disk that is full.
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto old_handler = ::signal(SIGXFSZ, SIG_IGN);
  const rlimit small{16, before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  std::string sentence;
  try {
    hidden.add(test::upload(*backend, window(1)));
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::io);
    sentence = error.what();
  }
  ::setrlimit(RLIMIT_FSIZE, &before);
  ::signal(SIGXFSZ, old_handler);
  EXPECT_NE(sentence.find(folder.path().string()), std::string::npos) << sentence;
  EXPECT_NE(sentence.find("the disk is full at window 2 of 16 bytes each"), std::string::npos) << sentence;
  EXPECT_EQ(hidden.size(), 1u);
}

TEST(HiddenStates, AFolderThatIsNotThere) {
  const auto backend = make_cpu_backend();
  const test::TemporaryFolder folder;
  HiddenStates hidden(*backend, folder.path() / "gone");
  EXPECT_THROW(hidden.add(test::upload(*backend, window(0))), Error);
}

}  // namespace
}  // namespace lrc
