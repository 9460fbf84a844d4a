// Killed at any point and started again, a run ends with the same bytes as one that was never killed.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <fstream>
#include <thread>

#include "small_run.h"

extern char** environ;

namespace lrc {
namespace {

using test::layer_bytes;
using test::small_recipe;
using test::small_request;

// What the child process does; run by the tests below, never by itself.
TEST(ResumeChild, DISABLED_CarriesOut) {
  const char* folder = std::getenv("LRC_TEST_FOLDER");
  ASSERT_NE(folder, nullptr);
  const char* after = std::getenv("LRC_TEST_DIE_AFTER");
  Recipe recipe = small_recipe(std::getenv("LRC_TEST_TEXT"));
  if (const char* limit = std::getenv("LRC_TEST_FILE_LIMIT")) {
    recipe.layers = "model.layers.0.mlp.down_proj";
    recipe.weight.bits = 8;
    ::signal(SIGXFSZ, SIG_IGN);
    const rlimit bytes{std::strtoull(limit, nullptr, 10), RLIM_INFINITY};
    ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &bytes), 0);
  }
  Progress progress;
  int layers = 0;
  carry_out(small_request(folder, recipe), progress, {}, [&](const LayerRecord&) {
    if (after && ++layers == std::atoi(after)) ::kill(::getpid(), SIGKILL);
  });
}

class ResumeTest : public ::testing::Test {
 protected:
  /// Starts this program again as the child above.
  pid_t start(const std::filesystem::path& folder, const std::vector<std::string>& settings) {
    std::vector<std::string> environment = {"LRC_TEST_FOLDER=" + folder.string(), "LRC_TEST_TEXT=" + text.string()};
    environment.insert(environment.end(), settings.begin(), settings.end());
    for (char** e = environ; *e; ++e) environment.emplace_back(*e);
    std::vector<char*> variables;
    for (auto& e : environment) variables.push_back(e.data());
    variables.push_back(nullptr);
    std::string program = "/proc/self/exe", filter = "--gtest_filter=ResumeChild.*", disabled = "--gtest_also_run_disabled_tests";
    char* arguments[] = {program.data(), filter.data(), disabled.data(), nullptr};
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    pid_t child = -1;
    EXPECT_EQ(::posix_spawn(&child, program.c_str(), &actions, nullptr, arguments, variables.data()), 0);
    posix_spawn_file_actions_destroy(&actions);
    return child;
  }
  static int wait_for(pid_t child) {
    int status = 0;
    EXPECT_EQ(::waitpid(child, &status, 0), child);
    return status;
  }
  void SetUp() override {
    recipe = small_recipe(text);
    test::carry_out(small_request(place.path() / "whole", recipe));
    expected = layer_bytes(place.path() / "whole");
  }
  void expect_equal_after_resume(const std::filesystem::path& folder) {
    const auto manifest = test::carry_out(small_request(folder, recipe));
    EXPECT_EQ(manifest.state, RunState::done);
    EXPECT_EQ(layer_bytes(folder), expected);
    const auto whole = read_manifest(place.path() / "whole");
    ASSERT_EQ(manifest.layers.size(), whole.layers.size());
    for (std::size_t i = 0; i < whole.layers.size(); ++i) {
      EXPECT_EQ(manifest.layers[i].sha256, whole.layers[i].sha256);
      EXPECT_EQ(manifest.layers[i].loss, whole.layers[i].loss);
    }
    for (const auto& entry : std::filesystem::recursive_directory_iterator(folder))
      EXPECT_FALSE(test::contains(entry.path().string(), ".partial.")) << entry.path();
  }

  test::TemporaryFolder place;
  std::filesystem::path text = place.path() / "text.txt";
  Recipe recipe;
  std::map<std::string, std::string> expected;
};

TEST_F(ResumeTest, KilledAfterSomeLayersAgainAndAgain) {
  const auto folder = place.path() / "killed";
  // In the middle of a block, at its end, in the next start's first block, …
  for (const int layers : {3, 4, 1, 9}) {
    const int status = wait_for(start(folder, {"LRC_TEST_DIE_AFTER=" + std::to_string(layers)}));
    ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    EXPECT_EQ(read_manifest(folder).state, RunState::running) << "nobody was left to say otherwise";
  }
  EXPECT_GE(read_manifest(folder).layers.size(), 3u + 4 + 1 + 9);
  expect_equal_after_resume(folder);
}

TEST_F(ResumeTest, KilledAtAnyMoment) {
  const auto folder = place.path() / "killed";
  int killed = 0;
  for (int round = 0; round < 12; ++round) {
    const pid_t child = start(folder, {});
    // Delays that fall into loading, calibrating, solving and writing.
    std::this_thread::sleep_for(std::chrono::milliseconds(15 + (round * 53) % 190));
    ::kill(child, SIGKILL);
    const int status = wait_for(child);
    killed += WIFSIGNALED(status);
  }
  EXPECT_GT(killed, 0);
  expect_equal_after_resume(folder);
}

TEST_F(ResumeTest, ATornFileIsNotTakenForALayer) {
  const auto folder = place.path() / "torn";
  wait_for(start(folder, {"LRC_TEST_DIE_AFTER=5"}));
  const auto next = small_request(folder, recipe).model->layers().back().name;
  std::ofstream(folder / "layers" / (next + ".safetensors.partial.4711")) << "half of a lay";
  std::ofstream(folder / "layers" / (next + ".safetensors")) << "a whole file that no manifest vouches for";
  std::ofstream(folder / "manifest.json.partial.4711") << "{";
  expect_equal_after_resume(folder);
}

TEST_F(ResumeTest, AFullDiskIsOneRecordedSentence) {
  const auto folder = place.path() / "full";
  // The manifest fits, the layer's file (11 KB of codes) does not.
  const int status = wait_for(start(folder, {"LRC_TEST_FILE_LIMIT=10000"}));
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) != 0);
  const auto manifest = read_manifest(folder);
  EXPECT_EQ(manifest.state, RunState::failed);
  EXPECT_TRUE(test::contains(manifest.failure, "down_proj.safetensors cannot be written")) << manifest.failure;
  EXPECT_TRUE(manifest.layers.empty());
  EXPECT_TRUE(layer_bytes(folder).empty()) << "nothing half-written stays";
}

}  // namespace
}  // namespace lrc
